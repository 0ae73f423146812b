"""COCO boundary AP and AR: COCO's twelve numbers where overlap is that of masks and of outlines.

Boundary AP of Cheng et al. 2021, as boundary-iou-api computes it: the overlap of a prediction and
an object is the smaller of their mask IoU and their boundary IoU; crowds take part by mask alone.
All else is COCO's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from segcli.masks.boundaries import boundary_pixels, boundary_width
from segcli.masks.rle import runs, segment_from_rle
from segcli.metrics.base import BoolMask, MetricOptions, Pair, Sums
from segcli.metrics.coco_ap import EVERY_CLASS, CocoAp, CocoSums, Objects, objects_of
from segcli.metrics.coco_curves import Curves
from segcli.metrics.coco_greedy import LOWEST, curves, match_image
from segcli.records import RLE

__all__ = ["CocoBoundaryAp", "CocoBoundarySums", "Shape", "boundary_overlaps"]

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(slots=True)
class CocoBoundarySums(CocoSums):
    """Matches by class; `evaluators` holds a list of matched images each."""

    prefix: ClassVar[str] = "boundary_"
    title: ClassVar[str] = "boundary AP"

    def _merged(self, mine: Any, other: Any) -> Any:  # noqa: ANN401 (as declared in CocoSums)
        mine.extend(other)
        return mine

    def _finished(self, evaluator: Any) -> Curves:  # noqa: ANN401 (as declared in CocoSums)
        return curves(evaluator)


@dataclass(eq=False)
class Shape:
    """One mask within its box, with rows and columns swapped as they are in an RLE.

    Attributes:
        rle: the mask.
        depth: depth of its boundary in pixels.
        area: pixels of the mask.
        box_xyxy: (x0, y0, x1, y1), tight, in half-open pixels.
    """

    rle: RLE
    depth: int
    area: float = field(init=False)
    box_xyxy: tuple[int, int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        measured = segment_from_rle(self.rle)
        x, y, width, height = (int(v) for v in measured.box_xywh)
        self.area, self.box_xyxy = measured.area, (x, y, x + width, y + height)

    @cached_property
    def mask(self) -> BoolMask:
        """(columns, rows) of the box."""
        x0, y0, x1, y1 = self.box_xyxy
        height = self.rle.height
        starts, stops = runs(self.rle)
        edges = np.empty(2 * len(starts) + 2, np.int64)
        edges[0], edges[-1] = x0 * height, x1 * height
        edges[1:-1:2], edges[2:-1:2] = starts, stops
        inside = np.arange(len(edges) - 1) % 2 == 1
        return np.repeat(inside, np.diff(edges)).reshape(x1 - x0, height)[:, y0:y1]

    @cached_property
    def boundary(self) -> BoolMask:
        """(columns, rows) of the box; what is outside of it is background."""
        return self.mask & boundary_pixels(self.mask, self.depth)

    @cached_property
    def boundary_area(self) -> int:
        """Pixels of the boundary."""
        return int(np.count_nonzero(self.boundary))


def boundary_overlaps(
    guesses: Sequence[Shape], truths: Sequence[Shape], crowds: BoolMask
) -> Floats:
    """The smaller of mask IoU and boundary IoU, for all pairs of two sides of one image.

    Args:
        guesses: D predicted masks.
        truths: G true masks.
        crowds: (G,) True where the overlap is the share of the prediction that lies in the object.

    Returns:
        (D, G) float64 in 0..1; pairs that stay below 0.5 may be given as 0, as no threshold of COCO
        is below it.
    """
    overlaps = np.zeros((len(guesses), len(truths)))
    for i, j in zip(*_promising(guesses, truths, crowds), strict=True):
        overlaps[i, j] = _overlap(guesses[i], truths[j], crowd=bool(crowds[j]))
    return overlaps


def _promising(
    guesses: Sequence[Shape], truths: Sequence[Shape], crowds: BoolMask
) -> tuple[Places, Places]:
    """Pairs that may reach the lowest threshold, judged by their boxes and areas."""
    boxes, areas = zip(*(_measures(side) for side in (guesses, truths)), strict=True)
    one, two = boxes[0][:, None], boxes[1][None]
    sides = np.minimum(one[..., 2:], two[..., 2:]) - np.maximum(one[..., :2], two[..., :2])
    common = np.minimum(sides.clip(0).prod(axis=2), np.minimum.outer(*areas))
    whole = np.where(crowds, areas[0][:, None], np.add.outer(*areas) - common)
    rows, columns = np.nonzero((common > 0) & (common >= LOWEST * whole))
    return rows, columns


def _measures(shapes: Sequence[Shape]) -> tuple[npt.NDArray[np.int64], Floats]:
    boxes = np.array([shape.box_xyxy for shape in shapes], np.int64).reshape(-1, 4)
    return boxes, np.array([shape.area for shape in shapes], np.float64)


def _overlap(guess: Shape, truth: Shape, *, crowd: bool) -> float:
    x0, y0 = (max(a, b) for a, b in zip(guess.box_xyxy[:2], truth.box_xyxy[:2], strict=True))
    x1, y1 = (min(a, b) for a, b in zip(guess.box_xyxy[2:], truth.box_xyxy[2:], strict=True))
    windows = [
        (
            slice(x0 - shape.box_xyxy[0], x1 - shape.box_xyxy[0]),
            slice(y0 - shape.box_xyxy[1], y1 - shape.box_xyxy[1]),
        )
        for shape in (guess, truth)
    ]
    common = int(np.count_nonzero(guess.mask[windows[0]] & truth.mask[windows[1]]))
    if crowd:
        return common / guess.area
    iou = common / (guess.area + truth.area - common)
    if iou < LOWEST:
        return 0.0
    rims = int(np.count_nonzero(guess.boundary[windows[0]] & truth.boundary[windows[1]]))
    return min(iou, rims / (guess.boundary_area + truth.boundary_area - rims))


class CocoBoundaryAp(CocoAp):
    """COCO's average precision and recall over masks and their outlines."""

    undefined = MappingProxyType(
        {CocoBoundarySums.prefix + name: reason for name, reason in CocoAp.undefined.items()}
    )

    def __init__(self, options: MetricOptions) -> None:
        super().__init__(options)
        self._ratio = options.boundary_ratio

    def zero(self) -> Sums:
        """No objects."""
        return CocoBoundarySums(self._agnostic, names=dict(self._names))

    def measure(self, pair: Pair) -> Sums:
        """The objects of one image, matched."""
        found = objects_of(pair)
        depth = boundary_width(pair.gt.image.height, pair.gt.image.width, self._ratio)
        guesses = [Shape(segment.mask, depth) for segment in found.pred]
        truths = [Shape(segment.mask, depth) for segment in found.gt]
        crowds = [segment.iscrowd for segment in found.gt]
        ranged = [segment.area for segment in found.gt]
        if pair.gt.ignore is not None:
            void = Shape(pair.gt.ignore, depth)
            truths, crowds, ranged = [*truths, void], [*crowds, True], [*ranged, void.area]
        forgiving = np.array(crowds, bool)
        overlaps = boundary_overlaps(guesses, truths, forgiving)
        scores = np.array(found.scores, np.float64)
        areas, true_areas = np.array([s.area for s in guesses], float), np.array(ranged, float)
        evaluators: dict[int | None, Any] = {
            category: [
                match_image(
                    pair.index,
                    (scores[rows], areas[rows]),
                    (true_areas[columns], forgiving[columns]),
                    overlaps[np.ix_(rows, columns)],
                )
            ]
            for category, rows, columns in _groups(found, len(truths))
        }
        return CocoBoundarySums(evaluators=evaluators, **found.totals(pair))

    def conventions(self) -> dict[str, str]:
        """COCO's rules, and what a boundary is."""
        shared = super().conventions()
        del shared["coco"]
        return {
            "coco_boundary": "boundary_ap and boundary_ar: COCO's matching where the overlap is "
            "the smaller of mask IoU and boundary IoU (crowds: the share of the prediction)",
            "coco_boundary_depth": f"{self._ratio:g} of the image's diagonal, rounded, at least 1 "
            "pixel, eroded by a 3x3 square; the image's border counts",
            **shared,
        }


def _groups(found: Objects, truths: int) -> Iterator[tuple[int | None, list[int], list[int]]]:
    """Each category, and all as one, with its predictions and true objects by their positions.

    As one class they come by category, as pycocotools takes them with `useCats = 0`.
    Truths beyond the objects found are where nothing counts, and so belong to every category.
    """
    void = list(range(len(found.gt), truths))
    sides = [[segment.category for segment in side] for side in (found.pred, found.gt)]
    every = {EVERY_CLASS} if any(sides) else set()
    for category in {*sides[0], *sides[1], *every}:
        rows, columns = (_places(side, category) for side in sides)
        yield category, rows, [*columns, *void]


def _places(side: Sequence[int | None], category: int | None) -> list[int]:
    """Where a category's objects are; of every class, by category."""
    if category is not EVERY_CLASS:
        return [i for i, own in enumerate(side) if own == category]
    return sorted(range(len(side)), key=lambda i: side[i] or 0)
