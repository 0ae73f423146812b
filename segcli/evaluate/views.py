"""One side of a pair as the protocol looks at it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segcli.errors import PairError
from segcli.evaluate.settings import EvalSettings
from segcli.masks.rle import decode, encode
from segcli.metrics.semantic import NO_CLASS
from segcli.records import LabelMap, Segmentation

__all__ = ["view"]


def view(side: Segmentation, settings: EvalSettings, *, truth: bool = True) -> Segmentation:
    """The prediction or ground truth of one image as it is scored.

    Args:
        side: as it was read.
        settings: their protocol is the one that is measured.
        truth: whether this is the ground truth: predictions never hold the shifted zero label.

    Raises:
        PairError: the zero label is to be reduced, and this is no class map.
    """
    if truth and settings.reduce_zero_label:
        side = _reduced(side)
    if side.labels is not None and side.labels.kind == "panoptic":
        if settings.protocol == "instance":
            return _things(side, truth=truth)
        if settings.protocol == "semantic":
            return _classes(side, truth=truth)
    return side


def _things(side: Segmentation, *, truth: bool) -> Segmentation:
    """A panoptic map's countable objects; without a list of things, all of its segments."""
    things = side.things
    kept = tuple(s for s in side.segments if things is None or s.category in things)
    names = {k: v for k, v in side.categories.items() if things is None or k in things}
    ignore = side.ignore
    assert side.labels is not None
    void = side.labels.values == 0
    if truth and void.any():
        ignore = encode(void if ignore is None else void | decode(ignore))
    return replace(side, labels=None, segments=kept, categories=names, ignore=ignore)


def _classes(side: Segmentation, *, truth: bool) -> Segmentation:
    """A panoptic map's classes; void does not count in ground truth, and is no class elsewhere."""
    labels = side.labels
    assert labels is not None
    ids, places = np.unique(labels.values, return_inverse=True)
    category = {s.id: s.category for s in side.segments}
    of_id = [NO_CLASS if category.get(i) is None else category[i] for i in ids.tolist()]
    values = np.array(of_id, np.int32)[places.reshape(labels.values.shape)]
    void = values == NO_CLASS
    if truth and void.any():
        ignored = void if side.ignore is None else void | decode(side.ignore)
        return replace(
            side,
            segments=(),
            labels=LabelMap(np.where(void, 0, values), "semantic"),
            ignore=encode(ignored),
        )
    return replace(side, segments=(), labels=LabelMap(values, "semantic"))


def _reduced(side: Segmentation) -> Segmentation:
    labels = side.labels
    if labels is None or labels.kind != "semantic":
        raise PairError(
            f"{side.image.source or side.image.key}: has no zero label to reduce",
            why="only class maps number their classes from 1 with 0 for everything unlabelled",
            fix="leave --reduce-zero-label out",
        )
    void = labels.values == 0
    values = np.where(void, 0, labels.values.astype(np.int32) - 1)
    if side.ignore is not None:
        void = void | decode(side.ignore)
    ignore = encode(void) if void.any() else None
    return replace(side, labels=LabelMap(values, labels.kind), ignore=ignore)
