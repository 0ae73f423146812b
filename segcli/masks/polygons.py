"""Outlines of masks as polygons along pixel edges, so that filling them gives the mask back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["outer_contours", "polygon_area"]

_EIGHT = np.ones((3, 3), dtype=bool)
# Directions clockwise on screen (y down): right, down, left, up.
_STEP = ((1, 0), (0, 1), (-1, 0), (0, -1))
# The pixels ahead of a corner (x, y), as (dx, dy): on the left and on the right of the way.
_AHEAD_LEFT = ((0, -1), (0, 0), (-1, 0), (-1, -1))
_AHEAD_RIGHT = ((0, 0), (-1, 0), (-1, -1), (0, -1))


def outer_contours(mask: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.float64]]:
    """The outer outline of each 8-connected part of a mask, holes filled.

    Outlines follow pixel edges exactly: rasterising one as COCO does gives back the part with its
    holes filled. A part held together by corners alone has an outline that touches itself.

    Args:
        mask: (H, W) bool.

    Returns:
        One (N, 2) array of x, y corners per part, clockwise on screen, in pixels with 0, 0 the
        outer corner of the first pixel; only corners where the outline turns. The part with the
        most pixels comes first.
    """
    labels, count = ndimage.label(mask, _EIGHT)
    if not count:
        return []
    sizes = np.bincount(labels.ravel())[1:]
    places = ndimage.find_objects(labels)
    contours = []
    for index in np.argsort(-sizes, kind="stable"):
        rows, columns = places[index]
        corners = _trace(labels[rows, columns] == index + 1)
        contours.append(corners + np.array([columns.start, rows.start], dtype=np.float64))
    return contours


def _trace(part: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Walk around a part with its pixels on the right hand, from its first pixel's upper left."""
    padded = np.pad(part, 1).tolist()
    x, y, way = int(part[0].argmax()), 0, 0
    start = (x, y)
    corners = []
    while True:
        left, right = _AHEAD_LEFT[way], _AHEAD_RIGHT[way]
        if padded[y + left[1] + 1][x + left[0] + 1]:
            corners.append((x, y))
            way = (way - 1) % 4
        elif not padded[y + right[1] + 1][x + right[0] + 1]:
            corners.append((x, y))
            way = (way + 1) % 4
        dx, dy = _STEP[way]
        x, y = x + dx, y + dy
        if (x, y) == start and way == 3:
            corners.append(start)
            return np.array(corners, dtype=np.float64)


def polygon_area(corners: npt.NDArray[np.floating]) -> float:
    """The area enclosed by a polygon that does not cross itself.

    Args:
        corners: (N, 2) x, y.
    """
    x, y = corners[:, 0], corners[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
