"""What a metric is: measure one pair into sums, add sums, turn sums into ratios.

Sums of two halves of a data set add up to the sums of the whole, so the same code scores one
image, a data set, or shards of one on several machines.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from segcli.masks.labels import foreground
from segcli.masks.rle import decode
from segcli.records import Segmentation

__all__ = [
    "MEAN_OF_IMAGES",
    "POOLED",
    "BoolMask",
    "ExactSum",
    "Metric",
    "MetricOptions",
    "Pair",
    "Protocol",
    "Row",
    "Sums",
    "precision",
    "ratio",
]

Protocol = Literal["binary", "semantic", "instance", "panoptic", "proposals", "regions", "points"]
BoolMask = npt.NDArray[np.bool_]
Row = dict[str, Any]

POOLED = "pooled"
MEAN_OF_IMAGES = "mean_of_images"


def ratio(numerator: float, denominator: float) -> float:
    """A quotient, or NaN where it is undefined (0/0)."""
    return numerator / denominator if denominator else math.nan


def precision(tp: int, fp: int, fn: int) -> float:
    """TP/(TP+FP); 0 where nothing was predicted although something is there; NaN if nothing is.

    As 0/0 it would be left out of means, and a poor prediction that is left out would improve them.
    """
    return 0.0 if fn and not tp + fp else ratio(tp, tp + fp)


@dataclass(eq=False)
class Pair:
    """One prediction and its ground truth, with the views that several metrics share.

    Attributes:
        key: what both are called.
        index: position in the evaluation, from 0; unique, also across shards.
        pred: the prediction, of the ground truth's size.
        gt: the ground truth.
        others: further ground truths of the same image, by other annotators.
        weights: (H, W) how many pixels of the image each pixel of both sides stands for, where each
            pair of values is there once for all of its pixels (`Metric.by_value`); None: one each.
    """

    key: str
    index: int
    pred: Segmentation
    gt: Segmentation
    others: tuple[Segmentation, ...] = ()
    weights: npt.NDArray[np.int64] | None = None

    @cached_property
    def counted(self) -> BoolMask | None:
        """(H, W) pixels that count, or None when all do (the ground truth names no void)."""
        return None if self.gt.ignore is None else ~decode(self.gt.ignore)

    @cached_property
    def pred_foreground(self) -> BoolMask:
        """(H, W) union of what was predicted."""
        return foreground(self.pred)

    @cached_property
    def gt_foreground(self) -> BoolMask:
        """(H, W) union of the ground truth's objects."""
        return foreground(self.gt)

    @property
    def pixels(self) -> int:
        """Pixels of the image."""
        return self.gt.image.height * self.gt.image.width

    @cached_property
    def ignored_pixels(self) -> int:
        """Pixels of the image that do not count."""
        if self.counted is None:
            return 0
        if self.weights is not None:
            return int(self.weights[~self.counted].sum())
        return self.pixels - int(np.count_nonzero(self.counted))


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """What a metric may need to know before the first image.

    Attributes:
        class_names: name by class id; values outside it are errors. None: classes are what occurs.
        ignore_index: label value of the ground truth that does not count, or None.
        ignored: ids of listed classes that do not count: no mean takes them in.
        class_agnostic: take all objects as one class, whatever categories they carry.
        things: class ids that are countable things, the others being stuff; None: not stated.
        boundary_ratio: width of a boundary as a share of the image's diagonal.
        spacing: distance between neighbouring rows and between neighbouring columns, in the unit
            that distances are wanted in; (1, 1) is pixels.
        tolerances: distances, in the same unit, within which a surface counts as found.
        clicks: the most clicks of an object, where a model is prompted.
    """

    class_names: Mapping[int, str] | None = None
    ignore_index: int | None = None
    ignored: frozenset[int] = frozenset()
    class_agnostic: bool = False
    things: frozenset[int] | None = None
    boundary_ratio: float = 0.02
    spacing: tuple[float, float] = (1.0, 1.0)
    tolerances: tuple[float, ...] = (1.0, 2.0)
    clicks: int = 1


class Sums(ABC):
    """Counts of one image or of many, which add."""

    @abstractmethod
    def add(self, other: Sums) -> None:
        """Add the counts of other images to these, in place."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Ratios by name; NaN where undefined."""

    def counts(self) -> dict[str, int]:
        """Whole numbers worth showing beside the ratios."""
        return {}

    def tables(self) -> dict[str, list[Row]]:
        """Tables by name (`per_class`, `per_threshold`): rows of column → value."""
        return {}

    def notes(self) -> list[str]:
        """What a reader must be told about these counts before quoting the ratios."""
        return []


class Metric(ABC):
    """One family of scores.

    Attributes:
        undefined: every score's name → the reason when it is undefined.
        averaged: True when scores make sense for one image: each is then given pooled over the data
            set and as the mean of images. False: only over the data set.
        lower_is_better: names of the scores that are errors rather than merits.
        by_value: True when of two maps it needs to know no more than how many pixels hold each
            pair of values; it then heeds `Pair.weights`.
    """

    undefined: Mapping[str, str]
    averaged: bool = True
    by_value: bool = False
    lower_is_better: frozenset[str] = frozenset()

    @abstractmethod
    def zero(self) -> Sums:
        """The sums of no image."""

    @abstractmethod
    def measure(self, pair: Pair) -> Sums:
        """The sums of one image.

        Raises:
            PairError: the pair holds values this metric cannot score.
        """

    @abstractmethod
    def conventions(self) -> dict[str, str]:
        """The choices behind the numbers, by topic; the first one in a line for the table."""

    def names(self) -> dict[str, str]:
        """Dotted name of every data-set score → the reason when it is undefined."""
        if not self.averaged:
            return dict(self.undefined)
        return {
            f"{name}.{scope}": reason
            for name, reason in self.undefined.items()
            for scope in (POOLED, MEAN_OF_IMAGES)
        }


@dataclass(slots=True)
class ExactSum:
    """A sum of floats that is the same in any order: NaN is left out and counted.

    Attributes:
        total: the exact sum.
        count: how many numbers were added.
        undefined: how many were NaN.
    """

    total: Fraction = field(default_factory=Fraction)
    count: int = 0
    undefined: int = 0

    def push(self, value: float) -> None:
        """Add one number."""
        if math.isnan(value):
            self.undefined += 1
        else:
            self.total += Fraction(value)
            self.count += 1

    def add(self, other: ExactSum) -> None:
        """Add another sum to this one."""
        self.total += other.total
        self.count += other.count
        self.undefined += other.undefined

    @property
    def mean(self) -> float:
        """The mean of the defined numbers, or NaN when there are none."""
        return float(self.total / self.count) if self.count else math.nan
