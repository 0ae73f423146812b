"""Scores of class maps from one confusion matrix.

mIoU as PASCAL VOC, Cityscapes, mmsegmentation and Hugging Face `mean_iou` define it: the mean over
classes of TP/(TP+FP+FN), with pixels pooled over the data set.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from segcli.errors import PairError
from segcli.masks.rle import decode
from segcli.metrics.base import (
    MEAN_OF_IMAGES,
    POOLED,
    ExactSum,
    Metric,
    MetricOptions,
    Pair,
    Row,
    Sums,
)
from segcli.metrics.confusion import (
    RATIOS,
    Matrix,
    confusion,
    no_matrix,
    per_class,
    semantic_scores,
    spread,
)
from segcli.metrics.exact import exact_sums
from segcli.records import Segmentation

__all__ = [
    "NO_CLASS",
    "ConfusionSums",
    "Semantic",
    "check_listed",
    "class_map",
    "predicted_background",
    "void_classes",
]

NO_CLASS = -(2**31)
"""The value of predicted pixels that are of no class: wrong wherever something counts."""

_AT_ONCE = 256
_BACKGROUND = "background"
_NO_CLASS = "no class occurs on either side (0/0)"
_UNDEFINED = MappingProxyType(
    {
        "miou": _NO_CLASS,
        "mdice": _NO_CLASS,
        "mprecision": _NO_CLASS,
        "mrecall": "no class occurs in the ground truth (0/0)",
        "fwiou": "no pixel counts (0/0)",
        "pixel_accuracy": "no pixel counts (0/0)",
    }
)


ClassScores = tuple[tuple[int, ...], npt.NDArray[np.float64]]


@dataclass(slots=True)
class ConfusionSums(Sums):
    """A confusion matrix over the classes seen so far.

    Attributes:
        classes: class ids, ascending.
        matrix: (K, K) int64 pixels; rows = ground truth, columns = prediction.
        class_names: name by class id, or None when no list was given.
        ignored: listed classes that do not count: predicted, they are wrong, and in no mean.
        of_images: by class id and score, the sum over images of each image's own score, but for
            the latest images.
        latest: of these, (K,) class ids and (K, ratios) scores; summed together, as that is faster.
        images: images added.
    """

    classes: tuple[int, ...] = ()
    matrix: Matrix = field(default_factory=no_matrix)
    class_names: Mapping[int, str] | None = None
    ignored: frozenset[int] = frozenset()
    of_images: dict[int, dict[str, ExactSum]] = field(default_factory=dict)
    latest: list[ClassScores] = field(default_factory=list)
    images: int = 0

    @classmethod
    def of_image(
        cls,
        classes: tuple[int, ...],
        matrix: Matrix,
        class_names: Mapping[int, str] | None,
        ignored: frozenset[int] = frozenset(),
    ) -> ConfusionSums:
        """The sums of one image with that confusion matrix."""
        scores = per_class(matrix)
        latest = [(classes, np.stack([scores[name] for name in RATIOS], axis=1))]
        return cls(classes, matrix, class_names, ignored, latest=latest, images=1)

    def add(self, other: Sums) -> None:
        """Add pixels of other images, whatever classes they hold."""
        assert isinstance(other, ConfusionSums)
        classes = tuple(sorted({*self.classes, *other.classes}))
        if classes != self.classes:
            self.matrix = spread(self.matrix, self.classes, classes)
            self.classes = classes
        rows = np.searchsorted(classes, other.classes)
        self.matrix[np.ix_(rows, rows)] += other.matrix
        for number, sums in other.of_images.items():
            self._add_class(number, sums.values())
        self.latest += other.latest
        if len(self.latest) >= _AT_ONCE:
            self._sum_latest()
        self.images += other.images

    def _add_class(self, number: int, sums: Iterable[ExactSum]) -> None:
        mine = self.of_images.setdefault(number, {name: ExactSum() for name in RATIOS})
        for total, value in zip(mine.values(), sums, strict=True):
            total.add(value)

    def _sum_latest(self) -> None:
        images, self.latest = self.latest, []
        numbers = sorted({number for classes, _ in images for number in classes})
        shape = len(images), len(numbers), len(RATIOS)
        scores, holds = np.full(shape, np.nan), np.zeros(shape, bool)
        for i, (classes, own) in enumerate(images):
            places = np.searchsorted(numbers, classes)
            scores[i, places], holds[i, places] = own, True
        defined = ~np.isnan(scores)
        values = np.where(defined, scores, 0.0).reshape(len(images), -1)
        (totals,) = exact_sums(np.ones((1, len(images)), np.int64), values)
        counts = defined.sum(axis=0).ravel().tolist()
        undefined = (holds & ~defined).sum(axis=0).ravel().tolist()
        sums = map(ExactSum, map(Fraction, totals), counts, undefined)
        for number in numbers:
            self._add_class(number, islice(sums, len(RATIOS)))

    def compute(self) -> dict[str, float]:
        """Means over the classes that occur, and pixel accuracy."""
        ratios = None
        if self.images == len(self.latest) == 1 and self.latest[0][0] == self.classes:
            ratios = dict(zip(RATIOS, self.latest[0][1].T, strict=True))
        return semantic_scores(self.matrix, self._averaged, ratios)

    @property
    def left_out(self) -> frozenset[int]:
        """Class ids that are in no mean and no table."""
        return self.ignored | {NO_CLASS}

    @property
    def _averaged(self) -> npt.NDArray[np.bool_]:
        return np.array([c not in self.left_out for c in self.classes], bool)

    def counts(self) -> dict[str, int]:
        """Classes that occur, of those listed how many do not, and pixels predicted to no avail."""
        averaged = self._averaged
        occurs = averaged & (self.matrix.sum(axis=0) + self.matrix.sum(axis=1) > 0)
        present = int(np.count_nonzero(occurs))
        listed = present if self.class_names is None else len({*self.class_names} - self.ignored)
        only_predicted = averaged & (self.matrix.sum(axis=1) == 0) & (self.matrix.sum(axis=0) > 0)
        counts = {
            "classes": present,
            "classes_absent": listed - present,
            "classes_only_predicted": int(np.count_nonzero(only_predicted)),
        }
        if self.ignored:
            idle = np.isin(np.array(self.classes, np.int64), sorted(self.ignored))
            counts["pixels_predicted_as_ignored_classes"] = int(self.matrix[:, idle].sum())
        return counts

    def tables(self) -> dict[str, list[Row]]:
        """One row a class, absent ones of the list included."""
        if self.latest:
            self._sum_latest()
        scores = per_class(self.matrix)
        index = {number: i for i, number in enumerate(self.classes)}
        rows: list[Row] = []
        for number in sorted({*self.classes, *(self.class_names or ())} - self.left_out):
            i = index.get(number)
            row: Row = {"class": number, "name": (self.class_names or {}).get(number)}
            means = self.of_images.get(number, {})
            for name in RATIOS:
                row[f"{name}.{POOLED}"] = math.nan if i is None else float(scores[name][i])
                row[f"{name}.{MEAN_OF_IMAGES}"] = means.get(name, ExactSum()).mean
            row["gt_pixels"] = 0 if i is None else int(self.matrix[i].sum())
            row["pred_pixels"] = 0 if i is None else int(self.matrix[:, i].sum())
            rows.append(row)
        return {"per_class": rows}

    def notes(self) -> list[str]:
        """Classes that were predicted and never occur in the ground truth."""
        truth, predicted = self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        only = self._averaged & (predicted > 0) & (truth == 0)
        stray = [str(c) for c, alone in zip(self.classes, only, strict=True) if alone]
        if not stray or self.class_names is not None:
            return []
        some = ", ".join(stray[:10])
        said = f"predicted classes that the ground truth never holds count as IoU 0: {some}"
        return [f"{said}; give --class-names to make a stray value an error"]


def void_classes(options: MetricOptions) -> frozenset[int]:
    """The classes that do not count: they are in no mean, and wrong where they are predicted."""
    index = options.ignore_index
    return options.ignored if index is None else options.ignored | {index}


def predicted_background(options: MetricOptions) -> int:
    """The class of pixels where no object was predicted: 0, or none where 0 is no class."""
    unlisted = options.class_names is not None and 0 not in options.class_names
    return NO_CLASS if unlisted or options.ignore_index == 0 else 0


def class_map(segmentation: Segmentation, background: int = 0) -> npt.NDArray[np.integer]:
    """The (H, W) class map of a segmentation; segments are painted, worst score first.

    Args:
        segmentation: a class map, or segments with categories.
        background: the class of pixels that no segment covers; where the segmentation lists a class
            0 that is not called background, they are of no class instead of 0.

    Raises:
        PairError: it has neither a class map nor a category for each segment, or a segment has
            the category 0, which is the background.
    """
    if segmentation.labels is not None and segmentation.labels.kind != "instance":
        return segmentation.labels.values
    image = segmentation.image
    zero_listed = segmentation.categories.get(0, _BACKGROUND) != _BACKGROUND
    empty = NO_CLASS if zero_listed and background == 0 else background
    painted = np.full((image.height, image.width), empty, np.int64)
    ranked = sorted(segmentation.segments, key=lambda s: -math.inf if s.score is None else s.score)
    if any(s.category is None for s in ranked) or (segmentation.labels and not ranked):
        raise PairError(
            f"{image.key}: holds objects without classes, and the protocol is semantic",
            why="a semantic score compares classes",
            fix="--protocol binary",
        )
    if any(s.category == 0 for s in ranked) and not zero_listed:
        raise PairError(
            f"{image.key}: holds objects of the class 0, which class maps have for the background",
            why="painted as 0 they would count as background",
            fix="--protocol binary, or categories that start from 1 as in the class map",
        )
    for segment in ranked:
        assert segment.category is not None
        painted[decode(segment.mask)] = segment.category
    return painted


class Semantic(Metric):
    """Class against class."""

    undefined = _UNDEFINED
    by_value = True

    def __init__(self, options: MetricOptions) -> None:
        self._names = options.class_names
        self._ignored = void_classes(options)
        self._background = predicted_background(options)

    def zero(self) -> Sums:
        """No pixels."""
        return ConfusionSums(class_names=self._names, ignored=self._ignored)

    def measure(self, pair: Pair) -> Sums:
        """Pixels of one image, refused when a value is outside the class list."""
        try:
            pred, gt = class_map(pair.pred, self._background), class_map(pair.gt)
            classes, matrix = confusion(pred, gt, pair.counted, pair.weights)
        except ValueError as error:
            raise PairError(
                f"{pair.key}: cannot be scored as classes: {error}",
                why="each value of a class map is a class",
                fix="--kind instance, if the values are object ids",
            ) from error
        self._check_sides(pair, classes, matrix)
        return ConfusionSums.of_image(classes, matrix, self._names, self._ignored)

    def _check_sides(self, pair: Pair, classes: Sequence[int], matrix: Matrix) -> None:
        if self._names is None:
            return
        for side, axis, where in (("ground truth", 1, pair.gt), ("prediction", 0, pair.pred)):
            pixels = matrix.sum(axis=axis)
            present = [c for c, n in zip(classes, pixels, strict=True) if n]
            holder = f"{where.image.source or where.image.key}: the {side} holds"
            check_listed(holder, present, self._names)

    def conventions(self) -> dict[str, str]:
        """Which classes are averaged."""
        listed = "the classes listed" if self._names is not None else "the classes that occur"
        return {
            "classes": f"mean over {listed}, background (0) too unless it is ignored; absent from "
            "both sides: dropped; only predicted: IoU 0; never predicted: precision 0; "
            "the ignore index, and classes the list ignores: void in ground truth, wrong where "
            "predicted, in no mean",
            "mean_of_images": "the mean over images of each image's mean over its own classes",
            "mrecall": "mean recall over classes, which mmsegmentation calls mAcc",
            "fwiou": "IoU of each class weighed by its share of the ground truth's pixels",
        }


def check_listed(holder: str, present: Iterable[int], listed: Collection[int]) -> None:
    """Refuse values that are no class of the list.

    Args:
        holder: who holds the values, as the error's first words.
        present: class ids that occur.
        listed: the class ids there are.

    Raises:
        PairError: one is not listed.
    """
    stray = [c for c in present if c not in listed and c != NO_CLASS]
    if stray:
        raise PairError(
            f"{holder} values outside the class list: {', '.join(map(str, stray[:10]))}",
            why="a pixel of an unknown class can be neither right nor wrong",
            fix="add them to --class-names, or leave one out with --ignore-index",
        )
