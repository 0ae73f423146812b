"""Segment-everything: prompt the model with a grid of points and keep the good masks.

Source: ``SamAutomaticMaskGenerator`` (Kirillov et al., "Segment Anything", 2023) and, for the
SAM2 family, ``SAM2AutomaticMaskGenerator``; the order of the steps is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from segcli.masks.regions import fill_small_holes, remove_small_islands
from segcli.masks.rle import decode, encode, segment_from_rle
from segcli.models.sam import filtering
from segcli.models.sam.decoder import decode_points
from segcli.models.sam.encoder import Encoded, upscale
from segcli.models.sam.encoder import encode as encode_image
from segcli.models.sam.grid import Crop, crop_boxes, point_grid
from segcli.models.sam.runtime import Runtime
from segcli.models.settings import GenerateSettings
from segcli.records import RLE, Segment

__all__ = ["generate"]

# Masks are brought to the image's size a few at a time: about this many pixels at once.
_PIXELS_AT_ONCE = 1 << 25


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A mask that passed every test but suppression; its box is inclusive xyxy in the image."""

    mask: RLE
    box: npt.NDArray[np.float32]
    predicted_iou: float
    stability: float
    point: tuple[float, float]
    crop: Crop


@dataclass(frozen=True, slots=True)
class _Frame:
    """A crop of an image, as the encoder saw it."""

    encoded: Encoded
    crop: Crop
    height: int
    width: int


@torch.inference_mode()
def generate(
    runtime: Runtime, image: npt.NDArray[np.uint8], settings: GenerateSettings
) -> tuple[Segment, ...]:
    """Segment everything in one image.

    Args:
        runtime: the model.
        image: (H, W, 3) uint8 RGB.
        settings: the grid, the thresholds and the clean-up.

    Returns:
        Segments with score = predicted IoU, best first. Masks have the image's size.
    """
    height, width = image.shape[:2]
    found: list[_Candidate] = []
    boxes = crop_boxes(height, width, settings.crop_n_layers, settings.crop_overlap_ratio)
    for crop, layer in boxes:
        left, top, right, bottom = crop
        encoded = encode_image(runtime, image[top:bottom, left:right])
        found += _generate_in_crop(runtime, _Frame(encoded, crop, height, width), layer, settings)
    if len(boxes) > 1:
        smaller_first = [1 / _area(candidate.crop) for candidate in found]
        found = _suppressed(found, smaller_first, settings.crop_nms_thresh)
    if settings.min_mask_region_area:
        found = _cleaned(found, settings)
    return _finished(found, settings)


