"""Which predicted segments of a panoptic map match which true ones, and what the others count as.

The rules of Kirillov et al., "Panoptic Segmentation" (CVPR 2019), with void and crowds as in the
COCO panoptic API (`panopticapi/evaluation.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
Common = dict[tuple[int, int], int]


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
    common = _common(pred.values, truth)
    pred_areas, gt_areas = _areas(common, 0), _areas(common, 1)
    _check_ids(pred, pred_areas)
    _check_ids(gt, gt_areas)
    matches = {
        (p, g): pixels / union
        for (p, g), pixels in common.items()
        if _comparable(pred, gt, p, g)
        and 2 * pixels > (union := _union(common, pred_areas[p], gt_areas[g], (p, g)))
    }
    tallies: dict[int, Tally] = {}
    for (p, _), iou in matches.items():
        tally = tallies.setdefault(pred.category[p], Tally())
        tally.tp += 1
        tally.iou += Fraction(iou)
    matched_preds, matched_gts = {p for p, _ in matches}, {g for _, g in matches}
    for g in gt_areas.keys() - matched_gts - gt.crowds - {_VOID}:
        tallies.setdefault(gt.category[g], Tally()).fn += 1
    forgiven = _forgiven(common, pred, gt)
    for p in pred_areas.keys() - matched_preds - {_VOID}:
        if 2 * forgiven.get(p, 0) <= pred_areas[p]:
            tallies.setdefault(pred.category[p], Tally()).fp += 1
    return tallies


def _comparable(pred: _Side, gt: _Side, p: int, g: int) -> bool:
    if _VOID in {p, g} or g in gt.crowds:
        return False
    return pred.category[p] == gt.category[g]


def _union(common: Common, pred_area: int, gt_area: int, pair: tuple[int, int]) -> int:
    return pred_area + gt_area - common[pair] - common.get((pair[0], _VOID), 0)


def _forgiven(common: Common, pred: _Side, gt: _Side) -> dict[int, int]:
    """Pixels of each predicted segment in void or in crowds of its class."""
    pixels: dict[int, int] = {}
    for (p, g), n in common.items():
        crowd = g in gt.crowds and p != _VOID and gt.category[g] == pred.category[p]
        if g == _VOID or crowd:
            pixels[p] = pixels.get(p, 0) + n
    return pixels


def _common(pred: Ids, gt: Ids) -> Common:
    met = contingency(pred, gt)
    pairs = zip(met.first.tolist(), met.second.tolist(), strict=True)
    return dict(zip(pairs, met.pixels.tolist(), strict=True))


def _areas(common: Common, side: int) -> dict[int, int]:
    areas: dict[int, int] = {}
    for ids, pixels in common.items():
        areas[ids[side]] = areas.get(ids[side], 0) + pixels
    return areas


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


def _check_ids(side: _Side, areas: Mapping[int, int]) -> None:
    if stray := sorted(areas.keys() - side.category.keys() - {_VOID}):
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
