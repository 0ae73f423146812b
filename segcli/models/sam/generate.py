"""Segment-everything: prompt the model with a grid of points and keep the good masks.

Source: ``SamAutomaticMaskGenerator`` (Kirillov et al., "Segment Anything", 2023) and, for the
SAM2 family, ``SAM2AutomaticMaskGenerator``; the order of the steps is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch

from segcli.masks.connected import pieces_at
from segcli.masks.regions import fill_small_holes, remove_small_islands
from segcli.masks.rle import decode, encode, measure, segment_from_rle
from segcli.masks.run_overlap import runs_with_sums
from segcli.models.sam import filtering
from segcli.models.sam.decoder import Decoder, PredictedMasks, Prompts
from segcli.models.sam.encoder import Encoded, to_input_points
from segcli.models.sam.encoder import encode as encode_image
from segcli.models.sam.grid import Crop, crop_boxes, grid_stages, point_grid
from segcli.models.sam.memory import HostCopy, prompts_at_once, with_less_at_once
from segcli.models.sam.runtime import Runtime
from segcli.models.sam.trace import Frame, trace
from segcli.models.settings import GenerateSettings
from segcli.records import RLE, Segment

__all__ = ["generate"]

_Points = npt.NDArray[np.float64]


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
class _Scene:
    """A crop of an image, encoded and ready for prompts."""

    runtime: Runtime
    settings: GenerateSettings
    encoded: Encoded
    decoder: Decoder
    crop: Crop
    frame: Frame


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

    Raises:
        MemoryError: there is not enough for a single prompt.
    """
    height, width = image.shape[:2]
    found: list[_Candidate] = []
    boxes = crop_boxes(height, width, settings.crop_n_layers, settings.crop_overlap_ratio)
    for crop, layer in boxes:
        left, top, right, bottom = crop
        encoded = encode_image(runtime, image[top:bottom, left:right])
        frame = Frame(left, top, height, width)
        scene = _Scene(runtime, settings, encoded, Decoder(runtime, encoded), crop, frame)
        found += _generate_in_crop(scene, layer)
    if len(boxes) > 1:
        smaller_first = [1 / _area(candidate.crop) for candidate in found]
        found = _suppressed(found, smaller_first, settings.crop_nms_thresh)
    if settings.min_mask_region_area:
        found = _cleaned(found, settings)
    return _finished(found, settings)


def _generate_in_crop(scene: _Scene, layer: int) -> list[_Candidate]:
    settings, encoded = scene.settings, scene.encoded
    per_side = int(settings.points_per_side / settings.crop_n_points_downscale_factor**layer)
    points = point_grid(max(per_side, 1)) * np.array([encoded.width, encoded.height])
    found: list[_Candidate] = []
    for stage in grid_stages(max(per_side, 1), coarse_to_fine=settings.coarse_to_fine):
        asked = points[stage]
        if found:
            asked = asked[~_covered(found, asked, scene.frame)]
        found = _best(found + list(_ask(scene, asked)), settings)
    return found


def _ask(scene: _Scene, points: _Points) -> Iterator[_Candidate]:
    """Candidates at some points: decoded a few at a time, enlarged and tested one by one."""
    at_once = prompts_at_once(scene.encoded.embedding, scene.settings.points_per_batch)
    chunks = [range(i, min(i + at_once, len(points))) for i in range(0, len(points), at_once)]
    workers = scene.runtime.workers
    if scene.runtime.on_gpu:
        results = workers.map(partial(_passing, scene, points), _one_ahead(scene, points, chunks))
    else:
        results = workers.map(partial(with_less_at_once, partial(_answered, scene, points)), chunks)
    for some in results:
        yield from some


def _answered(scene: _Scene, points: _Points, chunk: Sequence[int]) -> list[_Candidate]:
    return _passing(scene, points, _collected(scene, _launched(scene, points, chunk)))


def _one_ahead(
    scene: _Scene, points: _Points, chunks: Sequence[Sequence[int]]
) -> Iterator[_Decoded]:
    """Decode on a GPU: while the CPU waits for one chunk's scores it has the next to do."""
    launch = partial(_launched, scene, points)
    waiting: _Launched | None = None
    for chunk in chunks:
        for launched in with_less_at_once(lambda some: [launch(some)], chunk):
            if waiting is not None:
                yield _collected(scene, waiting)
            waiting = launched
    if waiting is not None:
        yield _collected(scene, waiting)


@dataclass(frozen=True, slots=True)
class _Launched:
    """Prompts that were decoded, or are being decoded."""

    chunk: Sequence[int]
    predicted: PredictedMasks
    ious: HostCopy


