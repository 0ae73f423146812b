"""The point that stands for an object."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["central_point"]


def central_point(mask: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """The pixel of an object that is farthest from its border.

    Distances are Euclidean, from pixel centre to the nearest pixel centre outside the object;
    everything beyond the image's border is outside. Of equally far pixels it is the first in
    row-major order. An object of several parts has one point, in the part that holds the farthest
    pixel.

    Args:
        mask: (H, W) bool, not empty.

    Returns:
        x, y (column, row).

    Raises:
        ValueError: the mask is empty.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 (slow to import)

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise ValueError("an empty mask has no central point")
    top, left = int(rows[0]), int(columns[0])
    box = np.pad(mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1], 1)
    depth = distance_transform_edt(box)
    y, x = divmod(int(depth.argmax()), box.shape[1])
    return x - 1 + left, y - 1 + top
