"""Run-length encoding against pycocotools, and against damaged input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as oracle

from segcli.errors import MaskError
from segcli.masks.rle import (
    decode,
    encode,
    encode_runs,
    from_coco,
    from_polygons,
    measure,
    merge,
    runs,
    runs_of,
    segment_from_mask,
    segment_from_rle,
)
from segcli.records import RLE

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24))


def theirs(mask: np.ndarray) -> str:
    """The counts that pycocotools gives a mask."""
    return oracle.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()


@given(masks)
def test_encoding_is_byte_identical_with_pycocotools(mask):
    """The counts we store are the ones every COCO tool would have stored."""
    assert encode(mask).counts == theirs(mask)


@given(masks)
def test_decoding_gives_the_mask_back(mask):
    """Nothing is lost, and the axes are not swapped."""
    assert np.array_equal(decode(encode(mask)), mask)


@given(masks)
def test_runs_are_the_mask_without_decoding_it(mask):
    """Runs read from the string mark exactly the mask's pixels, column by column."""
    starts, stops = runs(encode(mask))
    columns = np.zeros(mask.size, dtype=bool)
    for start, stop in zip(starts, stops, strict=True):
        columns[start:stop] = True
    assert np.array_equal(columns.reshape(mask.T.shape).T, mask)
    assert encode_runs(starts[stops > starts], stops[stops > starts], *mask.shape) == encode(mask)


def test_long_runs_survive_the_string():
    """Run lengths of many digits, and large differences of both signs, are read exactly."""
    mask = np.zeros((3000, 1000), dtype=bool)
    mask[:, 100:900] = True
    mask[5, 950] = True
    starts, stops = runs(encode(mask))
    assert (starts.tolist(), stops.tolist()) == ([300000, 2850005], [2700000, 2850006])


@given(masks)
def test_uncompressed_counts_are_read_like_pycocotools_reads_them(mask):
    """The list form, as COCO's crowd regions have it, gives the same mask."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=~flat[-1:]))
    counts = np.diff(edges, prepend=0).tolist()
    height, width = mask.shape
    value = {"size": [height, width], "counts": counts}
    coded = oracle.frPyObjects(value, height, width)
    assert from_coco(value, height, width).counts == coded["counts"].decode()
    assert from_coco(value, height, width) == encode(mask)


def test_uncompressed_runs_of_length_zero_are_joined():
    """Zero-length background between two runs does not split the mask in the encoding."""
    assert from_coco({"size": [1, 6], "counts": [1, 2, 0, 1, 2]}, 1, 6) == encode(
        np.array([[0, 1, 1, 1, 0, 0]])
    )


@given(
    st.lists(
        st.lists(st.floats(0, 20, width=32), min_size=3, max_size=6).map(
            lambda x: [v for pair in zip(x, reversed(x), strict=True) for v in pair]
        ),
        min_size=1,
        max_size=3,
    )
)
def test_polygons_are_rasterised_like_pycocotools(polygons):
    """A union of polygons has the pixels that pycocotools gives it."""
    expected = oracle.merge(oracle.frPyObjects(polygons, 20, 20))
    assert from_polygons(polygons, 20, 20).counts == expected["counts"].decode()


@given(st.lists(hnp.arrays(bool, (7, 9)), min_size=1, max_size=4))
def test_merge_is_the_union(parts):
    """Merging is a pixel-wise or."""
    union = np.logical_or.reduce(parts)
    assert merge([encode(p) for p in parts]) == encode(union)


@given(masks)
def test_a_segment_measures_its_own_area_and_half_open_box(mask):
    """The area counts pixels; width is x1 - x0; an empty mask has a zero box."""
    segment = segment_from_mask(mask, score=0.5)
    rows, columns = np.nonzero(mask)
    assert segment.area == mask.sum()
    if not mask.any():
        assert segment.box_xywh == (0, 0, 0, 0)
        return
    x, y = columns.min(), rows.min()
    assert segment.box_xywh == (x, y, columns.max() + 1 - x, rows.max() + 1 - y)


@pytest.mark.parametrize("counts", ["abc", "1O1O1O1O", "é", "X" * 10, "o", "5", "", "\x00\x00"])
def test_damaged_counts_are_an_error(counts):
    """A string that does not cover its 35 pixels, or is none of COCO's, is not guessed at."""
    with pytest.raises(MaskError):
        from_coco({"size": [5, 7], "counts": counts}, 5, 7)


