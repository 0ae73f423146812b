"""Tiles cover a picture, and masks move from a tile to the picture as if painted there."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segcli.masks.rle import decode, encode, encode_runs
from segcli.masks.tiles import Rectangle, runs_in_picture, tiles_over, union_of_runs


@given(st.integers(1, 400), st.integers(1, 400), st.integers(16, 120), st.data())
def test_cores_cover_every_pixel_once(height, width, size, data):
    """No pixel has two cores or none, each core lies in its tile, and no tile is too large."""
    overlap = data.draw(st.integers(1, size // 2))
    seen = np.zeros((height, width), int)
    for tile in tiles_over(height, width, size, overlap):
        left, top, right, bottom = tile.core
        seen[top:bottom, left:right] += 1
        assert tile.area.shared_with(tile.core) == tile.core
        assert 0 <= tile.area.left < tile.area.right <= width
        assert tile.area.right - tile.area.left <= size
        assert tile.area.bottom - tile.area.top <= size
    assert (seen == 1).all()


def test_a_pixel_belongs_to_the_tile_in_which_it_lies_deepest():
    """Of two tiles the border between the cores is the middle of what they share."""
    first, second = tiles_over(50, 160, 100, 40)
    assert first.area == (0, 0, 100, 50)
    assert second.area == (60, 0, 160, 50)
    assert (first.core.right, second.core.left) == (80, 80)


@given(st.integers(0, 2**32 - 1))
def test_runs_move_as_pixels_do(seed):
    """Shifting and clipping runs equals painting the tile into the picture and cutting it there."""
    random = np.random.default_rng(seed)
    height, width = random.integers(5, 30, 2)
    rows, columns = random.integers(1, height + 1), random.integers(1, width + 1)
    top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
    mask = random.random((rows, columns)) < random.choice([0, 0.5, 0.9, 1])
    tile = Rectangle(int(left), int(top), int(left + columns), int(top + rows))
    x0, y0 = int(random.integers(0, width)), int(random.integers(0, height))
    kept = Rectangle(x0, y0, int(width), int(height))
    painted = np.zeros((height, width), bool)
    painted[top : top + rows, left : left + columns] = mask
    painted[:y0] = False
    painted[:, :x0] = False
    joined = union_of_runs([runs_in_picture(encode(mask), tile, int(height), kept)])
    assert encode_runs(*joined, int(height), int(width)) == encode(painted)


@given(st.integers(0, 2**32 - 1))
def test_union_of_runs_is_that_of_pixels(seed):
    """Runs that overlap, touch or hold others become one, in the only form an RLE has."""
    random = np.random.default_rng(seed)
    masks = [random.random((9, 7)) < 0.4 for _ in range(3)]
    whole = Rectangle(0, 0, 7, 9)
    joined = union_of_runs([runs_in_picture(encode(mask), whole, 9, whole) for mask in masks])
    found = encode_runs(*joined, 9, 7)
    assert found == encode(np.logical_or.reduce(masks))
    assert (decode(found) == np.logical_or.reduce(masks)).all()
