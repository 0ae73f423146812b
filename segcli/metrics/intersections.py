"""Which objects of two sides overlap, and by how many pixels, for one image.

Two label maps are compared by their contingency table. Objects that overlap each other do not fit a
label map: their runs are laid over the runs of the other side, and masks are never made dense.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from segcli.errors import PairError
from segcli.masks.coded import CodedSegments, masks_of
from segcli.masks.labels import segments_of
from segcli.masks.rle import decode, merge, runs_of
from segcli.metrics.base import BoolMask, Pair
from segcli.metrics.contingency import contingency
from segcli.records import RLE, Segment, Segmentation

__all__ = ["Intersections", "intersect", "painted"]

Integers = npt.NDArray[np.int64]
LabelValues = npt.NDArray[np.integer[Any]]
Counted = tuple[LabelValues, int]

_CODES_AT_ONCE = 1 << 21
_PIECES_AT_ONCE = 1 << 19
_FIRST = np.ones(1, bool)


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


@dataclass(frozen=True, slots=True)
class _Spans:
    """The runs of several objects in column-major order, ascending by start.

    Attributes:
        owner: (R,) index of each run's object.
        starts: (R,) position of its first pixel (y + H * x).
        stops: (R,) position behind its last.
    """

    owner: Integers
    starts: Integers
    stops: Integers

    def ordered(self) -> _Spans:
        return self._pick(np.argsort(self.starts, kind="stable"))

    def between(self, first: int, behind: int) -> _Spans:
        """The runs of some of the objects."""
        return self._pick(np.flatnonzero((self.owner >= first) & (self.owner < behind)))

    def areas(self, objects: int) -> Integers:
        return np.bincount(self.owner, self.stops - self.starts, objects).astype(np.int64)

    def _pick(self, which: npt.NDArray[np.intp]) -> _Spans:
        return _Spans(self.owner[which], self.starts[which], self.stops[which])


_KNOWN: WeakKeyDictionary[Pair, Intersections] = WeakKeyDictionary()


def intersect(pair: Pair) -> Intersections:
    """Compare the objects of a pair, once however many metrics ask.

    A label map's objects are its values other than 0; segments are objects each; crowd segments of
    the ground truth are regions to forgive, not objects.

    Raises:
        PairError: an object id is negative.
    """
    found = _KNOWN.get(pair)
    if found is None:
        found = _KNOWN[pair] = _compare(pair)
    return found


def _compare(pair: Pair) -> Intersections:
    crowds = _crowds(pair.gt.segments)
    forgiven = _forgiven(crowds, pair.counted)
    gt_map = None if crowds and pair.gt.labels is not None else _own_map(pair.gt)
    pred_map = _own_map(pair.pred)
    gt = [] if gt_map is not None else _objects(segments_of(pair.gt))
    pred = [] if pred_map is not None else masks_of(segments_of(pair.pred))
    truth_spans = None if gt_map is not None else _spans_of(gt)
    spans = None if pred_map is not None else _spans_of(pred)
    gt_map = gt_map if truth_spans is None else _painted(truth_spans, len(gt), pair.gt)
    pred_map = pred_map if spans is None else _painted(spans, len(pred), pair.pred)
    guesses, truths = _count(pred, pred_map), _count(gt, gt_map)
    if gt_map is not None and pred_map is not None:
        return _compare_maps((pred_map, guesses), (gt_map, truths), pair.counted, forgiven)
    if spans is None:
        assert pred_map is not None
        spans = _map_spans(pred_map)
    if truth_spans is None:
        assert gt_map is not None
        truth_spans = _map_spans(gt_map)
    return _compare_spans((spans, guesses), (truth_spans, truths), pair.counted, forgiven)


def _crowds(segments: Sequence[Segment]) -> list[RLE]:
    if isinstance(segments, CodedSegments) and not any(segments.crowds):
        return []
    return [segment.mask for segment in segments if segment.iscrowd]


def _objects(segments: Sequence[Segment]) -> list[RLE]:
    if isinstance(segments, CodedSegments) and not any(segments.crowds):
        return segments.masks
    return [segment.mask for segment in segments if not segment.iscrowd]


def _count(listed: Sequence[RLE], values: LabelValues | None) -> int:
    """Objects of a side: painted ones without a pixel are objects all the same."""
    return len(listed) if values is None else max(len(listed), int(values.max(initial=0)))


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
    # Sorting runs of equal pixels rather than pixels.
    flat = labels.ravel()
    starts = np.flatnonzero(np.concatenate((_FIRST[: flat.size], flat[1:] != flat[:-1])))
    values, inverse = np.unique(flat[starts], return_inverse=True)
    by_run = inverse if values[0] == 0 else inverse + 1
    return np.repeat(by_run, np.diff(starts, append=flat.size)).reshape(labels.shape)


def painted(segments: Sequence[Segment], side: Segmentation) -> LabelValues | None:
    """Segments as a label map, or None when they overlap and so do not fit one."""
    return _painted(_spans_of(masks_of(segments)), len(segments), side)


def _painted(spans: _Spans, objects: int, side: Segmentation) -> LabelValues | None:
    """As `painted`, from the runs of the segments in order."""
    if bool((spans.starts[1:] < spans.stops[:-1]).any()):
        return None
    height, width = side.image.height, side.image.width
    dtype = np.uint16 if objects <= np.iinfo(np.uint16).max else np.uint32
    values = np.zeros(2 * len(spans.owner) + 1, dtype)
    values[1::2] = spans.owner + 1
    edges = np.zeros(2 * len(spans.owner) + 2, np.int64)
    edges[1:-1:2], edges[2:-1:2], edges[-1] = spans.starts, spans.stops, height * width
    columns = np.repeat(values, np.diff(edges)).reshape(width, height)
    return np.ascontiguousarray(columns.T)


def _forgiven(crowds: list[RLE], counted: BoolMask | None) -> BoolMask | None:
    crowd = decode(merge(crowds)) if crowds else None
    if counted is None:
        return crowd
    return ~counted if crowd is None else crowd | ~counted


def _compare_maps(
    pred: Counted, gt: Counted, counted: BoolMask | None, forgiven: BoolMask | None
) -> Intersections:
    (pred_map, preds), (gt_map, gts) = pred, gt
    met = contingency(gt_map, pred_map, counted)
    gt_index, pred_index, pixels = met.first, met.second, met.pixels
    both = (gt_index > 0) & (pred_index > 0)
    areas = _sums(pred_index, pixels, preds)
    full, lost = areas, np.zeros_like(areas)
    if counted is not None:
        full = np.bincount(pred_map.ravel(), minlength=preds + 1)[1:]
    if forgiven is not None:
        lost = np.bincount(pred_map[forgiven], minlength=preds + 1)[1:]
    return Intersections(
        pred_areas=areas,
        gt_areas=_sums(gt_index, pixels, gts),
        pred_forgiven=lost,
        pred_full_areas=full,
        pred=pred_index[both] - 1,
        gt=gt_index[both] - 1,
        pixels=pixels[both],
    )


def _sums(index: Integers, pixels: Integers, size: int) -> Integers:
    totals = np.zeros(size + 1, np.int64)
    np.add.at(totals, index, pixels)
    return totals[1:]


def _spans_of(masks: Sequence[RLE]) -> _Spans:
    owner, starts, stops = runs_of(masks)
    filled = stops > starts
    return _Spans(owner[filled], starts[filled], stops[filled]).ordered()


def _map_spans(values: LabelValues | BoolMask) -> _Spans:
    """The runs of a map's values from 1, which belong to the objects from 0."""
    flat = values.T.ravel()
    starts = np.flatnonzero(np.concatenate((_FIRST[: flat.size], flat[1:] != flat[:-1])))
    stops, owner = np.append(starts[1:], flat.size), flat[starts].astype(np.int64) - 1
    inside = owner >= 0
    return _Spans(owner[inside], starts[inside], stops[inside])


