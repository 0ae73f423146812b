"""Which objects of two sides overlap, and by how many pixels, for one image.

Two label maps are compared by their contingency table. Objects that overlap each other do not fit a
label map: those of the ground truth are spread over several maps, and the runs of each prediction
are laid over these.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from segcli.errors import PairError
from segcli.masks.labels import label_map_from_segments, segments_from_label_map, segments_of
from segcli.masks.rle import decode, merge, runs
from segcli.metrics.base import BoolMask, Pair
from segcli.metrics.contingency import contingency
from segcli.records import RLE, Segment, Segmentation

__all__ = ["Intersections", "intersect", "painted"]

Integers = npt.NDArray[np.int64]
LabelValues = npt.NDArray[np.integer[Any]]
Counted = tuple[LabelValues, int]
Runs = tuple[Integers, Integers]

_MASKS_AT_ONCE = 64
_PIECES_AT_ONCE = 1 << 21
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
    crowds = [s.mask for s in pair.gt.segments if s.iscrowd]
    forgiven = _forgiven(crowds, pair.counted)
    gt_map = None if crowds and pair.gt.labels is not None else _own_map(pair.gt)
    pred_map = _own_map(pair.pred)
    gt = () if gt_map is not None else tuple(s for s in segments_of(pair.gt) if not s.iscrowd)
    pred = () if pred_map is not None else segments_of(pair.pred)
    gt_map = painted(gt, pair.gt) if gt_map is None else gt_map
    pred_map = painted(pred, pair.pred) if pred_map is None else pred_map
    # Painted objects without a pixel are objects all the same.
    truths = len(gt) if gt_map is None else max(len(gt), int(gt_map.max(initial=0)))
    if gt_map is None or pred_map is None:
        layers = iter([gt_map]) if gt_map is not None else _layers(gt, pair.gt)
        if pair.pred.labels is not None:
            pred = segments_from_label_map(pair.pred.labels.values)
        return _compare_to_layers(pred, (layers, truths), pair.counted, forgiven)
    guesses = max(len(pred), int(pred_map.max(initial=0)))
    return _compare_maps((pred_map, guesses), (gt_map, truths), pair.counted, forgiven)


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
    height, width = side.image.height, side.image.width
    pixels = 0
    for segment in segments:
        starts, stops = runs(segment.mask)
        pixels += int((stops - starts).sum())
        if pixels > height * width:
            return None
    labels = label_map_from_segments(segments, height, width)
    return labels if int(np.count_nonzero(labels)) == pixels else None


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


def _layers(segments: Sequence[Segment], side: Segmentation) -> Iterator[LabelValues]:
    """Segments that overlap, on as many maps as it takes: each once, as its index + 1."""
    height, width = side.image.height, side.image.width
    waiting = [(index + 1, *runs(segment.mask)) for index, segment in enumerate(segments)]
    while waiting:
        layer = np.zeros(height * width, np.uint32)
        over = []
        for value, starts, stops in waiting:
            lengths = stops - starts
            inside = np.arange(lengths.sum()) + np.repeat(stops - np.cumsum(lengths), lengths)
            if layer[inside].any():
                over.append((value, starts, stops))
            else:
                layer[inside] = value
        yield layer.reshape(width, height).T
        waiting = over


def _compare_to_layers(
    preds: Sequence[Segment],
    gt: tuple[Iterator[LabelValues], int],
    counted: BoolMask | None,
    forgiven: BoolMask | None,
) -> Intersections:
    layers, gts = gt
    spans = [runs(segment.mask) for segment in preds]
    full = np.array([(stops - starts).sum() for starts, stops in spans], np.int64)
    lost, void = np.zeros((2, len(preds)), np.int64)
    if forgiven is not None:
        lost = _inside(spans, forgiven)
    if counted is not None:
        void = _inside(spans, ~counted)
    gt_areas = np.zeros(gts, np.int64)
    found = [np.zeros((3, 0), np.int64)]
    for layer in layers:
        values = layer if counted is None else np.where(counted, layer, 0)
        gt_areas += np.bincount(values.ravel(), minlength=gts + 1)[1:]
        met = _met(spans, values, gts + 1)
        found.append(met[:, met[1] > 0])
    pred, truth, pixels = np.concatenate(found, axis=1)
    return Intersections(
        pred_areas=full - void,
        gt_areas=gt_areas,
        pred_forgiven=lost,
        pred_full_areas=full,
        pred=pred,
        gt=truth - 1,
        pixels=pixels,
    )


def _inside(spans: Sequence[Runs], region: BoolMask) -> Integers:
    index, inside, pixels = _met(spans, region, 2)
    return _sums(index + 1, pixels * inside, len(spans))


def _met(spans: Sequence[Runs], values: LabelValues | BoolMask, width: int) -> Integers:
    """Which values (below `width`) of a map each mask meets, and in how many pixels.

    Masks are not decoded: their runs are cut where the map's value changes.

    Returns:
        (3, N): index of the mask, value, pixels.
    """
    flat = values.T.ravel()
    begins = np.flatnonzero(np.concatenate((_FIRST[: flat.size], flat[1:] != flat[:-1])))
    ends, labels = np.append(begins[1:], flat.size), flat[begins]
    found = [np.zeros((3, 0), np.int64)]
    longest = max((len(starts) for starts, _ in spans), default=0)
    at_once = max(1, min(_MASKS_AT_ONCE, _PIECES_AT_ONCE // (longest + len(begins))))
    for index in range(0, len(spans), at_once):
        some = spans[index : index + at_once]
        starts, stops = (np.concatenate([span[i] for span in some]) for i in (0, 1))
        owner = np.repeat(np.arange(len(some)), [len(span[0]) for span in some])
        first = np.searchsorted(ends, starts, "right")
        pieces = np.searchsorted(begins, stops, "left") - first
        place = np.arange(pieces.sum()) + np.repeat(first - np.cumsum(pieces) + pieces, pieces)
        lengths = np.minimum(np.repeat(stops, pieces), ends[place])
        lengths -= np.maximum(np.repeat(starts, pieces), begins[place])
        codes = np.repeat(owner, pieces) * width + labels[place]
        pixels = np.bincount(codes, lengths, minlength=1)
        met = np.flatnonzero(pixels)
        found.append(np.stack((index + met // width, met % width, pixels[met].astype(np.int64))))
    return np.concatenate(found, axis=1)
