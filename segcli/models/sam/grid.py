"""Where segment-everything looks: the point grid and the crops.

Source: ``segment_anything/utils/amg.py`` (Kirillov et al., "Segment Anything", 2023).
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import numpy.typing as npt

__all__ = ["Crop", "crop_boxes", "grid_stages", "point_grid"]

Crop = tuple[int, int, int, int]


def point_grid(points_per_side: int) -> npt.NDArray[np.float64]:
    """Evenly spaced points in [0, 1]².

    Args:
        points_per_side: points along each side.

    Returns:
        (points_per_side², 2) x, y in row-major order; the first and last points lie half a step
        from the border.
    """
    step = 1 / points_per_side
    side = np.linspace(step / 2, 1 - step / 2, points_per_side)
    x, y = np.meshgrid(side, side)
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def grid_stages(points_per_side: int, *, coarse_to_fine: bool) -> list[npt.NDArray[np.int64]]:
    """The order in which the points of a grid are asked.

    Args:
        points_per_side: as in `point_grid`.
        coarse_to_fine: every second point of every second row first, then the others, so that those
            on masks found by then can be left out.

    Returns:
        Numbers of points in `point_grid`, stage by stage; together they are all of them.
    """
    numbers = np.arange(points_per_side**2)
    if not coarse_to_fine:
        return [numbers]
    row, column = np.divmod(numbers, points_per_side)
    coarse = (row % 2 == 1) & (column % 2 == 1) if points_per_side > 1 else numbers == 0
    return [numbers[coarse], numbers[~coarse]]


def crop_boxes(
    height: int, width: int, layers: int, overlap_ratio: float
) -> list[tuple[Crop, int]]:
    """The whole image, then each layer's crops: layer i has (2**i)² overlapping crops.

    Args:
        height: rows of the image.
        width: columns of the image.
        layers: crop layers beyond the whole image.
        overlap_ratio: overlap in the first layer, as a share of the shorter side; later layers,
            with more crops, overlap by proportionally less.

    Returns:
        (crop box xyxy in half-open pixels, layer) pairs.
    """
    boxes: list[tuple[Crop, int]] = [((0, 0, width, height), 0)]
    short_side = min(height, width)
    for layer in range(1, layers + 1):
        per_side = 2**layer
        overlap = int(overlap_ratio * short_side * (2 / per_side))
        crop_width = math.ceil((overlap * (per_side - 1) + width) / per_side)
        crop_height = math.ceil((overlap * (per_side - 1) + height) / per_side)
        lefts = [(crop_width - overlap) * i for i in range(per_side)]
        tops = [(crop_height - overlap) * i for i in range(per_side)]
        for left, top in product(lefts, tops):
            right, bottom = min(left + crop_width, width), min(top + crop_height, height)
            if right > left and bottom > top:
                boxes.append(((left, top, right, bottom), layer))
    return boxes
