"""Which masks survive: stability, crop edges and non-maximum suppression.

Source: ``segment_anything/utils/amg.py`` and ``automatic_mask_generator.py``. Boxes inside this
stage are xyxy with the last pixel *inclusive*, as there, so that suppression decides alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from segcli.masks.rle import decode
from segcli.models.sam.grid import Crop
from segcli.records import RLE

__all__ = ["box_nms", "inclusive_boxes", "mask_smaller_nms", "near_crop_edge", "stability_scores"]

_EDGE_TOLERANCE = 20.0


def stability_scores(logits: torch.Tensor, threshold: float, offset: float) -> torch.Tensor:
    """IoU of each mask at a raised and a lowered cutoff.

    Args:
        logits: (N, H, W).
        threshold: logit above which a pixel is inside.
        offset: how far the cutoff is moved up and down.

    Returns:
        (N,) float32, 0..1; NaN where even the larger mask is empty.
    """
    inner = (logits > threshold + offset).flatten(1).sum(1, dtype=torch.int64)
    outer = (logits > threshold - offset).flatten(1).sum(1, dtype=torch.int64)
    return inner.float() / outer.float()


def inclusive_boxes(masks: torch.Tensor) -> torch.Tensor:
    """Tight boxes, last pixel inclusive.

    Args:
        masks: (N, H, W) bool.

    Returns:
        (N, 4) float32 xyxy; zeros for an empty mask.
    """
    rows, columns = masks.any(2).int(), masks.any(1).int()
    top, left = rows.argmax(1), columns.argmax(1)
    bottom = rows.shape[1] - 1 - rows.flip(1).argmax(1)
    right = columns.shape[1] - 1 - columns.flip(1).argmax(1)
    boxes = torch.stack([left, top, right, bottom], dim=1).float()
    return boxes * rows.any(1)[:, None]


def near_crop_edge(boxes: torch.Tensor, crop: Crop, height: int, width: int) -> torch.Tensor:
    """Masks cut off by their crop: near its edge, but not near the image's.

    Args:
        boxes: (N, 4) xyxy in pixels of the crop.
        crop: the crop, xyxy in pixels of the image.
        height: rows of the image.
        width: columns of the image.

    Returns:
        (N,) bool.
    """
    left, top = crop[:2]
    in_image = boxes + boxes.new_tensor([left, top, left, top])
    to_crop = (in_image - boxes.new_tensor(crop)).abs() <= _EDGE_TOLERANCE
    to_image = (in_image - boxes.new_tensor([0, 0, width, height])).abs() <= _EDGE_TOLERANCE
    return (to_crop & ~to_image).any(1)


def box_nms(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], threshold: float
) -> list[int]:
    """Greedy non-maximum suppression by box IoU.

    Args:
        boxes: (N, 4) xyxy.
        scores: (N,).
        threshold: a box is dropped when its IoU with a better one is above it.

    Returns:
        Indices kept, best first.
    """
    if not len(boxes):
        return []
    from torchvision.ops import nms  # noqa: PLC0415 (slow to import)

    kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    return [int(i) for i in kept]


def mask_smaller_nms(
    masks: list[RLE], boxes_xywh: list[tuple[float, ...]], threshold: float
) -> list[int]:
    """Greedy suppression by intersection over the smaller mask's area.

    It drops parts and doubles that box IoU keeps, and would drop true nested objects, so it is a
    choice of the model's own settings. Masks are compared exactly, inside the overlap of boxes.

    Args:
        masks: masks of one size, best first.
        boxes_xywh: their half-open boxes.
        threshold: a mask is dropped when more than this share of the smaller of it and a better
            mask lies in both.

    Returns:
        Indices kept, best first.
    """
    kept: list[tuple[int, tuple[int, int, int, int], npt.NDArray[np.bool_], int]] = []
    for index, (rle, box) in enumerate(zip(masks, boxes_xywh, strict=True)):
        x, y, w, h = (int(v) for v in box)
        inside = decode(rle)[y : y + h, x : x + w].copy()
        area = int(inside.sum())
        if not any(
            _intersection(inside, (x, y, x + w, y + h), other, other_box)
            > threshold * min(area, other_area)
            for _, other_box, other, other_area in kept
        ):
            kept.append((index, (x, y, x + w, y + h), inside, area))
    return [entry[0] for entry in kept]


def _intersection(
    a: npt.NDArray[np.bool_],
    a_xyxy: tuple[int, int, int, int],
    b: npt.NDArray[np.bool_],
    b_xyxy: tuple[int, int, int, int],
) -> int:
    """Pixels in both masks, each given inside its own box."""
    left, top = max(a_xyxy[0], b_xyxy[0]), max(a_xyxy[1], b_xyxy[1])
    right, bottom = min(a_xyxy[2], b_xyxy[2]), min(a_xyxy[3], b_xyxy[3])
    if right <= left or bottom <= top:
        return 0
    part_a = a[top - a_xyxy[1] : bottom - a_xyxy[1], left - a_xyxy[0] : right - a_xyxy[0]]
    part_b = b[top - b_xyxy[1] : bottom - b_xyxy[1], left - b_xyxy[0] : right - b_xyxy[0]]
    return int(np.count_nonzero(part_a & part_b))
