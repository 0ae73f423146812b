"""Optimal matching of objects, whatever their class: precision, recall, F1, AP-DSB, matched IoU.

AP-DSB = TP/(TP+FP+FN) is the "average precision" of the 2018 Data Science Bowl and of StarDist's
`matching` (Schmidt et al. 2018), whose matching rule this follows: as many pairs as possible with
IoU at least the threshold, then the largest sum of IoU. Above 0.5 there is only one such matching
when no object overlaps another of its side.

Split and merged objects are those of Caicedo et al. (Cytometry A, 2019): overlap is IoU > 0.1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from segcli.metrics.base import Metric, MetricOptions, Pair, Row, Sums, precision, ratio
from segcli.metrics.intersections import Intersections, intersect

__all__ = ["THRESHOLDS", "Matching", "MatchingSums", "match"]

_TWENTIETHS = tuple(range(10, 20))
THRESHOLDS = tuple(k / 20 for k in _TWENTIETHS)
_SHOWN = MappingProxyType({50: 0, 75: 5})
_NO_OBJECTS = "neither side has an object (0/0)"
_COUNTED = ("over_segmented", "under_segmented")


def _undefined() -> dict[str, str]:
    reasons = {"ap_dsb": _NO_OBJECTS}
    for percent in _SHOWN:
        reasons[f"f1_{percent}"] = _NO_OBJECTS
        reasons[f"precision_{percent}"] = "no object was predicted (0/0)"
        reasons[f"recall_{percent}"] = "the ground truth has no object (0/0)"
        reasons[f"ap_dsb_{percent}"] = _NO_OBJECTS
        reasons[f"matched_iou_{percent}"] = "no object was matched (0/0)"
    return reasons | dict.fromkeys(_COUNTED, "neither side has an object")


def _zeros() -> npt.NDArray[np.int64]:
    return np.zeros(len(THRESHOLDS), np.int64)


@dataclass(slots=True)
class MatchingSums(Sums):
    """Objects by outcome, at each threshold.

    Attributes:
        tp: (10,) matched.
        fp: (10,) predicted and not matched.
        fn: (10,) true and not matched.
        forgiven: (10,) predicted, not matched, and mostly in a crowd or where nothing counts.
        iou: the sum of the IoU of matched pairs, at each threshold.
        over_segmented: true objects that two or more predictions overlap (splits).
        under_segmented: predictions that overlap two or more true objects (merges).
    """

    tp: npt.NDArray[np.int64] = field(default_factory=_zeros)
    fp: npt.NDArray[np.int64] = field(default_factory=_zeros)
    fn: npt.NDArray[np.int64] = field(default_factory=_zeros)
    forgiven: npt.NDArray[np.int64] = field(default_factory=_zeros)
    iou: list[Fraction] = field(default_factory=lambda: [Fraction()] * len(THRESHOLDS))
    over_segmented: int = 0
    under_segmented: int = 0

    def add(self, other: Sums) -> None:
        """Add objects of other images."""
        assert isinstance(other, MatchingSums)
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn
        self.forgiven += other.forgiven
        self.iou = [a + b for a, b in zip(self.iou, other.iou, strict=True)]
        self.over_segmented += other.over_segmented
        self.under_segmented += other.under_segmented

    def compute(self) -> dict[str, float]:
        """Ratios at the shown thresholds, AP-DSB over all ten, and two counts."""
        rows = [self._row(i) for i in range(len(THRESHOLDS))]
        scores = {"ap_dsb": math.fsum(row["ap_dsb"] for row in rows) / len(rows)}
        for percent, index in _SHOWN.items():
            for name in ("f1", "precision", "recall", "ap_dsb", "matched_iou"):
                scores[f"{name}_{percent}"] = rows[index][name]
        objects = self.tp[0] + self.fp[0] + self.fn[0] + self.forgiven[0]
        scores["over_segmented"] = float(self.over_segmented) if objects else math.nan
        scores["under_segmented"] = float(self.under_segmented) if objects else math.nan
        return scores

    def counts(self) -> dict[str, int]:
        """Objects at IoU 0.5, and those split or merged."""
        return {
            "tp_50": int(self.tp[0]),
            "fp_50": int(self.fp[0]),
            "fn_50": int(self.fn[0]),
            "forgiven_50": int(self.forgiven[0]),
            "over_segmented": self.over_segmented,
            "under_segmented": self.under_segmented,
        }

    def tables(self) -> dict[str, list[Row]]:
        """One row a threshold."""
        return {"per_threshold": [self._row(i) for i in range(len(THRESHOLDS))]}

    def _row(self, i: int) -> Row:
        tp, fp, fn = int(self.tp[i]), int(self.fp[i]), int(self.fn[i])
        return {
            "threshold": THRESHOLDS[i],
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "precision": precision(tp, fp, fn),
            "recall": ratio(tp, tp + fn),
            "f1": ratio(2 * tp, 2 * tp + fp + fn),
            "ap_dsb": ratio(tp, tp + fp + fn),
            "matched_iou": float(self.iou[i] / tp) if tp else math.nan,
        }


def match(found: Intersections) -> MatchingSums:
    """Match the objects of one image at IoU 0.50, 0.55, … 0.95.

    A prediction that is not matched and has more than half of its pixels in crowds or where nothing
    counts is forgiven: it is no false positive. A true object without a pixel that counts is left
    out. Thresholds are compared in whole numbers, so an IoU of exactly the threshold matches.
    """
    overlap = 10 * found.pixels > found.unions
    sums = MatchingSums(
        over_segmented=_several(found.gt[overlap]), under_segmented=_several(found.pred[overlap])
    )
    exempt = 2 * found.pred_forgiven > found.pred_full_areas
    truths, unions = int(np.count_nonzero(found.gt_areas)), found.unions
    for i, twentieths in enumerate(_TWENTIETHS):
        kept = _assign(found, unions, twentieths)
        matched = np.zeros(len(found.pred_areas), bool)
        matched[found.pred[kept]] = True
        tp = len(kept)
        forgiven = int(np.count_nonzero(exempt & ~matched))
        sums.tp[i], sums.fn[i], sums.forgiven[i] = tp, truths - tp, forgiven
        sums.fp[i] = len(matched) - tp - forgiven
        sums.iou[i] = Fraction(math.fsum(found.pixels[kept] / unions[kept]))
    return sums


def _assign(
    found: Intersections, unions: npt.NDArray[np.int64], twentieths: int
) -> npt.NDArray[np.int64]:
    """Indices of the overlapping pairs that form the best matching at one threshold."""
    fit = np.flatnonzero(20 * found.pixels >= twentieths * unions)
    if _once_each(found.pred[fit]) and _once_each(found.gt[fit]):
        return fit
    # scipy is loaded only by who needs it: its import takes longer than most scores.
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    preds, pred_row = np.unique(found.pred[fit], return_inverse=True)
    gts, gt_column = np.unique(found.gt[fit], return_inverse=True)
    which = np.full((len(preds), len(gts)), -1)
    which[pred_row, gt_column] = fit
    gain = np.zeros(which.shape)
    # One more pair must outweigh any gain in IoU, which is below 1 a pair.
    gain[pred_row, gt_column] = min(which.shape) + 1 + found.pixels[fit] / unions[fit]
    rows, columns = linear_sum_assignment(gain, maximize=True)
    chosen = which[rows, columns]
    return np.sort(chosen[chosen >= 0])


def _several(indices: npt.NDArray[np.int64]) -> int:
    """How many indices occur more than once."""
    return int(np.count_nonzero(np.bincount(indices) > 1))


def _once_each(indices: npt.NDArray[np.int64]) -> bool:
    return len(indices) == 0 or int(np.bincount(indices).max()) == 1


class Matching(Metric):
    """Objects against objects, class left aside."""

    undefined = MappingProxyType(_undefined())
    lower_is_better = frozenset({"over_segmented", "under_segmented"})

    def __init__(self, options: MetricOptions) -> None:
        del options

    def zero(self) -> Sums:
        """No objects."""
        return MatchingSums()

    def measure(self, pair: Pair) -> Sums:
        """Objects of one image."""
        return match(intersect(pair))

    def conventions(self) -> dict[str, str]:
        """The matching rule."""
        return {
            "matching": "f1 to matched_iou: optimal assignment, class-agnostic, IoU >= 0.50 (_50) "
            "or 0.75 (_75); ap_dsb over 0.50:0.05:0.95",
            "matching_optimum": "as many pairs as possible, then the largest sum of IoU",
            "matching_crowd": "an unmatched prediction with more than half its pixels in crowd or "
            "ignored regions is not counted",
            "ap_dsb": "TP/(TP+FP+FN), the mean over the ten thresholds; ap_dsb_50 at one",
            "matched_iou": "the mean IoU of matched pairs",
            "over_segmented": "number of true objects with IoU > 0.1 with two or more predictions "
            "(splits); under_segmented: of predictions with two or more true objects (merges); "
            "pooled: their total, mean_of_images: an image's",
            "empty_images": "an image without objects on both sides is undefined and left out of "
            "the mean of images; on one side only: F1 and AP-DSB 0; "
            "without predictions only: precision 0 (not 0/0)",
        }
