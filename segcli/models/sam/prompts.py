"""Ask for single objects: points, boxes and masks in, the masks of each object out.

Source: `SamPredictor` (Kirillov et al., "Segment Anything", 2023) and `SAM2ImagePredictor`; the
masks are those of transformers' processor, model and `post_process_masks`, up to float32 rounding
of logits beside the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from segcli.masks.rle import segment_from_rle
from segcli.models.answer_settings import AnswerSettings
from segcli.models.sam.asking import Kind, Scene, kind_of, points_in_pass, segment_of, tensors_of
from segcli.models.sam.decoder import Decoder
from segcli.models.sam.encoder import Encoded
from segcli.models.sam.encoder import encode as encode_image
from segcli.models.sam.mask_input import as_input, logits_of_mask
from segcli.models.sam.memory import prompts_at_once, with_less_at_once
from segcli.models.sam.runtime import Runtime
from segcli.models.settings import GenerateSettings
from segcli.records import Prompt, Segment

__all__ = ["answer", "answer_points", "answer_prompts", "prompt_points"]


def answer(
    runtime: Runtime,
    image: npt.NDArray[np.uint8],
    prompts: Sequence[Prompt],
    settings: AnswerSettings,
) -> tuple[Segment, ...]:
    """Encode an image once and ask for any number of objects.

    Args:
        runtime: the model.
        image: (H, W, 3) uint8 RGB.
        prompts: see `answer_prompts`. Without one the model is not run.
        settings: how they are answered.

    Raises:
        MemoryError: there is not enough for a single prompt.
    """
    if not prompts:
        return ()
    with torch.inference_mode():
        encoded = encode_image(runtime, image)
    answers = answer_prompts(runtime, encoded, prompts, settings)
    return tuple(segment for masks in answers for segment in masks)


def answer_prompts(
    runtime: Runtime,
    encoded: Encoded,
    prompts: Sequence[Prompt],
    settings: AnswerSettings,
) -> list[tuple[Segment, ...]]:
    """Ask for objects in an encoded image.

    Objects do not see each other: an answer is the same alone and among others.

    Args:
        runtime: the model.
        encoded: the image.
        prompts: one for each object, with a point inside, a box or a mask. A mask without points
            and box comes with its own box: the models take none without a place to look at.
        settings: how they are answered.

    Returns:
        For each prompt, in order, its masks at the image's size, also empty ones, with predicted
        IoU (which is the score too) and the prompt itself.

    Raises:
        MemoryError: there is not enough for a single prompt.
    """
    # Logits that are to be refined are needed where the picture is padding, too.
    whole = replace(encoded, needed=encoded.grid) if settings.cascade else encoded
    scene = Scene(runtime, whole, settings)
    found: dict[int, tuple[Segment, ...]] = {}
    groups: dict[Kind, list[int]] = {}
    for number, prompt in enumerate(prompts):
        if prompt.mask is None:
            groups.setdefault(kind_of(prompt, settings), []).append(number)
        else:
            found[number] = _answer_to_mask(scene, prompt)
    with torch.inference_mode():
        decoder = Decoder(runtime, whole) if groups else None
    for kind, numbers in groups.items():
        assert decoder is not None
        answers = _answers(scene, decoder, [prompts[n] for n in numbers], kind)
        found.update(zip(numbers, answers, strict=True))
    return [found[number] for number in range(len(prompts))]


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
        settings: `mask_threshold`, `connected` and `points_per_batch` are used, the thresholds of
            segment-everything are not: every mask is given, also an empty one.

    Yields:
        For each point, in order, the three masks of the ambiguity-aware tokens in the model's
        order, at the image's size, each with its predicted IoU and its point.

    Raises:
        MemoryError: there is not enough for a single prompt.
    """
    asked = AnswerSettings(
        multimask="all",
        mask_threshold=settings.mask_threshold,
        connected=settings.connected,
        points_per_batch=settings.points_per_batch,
    )
    prompts = [Prompt(((x, y, 1),)) for x, y in points_xy.tolist()]
    with torch.inference_mode():
        decoder = Decoder(runtime, encoded)
    kind = Kind(points=1, box=False, multimask=True, best=False)
    yield from _answers(Scene(runtime, encoded, asked), decoder, prompts, kind)


def _answers(
    scene: Scene, decoder: Decoder, prompts: Sequence[Prompt], kind: Kind
) -> Iterator[tuple[Segment, ...]]:
    """Answers to prompts of one kind, in order: some decoded at once, each enlarged alone."""
    at_once = prompts_at_once(scene.encoded.embedding, scene.settings.points_per_batch)
    chunks = [range(i, min(i + at_once, len(prompts))) for i in range(0, len(prompts), at_once)]

    def answered(chunk: Sequence[int]) -> list[tuple[Segment, ...]]:
        return _decoded(scene, decoder, prompts[chunk[0] : chunk[-1] + 1], kind)

    for some in scene.runtime.workers.map(partial(with_less_at_once, answered), chunks):
        yield from some


@torch.inference_mode()
def _decoded(
    scene: Scene, decoder: Decoder, prompts: Sequence[Prompt], kind: Kind
) -> list[tuple[Segment, ...]]:
    predicted = decoder.predict(tensors_of(scene, prompts, kind), multimask=kind.multimask)
    ious = predicted.ious.cpu()
    kept = torch.arange(ious.numel()).view(ious.shape)
    if kind.best:
        kept = kept.gather(1, ious.argmax(dim=1, keepdim=True))
    planes = predicted.logits(kept.flatten()).to("cpu", torch.float32)
    planes = planes.view(*kept.shape, *planes.shape[1:])
    found = []
    for prompt, numbers, masks in zip(prompts, kept.tolist(), planes, strict=True):
        pairs = list(zip(masks, ious.flatten()[numbers].tolist(), strict=True))
        if scene.settings.cascade:
            pairs = [_refined(scene, prompt, masks[0])]
        found.append(tuple(segment_of(scene, prompt, plane, iou) for plane, iou in pairs))
    return found


def _refined(scene: Scene, prompt: Prompt, plane: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Ask again and again, with the logits of the mask before and one point more where there is."""
    kind = replace(kind_of(prompt, scene.settings), multimask=False)
    passes = scene.settings.cascade
    score = 0.0
    for number in range(1, passes + 1):
        kind = replace(kind, points=points_in_pass(prompt, passes, number))
        decoder = Decoder(scene.runtime, scene.encoded, as_input(scene.runtime, plane))
        predicted = decoder.predict(tensors_of(scene, [prompt], kind), multimask=False)
        plane = predicted.logits(torch.zeros(1, dtype=torch.int64))[0].to("cpu", torch.float32)
        score = float(predicted.ious[0, 0])
    return plane, score


@torch.inference_mode()
def _answer_to_mask(scene: Scene, prompt: Prompt) -> tuple[Segment, ...]:
    assert prompt.mask is not None
    if not prompt.points and prompt.box_xyxy is None:
        x, y, width, height = segment_from_rle(prompt.mask).box_xywh
        asked = replace(prompt, box_xyxy=(x, y, x + width, y + height))
        # Its box is where to look, and nothing that the user said of the object.
        scene = replace(scene, settings=replace(scene.settings, clip_to_box=False))
    else:
        asked = prompt
    logits = logits_of_mask(scene.runtime, scene.encoded, prompt.mask)
    decoder = Decoder(scene.runtime, scene.encoded, logits)
    (masks,) = _decoded(scene, decoder, [asked], kind_of(asked, scene.settings))
    if asked is prompt:
        return masks
    return tuple(replace(segment, prompt_box_xyxy=None) for segment in masks)