def _compare_spans(
    pred: tuple[_Spans, int],
    gt: tuple[_Spans, int],
    counted: BoolMask | None,
    forgiven: BoolMask | None,
) -> Intersections:
    (spans, preds), (truths, gts) = pred, gt
    full, lost, void = spans.areas(preds), np.zeros(preds, np.int64), np.zeros(preds, np.int64)
    if forgiven is not None:
        lost = _inside(spans, preds, forgiven)
    if counted is not None:
        void = _inside(spans, preds, ~counted)
        truths = _cut(truths, _map_spans(counted))
    pred_index, gt_index, pixels = _met(spans, preds, truths, gts)
    return Intersections(
        pred_areas=full - void,
        gt_areas=truths.areas(gts),
        pred_forgiven=lost,
        pred_full_areas=full,
        pred=pred_index,
        gt=gt_index,
        pixels=pixels,
    )


def _inside(spans: _Spans, objects: int, region: BoolMask) -> Integers:
    index, _, pixels = _met(spans, objects, _map_spans(region), 1)
    return _sums(index + 1, pixels, objects)


def _cut(spans: _Spans, region: _Spans) -> _Spans:
    """What of each run lies in a region."""
    found = [np.zeros((3, 0), np.int64)]
    for one, other in _crossings(spans, region):
        starts = np.maximum(spans.starts[one], region.starts[other])
        stops = np.minimum(spans.stops[one], region.stops[other])
        found.append(np.stack((spans.owner[one], starts, stops)))
    return _Spans(*np.concatenate(found, axis=1)).ordered()


