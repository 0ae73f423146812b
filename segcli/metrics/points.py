"""How well a model answers one point an object: single-point mIoU and the best of three masks.

The protocol is that of "Segment Anything" (Kirillov et al., 2023), section 7.1: the point is the
pixel farthest from the object's border, the answer is the mask of highest predicted IoU, and beside
it stands the oracle that picks the best of the three masks. Intersections are counted on runs, so
no mask is made dense; the reference is the same ratio written out over `numpy` booleans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from segcli.errors import PairError
from segcli.masks.labels import segments_of
from segcli.masks.rle import Positions, decode, runs, segment_from_mask
from segcli.metrics.base import ExactSum, Metric, MetricOptions, Pair, Sums, ratio
from segcli.records import RLE, Segment, Segmentation

__all__ = ["Points", "PointsSums", "answers_of", "iou_of_runs", "targets"]

_CANDIDATES = 3
_NO_OBJECTS = "the ground truth has no object (0/0)"
_UNDEFINED = MappingProxyType(
    {
        "single_point_miou": _NO_OBJECTS,
        "best_of_3_miou": _NO_OBJECTS,
        "single_point_recall_50": _NO_OBJECTS,
        "iou_error": "no object was answered (0/0)",
    }
)

Runs = tuple[Positions, Positions]


def targets(gt: Segmentation) -> tuple[Segment, ...]:
    """The objects of a ground truth that a model is asked for, one prompt each.

    Crowds are left out, pixels that do not count are cut away, and objects without a pixel left are
    left out.

    Returns:
        Segments with distinct ids: their own, or their positions from 1 where some have none or
        share one.
    """
    void = None if gt.ignore is None else runs(gt.ignore)
    objects = [s for s in segments_of(gt) if not s.iscrowd]
    if len({s.id for s in objects} - {None}) < len(objects):
        objects = [replace(s, id=number) for number, s in enumerate(objects, 1)]
    cut = [s if void is None else _without(s, gt.ignore, void) for s in objects]
    return tuple(s for s in cut if _area(runs(s.mask)))


def _without(segment: Segment, ignore: RLE | None, void: Runs) -> Segment:
    if ignore is None or not _common(runs(segment.mask), void):
        return segment
    return segment_from_mask(
        decode(segment.mask) & ~decode(ignore), id=segment.id, category=segment.category
    )


@dataclass(slots=True)
class PointsSums(Sums):
    """Objects and how well each was answered.

    Attributes:
        objects: objects asked for.
        found: of these, how many the chosen mask covers with IoU of at least 0.5.
        single: IoU of each object with the mask of highest predicted IoU; 0 without an answer.
        best: IoU of each object with the best of its masks; 0 without an answer.
        error: |predicted IoU - IoU| of each chosen mask.
    """

    objects: int = 0
    found: int = 0
    single: ExactSum = field(default_factory=ExactSum)
    best: ExactSum = field(default_factory=ExactSum)
    error: ExactSum = field(default_factory=ExactSum)

    def add(self, other: Sums) -> None:
        """Add objects of other images."""
        assert isinstance(other, PointsSums)
        self.objects += other.objects
        self.found += other.found
        self.single.add(other.single)
        self.best.add(other.best)
        self.error.add(other.error)

    def compute(self) -> dict[str, float]:
        """Means over objects."""
        return {
            "single_point_miou": self.single.mean,
            "best_of_3_miou": self.best.mean,
            "single_point_recall_50": ratio(self.found, self.objects),
            "iou_error": self.error.mean,
        }

    def counts(self) -> dict[str, int]:
        """Objects, and those that no mask was given for."""
        return {"gt_objects": self.objects, "unanswered": self.objects - self.error.count}

    def notes(self) -> list[str]:
        """Say what objects without an answer count as."""
        missing = self.objects - self.error.count
        said = f"{missing} of {self.objects} objects have no answer and count as IoU 0"
        return [said] if missing else []


class Points(Metric):
    """One point an object, against the object."""

    undefined = _UNDEFINED
    lower_is_better = frozenset({"iou_error"})

    def __init__(self, options: MetricOptions) -> None:
        del options

    def zero(self) -> Sums:
        """No objects."""
        return PointsSums()

    def measure(self, pair: Pair) -> Sums:
        """Objects of one image; a predicted segment answers the object whose id it has.

        Raises:
            PairError: a predicted segment answers no object, or has no predicted IoU, or there are
                more than three of one object.
        """
        objects = targets(pair.gt)
        answers = answers_of(pair.pred, objects, most=_CANDIDATES)
        void = None if pair.gt.ignore is None else runs(pair.gt.ignore)
        sums = PointsSums(objects=len(objects))
        for target in objects:
            truth = runs(target.mask)
            given = answers[target.id]
            ious = [iou_of_runs(runs(s.mask), truth, void) for s in given]
            # The first of equals, as argmax takes it in the reference.
            chosen = max(range(len(given)), key=lambda i: _predicted(given[i]), default=None)
            single = 0.0 if chosen is None else ious[chosen]
            sums.single.push(single)
            sums.best.push(max(ious, default=0.0))
            sums.found += single >= 0.5
            if chosen is not None:
                sums.error.push(abs(_predicted(given[chosen]) - single))
        return sums

    def conventions(self) -> dict[str, str]:
        """The prompt, the choice of the mask, and the empty cases."""
        return {
            "points": "one point an object: its pixel farthest from its border; the mask of "
            "highest predicted IoU of 3",
            "points_prompt": "Euclidean distance to the nearest pixel centre outside the object, "
            "everything outside the image being outside; ties: the first in row-major order",
            "best_of_3": "an oracle takes the mask of highest IoU; no model can choose so well",
            "single_point_recall_50": "share of objects with IoU >= 0.5",
            "iou_error": "mean |predicted IoU - IoU| of the chosen masks",
            "points_pooled": "pooled: mean over the objects of all images",
            "points_objects": "crowds left out; ignored pixels cut from objects and masks; an "
            "object without an answer has IoU 0 and no iou_error",
            "empty_images": "an image without objects is undefined, left out of the mean of images",
        }


def answers_of(
    pred: Segmentation, objects: Sequence[Segment], most: int
) -> dict[int | None, list[Segment]]:
    """The predicted segments of each object, by its id.

    Args:
        pred: segments with the ids of their objects and predicted IoU.
        objects: what was asked for; see `targets`.
        most: how many segments an object may have.

    Raises:
        PairError: a segment answers no object, has no predicted IoU, or there are too many.
    """
    answers: dict[int | None, list[Segment]] = {target.id: [] for target in objects}
    where = pred.image.source or pred.image.key
    why = f"each mask carries its object's id and its predicted IoU, at most {most} an object"
    fix = "--protocol points --model MODEL prompts the model itself; or --protocol proposals"
    for segment in segments_of(pred):
        if segment.id not in answers or segment.predicted_iou is None:
            said = f"{where}: a predicted mask with id {segment.id} answers no object"
            if segment.id in answers:
                said = f"{where}: a predicted mask with id {segment.id} has no predicted IoU"
            raise PairError(said, why=why, fix=fix)
        answers[segment.id].append(segment)
    for number, given in answers.items():
        if len(given) > most:
            raise PairError(f"{where}: object {number} has {len(given)} answers", why=why, fix=fix)
    return answers


def _predicted(segment: Segment) -> float:
    assert segment.predicted_iou is not None
    return segment.predicted_iou


def iou_of_runs(pred: Runs, truth: Runs, void: Runs | None) -> float:
    """IoU over the pixels that count; the truth has none of the others, and is not empty.

    Args:
        pred: starts and stops of the mask's runs, as `segcli.masks.rle.runs` gives them.
        truth: those of the object.
        void: those of the pixels that do not count, or None.
    """
    both, pixels = _common(pred, truth), _area(pred)
    if void is not None:
        pixels -= _common(pred, void)
    return both / (pixels + _area(truth) - both)


def _area(mask: Runs) -> int:
    starts, stops = mask
    return int((stops - starts).sum())


def _common(a: Runs, b: Runs) -> int:
    """Pixels in both masks."""
    return int((_before(a, b[1]) - _before(a, b[0])).sum())


def _before(mask: Runs, positions: Positions) -> Positions:
    """Pixels of a mask before each of some positions."""
    starts, stops = mask
    if not len(starts):
        return np.zeros_like(positions)
    passed = np.concatenate((np.zeros(1, np.int64), np.cumsum(stops - starts)))
    run = np.searchsorted(starts, positions, side="right")
    # Of the last run begun, what lies at or behind the position does not count.
    beyond = np.maximum(stops[run - 1] - positions, 0)
    return passed[run] - np.where(run > 0, beyond, 0)
