"""Ask for single objects: points in, the three masks of each point out.

Source: `SamPredictor` (Kirillov et al., "Segment Anything", 2023) and `SAM2ImagePredictor`; the
masks are those of transformers' processor, model and `post_process_masks`, up to float32 rounding
of logits beside the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from segcli.masks.rle import segment_from_rle
from segcli.models.sam.decoder import Decoder, Prompts
from segcli.models.sam.encoder import Encoded, to_input_points
from segcli.models.sam.encoder import encode as encode_image
from segcli.models.sam.memory import prompts_at_once, with_less_at_once
from segcli.models.sam.runtime import Runtime
from segcli.models.sam.trace import Frame, trace
from segcli.models.settings import GenerateSettings
from segcli.records import Segment

__all__ = ["answer_points", "prompt_points"]


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
        encoded = encode_image(runtime, image)
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

    Raises:
        MemoryError: there is not enough for a single prompt.
    """
    with torch.inference_mode():
        decoder = Decoder(runtime, encoded)
    at_once = prompts_at_once(encoded.embedding, settings.points_per_batch)
    chunks = [range(i, min(i + at_once, len(points_xy))) for i in range(0, len(points_xy), at_once)]

    @torch.inference_mode()
    def answered(chunk: Sequence[int]) -> list[tuple[Segment, ...]]:
        some = points_xy[chunk[0] : chunk[-1] + 1]
        xy = to_input_points(encoded, some)[:, None].to(runtime.device)
        labels = torch.ones(xy.shape[:2], dtype=torch.int64, device=runtime.device)
        predicted = decoder.predict(Prompts(xy, labels), multimask=True)
        ious = predicted.ious.tolist()
        planes = predicted.logits(torch.arange(predicted.ious.numel())).to("cpu", torch.float32)
        masks = iter(planes)
        return [
            tuple(
                _segment(encoded, next(masks), settings, predicted_iou=iou, point_xy=(x, y))
                for iou in each
            )
            for (x, y), each in zip(some.tolist(), ious, strict=True)
        ]

    for some in runtime.workers.map(partial(with_less_at_once, answered), chunks):
        yield from some


def _segment(
    encoded: Encoded,
    plane: torch.Tensor,
    settings: GenerateSettings,
    **fields: object,
) -> Segment:
    frame = Frame(0, 0, encoded.height, encoded.width)
    mask = trace(encoded.resizer, frame, plane, threshold=settings.mask_threshold, offset=0)
    return segment_from_rle(mask.rle, **fields)
