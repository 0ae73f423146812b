"""Cutting masks off at boxes, against dense masks."""

from __future__ import annotations

import numpy as np
import pytest

from segcli.masks.clip import clip_to_xyxy
from segcli.masks.rle import decode, encode

MASKS = {
    "noise": np.random.default_rng(0).random((13, 17)) < 0.6,
    "full": np.ones((13, 17), bool),
    "empty": np.zeros((13, 17), bool),
    "one row": np.ones((1, 9), bool),
    "one column": np.ones((9, 1), bool),
}
BOXES = [
    (0, 0, 17, 13), (3, 2, 11, 9), (3.4, 2.5, 11.5, 9.51), (-4, -4, 5, 5), (8, 6, 90, 90),
    (5, 5, 5.2, 9), (40, 40, 50, 50), (0, 4, 17, 5), (4, 0, 5, 13),
]  # fmt: skip


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("box", BOXES)
def test_equals_dense(name, box):
    """The runs kept are the pixels whose centres are in the box, however the runs lie."""
    mask = MASKS[name]
    y, x = (n + 0.5 for n in np.mgrid[: mask.shape[0], : mask.shape[1]])
    x0, y0, x1, y1 = box
    expected = mask & (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    clipped = clip_to_xyxy(encode(mask), box)
    assert clipped == encode(expected)
    np.testing.assert_array_equal(decode(clipped), expected)
