"""Cutting a mask off at a box, on its runs."""

from __future__ import annotations

import math

import numpy as np

from segcli.masks.rle import encode_runs, join_touching, runs
from segcli.records import RLE

__all__ = ["clip_to_xyxy"]


def clip_to_xyxy(mask: RLE, box_xyxy: tuple[float, float, float, float]) -> RLE:
    """The pixels of a mask whose centres lie in a half-open box.

    Args:
        mask: the mask.
        box_xyxy: the box in pixels of the mask; it may reach beyond it.

    Raises:
        MaskError: the mask's counts are damaged.
    """
    left, top, right, bottom = (math.ceil(edge - 0.5) for edge in box_xyxy)
    height = mask.height
    top, bottom = max(top, 0), min(bottom, height)
    starts, stops = runs(mask)
    # Most runs lie in one column; one that fills a column to its end goes on in the next.
    first = starts // max(height, 1)
    columns = (stops - 1) // max(height, 1) - first + 1
    owner = np.repeat(np.arange(len(starts)), columns)
    position = np.arange(len(owner)) - np.repeat(np.cumsum(columns) - columns, columns)
    column = first[owner] + position
    begin = np.maximum(starts[owner], column * height + top)
    end = np.minimum(stops[owner], column * height + bottom)
    kept = (end > begin) & (column >= left) & (column < right)
    return encode_runs(*join_touching(begin[kept], end[kept]), height, mask.width)
