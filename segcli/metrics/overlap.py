"""Overlap of two masks: IoU, Dice, accuracy, precision, recall, specificity from four counts.

IoU is Jaccard's coefficient (1901), Dice is Dice's (1945), equal to F1 over pixels. The reference
is the same ratio written out over `numpy` booleans; scikit-learn's `jaccard_score` and `f1_score`
agree wherever a ratio is defined.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from segcli.metrics.base import BoolMask, Metric, Pair, Sums, precision, ratio

__all__ = ["Overlap", "OverlapSums", "count_overlap", "overlap_scores"]

_NO_FOREGROUND = "neither side has foreground (0/0)"
_UNDEFINED = MappingProxyType(
    {
        "iou": _NO_FOREGROUND,
        "dice": _NO_FOREGROUND,
        "precision": _NO_FOREGROUND,
        "recall": "the ground truth has no foreground (0/0)",
        "specificity": "the ground truth has no background (0/0)",
        "pixel_accuracy": "no pixel counts (0/0)",
    }
)


@dataclass(slots=True)
class OverlapSums(Sums):
    """Pixels by what was predicted and what is true.

    Attributes:
        tp: predicted and true.
        fp: predicted, not true.
        fn: true, not predicted.
        tn: neither.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def add(self, other: Sums) -> None:
        """Add pixels of other images."""
        assert isinstance(other, OverlapSums)
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn
        self.tn += other.tn

    def compute(self) -> dict[str, float]:
        """The six ratios."""
        return overlap_scores(self)

    def counts(self) -> dict[str, int]:
        """The four pixel counts."""
        return {"tp": self.tp, "fp": self.fp, "fn": self.fn, "tn": self.tn}


def count_overlap(
    pred: BoolMask,
    gt: BoolMask,
    counted: BoolMask | None = None,
    weights: npt.NDArray[np.int64] | None = None,
) -> OverlapSums:
    """Count the pixels of two masks by agreement.

    Args:
        pred: (H, W) bool, what was predicted.
        gt: (H, W) bool, what is true.
        counted: (H, W) bool, the pixels that count; None means all.
        weights: (H, W) how many pixels each one stands for; None: itself alone.

    Raises:
        ValueError: the shapes differ.
    """
    if pred.shape != gt.shape or (counted is not None and counted.shape != gt.shape):
        raise ValueError(f"masks of shapes {pred.shape} and {gt.shape} cannot be compared")
    pixels = _count if weights is None else partial(_weigh, weights)
    total = gt.size if weights is None else int(weights.sum())
    if counted is not None:
        pred, gt = pred & counted, gt & counted
        total = pixels(counted)
    tp = pixels(pred & gt)
    fp = pixels(pred) - tp
    fn = pixels(gt) - tp
    return OverlapSums(tp, fp, fn, total - tp - fp - fn)


def _count(inside: BoolMask) -> int:
    return int(np.count_nonzero(inside))


def _weigh(weights: npt.NDArray[np.int64], inside: BoolMask) -> int:
    return int(weights[inside].sum())


def overlap_scores(sums: OverlapSums) -> dict[str, float]:
    """Ratios of the four counts.

    Returns:
        iou = TP/(TP+FP+FN), dice = 2TP/(2TP+FP+FN), precision = TP/(TP+FP), recall = TP/(TP+FN),
        specificity = TN/(TN+FP), pixel_accuracy = (TP+TN)/all; each in 0..1, NaN where it is 0/0
        (both masks empty: iou, dice and precision; nothing there: recall; nothing but objects
        there: specificity). Where nothing was predicted although there is
        something, precision is 0, so that leaving a poor prediction out improves no mean.
    """
    tp, fp, fn, tn = sums.tp, sums.fp, sums.fn, sums.tn
    return {
        "iou": ratio(tp, tp + fp + fn),
        "dice": ratio(2 * tp, 2 * tp + fp + fn),
        "precision": precision(tp, fp, fn),
        "recall": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "pixel_accuracy": ratio(tp + tn, tp + fp + fn + tn),
    }


class Overlap(Metric):
    """Foreground against background.

    Attributes:
        prefix: put before each score's name, with its dot, where other scores stand beside these.
    """

    by_value = True

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.undefined = {prefix + name: why for name, why in _UNDEFINED.items()}

    def zero(self) -> Sums:
        """No pixels."""
        return _Prefixed(prefix=self.prefix) if self.prefix else OverlapSums()

    def measure(self, pair: Pair) -> Sums:
        """Pixels of one image."""
        sums = count_overlap(pair.pred_foreground, pair.gt_foreground, pair.counted, pair.weights)
        if not self.prefix:
            return sums
        return _Prefixed(sums.tp, sums.fp, sums.fn, sums.tn, prefix=self.prefix)

    def conventions(self) -> dict[str, str]:
        """What is foreground, and the empty cases."""
        return {
            "foreground": "all objects and non-zero values as one mask against the rest",
            "empty_masks": "both masks of an image empty: IoU, Dice, precision and recall "
            "undefined, left out of the mean of images; one empty: IoU and Dice 0; nothing "
            "predicted where there is something: precision 0 (not 0/0); something predicted where "
            "there is nothing: precision 0, recall undefined",
        }


@dataclass(slots=True)
class _Prefixed(OverlapSums):
    prefix: str = ""

    def compute(self) -> dict[str, float]:
        return {self.prefix + name: value for name, value in overlap_scores(self).items()}

    def counts(self) -> dict[str, int]:
        return {}
