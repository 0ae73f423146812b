"""Stitching: what tile borders cut becomes what it was, and nothing else is joined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from segcli.masks.labels import segments_from_label_map
from segcli.masks.rle import decode, encode, segment_from_mask
from segcli.masks.stitching import Rules, Stitcher
from segcli.masks.tiles import tiles_over


def components(values: np.ndarray) -> list:
    """One segment for each connected region of one value, 0 left out; the value is its category."""
    found = []
    for value in np.unique(values[values > 0]).tolist():
        labels, _ = ndimage.label(values == value)
        found += [(value, s) for s in segments_from_label_map(labels)]
    return found


def as_set(values: np.ndarray, *, with_category: bool = False) -> set:
    return {(v if with_category else None, s.mask.counts) for v, s in components(values)}


def stitched(values, size, overlap, rules=Rules(), *, with_category=False):  # noqa: B008 (frozen)
    from dataclasses import replace

    height, width = values.shape
    stitcher = Stitcher(height, width, rules)
    for tile in tiles_over(height, width, size, overlap):
        left, top, right, bottom = tile.area
        part = components(values[top:bottom, left:right])
        stitcher.add(
            tile, [replace(s, category=v if with_category else None, id=None) for v, s in part]
        )
    return stitcher.finish()


def check(values, size, overlap, **options):
    found = stitched(values, size, overlap, **options)
    expected = as_set(values, with_category=options.get("with_category", False))
    assert {(s.category, s.mask.counts) for s in found} == expected
    assert len(found) == len(expected)
    for segment in found:
        measured = segment_from_mask(decode(segment.mask))
        assert (segment.area, segment.box_xywh) == (measured.area, measured.box_xywh)


def canvas(height=300, width=300) -> np.ndarray:
    return np.zeros((height, width), np.uint8)


@pytest.mark.parametrize(
    ("place", "tiles"),
    [((slice(10, 60), slice(20, 70)), 1), ((slice(10, 60), slice(60, 140)), 2),
     ((slice(70, 140), slice(60, 145)), 4), ((slice(0, 300), slice(0, 300)), 16)],
)  # fmt: skip
def test_a_shape_over_several_tiles_is_one(place, tiles):
    """A rectangle inside one tile, over two, over four and over all comes out as it is."""
    values = canvas()
    values[place] = 1
    touched = [t for t in tiles_over(300, 300, 100, 24)
               if values[t.core.top : t.core.bottom, t.core.left : t.core.right].any()]  # fmt: skip
    assert len(touched) == tiles
    check(values, 100, 24)


def snake(height: int, width: int, step: int, thick: int) -> np.ndarray:
    """A band that winds through the whole picture."""
    values = canvas(height, width)
    for number, top in enumerate(range(2, height - thick - 2, step)):
        values[top : top + thick, 3 : width - 3] = 1
        if top + step < height - thick - 2:
            left = 3 if number % 2 else width - 3 - thick
            values[top : top + step, left : left + thick] = 1
    return values


@pytest.mark.parametrize(("step", "thick"), [(7, 2), (13, 5), (40, 1), (90, 30)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_long_snake_over_many_tiles_is_one(step, thick, turned):
    """In each tile it is many pieces, which only their neighbours tie together."""
    values = snake(310, 290, step, thick)
    values = np.ascontiguousarray(values.T) if turned else values
    assert len(components(values)) == 1
    check(values, 80, 20)


def test_a_spiral_and_a_comb_are_one():
    """Pieces that several tiles split differently: no pair of tiles sees how they belong."""
    values = canvas()
    values[5:295, 5:9] = 1
    for top in range(5, 295, 9):
        values[top : top + 3, 5:290] = 1
    values[:, 150:152] = 0
    check(values, 100, 20)
    check(np.ascontiguousarray(values.T), 100, 20)


def test_touching_neighbours_stay_apart():
    """Objects that share a long border, and cross tile borders side by side, are not joined."""
    values = canvas()
    values[20:280, 20:150] = 1
    values[20:280, 150:280] = 2
    values[20:150, 60:200] = 3
    check(values, 100, 24)
    check(values, 100, 24, with_category=True)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(24, 90), share=st.floats(0.1, 0.49))
def test_any_tiles_give_the_regions_of_the_whole_picture(seed, size, share):
    """Random blobs of three values, from fine to coarse: the regions are those without tiles."""
    random = np.random.default_rng(seed)
    height, width = (int(v) for v in random.integers(30, 160, 2))
    noise = ndimage.gaussian_filter(random.random((height, width)), random.choice([1.5, 2, 5]))
    cuts = np.quantile(noise, [0.35, 0.5, 0.8])
    values = np.digitize(noise, cuts).astype(np.uint8)
    overlap = max(4, int(size * share))
    check(values, size, overlap, with_category=bool(random.integers(2)))


def test_boundaries_that_differ_a_little_do_not_join_neighbours():
    """Two tiles put the border between two objects a few pixels apart: still two objects."""
    first, second = tiles_over(100, 160, 100, 40)
    stitcher = Stitcher(100, 160, Rules())
    for tile, border in ((first, 50), (second, 53)):
        upper = np.zeros((100, 100), bool)
        upper[10:border] = True
        lower = np.zeros((100, 100), bool)
        lower[border:90] = True
        stitcher.add(
            tile, [segment_from_mask(upper, score=0.9), segment_from_mask(lower, score=0.8)]
        )
    found = stitcher.finish()
    assert [s.score for s in found] == [0.9, 0.8]
    assert [s.box_xywh for s in found] == [(0, 10, 160, 43), (0, 50, 160, 40)]


def test_a_part_is_not_joined_with_its_whole():
    """Masks that overlap in one tile are two objects there, and so in the picture."""
    first, second = tiles_over(100, 160, 100, 40)
    whole, part = np.zeros((100, 160), bool), np.zeros((100, 160), bool)
    whole[20:80, 10:150] = True
    part[30:75, 30:140] = True
    stitcher = Stitcher(100, 160, Rules())
    stitcher.add(first, [segment_from_mask(whole[:, :100], score=0.9),
                         segment_from_mask(part[:, :100], score=0.7)])  # fmt: skip
    stitcher.add(second, [segment_from_mask(part[:, 60:], score=0.7),
                          segment_from_mask(whole[:, 60:], score=0.9)])  # fmt: skip
    assert [s.mask for s in stitcher.finish()] == [encode(whole), encode(part)]


def test_the_rest_of_an_object_is_left_to_the_tile_that_sees_it():
    """A cut piece outside of its tile's core which no other tile agrees with is dropped."""
    first, second = tiles_over(100, 160, 100, 40)
    complete, rest = np.zeros((100, 100), bool), np.zeros((100, 100), bool)
    complete[20:60, 50:75] = True
    rest[45:95, 0:12] = True
    stitcher = Stitcher(100, 160, Rules())
    stitcher.add(first, [segment_from_mask(complete)])
    stitcher.add(second, [segment_from_mask(rest)])
    assert [s.box_xywh for s in stitcher.finish()] == [(50, 20, 25, 40)]