@dataclass(frozen=True, slots=True)
class _Decoded:
    """Masks whose predicted IoU passed: number of the point, IoU, and in parts their logits."""

    points: list[int]
    ious: list[float]
    logits: list[HostCopy]


@torch.inference_mode()
def _launched(scene: _Scene, points: _Points, chunk: Sequence[int]) -> _Launched:
    device = scene.runtime.device
    xy = to_input_points(scene.encoded, points[chunk[0] : chunk[-1] + 1])[:, None]
    labels = torch.ones(xy.shape[:2], dtype=torch.int64, device=device)
    prompts = Prompts(xy.to(device, non_blocking=True), labels)
    predicted = scene.decoder.predict(prompts, multimask=scene.settings.multimask)
    return _Launched(chunk, predicted, HostCopy(predicted.ious))


@torch.inference_mode()
def _collected(scene: _Scene, launched: _Launched) -> _Decoded:
    ious = launched.ious.wait()
    kept = torch.arange(ious.numel())
    if scene.settings.pred_iou_thresh > 0:
        kept = kept[ious.flatten() > scene.settings.pred_iou_thresh]
    numbers = [launched.chunk[i] for i in (kept // ious.shape[1]).tolist()]

    def made(some: Sequence[int]) -> list[HostCopy]:
        return [HostCopy(launched.predicted.logits(kept[some[0] : some[-1] + 1]))]

    logits = with_less_at_once(made, range(len(kept))) if len(kept) else []
    return _Decoded(numbers, ious.flatten()[kept].tolist(), logits)


@torch.inference_mode()
def _passing(scene: _Scene, points: _Points, decoded: _Decoded) -> list[_Candidate]:
    """Enlarge masks and keep those that are stable and not cut off by their crop."""
    settings, frame = scene.settings, scene.frame
    found = []
    planes = chain.from_iterable(copy.wait().float() for copy in decoded.logits)
    for number, iou, plane in zip(decoded.points, decoded.ious, planes, strict=True):
        mask = trace(
            scene.encoded.resizer,
            frame,
            plane,
            threshold=settings.mask_threshold,
            offset=settings.stability_score_offset,
        )
        stable = mask.stability >= settings.stability_score_thresh
        if not len(mask.starts) or not (stable or settings.stability_score_thresh <= 0):
            continue
        x, y = points[number]
        point = float(x + frame.left), float(y + frame.top)
        rle, box = mask.rle, mask.inclusive_box
        if settings.connected:
            rle, box = _piece(rle, box, point)
        if filtering.near_crop_edge(box, scene.crop, frame.height, frame.width):
            continue
        found.append(_Candidate(rle, box, iou, mask.stability, point, scene.crop))
    return found


def _piece(
    rle: RLE, box: npt.NDArray[np.float32], point: tuple[float, float]
) -> tuple[RLE, npt.NDArray[np.float32]]:
    """The piece of a mask that its point means, with its inclusive box."""
    piece = pieces_at(rle, [point])
    if piece == rle:
        return rle, box
    ((_, (left, top, width, height)),) = measure([piece])
    corners = (left, top, left + width - 1, top + height - 1)
    return piece, np.array(corners, dtype=np.float32)


def _covered(found: list[_Candidate], points: _Points, frame: Frame) -> npt.NDArray[np.bool_]:
    """(N,) whether a point lies on a mask found already."""
    x, y = np.floor(points + np.array([frame.left, frame.top])).astype(np.int64).T
    covered = np.zeros(len(points), dtype=bool)
    for candidate in found:
        covered |= runs_with_sums(candidate.mask).holds(y + frame.height * x)
    return covered


def _best(found: list[_Candidate], settings: GenerateSettings) -> list[_Candidate]:
    return _suppressed(found, [c.predicted_iou for c in found], settings.box_nms_thresh)


def _suppressed(found: list[_Candidate], scores: list[float], threshold: float) -> list[_Candidate]:
    boxes = np.array([c.box for c in found], dtype=np.float32).reshape(-1, 4)
    kept = filtering.box_nms(boxes, np.array(scores, dtype=np.float32), threshold)
    return [found[i] for i in kept]


def _cleaned(found: list[_Candidate], settings: GenerateSettings) -> list[_Candidate]:
    """Remove small holes and islands, then suppress doubles, preferring masks left untouched."""
    cleaned: list[_Candidate] = []
    scores: list[float] = []
    for candidate in found:
        mask, filled = fill_small_holes(decode(candidate.mask), settings.min_mask_region_area)
        mask, removed = remove_small_islands(mask, settings.min_mask_region_area)
        scores.append(0.0 if filled or removed else 1.0)
        box = filtering.inclusive_box(mask)
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
