"""Which predicted segments of a panoptic map match which true ones, and what the others count as.

The rules of Kirillov et al., "Panoptic Segmentation" (CVPR 2019), with void and crowds as in the
COCO panoptic API (`panopticapi/evaluation.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import PairError
from segcli.masks.painted import Columns, columns_of
from segcli.metrics.base import BoolMask, Pair
from segcli.metrics.contingency import contingency
from segcli.metrics.intersections import painted
from segcli.records import Segmentation

__all__ = ["EVERY_CLASS", "Tally", "tally_segments"]

EVERY_CLASS = 1
"""The category id of all segments where classes are left aside."""

_VOID = 0
_SCORES = ("pq", "sq", "rq")

Ids = npt.NDArray[np.integer[Any]]
Integers = npt.NDArray[np.int64]


@dataclass(slots=True)
class Tally:
    """Segments of one class by outcome.

    Attributes:
        tp: matched pairs.
        fp: predicted and not matched.
        fn: true and not matched.
        iou: the sum of the IoU of matched pairs.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0
    iou: Fraction = field(default_factory=Fraction)

    def add(self, other: Tally) -> None:
        """Add segments of other images."""
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn
        self.iou += other.iou

    @property
    def occurs(self) -> bool:
        """Whether the class has a segment that counts."""
        return self.tp + self.fp + self.fn > 0

    def scores(self) -> dict[str, float]:
        """PQ, SQ and RQ; NaN for a class that does not occur, SQ 0 where nothing matches."""
        if not self.occurs:
            return dict.fromkeys(_SCORES, math.nan)
        # Quotients of whole numbers are as exact as those of fractions, and quicker.
        above, below = self.iou.numerator, self.iou.denominator
        twice = 2 * self.tp + self.fp + self.fn
        return {
            "pq": 2 * above / (below * twice),
            "sq": above / (below * self.tp) if self.tp else 0.0,
            "rq": 2 * self.tp / twice,
        }


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a pair.

    Attributes:
        name: what to call it in errors.
        values: (H, W) segment ids, 0 = void.
        category: category by segment id.
        crowds: ids of crowd segments.
    """

    name: str
    values: Ids
    category: Mapping[int, int]
    crowds: frozenset[int]


def tally_segments(pair: Pair, *, class_agnostic: bool = False) -> dict[int, Tally]:
    """Match the segments of one pair, by category id.

    A predicted and a true segment match when they have the same category and IoU > 0.5, where the
    union leaves out the prediction's void pixels; there is at most one such partner. Crowds are
    never matched nor missed. An unmatched prediction with more than half of its pixels in void or
    in crowds of its category is no false positive. Areas are pixels of the map; segments that are
    listed and have no pixel that counts are left out.

    Args:
        pair: each side a map of segment ids with segments that name their categories, or segments
            that do not overlap. Pixels that do not count are void.
        class_agnostic: take all segments as one class of things, with the id 1.

    Raises:
        PairError: a side does not tell objects and classes apart, or its list does not fit its map.
    """
    pred = _side(pair.pred, class_agnostic)
    gt = _side(pair.gt, class_agnostic)
    return _match(pred, gt, pair.counted)


def _match(pred: _Side, gt: _Side, counted: BoolMask | None) -> dict[int, Tally]:
    truth = gt.values if counted is None else np.where(counted, gt.values, _VOID)
    met = contingency(pred.values, truth)
    codes: dict[int, int] = {}
    guesses, truths = _met(pred, met.first, codes), _met(gt, met.second, codes)
    p, g, pixels = guesses.places, truths.places, met.pixels
    areas, gt_areas = guesses.summed(pixels), truths.summed(pixels)
    void = guesses.summed(np.where(truths.is_void[g], pixels, 0))
    union = areas[p] + gt_areas[g] - pixels - void[p]
    comparable = (guesses.codes[p] == truths.codes[g]) & ~guesses.is_void[p]
    in_crowd = comparable & truths.crowd[g]
    matched = np.flatnonzero(comparable & ~in_crowd & (2 * pixels > union))
    tallies: dict[int, Tally] = {}
    ious = (pixels[matched] / union[matched]).tolist()
    for number, iou in zip(guesses.ids[p[matched]].tolist(), ious, strict=True):
        tally = tallies.setdefault(pred.category[number], Tally())
        tally.tp += 1
        tally.iou += Fraction(iou)
    for number in truths.others(g[matched], truths.crowd):
        tallies.setdefault(gt.category[number], Tally()).fn += 1
    forgiven = void + guesses.summed(np.where(in_crowd, pixels, 0))
    for number in guesses.others(p[matched], 2 * forgiven > areas):
        tallies.setdefault(pred.category[number], Tally()).fp += 1
    return tallies


@dataclass(frozen=True, slots=True)
class _Met:
    """The ids of one side that have pixels that count.

    Attributes:
        ids: (N,) the ids, void among them.
        places: (M,) of each pair of ids that meet, the place of this side's.
        codes: (N,) a number for each category, the same on both sides; -1 for void.
        crowd: (N,) True for crowds.
    """

    ids: Integers
    places: Integers
    codes: Integers
    crowd: BoolMask

    @property
    def is_void(self) -> BoolMask:
        """(N,) True for void."""
        found: BoolMask = self.ids == _VOID
        return found

    def summed(self, pixels: Integers) -> Integers:
        """(N,) the pixels of all pairs that each id is in."""
        # Sums of whole numbers in float64 are exact below 2^53 pixels.
        return np.bincount(self.places, pixels, len(self.ids)).astype(np.int64)

    def others(self, matched: Integers, excused: BoolMask) -> list[int]:
        """The ids that are not matched, excused or void."""
        left = ~excused & ~self.is_void
        left[matched] = False
        found: list[int] = self.ids[left].tolist()
        return found


def _met(side: _Side, ids: Integers, codes: dict[int, int]) -> _Met:
    present, places = np.unique(ids, return_inverse=True)
    listed = present.tolist()
    _check_ids(side, listed)
    coded = [-1 if i == _VOID else codes.setdefault(side.category[i], len(codes)) for i in listed]
    crowd = np.array([i in side.crowds for i in listed], np.bool_)
    return _Met(present, places, np.array(coded, np.int64), crowd)


def _side(side: Segmentation, agnostic: bool) -> _Side:
    name = side.image.source or side.image.key
    listed = columns_of(side.segments)
    if not agnostic:
        _check_classes(side, listed, name)
    crowds = listed.crowds
    if side.labels is None:
        values = painted(side.segments, side)
        if values is None:
            raise PairError(
                f"{name}: holds segments that overlap, and the protocol is panoptic",
                why="in a panoptic map each pixel belongs to one segment at most",
                fix="--protocol instance, or write a label map with `segcli convert`",
            )
        ids = list(range(1, len(side.segments) + 1))
    elif side.segments:
        values = side.labels.values
        ids = [_id_of(number, name) for number in listed.ids]
    else:
        values = side.labels.values
        ids = [int(v) for v in np.unique(values) if v != _VOID]
        crowds = [False] * len(ids)
    categories = [EVERY_CLASS if agnostic else c or 0 for c in listed.categories]
    categories = categories or [EVERY_CLASS] * len(ids)
    found = dict(zip(ids, categories, strict=True))
    return _Side(name, values, found, frozenset(i for i, c in zip(ids, crowds, strict=True) if c))


def _check_classes(side: Segmentation, listed: Columns, name: str) -> None:
    if side.labels is not None and side.labels.kind in ("semantic", "binary"):
        raise PairError(
            f"{name}: holds a {side.labels.kind} map, and the protocol is panoptic",
            why="its values do not tell the objects of a class apart",
            fix=f"--protocol {side.labels.kind}",
        )
    nameless = None in listed.categories
    if nameless or (side.labels is not None and not side.segments and side.labels.values.any()):
        raise PairError(
            f"{name}: holds objects without classes, and the protocol is panoptic",
            why="panoptic quality matches objects within their class",
            fix="--protocol instance, whose matching leaves classes aside",
        )


def _check_ids(side: _Side, ids: Sequence[int]) -> None:
    if stray := sorted(set(ids) - side.category.keys() - {_VOID}):
        raise PairError(
            f"{side.name}: holds the segment id {stray[0]}, which no segment of its list has",
            why="without a listed segment the value has no class",
            fix="list it in segments_info, or write 0 (void) there",
        )


def _id_of(number: int | None, name: str) -> int:
    if not number:
        raise PairError(
            f"{name}: a listed segment has the id {number}",
            why="each segment is a value of the map, and 0 is void",
            fix="give each segment an id from 1",
        )
    return number
