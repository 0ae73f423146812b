"""Cutting a mask off at a box, on its runs."""

from __future__ import annotations

import math

import numpy as np

from segcli.masks.column_runs import column_runs
from segcli.masks.rle import encode_runs, join_touching
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
    column, above, below = column_runs(mask)
    above, below = np.maximum(above, top), np.minimum(below, bottom)
    kept = (below > above) & (column >= left) & (column < right)
    place = column[kept] * mask.height
    starts, stops = join_touching(place + above[kept], place + below[kept])
    return encode_runs(starts, stops, mask.height, mask.width)
