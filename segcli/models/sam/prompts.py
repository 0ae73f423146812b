"""Ask for single objects: points in, the three masks of each point out.

Source: `SamPredictor` (Kirillov et al., "Segment Anything", 2023) and `SAM2ImagePredictor`; the
masks are those of transformers' processor, model and `post_process_masks`, up to float32 rounding
of logits beside the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from segcli.masks.rle import encode, segment_from_rle
from segcli.models.sam.decoder import PredictedMasks, decode_points
from segcli.models.sam.encoder import Encoded, upscale
from segcli.models.sam.encoder import encode as encode_image
from segcli.models.sam.runtime import Runtime
from segcli.models.settings import GenerateSettings
from segcli.records import RLE, Segment

__all__ = ["answer_points", "prompt_points"]

# Masks are brought to the image's size a few at a time: about this many pixels at once.
_PIXELS_AT_ONCE = 1 << 25


def prompt_points(
    runtime: Runtime,
    image: npt.NDArray[np.uint8],
    points_xy: npt.NDArray[np.float64],
    settings: GenerateSettings,
) -> Iterator[tuple[Segment, ...]]:
    """Encode an image and ask for one object at each point.

    Args:
        runtime: the model.
        image: (H, W, 3) uint8 RGB.
        points_xy: see `answer_points`.
        settings: see `answer_points`.

    Yields:
        See `answer_points`. Without points the model is not run.
    """
    if not len(points_xy):
        return
    with torch.inference_mode():
        # A copy, because a decoded picture is read-only and PyTorch warns of such arrays.
        encoded = encode_image(runtime, np.array(image))
    yield from answer_points(runtime, encoded, points_xy, settings)


def answer_points(
    runtime: Runtime,
    encoded: Encoded,
    points_xy: npt.NDArray[np.float64],
    settings: GenerateSettings,
) -> Iterator[tuple[Segment, ...]]:
    """Ask for one object at each point of an encoded image.

    Args:
        runtime: the model.
        encoded: the image.
        points_xy: (N, 2) x, y in pixels of the image, each inside one object. As in the reference
            implementations a pixel is named by its column and row, without half a pixel added.
        settings: `mask_threshold` and `points_per_batch` are used, the thresholds of
            segment-everything are not: every mask is given, also an empty one.

    Yields:
        For each point, in order, the three masks of the ambiguity-aware tokens in the model's
        order, at the image's size, each with its predicted IoU and its point.
    """
    for start in range(0, len(points_xy), settings.points_per_batch):
        chunk = points_xy[start : start + settings.points_per_batch]
        with torch.inference_mode():
            predicted = decode_points(runtime, encoded, chunk, multimask=True)
        masks = _full_masks(encoded, predicted, settings.mask_threshold)
        for (x, y), ious in zip(chunk.tolist(), predicted.ious.tolist(), strict=True):
            yield tuple(
                segment_from_rle(next(masks), predicted_iou=iou, point_xy=(x, y)) for iou in ious
            )


def _full_masks(encoded: Encoded, predicted: PredictedMasks, threshold: float) -> Iterator[RLE]:
    """Every mask of a batch of prompts at the image's size, prompt by prompt."""
    total, device = predicted.ious.numel(), predicted.ious.device
    step = max(1, _PIXELS_AT_ONCE // (encoded.height * encoded.width))
    for start in range(0, total, step):
        indices = torch.arange(start, min(start + step, total), device=device)
        with torch.inference_mode():
            masks = upscale(encoded, predicted.logits(indices)) > threshold
        yield from map(encode, masks.cpu().numpy())
