"""The point that stands for an object, and the one that corrects its mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["central_point", "corrective_click"]


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
    found = _deepest(mask)
    if found is None:
        raise ValueError("an empty mask has no central point")
    _, x, y = found
    return x, y


def corrective_click(
    wrong: npt.NDArray[np.bool_],
    truth: npt.NDArray[np.bool_],
    clicked: Sequence[tuple[int, int]] = (),
) -> tuple[int, int, int] | None:
    """The click that corrects a mask where it is most wrong.

    Missed pixels and pixels too many are looked at apart, each as `central_point` looks at an
    object; whichever has the deeper pixel is clicked, pixels too many where both are equally deep.
    Source: the `Clicker` of RITM (Sofiiuk et al., 2021), with exact distances.

    Args:
        wrong: (H, W) bool, where mask and object differ.
        truth: (H, W) bool, the object.
        clicked: x, y of pixels that are not clicked again.

    Returns:
        x, y and label: 1 on a missed pixel, 0 on one too many. None where there is nothing to
        click.
    """
    missed, surplus = _deepest(wrong & truth, clicked), _deepest(wrong & ~truth, clicked)
    if missed is not None and (surplus is None or missed[0] > surplus[0]):
        return missed[1], missed[2], 1
    return None if surplus is None else (surplus[1], surplus[2], 0)


def _deepest(
    mask: npt.NDArray[np.bool_], but: Sequence[tuple[int, int]] = ()
) -> tuple[float, int, int] | None:
    """Depth, x and y of the deepest pixel, some left out; None where no pixel is left."""
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 (slow to import)

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    box = np.pad(mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1], 1)
    depth = distance_transform_edt(box)
    height, width = box.shape
    for x, y in but:
        row, column = y - top + 1, x - left + 1
        if 0 <= row < height and 0 <= column < width:
            depth[row, column] = 0
    y, x = divmod(int(depth.argmax()), width)
    deepest = float(depth[y, x])
    return (deepest, x - 1 + left, y - 1 + top) if deepest else None
