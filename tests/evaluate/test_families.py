"""Which families of scores are measured."""

from __future__ import annotations

import pytest

from segcli.errors import UsageError
from segcli.evaluate import choose_families, gated_names, image_score_names, score_names
from segcli.metrics import PROTOCOLS, MetricOptions, default_families, families_of

OPTIONS = MetricOptions()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_has_a_default(protocol):
    """Nothing asked for gives the default families, and "all" every one, in the order shown."""
    names = [family.name for family in families_of(protocol)]
    assert default_families(protocol)
    assert choose_families(protocol, (), OPTIONS) == default_families(protocol)
    assert choose_families(protocol, ("all",), OPTIONS) == tuple(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_names_of_scores_are_unique_paths(protocol):
    """All families together: no score twice, and no name is a folder of another's path."""
    names = score_names(protocol, OPTIONS, [f.name for f in families_of(protocol)])
    assert len(set(names)) == len(names)
    assert not [(a, b) for a in names for b in names if b.startswith(f"{a}.")]
    assert set(image_score_names(protocol)) <= {n.rpartition(".")[0] for n in names}


def test_a_gate_brings_its_family():
    """A gate on a costly score measures its family, beside what was asked for."""
    gated = gated_names(["boundary_iou.pooled=0.5"])
    assert gated == ["boundary_iou.pooled"]
    assert choose_families("binary", (), OPTIONS, gated) == ("overlap", "boundary")
    assert choose_families("binary", ("distance",), OPTIONS, gated) == ("boundary", "distance")


def test_unknown_families_are_refused():
    """The error names what there is."""
    with pytest.raises(UsageError, match="no family 'bondary'") as caught:
        choose_families("binary", ("bondary",), OPTIONS)
    assert "boundary" in caught.value.why
    assert "boundary" in caught.value.fix
