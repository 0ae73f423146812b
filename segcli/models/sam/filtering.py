"""Which masks survive: crop edges and non-maximum suppression.

Source: ``segment_anything/utils/amg.py`` and ``automatic_mask_generator.py``. Boxes inside this
stage are xyxy with the last pixel *inclusive*, as there, so that suppression decides alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segcli.masks.rle import Box
from segcli.masks.run_overlap import Runs, runs_with_sums
from segcli.models.sam.grid import Crop
from segcli.records import RLE

__all__ = ["box_nms", "inclusive_box", "mask_smaller_nms", "near_crop_edge"]

_EDGE_TOLERANCE = 20.0


def inclusive_box(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """Tight xyxy box of an (H, W) mask, last pixel inclusive: (4,); zeros for an empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.zeros(4, np.float32)
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)


def near_crop_edge(box: npt.NDArray[np.float32], crop: Crop, height: int, width: int) -> bool:
    """Whether a mask is cut off by its crop: near its edge, but not near the image's.

    Args:
        box: (4,) xyxy in pixels of the image.
        crop: the crop, xyxy in pixels of the image.
        height: rows of the image.
        width: columns of the image.
    """
    to_crop = np.abs(box - np.array(crop)) <= _EDGE_TOLERANCE
    to_image = np.abs(box - np.array([0, 0, width, height])) <= _EDGE_TOLERANCE
    return bool((to_crop & ~to_image).any())


def box_nms(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], threshold: float
) -> list[int]:
    """Greedy non-maximum suppression by box IoU.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        threshold: a box is dropped when its IoU with a better one is above it.

    Returns:
        Indices kept, best first: those of torchvision's `nms`, which takes seconds to import.
    """
    x0, y0, x1, y1 = boxes.T
    areas = (x1 - x0) * (y1 - y0)
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order):
        best, order = int(order[0]), order[1:]
        kept.append(best)
        wide = np.minimum(x1[best], x1[order]) - np.maximum(x0[best], x0[order])
        high = np.minimum(y1[best], y1[order]) - np.maximum(y0[best], y0[order])
        shared = wide.clip(min=0) * high.clip(min=0)
        # 0 / 0 of two boxes without area is no overlap.
        with np.errstate(invalid="ignore"):
            iou = shared / (areas[best] + areas[order] - shared)
        order = order[~(iou > np.float64(threshold))]
    return kept


def mask_smaller_nms(masks: list[RLE], boxes_xywh: list[Box], threshold: float) -> list[int]:
    """Greedy suppression by intersection over the smaller mask's area.

    It drops parts and doubles that box IoU keeps, and would drop true nested objects, so it is a
    choice of the model's own settings.

    Args:
        masks: masks of one size, best first.
        boxes_xywh: their half-open boxes.
        threshold: a mask is dropped when more than this share of the smaller of it and a better
            mask lies in both.

    Returns:
        Indices kept, best first.
    """
    boxes = np.array(boxes_xywh, dtype=np.float64).reshape(-1, 4)
    edges = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    kept: list[int] = []
    held: list[Runs] = []
    for index, rle in enumerate(masks):
        mask, others = runs_with_sums(rle), edges[kept]
        low = np.maximum(others[:, :2], edges[index, :2])
        meets = (low < np.minimum(others[:, 2:], edges[index, 2:])).all(1)
        rivals = (held[i] for i in np.flatnonzero(meets))
        if not any(mask.shared_with(r) > threshold * min(mask.area, r.area) for r in rivals):
            kept.append(index)
            held.append(mask)
    return kept