def _generate_in_crop(
    runtime: Runtime, frame: _Frame, layer: int, settings: GenerateSettings
) -> list[_Candidate]:
    encoded = frame.encoded
    per_side = int(settings.points_per_side / settings.crop_n_points_downscale_factor**layer)
    points = point_grid(max(per_side, 1)) * np.array([encoded.width, encoded.height])
    found: list[_Candidate] = []
    for start in range(0, len(points), settings.points_per_batch):
        chunk = points[start : start + settings.points_per_batch]
        predicted = decode_points(runtime, encoded, chunk, multimask=settings.multimask)
        masks_per_point = predicted.ious.shape[1]
        ious = predicted.ious.flatten()
        if settings.pred_iou_thresh > 0:
            kept = torch.nonzero(ious > settings.pred_iou_thresh).flatten()
        else:
            kept = torch.arange(len(ious), device=ious.device)
        sources = chunk[(kept // masks_per_point).cpu().numpy()]
        step = max(1, _PIXELS_AT_ONCE // (encoded.height * encoded.width))
        for part in range(0, len(kept), step):
            index = kept[part : part + step]
            found += _stable_and_whole(
                frame,
                predicted.logits(index),
                ious[index],
                sources[part : part + step],
                settings,
            )
    return _suppressed(found, [c.predicted_iou for c in found], settings.box_nms_thresh)


def _stable_and_whole(
    frame: _Frame,
    logits: torch.Tensor,
    ious: torch.Tensor,
    points: npt.NDArray[np.float64],
    settings: GenerateSettings,
) -> list[_Candidate]:
    """Bring a few masks to the image's size and keep those that are stable and not cut off."""
    full = upscale(frame.encoded, logits)
    stability = filtering.stability_scores(
        full, settings.mask_threshold, settings.stability_score_offset
    )
    masks = full > settings.mask_threshold
    boxes = filtering.inclusive_boxes(masks)
    cut_off = filtering.near_crop_edge(boxes, frame.crop, frame.height, frame.width)
    keep = masks.flatten(1).any(1) & ~cut_off
    if settings.stability_score_thresh > 0:
        keep &= stability >= settings.stability_score_thresh
    left, top = frame.crop[:2]
    offset = boxes.new_tensor([left, top, left, top])
    return [
        _Candidate(
            mask=_in_image(masks[i].cpu().numpy(), frame),
            box=(boxes[i] + offset).cpu().numpy(),
            predicted_iou=float(ious[i]),
            stability=float(stability[i]),
            point=(float(points[i][0] + left), float(points[i][1] + top)),
            crop=frame.crop,
        )
        for i in torch.nonzero(keep).flatten().tolist()
    ]


def _suppressed(found: list[_Candidate], scores: list[float], threshold: float) -> list[_Candidate]:
    boxes = np.array([c.box for c in found], dtype=np.float32).reshape(-1, 4)
    kept = filtering.box_nms(boxes, np.array(scores, dtype=np.float32), threshold)
    return [found[i] for i in kept]


def _in_image(mask: npt.NDArray[np.bool_], frame: _Frame) -> RLE:
    if mask.shape == (frame.height, frame.width):
        return encode(mask)
    left, top, right, bottom = frame.crop
    whole = np.zeros((frame.height, frame.width), dtype=bool)
    whole[top:bottom, left:right] = mask
    return encode(whole)


def _cleaned(found: list[_Candidate], settings: GenerateSettings) -> list[_Candidate]:
    """Remove small holes and islands, then suppress doubles, preferring masks left untouched."""
    cleaned: list[_Candidate] = []
    scores: list[float] = []
    for candidate in found:
        mask, filled = fill_small_holes(decode(candidate.mask), settings.min_mask_region_area)
        mask, removed = remove_small_islands(mask, settings.min_mask_region_area)
        scores.append(0.0 if filled or removed else 1.0)
        box = filtering.inclusive_boxes(torch.from_numpy(mask)[None])[0].numpy()
        cleaned.append(replace(candidate, mask=encode(mask), box=box))
    threshold = max(settings.box_nms_thresh, settings.crop_nms_thresh)
    return _suppressed(cleaned, scores, threshold)


def _finished(found: list[_Candidate], settings: GenerateSettings) -> tuple[Segment, ...]:
    segments = [
        segment_from_rle(
            candidate.mask,
            score=round(candidate.predicted_iou, 6),
            predicted_iou=round(candidate.predicted_iou, 6),
            stability_score=round(candidate.stability, 6),
            point_xy=candidate.point,
            crop_box_xywh=_xywh(candidate.crop),
        )
        for candidate in sorted(found, key=lambda c: -c.predicted_iou)
    ]
    if settings.nms_metric == "mask_smaller":
        kept = filtering.mask_smaller_nms(
            [s.mask for s in segments],
            [s.box_xywh for s in segments],
            settings.mask_nms_thresh,
        )
        segments = [segments[i] for i in kept]
    return tuple(segments[: settings.max_masks or None])


def _area(crop: Crop) -> int:
    return (crop[2] - crop[0]) * (crop[3] - crop[1])


def _xywh(crop: Crop) -> tuple[float, float, float, float]:
    return float(crop[0]), float(crop[1]), float(crop[2] - crop[0]), float(crop[3] - crop[1])
