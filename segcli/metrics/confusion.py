"""Confusion matrices of class maps, and the ratios read off them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.metrics.base import BoolMask, ratio
from segcli.metrics.contingency import contingency

__all__ = ["RATIOS", "Matrix", "confusion", "no_matrix", "per_class", "semantic_scores", "spread"]

RATIOS = ("iou", "dice", "precision", "recall")
_MEANS = tuple(f"m{name}" for name in RATIOS)
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
    if weights is not None:
        return _weighed(pred, gt, weights if counted is None else np.where(counted, weights, 0))
    table = contingency(gt, pred, counted)
    classes = np.union1d(table.first, table.second)
    size = len(classes)
    if size > _MOST_CLASSES:
        raise ValueError(f"{size} different values in one pair of class maps")
    matrix = np.zeros((size, size), np.int64)
    rows, columns = np.searchsorted(classes, table.first), np.searchsorted(classes, table.second)
    matrix[rows, columns] = table.pixels
    return tuple(classes.tolist()), matrix


def _weighed(
    pred: npt.NDArray[np.integer], gt: npt.NDArray[np.integer], weights: Matrix
) -> tuple[tuple[int, ...], Matrix]:
    """As `confusion`, of few pixels that stand for many; those that stand for none are no class."""
    held = np.flatnonzero(weights)
    both = np.concatenate((gt.ravel()[held], pred.ravel()[held]))
    classes, codes = np.unique(both, return_inverse=True)
    size = len(classes)
    joint = codes[: len(held)] * size + codes[len(held) :]
    # Sums of whole numbers below 2**53 are exact.
    table = np.bincount(joint, weights.ravel()[held], minlength=size * size)
    return tuple(classes.tolist()), table.astype(np.int64).reshape(size, size)


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
    table = np.array([ratios[name] for name in RATIOS])
    means = _means(table if averaged is None else table[:, averaged])
    truth = matrix.sum(axis=1)
    total = int(truth.sum())
    there = truth > 0
    weighed = math.fsum((truth[there] * ratios["iou"][there]).tolist())
    return {
        **dict(zip(_MEANS, means, strict=True)),
        "fwiou": ratio(weighed, total),
        "pixel_accuracy": ratio(int(matrix.diagonal().sum()), total),
    }


def per_class(matrix: Matrix) -> dict[str, npt.NDArray[np.float64]]:
    """IoU, Dice, precision and recall, (K,) each, NaN where undefined."""
    tp = matrix.diagonal().astype(np.float64)
    truth, guess = matrix.sum(axis=1), matrix.sum(axis=0)
    both = truth + guess
    found = _divide((tp, 2 * tp, tp, tp), (both - tp, both, guess, truth))
    # A class that is never predicted has precision 0: left out, it would improve the mean.
    found[2][(guess == 0) & (truth > 0)] = 0.0
    return dict(zip(RATIOS, found, strict=True))


def _divide(numerators: Sequence[Any], denominators: Sequence[Any]) -> npt.NDArray[np.float64]:
    above, below = np.array(numerators, np.float64), np.array(denominators, np.float64)
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


def _means(rows: npt.NDArray[np.float64]) -> list[float]:
    """The mean of each row over what is defined in it."""
    defined = ~np.isnan(rows)
    whole = bool(defined.all())
    # Row by row: along an axis numpy adds in another order, and rounds otherwise.
    kept = [row if whole else row[own] for row, own in zip(rows, defined, strict=True)]
    return [float(values.copy().mean()) if values.size else math.nan for values in kept]


def spread(matrix: Matrix, old: tuple[int, ...], new: tuple[int, ...]) -> Matrix:
    """The matrix over more classes, both lists ascending."""
    wider = np.zeros((len(new), len(new)), np.int64)
    rows = np.searchsorted(new, old)
    wider[np.ix_(rows, rows)] = matrix
    return wider
