"""Boundaries of masks and label maps in the definitions that benchmarks use.

Each definition has its own function. What lies outside of the image is another class (background).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "border_pixels",
    "boundary_pixels",
    "boundary_width",
    "contour_corners",
    "edge_pixels",
    "window_around",
]

BoolMask = npt.NDArray[np.bool_]


def boundary_width(height: int, width: int, ratio: float) -> int:
    """How many pixels deep a boundary is: a share of the diagonal, rounded, at least 1."""
    return max(1, round(ratio * math.sqrt(height * height + width * width)))


def boundary_pixels(labels: npt.NDArray[Any], radius: int) -> BoolMask:
    """Pixels near another value: the boundaries of all classes of a map at once.

    For each value this is its mask minus the mask eroded `radius` times by a 3x3 square, as in
    Boundary IoU (Cheng et al. 2021), with everything outside of the image taken as another value.

    Args:
        labels: (H, W) bool or integers.
        radius: depth of the boundary in pixels, at least 1.

    Returns:
        (H, W) bool, True where the window of 2 * radius + 1 pixels square holds another value or
        leaves the image.
    """
    height, width = labels.shape
    side = 2 * radius + 1
    near = np.ones(labels.shape, bool)
    if height < side or width < side:
        return near
    # A window holds one value exactly when each of its rows does and its middle column does.
    in_row = _all_in_a_row((labels[:, 1:] == labels[:, :-1]).T, side - 1).T
    middle = labels[:, radius : width - radius]
    same = _all_in_a_row(in_row, side)
    same &= _all_in_a_row(middle[1:] == middle[:-1], side - 1)
    np.logical_not(same, out=near[radius : height - radius, radius : width - radius])
    return near


def _all_in_a_row(flags: BoolMask, length: int) -> BoolMask:
    """Whether `length` flags from each on, along the first axis, are True; shorter by the rest."""
    done = 1
    while done < length:
        # Doubling: the number of passes grows with the logarithm of the length.
        step = min(done, length - done)
        flags = flags[:-step] & flags[step:]
        done += step
    return flags


def window_around(*masks: BoolMask, margin: int = 0) -> tuple[slice, slice] | None:
    """Rows and columns of the box around masks, wider by a margin within the image; None if empty.

    Outside of the box is background, so boundaries are the same when a mask is cut to it.
    """
    top, bottom, left, right = masks[0].shape[0], 0, masks[0].shape[1], 0
    for mask in masks:
        if mask.any():
            first = int(mask.argmax()) // mask.shape[1]
            last = _last_row(mask, first)
            columns = np.flatnonzero(mask[first : last + 1].any(axis=0))
            top, bottom = min(top, first), max(bottom, last)
            left, right = min(left, int(columns[0])), max(right, int(columns[-1]))
    if top > bottom:
        return None
    rows = slice(max(top - margin, 0), bottom + 1 + margin)
    return rows, slice(max(left - margin, 0), right + 1 + margin)


def _last_row(mask: BoolMask, first: int) -> int:
    """The last row with a pixel, by halves; `first` is a row that has one."""
    end = len(mask)
    while end - first > 1:
        middle = (first + end) // 2
        if mask[middle:end].any():
            first = middle
        else:
            end = middle
    return first


def border_pixels(bits: int, stride: int) -> int:
    """Pixels of a packed mask with a 4-neighbour that is outside of it, as medpy's distances."""
    return bits ^ (bits & bits << 1 & bits >> 1 & bits << stride & bits >> stride)


def edge_pixels(bits: int, image: int, stride: int) -> int:
    """Pixels of a packed mask that differ from the next to the right, below, or both (DAVIS).

    The boundary of `seg2bmap` of the Berkeley benchmark (Martin et al. 2004) and of DAVIS. The
    image's own border is no boundary: a mask that fills the image has none.

    Args:
        bits: the mask.
        image: all pixels of the image.
        stride: bits from row to row.
    """
    edges = 0
    for step in (1, stride, stride + 1):
        edges |= (bits ^ bits >> step) & image & image >> step
    return edges


def contour_corners(bits: int, stride: int) -> tuple[int, int, int, int]:
    """Corners of the pixel grid through which the contour of a packed mask passes.

    Bit `y * stride + x` is the corner above and left of pixel (y, x).

    Returns:
        Corners with a vertical and with a horizontal piece of contour, each as long as a pixel;
        with a half diagonal; and with two of these. As in DeepMind's surface-distance, where only
        the four pixels around a corner matter.
    """
    across = bits ^ bits >> 1
    down = bits ^ bits >> stride
    odd = across ^ across >> stride
    even_across, even_down = across & ~odd, down & ~odd
    both = even_across & even_down
    return even_across ^ both, even_down ^ both, odd, both
