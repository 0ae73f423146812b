"""COCO AP and AR of resampled images: matched once, accumulated again for each draw.

Which detection matches which object is settled within an image, by hotcoco, and does not change
with the images around it. A draw only changes how often each image's detections stand in the
ranking. Precision is read off at the true positives alone, since the envelope of a precision curve
(pycocotools' `COCOeval.accumulate`) has its steps there. An image drawn twice stands in the ranking
as two images, one after the other, as it would in a data set that holds it twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from hotcoco import COCO, COCOeval

from segcli.metrics.base import Metric, Sums
from segcli.metrics.coco_ap import CocoSums
from segcli.metrics.coco_curves import TWELVE
from segcli.metrics.coco_greedy import AREA_RANGES, LIMITS, MatchedImage
from segcli.metrics.exact import Weights
from segcli.metrics.resample import ClassKey, Resampled, Resampler

__all__ = ["CocoResampler", "matches_of"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

_SIZES = ("all", "small", "medium", "large")
_SHOWN = ("ap", "ap50", "ap75", "ar100")
_THRESHOLDS = 10
_RIGHT = 1
_RECALLS = np.linspace(0.0, 1.0, 101)
_CELLS_AT_ONCE = 1 << 20


def matches_of(sums: CocoSums) -> dict[int | None, MatchedImage]:
    """The matches of one image.

    Args:
        sums: what `CocoAp.measure`, or that of boundary AP, made of the image.

    Returns:
        Matches by category id, and for all objects as one class under None.
    """
    if not sums.images:
        return {category: images[0] for category, images in sums.evaluators.items()}
    image = sums.images[0]
    categories = sorted({*image.gt, *image.pred}, key=lambda c: (c is not None, c))
    truths: list[dict[str, Any]] = []
    guesses: list[dict[str, Any]] = []
    for number, category in enumerate(categories, 1):
        for annotation in image.gt.get(category, []):
            # An annotation stands under its category and under None: ids must differ.
            truths.append({**annotation, "id": len(truths) + 1, "category_id": number})
        guesses += [{**d, "category_id": number} for d in image.pred.get(category, [])]
    found = _matched(image.index, image.size, len(categories), (truths, guesses))
    return {category: found[n] for n, category in enumerate(categories, 1) if n in found}


def _matched(
    index: int,
    size: dict[str, int],
    categories: int,
    sides: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> dict[int, MatchedImage]:
    named = [{"id": n, "name": str(n)} for n in range(1, categories + 1)]
    images = [{"id": index + 1, **size}]
    gt = COCO({"images": images, "annotations": sides[0], "categories": named})
    judge = COCOeval(gt, gt.load_res(sides[1]), "segm")
    judge.evaluate()
    ranges = {tuple(ends): i for i, ends in enumerate(AREA_RANGES.tolist())}
    found: dict[int, list[dict[str, Any]]] = {}
    for part in judge.eval_imgs:
        if part is not None:
            parts = found.setdefault(part["category_id"], [{}] * len(ranges))
            parts[ranges[tuple(part["aRng"])]] = part
    return {number: _of_parts(index, parts) for number, parts in found.items()}


def _of_parts(index: int, parts: Sequence[dict[str, Any]]) -> MatchedImage:
    shape = (len(parts), _THRESHOLDS, len(parts[0]["dtScores"]))
    matched = np.array([p["dtMatched"] for p in parts], np.uint8).reshape(shape)
    ignored = np.array([p["dtIgnore"] for p in parts], np.uint8).reshape(shape)
    truths = [len(p["gtIgnore"]) - sum(p["gtIgnore"]) for p in parts]
    scores = np.array(parts[0]["dtScores"], np.float64)
    return MatchedImage(index, scores, matched + 2 * ignored, np.array(truths, np.int64))


class CocoResampler(Resampler):
    """Keeps the matches of every image; masks are not kept."""

    def __init__(self, metric: Metric) -> None:
        about = metric.zero()
        assert isinstance(about, CocoSums)
        self._about = about
        self._images = 0
        self._matches: dict[int | None, list[tuple[int, MatchedImage]]] = {}

    def keep(self, sums: Sums) -> None:
        """Match the objects of one image."""
        assert isinstance(sums, CocoSums)
        # Without its images, adding counts objects and classes and matches nothing.
        self._about.add(replace(sums, evaluators={}, images=[]))
        for category, matches in matches_of(sums).items():
            self._matches.setdefault(category, []).append((self._images, matches))
        self._images += 1

    def resample(self, weights: Weights) -> Resampled:
        """Rank the detections of each draw, class by class."""
        by_class = self._about.scope == "per class"
        wanted = sorted(c for c in self._matches if c is not None) if by_class else [None]
        curves = {c: self._summary(self._matches.get(c, []), weights) for c in wanted}
        classes: dict[ClassKey, dict[str, Floats]] = {}
        for category, summary in curves.items():
            if category is not None and not np.isnan(summary["ar100"]).all():
                shown = {self._about.prefix + name: summary[name] for name in _SHOWN}
                classes[category, self._about.names.get(category)] = shown
        scores = {
            self._about.prefix + name: _mean_defined([s[name] for s in curves.values()], weights)
            for name in TWELVE
        }
        return Resampled(scores, classes)

    def _summary(
        self, images: Sequence[tuple[int, MatchedImage]], weights: Weights
    ) -> dict[str, Floats]:
        """The twelve numbers of one class, (B,) each."""
        if not images:
            return dict.fromkeys(TWELVE, np.full(len(weights), np.nan))
        # Ties go to the earlier image of the ground truth, whatever order images came in.
        ranked = sorted(images, key=lambda item: item[1].index)
        class_ = _Class.of(ranked)
        own = weights[:, class_.places]
        objects = own @ class_.objects
        ap = np.stack([_precision(class_, s, own, objects[:, s]) for s in range(len(_SIZES))])
        summary = {"ap": ap[0].mean(axis=1), "ap50": ap[0][:, 0], "ap75": ap[0][:, 5]}
        for size, name in enumerate(_SIZES[1:], 1):
            summary[f"ap_{name}"] = ap[size].mean(axis=1)
            summary[f"ar_{name}"] = _recall(class_, size, own, objects[:, size], LIMITS[-1])
        for limit in LIMITS:
            summary[f"ar{limit}"] = _recall(class_, 0, own, objects[:, 0], limit)
        return summary


def _mean_defined(values: Sequence[Floats], weights: Weights) -> Floats:
    """The mean over classes, those left out in which a score is undefined."""
    count = len(weights)
    table = np.array(values).reshape(-1, count)
    defined = ~np.isnan(table)
    return _ratio(np.where(defined, table, 0.0).sum(axis=0), defined.sum(axis=0))


def _ratio(above: Floats | Integers, below: Integers) -> Floats:
    result = np.full(len(below), np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


@dataclass(frozen=True, slots=True)
class _Class:
    """All detections of one class, best first.

    Attributes:
        places: (I,) which of all images hold the class, in the order that settles ties.
        objects: (I, 4) true objects that count.
        image: (M,) index into `places`.
        rank: (M,) position among the detections of its image.
        run: (M,) number of the run of equal scores within one image.
        tp: (4, 10, M) right.
        kept: (4, 10, M) right or wrong.
    """

    places: Integers
    objects: Integers
    image: Integers
    rank: Integers
    run: Integers
    tp: Flags
    kept: Flags

    @classmethod
    def of(cls, images: Sequence[tuple[int, MatchedImage]]) -> _Class:
        found = [matches for _, matches in images]
        lengths = [len(m.scores) for m in found]
        scores = np.concatenate([m.scores for m in found])
        order = np.argsort(-scores, kind="stable")
        image = np.repeat(np.arange(len(found)), lengths)[order]
        rank = np.concatenate([np.arange(n) for n in lengths])[order]
        outcomes = np.concatenate([m.outcomes for m in found], axis=2)[..., order]
        new = (np.diff(scores[order]) != 0) | (np.diff(image) != 0)
        run = np.concatenate(([0], np.cumsum(new)))[: len(order)]
        places = np.array([place for place, _ in images])
        objects = np.array([m.truths for m in found])
        return cls(places, objects, image, rank, run, outcomes == _RIGHT, outcomes <= _RIGHT)


def _recall(class_: _Class, size: int, own: Weights, objects: Integers, limit: int) -> Floats:
    """Recall, the mean over thresholds: (B,). No ranking is needed, only counts."""
    counted = class_.tp[size].mean(axis=0) * (class_.rank < limit)
    found = np.bincount(class_.image, counted, minlength=own.shape[1])
    return _ratio(own @ found, objects)


def _precision(class_: _Class, size: int, own: Weights, objects: Integers) -> Floats:
    """Precision at 101 recalls, their mean: (B, 10), NaN without objects."""
    result = np.full((len(own), _THRESHOLDS), np.nan)
    used = np.flatnonzero(class_.kept[size].any(axis=0))
    tp, kept = class_.tp[size][:, used], class_.kept[size][:, used]
    step = max(1, _CELLS_AT_ONCE // max(len(used), 1))
    for start in range(0, len(own), step):
        some = slice(start, start + step)
        ranking = _rankings(class_.image[used], class_.run[used], own[some])
        needed = _hits_needed(objects[some])
        for t in range(_THRESHOLDS):
            result[some, t] = _area(ranking, tp[t], kept[t], needed)
    result[objects == 0] = np.nan
    return result


def _rankings(image: Integers, run: Integers, own: Weights) -> Integers:
    """Which detection stands where in each draw: (B, at most), padded by the number of detections.

    Detections of one score in one image keep their order within each copy of the image.
    """
    count = len(image)
    if not count:
        return np.zeros((len(own), 0), np.int64)
    _, first, lengths = np.unique(run, return_index=True, return_counts=True)
    repeats = (own[:, image[first]] * lengths).ravel()
    starts = np.cumsum(repeats) - repeats
    which = np.repeat(np.arange(len(repeats)), repeats)
    within = np.arange(len(which)) - starts[which]
    row, unit = np.divmod(which, len(first))
    column = np.arange(len(which)) - starts[:: len(first)][row]
    table = np.full((len(own), int(column.max(initial=-1)) + 1), count)
    table[row, column] = first[unit] + within % lengths[unit]
    return table


def _hits_needed(objects: Integers) -> Integers:
    """(B, 101) the fewest hits that reach each recall, compared as floats as COCO does."""
    total = np.maximum(objects, 1)[:, None]
    needed = np.ceil(_RECALLS * total).astype(np.int64)
    needed -= (needed > 0) & ((needed - 1) / total >= _RECALLS)
    needed += needed / total < _RECALLS
    return needed


def _area(ranking: Integers, tp: Flags, kept: Flags, needed: Integers) -> Floats:
    """Precision at 101 recalls for one threshold, their mean: (B,)."""
    draws, width = ranking.shape
    hit = np.append(tp, False)[ranking]
    counted = np.cumsum(np.append(kept, False)[ranking], axis=1, dtype=np.int32)
    where = np.flatnonzero(hit)
    row = where // max(width, 1)
    hits = hit.sum(axis=1)
    number = np.arange(1, len(where) + 1) - (np.cumsum(hits) - hits)[row]
    # One column for each number of hits; 0 beyond the last one reached.
    best = np.zeros((draws, max(int(needed.max(initial=0)), int(hits.max(initial=0))) + 1))
    best[row, number] = number / counted.ravel()[where]
    envelope = np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(np.take_along_axis(envelope, needed, axis=1).mean(axis=1))
