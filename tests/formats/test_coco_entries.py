"""COCO files in their usual form and in every other: read alike, or refused in the same words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segcli.errors import InputError, MaskError
from segcli.formats import open_source
from segcli.formats.sniff import load_json
from segcli.masks.rle import encode, to_coco

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
RLE = to_coco(encode(np.tri(4, 6) > 0))
DETECTION = {"image_id": 1, "category_id": 2, "segmentation": RLE, "score": 0.5}
ANNOTATION = {"id": 7, "image_id": 1, "category_id": 2, "segmentation": RLE, "area": 3.5}
IMAGES = [{"id": 1, "file_name": "a.jpg", "height": 4, "width": 6}]
UNUSUAL = {**DETECTION, "image_id": "9"}
"""As good as the others, but it makes a file that is read entry by entry."""


def write(path: Path, value) -> Path:
    path.write_text(json.dumps(value))
    return path


def results(path: Path, entries):
    return open_source(write(path, entries), format="coco")


def dataset(path: Path, annotations):
    whole = {"images": IMAGES, "annotations": annotations, "categories": []}
    return open_source(write(path, whole), format="coco-dataset")


def outcome(read):
    """What was read, or what was said."""
    try:
        found = read()
    except (InputError, MaskError) as error:
        return type(error), error.message, error.why, error.fix
    return found.image, [repr(segment) for segment in found.segments]


numbers = st.one_of(
    st.integers(-2, 5),
    st.sampled_from([2**63, 10**400, -(10**30), "2", "x", None, True, [1], 1.0, 1.5, -0.0]),
    st.floats(allow_nan=True, allow_infinity=True),
)
sizes = st.one_of(
    st.just([4, 6]), st.sampled_from([[6, 4], [4.0, 6], [4], ["4", "6"], 4, [-4, -6], [10**18] * 2])
)
texts = st.one_of(
    st.just(RLE["counts"]),
    st.text("0123456789:;PQRSTo\x7fé", max_size=8),
    st.sampled_from([RLE["counts"] + "0", RLE["counts"][:-1], [2, 3, 19], [24], None, ""]),
)
masks = st.one_of(
    st.fixed_dictionaries({"size": sizes, "counts": texts}),
    st.sampled_from([[[0, 0, 3, 0, 3, 3]], [], "x", {}]),
)
extra = st.dictionaries(st.sampled_from(["bbox", "segments", "note"]), st.just([1, 2, 3, 4]))


def entries(usual, optional):
    """Entries of which most are as usual."""
    odd = {"category_id": numbers, "segmentation": masks, "score": numbers, "area": numbers}
    changes = st.fixed_dictionaries({}, optional={**odd, **optional})
    one = st.one_of(st.just({}), changes).flatmap(lambda c: extra.map(lambda e: usual | c | e))
    return st.lists(one, min_size=1, max_size=4)


@QUICK
@given(listed=entries(DETECTION, {}))
def test_results_are_read_alike_in_bulk_and_entry_by_entry(tmp_path, listed):
    """An image's detections, or its error, do not depend on how the rest of the file is written."""
    usual = results(tmp_path / "r.json", listed)
    mixed = results(tmp_path / "r.json", [*listed, UNUSUAL])
    assert outcome(lambda: usual.read("1")) == outcome(lambda: mixed.read("1"))


@QUICK
@given(listed=entries(ANNOTATION, {"id": numbers, "iscrowd": numbers}))
def test_datasets_are_read_alike_in_bulk_and_entry_by_entry(tmp_path, listed):
    """An image's objects, or its error, do not depend on how the rest of the file is written."""
    usual = dataset(tmp_path / "d.json", listed)
    # Text for a crowd mark is right, and not as usual; the object is of no other image.
    first = {**listed[0], "image_id": "1"}
    mixed = dataset(tmp_path / "d.json", [first, *listed[1:]])
    assert outcome(lambda: usual.read("a.jpg")) == outcome(lambda: mixed.read("a.jpg"))


@pytest.mark.parametrize("counts", ["0", RLE["counts"][:-1], RLE["counts"] + "1", "\x00", "é", "o"])
def test_a_damaged_mask_is_the_error_of_its_image_alone(tmp_path, counts):
    """Images that were checked in one go with it are read; it says file, image and size."""
    damaged = {**DETECTION, "image_id": 3, "segmentation": {"size": [4, 6], "counts": counts}}
    source = results(tmp_path / "r.json", [DETECTION, damaged, {**DETECTION, "image_id": 4}])
    for image in "14":
        assert source.read(image).segments[0].mask.counts == RLE["counts"]
    with pytest.raises(MaskError, match=r"r\.json: 3: damaged RLE of 6x4 pixels") as error:
        source.read("3")
    assert error.value.fix


def test_a_negative_area_names_its_annotation(tmp_path):
    """An area that COCO would leave out in silence is an error in a usual file too."""
    source = dataset(tmp_path / "d.json", [ANNOTATION, {**ANNOTATION, "id": 8, "area": -1}])
    with pytest.raises(MaskError, match=r"d\.json: a\.jpg: annotation 8: has the area -1"):
        source.read("a.jpg")


def test_an_unknown_image_is_named(tmp_path):
    """An annotation of an image that is not listed is refused in a usual file too."""
    with pytest.raises(InputError, match="unknown image id 5"):
        dataset(tmp_path / "d.json", [ANNOTATION, {**ANNOTATION, "image_id": 5}])


ODD_TEXTS = [
    b"[1, NaN, -Infinity]",
    b'\xef\xbb\xbf{"a": 1}',
    b'["\\ud800", "\\ud83d\\ude00"]',
    b'{"a": 1, "a": 2}',
    b"[18446744073709551616, -9223372036854775809, 1e400, -0, -0.0, 1E5, 1e-400]",
    b'["\xed\xa0\x80"]',
    "[1, 2]".encode("utf-16"),
    b" \r\n\t[] \n",
    b"[0.1, 123456789012345678901234567890.5, 9007199254740993.0, 5e-324]",
]


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_json_is_read_as_python_reads_it(tmp_path, text):
    """What the quick parser refuses, and what parsers like to differ in, is as before."""
    (tmp_path / "x.json").write_bytes(text)
    assert repr(load_json(tmp_path / "x.json")) == repr(json.loads(text))


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@QUICK
@given(value=JSON, ascii_only=st.booleans())
def test_any_json_is_read_as_python_reads_it(tmp_path, value, ascii_only):
    """Numbers of any size, text of any kind and any nesting give the same values and types."""
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    (tmp_path / "x.json").write_bytes(text)
    assert repr(load_json(tmp_path / "x.json")) == repr(json.loads(text))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (b'[{"image_id": 1,}]', "line 1 column 17"),
        (b'[\n{"a": 1}\n{"b": 2}]', "line 3 column 1"),
        (b'[{"image_id": 1', "line 1 column 16"),
        (b"[1] 2", "line 1 column 5"),
        (b'["\x01"]', "line 1 column 3"),
        (b"", "line 1 column 1"),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_broken_json_says_where(tmp_path, text, where):
    """The error names the file, and the line and column, whichever parser met it first."""
    (tmp_path / "x.json").write_bytes(text)
    with pytest.raises(InputError, match=r"x\.json: cannot be read as JSON") as error:
        load_json(tmp_path / "x.json")
    assert where in error.value.why
    assert error.value.fix
