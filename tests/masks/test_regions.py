"""Removing holes and islands."""

from __future__ import annotations

import numpy as np

from segcli.masks.regions import fill_small_holes, remove_small_islands


def test_islands():
    """Small islands go, the largest region always stays, and an untouched mask is said so."""
    mask = np.zeros((12, 12), dtype=bool)
    mask[1:6, 1:6] = True
    mask[9, 9] = True
    cleaned, changed = remove_small_islands(mask, 4)
    assert changed
    assert cleaned.sum() == 25
    assert (
        remove_small_islands(cleaned, 4) == (cleaned, False)
        or not remove_small_islands(cleaned, 4)[1]
    )
    alone, changed = remove_small_islands(mask, 1000)
    assert changed
    assert alone.sum() == 25


def test_regions_touch_at_corners():
    """Regions are 8-connected: a diagonal line is one region."""
    mask = np.eye(6, dtype=bool)
    assert not remove_small_islands(mask, 6)[1]


def test_holes():
    """Small holes are filled, large ones and the outside are not."""
    mask = np.ones((12, 12), dtype=bool)
    mask[2, 2] = False
    mask[5:10, 5:10] = False
    filled, changed = fill_small_holes(mask, 4)
    assert changed
    assert (~filled).sum() == 25


def test_empty_and_full():
    """Nothing to clean in an empty or a full mask."""
    for mask in (np.zeros((3, 3), bool), np.ones((3, 3), bool)):
        assert not remove_small_islands(mask, 5)[1] or mask.any()
        assert not fill_small_holes(np.ones((3, 3), bool), 5)[1]