def _met(preds: _Spans, pred_count: int, gts: _Spans, gt_count: int) -> Integers:
    """Which objects of two sides meet, and in how many pixels.

    Returns:
        (3, N): index of the predicted object, of the true one, pixels; by prediction, then truth.
    """
    found = [np.zeros((3, 0), np.int64)]
    at_once = max(1, _CODES_AT_ONCE // max(1, gt_count))
    for first in range(0, pred_count, at_once):
        some = preds if at_once >= pred_count else preds.between(first, first + at_once)
        totals = np.zeros(min(at_once, pred_count - first) * gt_count)
        for one, other in _crossings(some, gts):
            lengths = np.minimum(some.stops[one], gts.stops[other])
            lengths -= np.maximum(some.starts[one], gts.starts[other])
            codes = (some.owner[one] - first) * gt_count + gts.owner[other]
            totals += np.bincount(codes, lengths, minlength=len(totals))
        met = np.flatnonzero(totals)
        pixels = totals[met].astype(np.int64)
        found.append(np.stack((first + met // max(1, gt_count), met % max(1, gt_count), pixels)))
    return np.concatenate(found, axis=1)


def _crossings(one: _Spans, other: _Spans) -> Iterator[tuple[Integers, Integers]]:
    """Pairs of runs, one of each side, that have pixels in common; each pair once.

    Of two such runs either the second starts within the first, or the first within the second
    behind its start: both are neighbours in the order of starts, even where runs of one side
    overlap each other.
    """
    low = np.searchsorted(other.starts, one.starts, "left")
    high = np.searchsorted(other.starts, one.stops, "left")
    yield from _ranges(low, high)
    low = np.searchsorted(one.starts, other.starts, "right")
    high = np.searchsorted(one.starts, other.stops, "left")
    for second, first in _ranges(low, high):
        yield first, second


def _ranges(low: Integers, high: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Each index with each number of its half-open range, not too many at once."""
    counts = np.maximum(high - low, 0)
    totals = np.cumsum(counts)
    begin = 0
    while begin < len(counts):
        done = int(totals[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(totals, done + _PIECES_AT_ONCE, "right")))
        some = counts[begin:end]
        index = np.repeat(np.arange(begin, end), some)
        shift = low[begin:end] - (totals[begin:end] - some - done)
        yield index, np.arange(len(index)) + np.repeat(shift, some)
        begin = end