def test_provenance_is_that_of_the_picture():
    """Points and crops are in the picture's pixels; scores are means weighted by area."""
    first, second = tiles_over(100, 160, 100, 40)
    stitcher = Stitcher(100, 160, Rules())
    mask = np.zeros((100, 100), bool)
    mask[:, 40:] = True
    fields = {"point_xy": (5.0, 6.0), "crop_box_xywh": (0.0, 0.0, 100.0, 100.0)}
    stitcher.add(first, [segment_from_mask(mask, score=0.9, **fields)])
    stitcher.add(second, [segment_from_mask(~mask, score=0.3, **fields)])
    (found,) = stitcher.finish()
    assert found.crop_box_xywh == (0, 0, 160, 100)
    assert found.point_xy == (5, 6)
    assert found.score == pytest.approx((0.9 * 6000 + 0.3 * 4000) / 10000)
    assert found.box_xywh == (40, 0, 60, 100)


def test_each_pixel_takes_the_tile_in_which_it_lies_deepest():
    """Class maps: where tiles disagree, the border is the middle of what they share."""
    first, second = tiles_over(50, 160, 100, 40)
    stitcher = Stitcher(50, 160, Rules(exclusive=True, whole=None))
    full = np.ones((50, 100), bool)
    stitcher.add(first, [segment_from_mask(full, category=7)])
    stitcher.add(second, [segment_from_mask(full, category=3)])
    left, right = sorted(stitcher.finish(), key=lambda s: s.box_xywh)
    assert (left.category, left.box_xywh) == (7, (0, 0, 80, 50))
    assert (right.category, right.box_xywh) == (3, (80, 0, 80, 50))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_stuff_is_one_and_things_are_many(seed):
    """Panoptic: regions of stuff are one segment, things their regions, and nothing overlaps."""
    random = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(random.random((150, 170)), 4)
    values = np.digitize(noise, np.quantile(noise, [0.2, 0.45, 0.7])).astype(np.uint8)
    rules = Rules(exclusive=True, whole=frozenset({2}))
    found = stitched(values, 64, 16, rules, with_category=True)
    expected = {(v, s.mask.counts) for v, s in components(values) if v != 2}
    expected.add((2, encode(values == 2).counts))
    assert {(s.category, s.mask.counts) for s in found} == expected
    assert sum(s.area for s in found) == (values > 0).sum()


def test_nothing_found_is_nothing():
    """Tiles without segments, and segments without pixels, leave an empty result."""
    stitcher = Stitcher(100, 160, Rules())
    for tile in tiles_over(100, 160, 100, 40):
        stitcher.add(tile, [segment_from_mask(np.zeros((100, 100), bool))])
    assert stitcher.finish() == ()
