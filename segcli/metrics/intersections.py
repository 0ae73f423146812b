"""Which objects of two sides overlap, and by how many pixels, for one image.

Two label maps are compared by one `bincount` over a joint code. Objects that overlap each other do
not fit a label map, and are compared mask by mask within their boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import PairError
from segcli.masks.labels import label_map_from_segments, segments_of
from segcli.masks.rle import decode, merge, runs
from segcli.metrics.base import BoolMask, Pair
from segcli.records import RLE, Segment, Segmentation

__all__ = ["Intersections", "intersect"]

_JOINT_LIMIT = 1 << 22

Integers = npt.NDArray[np.int64]
LabelValues = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Intersections:
    """Objects of both sides and their common pixels; pixels that do not count are left out.

    Attributes:
        pred_areas: (P,) pixels of each predicted object.
        gt_areas: (G,) pixels of each true object; crowds are not among them.
        pred_forgiven: (P,) pixels of each predicted object that lie in crowds or do not count.
        pred_full_areas: (P,) pixels of each predicted object, with those that do not count.
        pred: (N,) index of the predicted object of each overlapping pair.
        gt: (N,) index of its true object.
        pixels: (N,) pixels both have, at least 1.
    """

    pred_areas: Integers
    gt_areas: Integers
    pred_forgiven: Integers
    pred_full_areas: Integers
    pred: Integers
    gt: Integers
    pixels: Integers

    @property
    def unions(self) -> Integers:
        """(N,) pixels that either object of each pair has."""
        return self.pred_areas[self.pred] + self.gt_areas[self.gt] - self.pixels


def intersect(pair: Pair) -> Intersections:
    """Compare the objects of a pair.

    A label map's objects are its values other than 0; segments are objects each; crowd segments of
    the ground truth are regions to forgive, not objects.
    """
    crowds = [s.mask for s in pair.gt.segments if s.iscrowd]
    forgiven = _forgiven(crowds, pair.counted)
    gt_map = None if crowds and pair.gt.labels is not None else _own_map(pair.gt)
    pred_map = _own_map(pair.pred)
    gt = () if gt_map is not None else tuple(s for s in segments_of(pair.gt) if not s.iscrowd)
    pred = () if pred_map is not None else segments_of(pair.pred)
    gt_map = _painted(gt, pair.gt) if gt_map is None else gt_map
    pred_map = _painted(pred, pair.pred) if pred_map is None else pred_map
    if gt_map is not None and pred_map is not None:
        return _compare_maps(pred_map, gt_map, pair.counted, forgiven)
    preds, gts = pred or segments_of(pair.pred), gt or segments_of(pair.gt)
    return _compare_masks(preds, gts, pair, forgiven)


def _own_map(side: Segmentation) -> LabelValues | None:
    """The label map a side holds, 0 as it is and the others 1..N in ascending order.

    Raises:
        PairError: a value is negative.
    """
    if side.labels is None:
        return None
    labels = side.labels.values
    if labels.dtype == bool:
        labels = labels.view(np.uint8)
    lowest, highest = int(labels.min(initial=0)), int(labels.max(initial=0))
    if lowest >= 0 and highest <= np.iinfo(np.uint16).max:
        # Looking values up is many times faster than sorting pixels.
        present = np.bincount(labels.ravel(), minlength=1) > 0
        present[0] = False
        codes: LabelValues = np.cumsum(present, dtype=np.int32)[labels]
        return codes
    if lowest < 0:
        raise PairError(
            f"{side.image.source or side.image.key}: holds the negative object id {lowest}",
            why="object ids are positive, and 0 is the background",
            fix="write 0 where there is no object",
        )
    values, inverse = np.unique(labels, return_inverse=True)
    codes = inverse.reshape(labels.shape)
    return codes if values[0] == 0 else codes + 1


def _painted(segments: Sequence[Segment], side: Segmentation) -> LabelValues | None:
    """Segments as a label map, or None when they overlap and so do not fit one."""
    height, width = side.image.height, side.image.width
    pixels = 0
    for segment in segments:
        starts, stops = runs(segment.mask)
        pixels += int((stops - starts).sum())
        if pixels > height * width:
            return None
    painted = label_map_from_segments(segments, height, width)
    return painted if int(np.count_nonzero(painted)) == pixels else None


def _forgiven(crowds: list[RLE], counted: BoolMask | None) -> BoolMask | None:
    crowd = decode(merge(crowds)) if crowds else None
    if counted is None:
        return crowd
    return ~counted if crowd is None else crowd | ~counted


def _compare_maps(
    pred: LabelValues, gt: LabelValues, counted: BoolMask | None, forgiven: BoolMask | None
) -> Intersections:
    preds, gts = int(pred.max(initial=0)), int(gt.max(initial=0))
    full = np.bincount(pred.ravel(), minlength=preds + 1)
    lost = np.zeros_like(full)
    if forgiven is not None:
        lost = np.bincount(pred[forgiven], minlength=preds + 1)
    if counted is not None:
        pred, gt = pred[counted], gt[counted]
    joint = gt.ravel().astype(np.int64) * (preds + 1) + pred.ravel()
    if (preds + 1) * (gts + 1) <= _JOINT_LIMIT:
        table = np.bincount(joint, minlength=(preds + 1) * (gts + 1))
        codes = np.flatnonzero(table)
        pixels = table[codes]
    else:
        codes, pixels = np.unique(joint, return_counts=True)
    gt_index, pred_index = codes // (preds + 1), codes % (preds + 1)
    both = (gt_index > 0) & (pred_index > 0)
    return Intersections(
        pred_areas=_sums(pred_index, pixels, preds),
        gt_areas=_sums(gt_index, pixels, gts),
        pred_forgiven=lost[1:].astype(np.int64),
        pred_full_areas=full[1:].astype(np.int64),
        pred=(pred_index[both] - 1).astype(np.int64),
        gt=(gt_index[both] - 1).astype(np.int64),
        pixels=pixels[both].astype(np.int64),
    )


def _sums(index: Integers, pixels: Integers, size: int) -> Integers:
    totals = np.zeros(size + 1, np.int64)
    np.add.at(totals, index, pixels)
    return totals[1:]


def _compare_masks(
    preds: Sequence[Segment], gts: Sequence[Segment], pair: Pair, forgiven: BoolMask | None
) -> Intersections:
    gts = [s for s in gts if not s.iscrowd]
    truths = [_Cut.of(s, pair.counted) for s in gts]
    found: list[tuple[int, int, int]] = []
    areas = np.zeros((3, len(preds)), np.int64)
    for p, segment in enumerate(preds):
        whole = _Cut.of(segment, None)
        cut = whole.within(pair.counted)
        areas[0, p] = np.count_nonzero(cut.mask)
        areas[1, p] = 0 if forgiven is None else np.count_nonzero(whole.within(forgiven).mask)
        areas[2, p] = np.count_nonzero(whole.mask)
        found += [(p, g, n) for g, truth in enumerate(truths) if (n := cut.common(truth))]
    table = np.array(found, np.int64).reshape(-1, 3)
    return Intersections(
        pred_areas=areas[0],
        gt_areas=np.array([np.count_nonzero(t.mask) for t in truths], np.int64),
        pred_forgiven=areas[1],
        pred_full_areas=areas[2],
        pred=table[:, 0],
        gt=table[:, 1],
        pixels=table[:, 2],
    )


@dataclass(frozen=True, slots=True)
class _Cut:
    """A mask within its box, half-open pixels."""

    x0: int
    y0: int
    x1: int
    y1: int
    mask: BoolMask

    @classmethod
    def of(cls, segment: Segment, counted: BoolMask | None) -> _Cut:
        x, y, w, h = (int(v) for v in segment.box_xywh)
        # A copy, so that the decoded picture behind the view is freed.
        mask = decode(segment.mask)[y : y + h, x : x + w].copy()
        return cls(x, y, x + w, y + h, mask).within(counted)

    def within(self, region: BoolMask | None) -> _Cut:
        if region is None:
            return self
        inside = self.mask & region[self.y0 : self.y1, self.x0 : self.x1]
        return _Cut(self.x0, self.y0, self.x1, self.y1, inside)

    def common(self, other: _Cut) -> int:
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        if x0 >= x1 or y0 >= y1:
            return 0
        mine = self.mask[y0 - self.y0 : y1 - self.y0, x0 - self.x0 : x1 - self.x0]
        theirs = other.mask[y0 - other.y0 : y1 - other.y0, x0 - other.x0 : x1 - other.x0]
        return int(np.count_nonzero(mine & theirs))
