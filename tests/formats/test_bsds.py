"""BSDS500's .mat files: several annotators of one image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from segcli.errors import InputError, MaskError
from segcli.formats import open_source

FIRST = np.array([[1, 1, 2], [3, 3, 2]], np.uint16)


def save(path, *maps, variable="groundTruth", field="Segmentation"):
    """Write annotators as MATLAB does: a cell of structures."""
    cells = np.empty((1, len(maps)), object)
    for index, values in enumerate(maps):
        boundaries = np.zeros(np.shape(values), np.uint8)
        cells[0, index] = {field: values, "Boundaries": boundaries}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {variable: cells})
    return path


def test_every_annotator_is_read(tmp_path):
    """The first one's regions, or those of all."""
    save(tmp_path / "val" / "2018.mat", FIRST, FIRST.T.reshape(2, 3))
    source = open_source(tmp_path)
    assert (source.format, source.kind, source.keys()) == ("bsds", "instance", ["val/2018.mat"])
    found = source.read_all("val/2018.mat")
    assert [r.labels.kind for r in found] == ["instance"] * 2
    assert np.array_equal(found[0].labels.values, FIRST)
    assert np.array_equal(found[1].labels.values, FIRST.T.reshape(2, 3))
    assert np.array_equal(source.read("val/2018.mat").labels.values, FIRST)


@pytest.mark.parametrize(
    ("maps", "options", "words"),
    [
        ((FIRST, FIRST.T), {}, "annotator 1 has 2x3 pixels, the first one 3x2"),
        ((FIRST * 0.5,), {}, "no .* map of whole numbers"),
        ((), {}, "or there is none"),
        ((FIRST,), {"field": "Other"}, "cannot be read as BSDS"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, maps, options, words):
    """Annotators of other sizes, fractions, and missing fields are errors of that file."""
    save(tmp_path / "x.mat", *maps, **options)
    with pytest.raises(MaskError, match=rf"x\.mat.*{words}") as error:
        open_source(tmp_path, format="bsds").read("x.mat")
    assert error.value.fix


def test_other_files_of_matlab_are_not_taken_for_it(tmp_path):
    """Only a variable groundTruth makes it ours; a damaged file is an error of that file."""
    savemat(tmp_path / "x.mat", {"other": FIRST})
    with pytest.raises(InputError, match="no masks in a known format"):
        open_source(tmp_path)
    path = save(tmp_path / "y.mat", FIRST)
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(MaskError, match=r"y\.mat: cannot be read"):
        open_source(tmp_path, format="bsds").read("y.mat")
