"""Clean-up of masks: holes and islands too small to be meant."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["fill_small_holes", "remove_small_islands"]

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def remove_small_islands(
    mask: npt.NDArray[np.bool_], min_area: int
) -> tuple[npt.NDArray[np.bool_], bool]:
    """Remove connected regions smaller than `min_area` pixels; the largest always stays.

    Source: ``remove_small_regions(mode="islands")`` of segment_anything/utils/amg.py.

    Args:
        mask: (H, W) bool.
        min_area: pixels; regions are 8-connected.

    Returns:
        The mask, and whether it changed.
    """
    labels, areas = _regions(mask)
    small = areas < min_area
    if not small.any():
        return mask, False
    if small.all():
        small[int(areas.argmax())] = False
    keep = np.concatenate([[False], ~small])
    return keep[labels], True


def fill_small_holes(
    mask: npt.NDArray[np.bool_], min_area: int
) -> tuple[npt.NDArray[np.bool_], bool]:
    """Fill connected background regions smaller than `min_area` pixels.

    Source: ``remove_small_regions(mode="holes")`` of segment_anything/utils/amg.py.

    Args:
        mask: (H, W) bool.
        min_area: pixels; regions are 8-connected.

    Returns:
        The mask, and whether it changed.
    """
    labels, areas = _regions(~mask)
    small = np.concatenate([[False], areas < min_area])
    if not small.any():
        return mask, False
    return mask | small[labels], True


def _regions(mask: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    from scipy import ndimage  # noqa: PLC0415 (slow to import)

    labels, count = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    return labels, np.bincount(labels.ravel(), minlength=count + 1)[1:]