def test_counts_that_overrun_are_an_error_wherever_they_are_used():
    """Decoding and measuring damaged counts raise our error, not the library's."""
    broken = RLE(5, 7, "~~~~")
    for use in (decode, segment_from_rle, runs):
        with pytest.raises(MaskError, match="damaged RLE of 7x5"):
            use(broken)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
        lambda shape: st.lists(hnp.arrays(bool, shape), max_size=9)
    )
)
def test_runs_and_measures_of_several_are_those_of_each(masks):
    """Many at once give what one by one gives, empty masks and full ones among them."""
    coded = [encode(mask) for mask in masks]
    owner, starts, stops = runs_of(coded)
    for index, rle in enumerate(coded):
        of_one = owner == index
        assert np.array_equal((starts[of_one], stops[of_one]), runs(rle))
    assert np.array_equal(owner, np.sort(owner))
    each = [segment_from_rle(rle) for rle in coded]
    assert measure(coded) == [(segment.area, segment.box_xywh) for segment in each]


def test_many_runs_are_read_in_several_lots(monkeypatch):
    """How many characters are taken at once changes nothing."""
    rng = np.random.default_rng(0)
    coded = [encode(rng.random((30, 20)) > 0.5) for _ in range(50)]
    expected = runs_of(coded)
    monkeypatch.setattr("segcli.masks.counts._CHARACTERS_AT_ONCE", 2000)
    assert all(np.array_equal(a, b) for a, b in zip(runs_of(coded), expected, strict=True))


@pytest.mark.parametrize("counts", ["abc", "1O1O1O1O", "é", "X" * 10, "o", "5", "", "\x00\x00"])
@pytest.mark.parametrize("place", [0, 3, 8])
def test_a_damaged_mask_among_others_is_an_error(counts, place):
    """It is not made good by what the one before or behind it has too many or too few of."""
    coded = [encode(np.eye(5, 7) > 0)] * 8
    coded.insert(place, RLE(5, 7, counts))
    with pytest.raises(MaskError, match="damaged RLE of 7x5"):
        runs_of(coded)


def test_runs_of_masks_of_different_sizes_are_refused():
    """Their places have nothing in common."""
    with pytest.raises(ValueError, match="different sizes"):
        runs_of([encode(np.eye(3)), encode(np.eye(4))])


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        {},
        {"size": [5], "counts": "0"},
        {"size": [5, 7], "counts": 3},
        {"size": [5, 7], "counts": [1, 2]},
        {"size": [5, 7], "counts": [-1, 36]},
        {"size": [5, 7], "counts": ["a"]},
        [1.0, 2.0, 3.0],
        [[1, 2, 3, 4, 5, 6, 7]],
        [[1, 2, 3, 4, 5, float("nan")]],
    ],
)
def test_what_is_no_segmentation_is_an_error(value):
    """Every malformed JSON value is refused with our error."""
    with pytest.raises(MaskError):
        from_coco(value, 5, 7)


def test_a_mask_of_another_size_names_both_sizes():
    """A mask saved at the model's resolution is refused, instead of scoring 0 in silence."""
    small = {"size": [4, 4], "counts": encode(np.eye(4)).counts}
    with pytest.raises(MaskError, match=r"4x4 pixels belongs to an image of 8x6"):
        from_coco(small, 6, 8)


@pytest.mark.parametrize("polygons", [[], [[]], [[0, 0, 3, 3]], [[1, 2, 3]]])
def test_an_object_without_a_polygon_of_three_points_is_refused(polygons):
    """It would be scored as an object without a pixel; pycocotools raises as well."""
    with pytest.raises(MaskError, match="polygon"):
        from_polygons(polygons, 3, 4)


@pytest.mark.parametrize("sliver", [[1, 2, 12, 13], [12, 13]])
def test_beside_others_a_polygon_without_area_covers_nothing(sliver):
    """Tracing tools leave points and lines beside an object's polygons; as in pycocotools."""
    whole = [0, 0, 9, 0, 9, 9, 0, 9]
    expected = oracle.merge(oracle.frPyObjects([whole, sliver], 20, 20))
    assert from_polygons([whole, sliver], 20, 20).counts == expected["counts"].decode()


def test_encoding_needs_two_axes():
    """A stack of masks is not taken for a mask."""
    with pytest.raises(ValueError, match="two axes"):
        encode(np.zeros((1, 2, 3)))


def test_merging_nothing_or_different_sizes_is_an_error():
    """There is no union of no masks, nor of masks of two sizes."""
    with pytest.raises(ValueError, match="nothing"):
        merge([])
    with pytest.raises(ValueError, match="different sizes"):
        merge([encode(np.ones((1, 2))), encode(np.ones((2, 1)))])
