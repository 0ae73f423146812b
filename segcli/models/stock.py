"""``--backend transformers``: the stock ``pipeline("mask-generation")`` on the same model.

It is the yardstick for our own generator, with the stock limits: it always takes three masks a
point, and on models that squash their input its point grid misses part of pictures that are not
square.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcli.masks.rle import segment_from_mask
from segcli.models.sam.runtime import Runtime
from segcli.models.settings import GenerateSettings
from segcli.records import Segment

__all__ = ["generate_with_stock_pipeline"]

# transformers' own default.
_POINTS_PER_BATCH = 64


def generate_with_stock_pipeline(
    runtime: Runtime, image: npt.NDArray[np.uint8], settings: GenerateSettings
) -> tuple[Segment, ...]:
    """Segment everything in one (H, W, 3) uint8 RGB image; segments come best first."""
    from transformers import pipeline  # noqa: PLC0415 (slow to import)

    run = pipeline(
        "mask-generation",
        model=runtime.model,
        image_processor=runtime.image_processor,
        device=runtime.device,
    )
    output = run(
        Image.fromarray(image),
        points_per_batch=settings.points_per_batch or _POINTS_PER_BATCH,
        points_per_crop=settings.points_per_side,
        crops_n_layers=settings.crop_n_layers,
        crop_overlap_ratio=settings.crop_overlap_ratio,
        crops_nms_thresh=settings.box_nms_thresh,
        pred_iou_thresh=settings.pred_iou_thresh,
        stability_score_thresh=settings.stability_score_thresh,
        stability_score_offset=settings.stability_score_offset,
        mask_threshold=settings.mask_threshold,
    )
    scored = sorted(
        zip(output["scores"].tolist(), output["masks"], strict=True), key=lambda pair: -pair[0]
    )
    segments = [
        segment_from_mask(np.asarray(mask), score=round(score, 6), predicted_iou=round(score, 6))
        for score, mask in scored
    ]
    return tuple(segments[: settings.max_masks or None])
