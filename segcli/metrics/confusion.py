"""Confusion matrices of class maps, and the ratios read off them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.metrics.base import BoolMask, ratio
from segcli.metrics.contingency import contingency

__all__ = ["RATIOS", "Matrix", "confusion", "no_matrix", "per_class", "semantic_scores", "spread"]

RATIOS = ("iou", "dice", "precision", "recall")
_MOST_CLASSES = 4096

Matrix = npt.NDArray[np.int64]


def no_matrix() -> Matrix:
    """The matrix of no class."""
    return np.zeros((0, 0), np.int64)


def confusion(
    pred: npt.NDArray[np.integer],
    gt: npt.NDArray[np.integer],
    counted: BoolMask | None = None,
    weights: Matrix | None = None,
) -> tuple[tuple[int, ...], Matrix]:
    """Count pixels by true and predicted class.

    Args:
        pred: (H, W) class ids, any integer type.
        gt: (H, W) class ids, any integer type.
        counted: (H, W) bool, the pixels that count; None means all.
        weights: (H, W) how many pixels each one stands for; None: itself alone.

    Returns:
        The classes that occur, ascending, and their (K, K) matrix, rows = ground truth.

    Raises:
        ValueError: the shapes differ, or there are so many values that they must be object ids.
    """
    if pred.shape != gt.shape:
        raise ValueError(f"class maps of shapes {pred.shape} and {gt.shape} cannot be compared")
    table = contingency(gt, pred, counted, weights)
    classes = np.union1d(table.first, table.second)
    size = len(classes)
    if size > _MOST_CLASSES:
        raise ValueError(f"{size} different values in one pair of class maps")
    matrix = np.zeros((size, size), np.int64)
    rows, columns = np.searchsorted(classes, table.first), np.searchsorted(classes, table.second)
    matrix[rows, columns] = table.pixels
    return tuple(classes.tolist()), matrix


def semantic_scores(
    matrix: Matrix,
    averaged: npt.NDArray[np.bool_] | None = None,
    ratios: Mapping[str, npt.NDArray[np.float64]] | None = None,
) -> dict[str, float]:
    """Means over classes of a confusion matrix.

    Args:
        matrix: (K, K) pixels; rows = ground truth, columns = prediction.
        averaged: (K,) bool, the classes that means are taken over; None means all.
        ratios: what `per_class` says of the matrix, where that is known.

    Returns:
        miou, mdice, mprecision, mrecall: means over the classes for which the ratio is defined (a
        class absent from both sides has none; one that is there and never predicted has precision
        0); fwiou: the mean IoU of the classes of the ground truth, weighed by their pixels there
        (Long et al. 2015); pixel_accuracy: the diagonal over all. mrecall is what mmsegmentation
        calls mAcc. NaN where nothing is defined.
    """
    ratios = ratios or per_class(matrix)
    within = slice(None) if averaged is None else averaged
    means = {f"m{name}": _mean(ratios[name][within]) for name in RATIOS}
    truth, total = matrix.sum(axis=1), int(matrix.sum())
    there = truth > 0
    weighed = math.fsum((truth[there] * ratios["iou"][there]).tolist())
    return {
        **means,
        "fwiou": ratio(weighed, total),
        "pixel_accuracy": ratio(int(np.trace(matrix)), total),
    }


def per_class(matrix: Matrix) -> dict[str, npt.NDArray[np.float64]]:
    """IoU, Dice, precision and recall, (K,) each, NaN where undefined."""
    tp = matrix.diagonal().astype(np.float64)
    truth, guess = matrix.sum(axis=1), matrix.sum(axis=0)
    return {
        "iou": _divide(tp, truth + guess - tp),
        "dice": _divide(2 * tp, truth + guess),
        # A class that is never predicted has precision 0: left out, it would improve the mean.
        "precision": np.where((guess == 0) & (truth > 0), 0.0, _divide(tp, guess)),
        "recall": _divide(tp, truth),
    }


def _divide(numerator: Any, denominator: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401
    result = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)
    return result


def _mean(values: npt.NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def spread(matrix: Matrix, old: tuple[int, ...], new: tuple[int, ...]) -> Matrix:
    """The matrix over more classes, both lists ascending."""
    wider = np.zeros((len(new), len(new)), np.int64)
    rows = np.searchsorted(new, old)
    wider[np.ix_(rows, rows)] = matrix
    return wider
