"""Single-point, box and segment-everything scores of a model on pictures with label maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from data import central_point
from model import ABSENT, BOX_END, BOX_START, NOT_A_POINT, PIXEL_MEAN, PIXEL_STD, POSITIVE, Trainee
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from segcli.masks.connected import pieces_at
from segcli.masks.rle import decode
from segcli.masks.rle import encode as rle_of

Mask = NDArray[np.bool_]
Encoded = tuple[Tensor, Tensor, Tensor, Tensor]
CHUNK = 32


@dataclass(frozen=True)
class Truth:
    """One object of a picture: its mask and the points and box it is asked for by."""

    mask: Mask
    centre: tuple[int, int]
    anywhere: tuple[int, int]
    box: tuple[int, int, int, int]


@dataclass
class Answers:
    """IoU of one kind of prompt, an entry per object; `predicted` belongs to `chosen`.

    `delivered` is what `segcli predict` gives with the bundled model: of the mask of highest
    predicted IoU the piece on which the point lies, or the single mask inside its box.
    """

    chosen: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    predicted: list[float] = field(default_factory=list)
    predicted_single: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)

    def means(self) -> dict[str, float]:
        """Mean IoU of the mask of highest predicted IoU, the best of three and the single mask.

        `error` and `error_single` are mean |predicted - true| IoU.
        """
        if not self.chosen:
            return dict.fromkeys(
                ("chosen", "best", "single", "delivered", "error", "error_single"), np.nan
            )
        error = np.abs(np.subtract(self.predicted, self.chosen)).mean()
        error_single = np.abs(np.subtract(self.predicted_single, self.single)).mean()
        return {
            "chosen": float(np.mean(self.chosen)),
            "best": float(np.mean(self.best)),
            "single": float(np.mean(self.single)),
            "delivered": float(np.mean(self.delivered)),
            "error": float(error),
            "error_single": float(error_single),
        }


def truths(objects: NDArray[np.uint16], rng: np.random.Generator, smallest: int = 1) -> list[Truth]:
    """Every object of a label map of at least `smallest` pixels, with its prompts."""
    found = []
    ids, counts = np.unique(objects[objects > 0], return_counts=True)
    for value in ids[counts >= smallest]:
        mask = objects == value
        y, x = np.nonzero(mask)
        i = int(rng.integers(len(y)))
        box = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
        found.append(Truth(mask, central_point(mask), (int(y[i]), int(x[i])), box))
    return found


def iou(a: Mask, b: Mask) -> float:
    """Intersection over union; NaN if both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else float("nan")


@torch.inference_mode()
def encode(trainee: Trainee, image: NDArray[np.uint8]) -> Encoded:
    """Squash an RGB picture to the model's size, as its processor does, and encode it."""
    side = trainee.canvas
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
    pixels = functional.interpolate(
        pixels, size=(side, side), mode="bilinear", antialias=True, align_corners=False
    )
    pixels = pixels.round().clamp(0, 255) / 255
    return trainee.encode((pixels - PIXEL_MEAN) / PIXEL_STD, grad=False)


@torch.inference_mode()
def answer(
    trainee: Trainee,
    encoded: Encoded,
    shape: tuple[int, int],
    points: Sequence[tuple[int, int]] | None = None,
    boxes: Sequence[tuple[int, int, int, int]] | None = None,
) -> tuple[Tensor, Tensor]:
    """Low-resolution logits (N, 4, h, w) and predicted IoU (N, 4) of N points or boxes.

    Points are (row, column), boxes (x0, y0, x1, y1), in pixels of a picture of `shape` (H, W).
    """
    scale = torch.tensor([trainee.canvas / shape[1], trainee.canvas / shape[0]])
    if points is not None:
        xy = torch.tensor(points, dtype=torch.float32).flip(-1)[:, None] * scale
        coordinates = functional.pad(xy, (0, 0, 0, 2))
        labels = torch.tensor([POSITIVE, NOT_A_POINT, ABSENT]).expand(len(xy), -1)
    else:
        corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 2, 2) * scale
        coordinates = functional.pad(corners, (0, 0, 0, 1))
        labels = torch.tensor([BOX_START, BOX_END, NOT_A_POINT]).expand(len(corners), -1)
    logits, scores = [], []
    zero = torch.zeros(1, 2)
    for part in torch.arange(len(labels)).split(CHUNK):
        one = trainee.decode(encoded, zero, coordinates[None, part], labels[None, part])
        logits.append(one[0][0])
        scores.append(one[1][0])
    return torch.cat(logits), torch.cat(scores)


