"""Scores of class maps from one confusion matrix.

mIoU as PASCAL VOC, Cityscapes, mmsegmentation and Hugging Face `mean_iou` define it: the mean over
classes of TP/(TP+FP+FN), with pixels pooled over the data set.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import PairError
from segcli.masks.rle import decode
from segcli.metrics.base import BoolMask, Metric, MetricOptions, Pair, Row, Sums, ratio
from segcli.records import Segmentation

__all__ = ["ConfusionSums", "Semantic", "class_map", "confusion", "semantic_scores"]

_DENSE_LIMIT = 1024
_NO_CLASS = "no class occurs on either side (0/0)"
_UNDEFINED = MappingProxyType(
    {
        "miou": _NO_CLASS,
        "mdice": _NO_CLASS,
        "mprecision": "no class was predicted (0/0)",
        "mrecall": "no class occurs in the ground truth (0/0)",
        "pixel_accuracy": "no pixel counts (0/0)",
    }
)
_PER_CLASS = ("iou", "dice", "precision", "recall")

Matrix = npt.NDArray[np.int64]
Codes = npt.NDArray[np.integer[Any]]


def _no_matrix() -> Matrix:
    return np.zeros((0, 0), np.int64)


@dataclass(slots=True)
class ConfusionSums(Sums):
    """A confusion matrix over the classes seen so far.

    Attributes:
        classes: class ids, ascending.
        matrix: (K, K) int64 pixels; rows = ground truth, columns = prediction.
        class_names: name by class id, or None when no list was given.
        images: images added.
    """

    classes: tuple[int, ...] = ()
    matrix: Matrix = field(default_factory=_no_matrix)
    class_names: Mapping[int, str] | None = None
    images: int = 0

    def add(self, other: Sums) -> None:
        """Add pixels of other images, whatever classes they hold."""
        assert isinstance(other, ConfusionSums)
        classes = tuple(sorted({*self.classes, *other.classes}))
        if classes != self.classes:
            self.matrix = _spread(self.matrix, self.classes, classes)
            self.classes = classes
        rows = np.searchsorted(classes, other.classes)
        self.matrix[np.ix_(rows, rows)] += other.matrix
        self.images += other.images

    def compute(self) -> dict[str, float]:
        """Means over the classes that occur, and pixel accuracy."""
        return semantic_scores(self.matrix)

    def counts(self) -> dict[str, int]:
        """Classes that occur, and of those listed how many do not."""
        occurs = self.matrix.sum(axis=0) + self.matrix.sum(axis=1) > 0
        present = int(np.count_nonzero(occurs))
        listed = len(self.class_names) if self.class_names is not None else present
        only_predicted = (self.matrix.sum(axis=1) == 0) & (self.matrix.sum(axis=0) > 0)
        return {
            "classes": present,
            "classes_absent": listed - present,
            "classes_only_predicted": int(np.count_nonzero(only_predicted)),
        }

    def tables(self) -> dict[str, list[Row]]:
        """One row a class, absent ones of the list included."""
        scores = _per_class(self.matrix)
        index = {number: i for i, number in enumerate(self.classes)}
        rows: list[Row] = []
        for number in sorted({*self.classes, *(self.class_names or ())}):
            i = index.get(number)
            row: Row = {"class": number, "name": (self.class_names or {}).get(number)}
            for name in _PER_CLASS:
                row[name] = math.nan if i is None else float(scores[name][i])
            row["gt_pixels"] = 0 if i is None else int(self.matrix[i].sum())
            row["pred_pixels"] = 0 if i is None else int(self.matrix[:, i].sum())
            rows.append(row)
        return {"per_class": rows}

    def notes(self) -> list[str]:
        """Classes that were predicted and never occur in the ground truth."""
        truth, predicted = self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        stray = [str(c) for i, c in enumerate(self.classes) if predicted[i] and not truth[i]]
        if not stray or self.class_names is not None:
            return []
        some = ", ".join(stray[:10])
        said = f"predicted classes that the ground truth never holds count as IoU 0: {some}"
        return [f"{said}; give --class-names to make a stray value an error"]


def confusion(
    pred: npt.NDArray[np.integer], gt: npt.NDArray[np.integer], counted: BoolMask | None = None
) -> tuple[tuple[int, ...], Matrix]:
    """Count pixels by true and predicted class.

    Args:
        pred: (H, W) class ids, any integer type.
        gt: (H, W) class ids, any integer type.
        counted: (H, W) bool, the pixels that count; None means all.

    Returns:
        The classes that occur, ascending, and their (K, K) matrix, rows = ground truth.

    Raises:
        ValueError: the shapes differ.
    """
    if pred.shape != gt.shape:
        raise ValueError(f"class maps of shapes {pred.shape} and {gt.shape} cannot be compared")
    true: Codes = gt.ravel() if counted is None else gt[counted]
    guess: Codes = pred.ravel() if counted is None else pred[counted]
    if true.size == 0:
        return (), _no_matrix()
    lowest = min(int(true.min()), int(guess.min()))
    size = max(int(true.max()), int(guess.max())) + 1
    if lowest >= 0 and size <= _DENSE_LIMIT:
        values: Codes = np.arange(size)
    else:
        values, codes = np.unique(np.concatenate((true, guess)), return_inverse=True)
        true, guess, size = codes[: true.size], codes[true.size :], len(values)
    # One joint code a pixel, as small as it can be: the memory traffic is the cost.
    dtype = np.uint16 if size * size <= 1 << 16 else np.uint32 if size < 1 << 16 else np.uint64
    joint = np.multiply(true, size, dtype=dtype, casting="unsafe")
    np.add(joint, guess, out=joint, casting="unsafe")
    matrix = np.bincount(joint, minlength=size * size).reshape(size, size)
    kept = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    return tuple(values[kept].tolist()), matrix[np.ix_(kept, kept)].astype(np.int64)


def semantic_scores(matrix: Matrix) -> dict[str, float]:
    """Means over classes of a confusion matrix.

    Args:
        matrix: (K, K) pixels; rows = ground truth, columns = prediction.

    Returns:
        miou, mdice, mprecision, mrecall: means over the classes for which the ratio is defined (a
        class absent from both sides has none); pixel_accuracy: the diagonal over all. mrecall is
        what mmsegmentation calls mAcc. NaN where nothing is defined.
    """
    per_class = _per_class(matrix)
    means = {f"m{name}": _mean(per_class[name]) for name in _PER_CLASS}
    return {**means, "pixel_accuracy": ratio(int(np.trace(matrix)), int(matrix.sum()))}


def class_map(segmentation: Segmentation) -> npt.NDArray[np.integer]:
    """The (H, W) class map of a segmentation; segments are painted, worst score first, onto 0.

    Raises:
        PairError: it has neither a class map nor a category for each segment.
    """
    if segmentation.labels is not None and segmentation.labels.kind != "instance":
        return segmentation.labels.values
    image = segmentation.image
    painted = np.zeros((image.height, image.width), np.int64)
    ranked = sorted(segmentation.segments, key=lambda s: -math.inf if s.score is None else s.score)
    if any(s.category is None for s in ranked) or (segmentation.labels and not ranked):
        raise PairError(
            f"{image.key}: holds objects without classes, and the protocol is semantic",
            why="a semantic score compares classes",
            fix="--protocol instance or --protocol binary",
        )
    for segment in ranked:
        assert segment.category is not None
        painted[decode(segment.mask)] = segment.category
    return painted


class Semantic(Metric):
    """Class against class."""

    undefined = _UNDEFINED

    def __init__(self, options: MetricOptions) -> None:
        self._names = options.class_names
        self._ignore = options.ignore_index

    def zero(self) -> Sums:
        """No pixels."""
        return ConfusionSums(class_names=self._names)

    def measure(self, pair: Pair) -> Sums:
        """Pixels of one image, refused when a value is outside the class list."""
        classes, matrix = confusion(class_map(pair.pred), class_map(pair.gt), pair.counted)
        if self._names is not None:
            _check_listed(pair, classes, matrix, self._names)
        elif self._ignore is not None and self._ignore in classes:
            _check_listed(pair, classes, matrix, set(classes) - {self._ignore})
        return ConfusionSums(classes, matrix, self._names, images=1)

    def conventions(self) -> dict[str, str]:
        """Which classes are averaged."""
        listed = "the classes listed" if self._names is not None else "the values that occur"
        return {
            "classes": f"{listed}, background (0) among them where it occurs and is not ignored",
            "absent_classes": "absent from both sides: dropped from the mean; only predicted: 0",
            "mean_of_images": "the mean over images of each image's mean over its own classes",
            "mrecall": "mean recall over classes, called mAcc by mmsegmentation",
        }


def _check_listed(
    pair: Pair, classes: Sequence[int], matrix: Matrix, listed: Collection[int]
) -> None:
    for side, axis, where in (("ground truth", 1, pair.gt), ("prediction", 0, pair.pred)):
        pixels = matrix.sum(axis=axis)
        stray = [c for c, n in zip(classes, pixels, strict=True) if n and c not in listed]
        if stray:
            raise PairError(
                f"{where.image.source or where.image.key}: the {side} holds values outside the "
                f"class list: {', '.join(map(str, stray[:10]))}",
                why="a pixel of an unknown class can be neither right nor wrong",
                fix="add them to --class-names, or leave one out with --ignore-index",
            )


def _per_class(matrix: Matrix) -> dict[str, npt.NDArray[np.float64]]:
    tp = matrix.diagonal().astype(np.float64)
    truth, guess = matrix.sum(axis=1), matrix.sum(axis=0)
    return {
        "iou": _divide(tp, truth + guess - tp),
        "dice": _divide(2 * tp, truth + guess),
        "precision": _divide(tp, guess),
        "recall": _divide(tp, truth),
    }


def _divide(numerator: Any, denominator: Any) -> npt.NDArray[np.float64]:  # noqa: ANN401
    result = np.full(len(numerator), np.nan)
    np.divide(numerator, denominator, out=result, where=np.asarray(denominator) > 0)
    return result


def _mean(values: npt.NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else math.nan


def _spread(matrix: Matrix, old: tuple[int, ...], new: tuple[int, ...]) -> Matrix:
    wider = np.zeros((len(new), len(new)), np.int64)
    rows = np.searchsorted(new, old)
    wider[np.ix_(rows, rows)] = matrix
    return wider
