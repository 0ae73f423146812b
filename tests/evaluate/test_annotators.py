"""Several annotators' ground truth as one side."""

from __future__ import annotations

import pytest

from segcli.errors import InputError, UsageError
from segcli.evaluate import choose_protocol, evaluate
from segcli.evaluate.annotators import Annotators


def test_all_annotators_of_a_picture_are_read(memory, disc_maps):
    """The first one's pictures, each with every annotator who did it, in order."""
    first, second = memory("instance", disc_maps(3)), memory("instance", disc_maps(2, shift=1))
    both = Annotators(first, [second])
    assert list(both.keys()) == list(first.keys())
    assert [len(both.read_all(key)) for key in list(first.keys())] == [2, 2, 1]
    shifted = both.read_all("00.png")[1].labels
    assert shifted is not None
    assert (shifted.values == second.maps["00.png"]).all()
    assert "2 of 3" in both.description


def test_they_are_scored_as_regions(memory, disc_maps):
    """Several annotators mean the protocol regions; an annotator who agrees raises the scores."""
    pred, first = memory("instance", disc_maps(3, shift=2)), memory("instance", disc_maps(3))
    alone = evaluate(pred, Annotators(first, [memory("instance", disc_maps(3))]))
    agreed = evaluate(pred, Annotators(first, [memory("instance", disc_maps(3, shift=2))]))
    assert alone.protocol == agreed.protocol == "regions"
    assert agreed.metrics["rand.mean_of_images"] > alone.metrics["rand.mean_of_images"]
    with pytest.raises(UsageError, match="--annotator needs the protocol regions"):
        choose_protocol(pred, Annotators(first, [first]), "instance")


def test_a_stranger_is_no_annotator(memory, disc_maps):
    """Ground truth of other pictures is refused."""
    first = memory("instance", disc_maps(2))
    other = memory("instance", {"x.png": first.maps["00.png"]})
    with pytest.raises(InputError, match="none of its pictures"):
        Annotators(first, [other])


def test_an_expression_pairs_annotators_too(memory, disc_maps):
    """`--match` holds for the pictures of all annotators."""
    first = memory("instance", disc_maps(2))
    other = memory("instance", {f"by_ann_{k}": v for k, v in disc_maps(2).items()})
    both = Annotators(first, [other], r"(\d+)\.png")
    assert [len(both.read_all(key)) for key in list(first.keys())] == [2, 2]


def test_several_annotators_in_one_file_are_regions(memory, disc_maps):
    """A source that says it holds several annotators is scored as regions unless told otherwise."""
    gt = memory("instance", disc_maps(2))
    gt.annotated = True
    assert choose_protocol(gt, gt, None)[0] == "regions"
    assert choose_protocol(gt, gt, "instance")[0] == "instance"
