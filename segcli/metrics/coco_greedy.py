"""COCO's matching and accumulation over overlaps that are given, whatever they measure.

The rules of `COCOeval.evaluateImg` and `COCOeval.accumulate` of pycocotools. For IoU over masks,
hotcoco does the same and more quickly; this is for overlaps that it cannot compute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segcli.metrics.coco_curves import Curves

__all__ = ["AREA_RANGES", "LIMITS", "LOWEST", "MatchedImage", "curves", "match_image"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LIMITS = (1, 10, 100)
LOWEST = 0.5
AREA_RANGES = np.array(((0, 1e10), (0, 32**2), (32**2, 96**2), (96**2, 1e10)))
"""(4, 2) all, small, medium, large, in pixels, both ends included."""

_THRESHOLDS = np.linspace(LOWEST, 0.95, 10)
_RECALLS = np.linspace(0, 1, 101)
_MATCHED, _IGNORED = 1, 2


@dataclass(frozen=True, slots=True)
class MatchedImage:
    """The predictions of one class in one image, matched.

    Attributes:
        index: position of the image, by which ties between images are settled.
        scores: (D,) float64, descending.
        outcomes: (4, 10, D) uint8 by range and threshold: 1 = matched, 2 = does not count.
        truths: (4,) true objects that count, by range.
    """

    index: int
    scores: Floats
    outcomes: npt.NDArray[np.uint8]
    truths: npt.NDArray[np.int64]


def match_image(
    index: int, pred: tuple[Floats, Floats], gt: tuple[Floats, Bools], overlaps: Floats
) -> MatchedImage:
    """Match predictions to true objects, the best score first, at each threshold and range.

    Args:
        index: position of the image.
        pred: (D,) scores of the predictions, in the order of their file, and (D,) their pixels.
        gt: (G,) areas of the true objects, by which they fall into ranges, and (G,) True for
            crowds, which any number of predictions may match.
        overlaps: (D, G) in 0..1; those below 0.5 need not be right.
    """
    (scores, sizes), (areas, crowds) = pred, gt
    order = np.argsort(-scores, kind="stable")[: LIMITS[-1]]
    lows, highs = AREA_RANGES[:, :1], AREA_RANGES[:, 1:]
    skipped = (areas < lows) | (areas > highs) | crowds
    shape = (len(AREA_RANGES), len(_THRESHOLDS), len(order))
    matched, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    taken = np.zeros((*shape[:2], len(areas)), bool)
    for place, number in enumerate(order):
        near = np.flatnonzero(overlaps[number] >= LOWEST)
        if len(near):
            free = ~taken[:, :, near] | crowds[near]
            chosen, found = _choose(overlaps[number, near], free, skipped[:, near])
            ranges, thresholds = np.nonzero(found)
            which = near[chosen[ranges, thresholds]]
            taken[ranges, thresholds, which] = True
            matched[ranges, thresholds, place] = True
            ignored[ranges, thresholds, place] = skipped[ranges, which]
    outside = (sizes[order] < lows) | (sizes[order] > highs)
    ignored |= ~matched & outside[:, None]
    outcomes = (_MATCHED * matched + _IGNORED * ignored).astype(np.uint8)
    return MatchedImage(index, scores[order], outcomes, np.count_nonzero(~skipped, axis=1))


def _choose(overlaps: Floats, free: Bools, skipped: Bools) -> tuple[npt.NDArray[np.intp], Bools]:
    """The best true object for one prediction, by range and threshold.

    Args:
        overlaps: (N,) with the true objects at hand.
        free: (4, 10, N) those that may still be matched.
        skipped: (4, N) those that do not count.

    Returns:
        Indices (4, 10) into the N, and whether there is any. Objects that count come before any
        that do not; of equal overlaps the last wins, as in pycocotools.
    """
    reached = free & (overlaps >= np.minimum(_THRESHOLDS, 1 - 1e-10)[:, None])
    counting = reached & ~skipped[:, None]
    candidates = np.where(counting.any(axis=2, keepdims=True), counting, reached)
    ranked = np.where(candidates, overlaps, -1.0)
    last = ranked.shape[2] - 1 - np.argmax(ranked[:, :, ::-1], axis=2)
    found: Bools = np.asarray(reached.any(axis=2))
    return last, found


def curves(images: Sequence[MatchedImage]) -> Curves:
    """Precision and recall curves of one class over images, in any order.

    Returns:
        As `coco_curves.curves_of`: precision (10, 101, 4, 3) and recall (10, 4, 3), -1 where the
        ground truth has no object that counts.
    """
    precision = np.full((len(_THRESHOLDS), len(_RECALLS), len(AREA_RANGES), len(LIMITS)), -1.0)
    recall = np.full((len(_THRESHOLDS), len(AREA_RANGES), len(LIMITS)), -1.0)
    images = sorted(images, key=lambda image: image.index)
    truths = sum((image.truths for image in images), np.zeros(len(AREA_RANGES), np.int64))
    for limit, most in enumerate(LIMITS):
        scores = np.concatenate([np.zeros(0), *(image.scores[:most] for image in images)])
        order = np.argsort(-scores, kind="stable")
        for size in np.flatnonzero(truths):
            none = np.zeros((len(_THRESHOLDS), 0), np.uint8)
            parts = [image.outcomes[size, :, :most] for image in images]
            outcomes = np.concatenate([none, *parts], axis=1)[:, order]
            for at, row in enumerate(outcomes):
                found = _curve(row, int(truths[size]))
                precision[at, :, size, limit], recall[at, size, limit] = found
    return precision, recall


def _curve(outcomes: npt.NDArray[np.uint8], truths: int) -> tuple[Floats, float]:
    """Precision at 101 recalls, and the highest recall, of ranked predictions."""
    kept = outcomes[outcomes < _IGNORED]
    if not len(kept):
        return np.zeros(len(_RECALLS)), 0.0
    hits = np.cumsum(kept)
    recalls = hits / truths
    precisions = hits / (np.arange(1, len(kept) + 1) + np.spacing(1))
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]
    places = np.searchsorted(recalls, _RECALLS)
    return np.append(envelope, 0.0)[places], float(recalls[-1])
