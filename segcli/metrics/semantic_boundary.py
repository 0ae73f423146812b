"""Boundary IoU of class maps: of each class, and their mean.

Boundary IoU (Cheng et al. 2021) of each class's mask, counted for all classes in one pass: a pixel
belongs to its class's boundary when its window holds another class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.masks.boundaries import boundary_pixels, boundary_width
from segcli.metrics.base import (
    MEAN_OF_IMAGES,
    POOLED,
    BoolMask,
    ExactSum,
    Metric,
    MetricOptions,
    Pair,
    Row,
    Sums,
    ratio,
)
from segcli.metrics.semantic import (
    NO_CLASS,
    check_listed,
    class_map,
    predicted_background,
    void_classes,
)

__all__ = ["SemanticBoundary", "SemanticBoundarySums", "count_class_boundaries"]

_COUNTED = 1 << 16

Labels = npt.NDArray[np.integer[Any]]


@dataclass(slots=True)
class ClassPixels:
    """Boundary pixels of one class.

    Attributes:
        pred: in the boundary of the predicted class.
        gt: in the boundary of the true class.
        both: in both.
        of_images: the sum over images of each image's own boundary IoU.
    """

    pred: int = 0
    gt: int = 0
    both: int = 0
    of_images: ExactSum = field(default_factory=ExactSum)

    @property
    def iou(self) -> float:
        """The boundary IoU, or NaN where the class occurs on neither side."""
        return ratio(self.both, self.pred + self.gt - self.both)


@dataclass(slots=True)
class SemanticBoundarySums(Sums):
    """Boundary pixels by class.

    Attributes:
        classes: by class id; those that occur on either side.
        class_names: name by class id, or None when no list was given.
        ignored: classes that are in no mean.
    """

    classes: dict[int, ClassPixels] = field(default_factory=dict)
    class_names: Mapping[int, str] | None = None
    ignored: frozenset[int] = frozenset((NO_CLASS,))

    def add(self, other: Sums) -> None:
        """Add pixels of other images, whatever classes they hold."""
        assert isinstance(other, SemanticBoundarySums)
        for number, pixels in other.classes.items():
            mine = self.classes.setdefault(number, ClassPixels())
            mine.pred += pixels.pred
            mine.gt += pixels.gt
            mine.both += pixels.both
            mine.of_images.add(pixels.of_images)

    def compute(self) -> dict[str, float]:
        """The mean over the classes that occur on either side, in 0..1."""
        found = [pixels.iou for c, pixels in self.classes.items() if c not in self.ignored]
        return {"boundary_miou": math.fsum(found) / len(found) if found else math.nan}

    def tables(self) -> dict[str, list[Row]]:
        """One row a class, absent ones of the list included."""
        rows: list[Row] = []
        for number in sorted({*self.classes, *(self.class_names or ())} - self.ignored):
            pixels = self.classes.get(number, ClassPixels())
            rows.append(
                {
                    "class": number,
                    "name": (self.class_names or {}).get(number),
                    f"boundary_iou.{POOLED}": pixels.iou,
                    f"boundary_iou.{MEAN_OF_IMAGES}": pixels.of_images.mean,
                }
            )
        return {"per_class": rows}


def count_class_boundaries(
    pred: Labels, gt: Labels, counted: BoolMask | None = None, boundary_ratio: float = 0.02
) -> dict[int, ClassPixels]:
    """Count the boundary pixels of every class of one image.

    Args:
        pred: (H, W) class ids.
        gt: (H, W) class ids.
        counted: (H, W) bool, the pixels that count; the others are no class on either side, so
            classes have a boundary there. None means all.
        boundary_ratio: depth of the boundary as a share of the image's diagonal.

    Returns:
        The pixels of each class that occurs on either side, ascending.

    Raises:
        ValueError: the shapes differ.
    """
    if pred.shape != gt.shape:
        raise ValueError(f"class maps of shapes {pred.shape} and {gt.shape} cannot be compared")
    depth = boundary_width(gt.shape[0], gt.shape[1], boundary_ratio)
    pred_rim, gt_rim = boundary_pixels(pred, depth), boundary_pixels(gt, depth)
    if counted is not None:
        near_void = boundary_pixels(counted, depth)
        pred_rim, gt_rim = (counted & (rim | near_void) for rim in (pred_rim, gt_rim))
    predicted, true = _count(pred[pred_rim]), _count(gt[gt_rim])
    both = _count(gt[pred_rim & gt_rim & (pred == gt)])
    found = {}
    for number in sorted({*predicted, *true}):
        counts = [n.get(number, 0) for n in (predicted, true, both)]
        found[number] = ClassPixels(counts[0], counts[1], counts[2])
        found[number].of_images.push(found[number].iou)
    return found


def _count(values: Labels) -> dict[int, int]:
    if values.size and int(values.min()) >= 0 and int(values.max()) < _COUNTED:
        # Several times faster than sorting.
        counts = np.bincount(values)
        numbers: Labels = np.flatnonzero(counts)
        counts = counts[numbers]
    else:
        numbers, counts = np.unique(values, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


class SemanticBoundary(Metric):
    """The outlines of classes."""

    undefined = MappingProxyType({"boundary_miou": "no class occurs on either side (0/0)"})

    def __init__(self, options: MetricOptions) -> None:
        self._names = options.class_names
        self._ignored = void_classes(options) | {NO_CLASS}
        self._ratio = options.boundary_ratio
        self._background = predicted_background(options)

    def zero(self) -> Sums:
        """No pixels."""
        return SemanticBoundarySums(class_names=self._names, ignored=self._ignored)

    def measure(self, pair: Pair) -> Sums:
        """Boundary pixels of one image, refused when a value is outside the class list."""
        pred, gt = class_map(pair.pred, self._background), class_map(pair.gt)
        classes = count_class_boundaries(pred, gt, pair.counted, self._ratio)
        self._check_listed(pair, classes)
        return SemanticBoundarySums(classes, self._names, self._ignored)

    def _check_listed(self, pair: Pair, classes: Mapping[int, ClassPixels]) -> None:
        # A class that occurs has a boundary, so none goes unseen.
        if self._names is not None:
            check_listed(f"{pair.key}: holds", classes, self._names)

    def conventions(self) -> dict[str, str]:
        """What a boundary is, and which classes are averaged."""
        return {
            "boundary": f"boundary IoU: a class's mask minus its erosion by {self._ratio:g} of the "
            "image's diagonal (3x3 square, rounded, at least 1 pixel); the image's border counts",
            "boundary_classes": "boundary_miou: mean over the classes that occur on either side, "
            "background (0) too unless it is ignored; only predicted: 0",
            "boundary_void": "pixels that do not count are no class on either side, so classes "
            "have a boundary there; it is counted on the classes' side only",
        }