def enlarge(logits: Tensor, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Masks (N, H, W) of (N, h, w) logits at the picture's own size."""
    big = functional.interpolate(logits[None], size=shape, mode="bilinear", align_corners=False)
    return (big[0] > 0).numpy()


def piece(mask: Mask, point: tuple[float, float]) -> Mask:
    """The connected piece of a mask at a point (row, column), or the largest one."""
    row, column = point
    return decode(pieces_at(rle_of(mask), [(column, row)]))


def score_prompts(
    trainee: Trainee, encoded: Encoded, objects: Sequence[Truth], kind: str, into: Answers
) -> None:
    """Ask for every object by its `centre`, a point `anywhere` on it or its `box`."""
    if not objects:
        return
    shape = objects[0].mask.shape
    given = [getattr(o, kind) for o in objects]
    asked = {"boxes": given} if kind == "box" else {"points": given}
    logits, scores = answer(trainee, encoded, shape, **asked)
    for truth, four, predicted in zip(objects, logits, scores, strict=True):
        masks = enlarge(four, shape)
        values = [iou(m, truth.mask) for m in masks]
        pick = 1 + int(predicted[1:].argmax())
        if kind == "box":
            x0, y0, x1, y1 = truth.box
            delivered = np.zeros_like(masks[0])
            delivered[y0:y1, x0:x1] = masks[0, y0:y1, x0:x1]
        else:
            delivered = piece(masks[pick], getattr(truth, kind))
        into.delivered.append(iou(delivered, truth.mask))
        into.chosen.append(values[pick])
        into.best.append(max(values[1:]))
        into.single.append(values[0])
        into.predicted.append(float(predicted[pick]))
        into.predicted_single.append(float(predicted[0]))


@dataclass(frozen=True)
class Generate:
    """Settings of segment-everything, named as in segcli.json."""

    points_per_side: int = 32
    pred_iou_thresh: float = 0.4
    stability_score_thresh: float = 0.3
    stability_score_offset: float = 1.0
    mask_nms_thresh: float = 0.3
    nms_metric: str = "mask_smaller"
    connected: bool = True


@dataclass(frozen=True)
class Candidates:
    """Masks of a grid of points before thresholds and suppression.

    Attributes:
        masks: (N, H, W) bool.
        predicted: (N,) predicted IoU.
        stability: (N,) stability score.
    """

    masks: NDArray[np.bool_]
    predicted: NDArray[np.float32]
    stability: NDArray[np.float32]


@torch.inference_mode()
def candidates(
    trainee: Trainee, encoded: Encoded, shape: tuple[int, int], generate: Generate, floor: float
) -> Candidates:
    """Single masks of the grid whose predicted IoU is at least `floor`."""
    side = generate.points_per_side
    ticks = (np.arange(side) + 0.5) / side
    points = [(float(y * shape[0] - 0.5), float(x * shape[1] - 0.5)) for y in ticks for x in ticks]
    logits, scores = answer(trainee, encoded, shape, points=points)  # type: ignore[arg-type]
    logits, scores = logits[:, 0], scores[:, 0]
    keep = scores >= floor
    logits, scores = logits[keep], scores[keep]
    points = [p for p, kept in zip(points, keep.tolist(), strict=True) if kept]
    offset = generate.stability_score_offset
    high = (logits > offset).flatten(1).sum(1).float()
    low = (logits > -offset).flatten(1).sum(1).float()
    masks = enlarge(logits, shape) if len(logits) else np.zeros((0, *shape), bool)
    if generate.connected and len(masks):
        masks = np.stack([piece(m, p) for m, p in zip(masks, points, strict=True)])
    return Candidates(masks, scores.numpy(), (high / low.clamp_min(1)).numpy())


def overlap_ratio(masks: NDArray[np.bool_], metric: str) -> NDArray[np.float32]:
    """(N, N) overlap of masks as a share of the smaller one (`mask_smaller`) or of the union."""
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    areas, overlap = flat.sum(1), flat @ flat.T
    if metric == "mask_smaller":
        return overlap / np.minimum(areas[:, None], areas[None]).clip(1)
    return overlap / (areas[:, None] + areas[None] - overlap).clip(1)


def suppress(
    found: Candidates, generate: Generate, ratio: NDArray[np.float32] | None = None
) -> list[int]:
    """Indices of the masks that pass the thresholds, best first, none overlapping a better one.

    `ratio` is what `overlap_ratio` gives, where it is known already.
    """
    passed = (
        (found.predicted >= generate.pred_iou_thresh)
        & (found.stability >= generate.stability_score_thresh)
        & found.masks.any((1, 2))
    )
    index = np.flatnonzero(passed)
    index = index[np.argsort(-found.predicted[index], kind="stable")]
    ratio = overlap_ratio(found.masks, generate.nms_metric) if ratio is None else ratio
    kept: list[int] = []
    for i in index:
        if not kept or ratio[i, kept].max() <= generate.mask_nms_thresh:
            kept.append(int(i))
    return kept


def iou_table(masks: Sequence[Mask], objects: Sequence[Truth]) -> NDArray[np.float32]:
    """(N, M) IoU of N masks with M objects, none of either empty."""
    if not len(masks) or not objects:
        return np.zeros((len(masks), len(objects)), np.float32)
    a = np.stack([m.ravel() for m in masks]).astype(np.float32)
    b = np.stack([o.mask.ravel() for o in objects]).astype(np.float32)
    both = a @ b.T
    return both / (a.sum(1)[:, None] + b.sum(1)[None] - both)


@dataclass
class Everything:
    """Counts of segment-everything, added up over pictures."""

    matched: int = 0
    predicted: int = 0
    objects: int = 0
    overlap: float = 0.0
    recall: float = 0.0

    def add(self, masks: Sequence[Mask], objects: Sequence[Truth]) -> None:
        """Match the masks of one picture, best first, to its objects."""
        self.add_table(iou_table(masks, objects))

    def add_table(self, table: NDArray[np.float32]) -> None:
        """The same from the IoU of masks (rows, best first) with objects (columns)."""
        self.predicted += table.shape[0]
        self.objects += table.shape[1]
        if not table.size:
            return
        self.overlap += float(table.max(0).sum())
        self.matched += _matches(table, 0.5)
        levels = np.arange(0.5, 0.96, 0.05)
        self.recall += float(np.mean([_matches(table[:100], t) for t in levels]))

    def ratios(self) -> dict[str, float]:
        """Pooled F1@0.5, mean best overlap and AR@100; NaN without objects."""
        if not self.objects:
            return dict.fromkeys(("f1", "overlap", "ar100"), np.nan)
        return {
            "f1": 2 * self.matched / (self.predicted + self.objects),
            "overlap": self.overlap / self.objects,
            "ar100": self.recall / self.objects,
        }


def _matches(table: NDArray[np.float32], threshold: float) -> int:
    """Number of one-to-one matches at an IoU threshold, predictions in order taking the best."""
    table = np.where(table >= threshold, table, 0.0)
    count = 0
    for i in range(len(table)):
        j = int(table[i].argmax())
        if table[i, j] > 0:
            table[:, j] = 0
            count += 1
    return count
