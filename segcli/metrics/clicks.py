"""How many clicks an object takes: mean IoU after each click, and clicks to an IoU (NoC).

The protocol is that of interactive segmentation (Sofiiuk et al., "f-BRS", 2020, and "Reviving
Iterative Training with Mask Guidance for Interactive Segmentation", 2021; "Segment Anything",
2023): the first click is the pixel farthest from the object's border, each later one the same of
the mask's largest error. The reference is `compute_noc_metric` of RITM's evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from segcli.masks.rle import runs
from segcli.metrics.base import ExactSum, Metric, MetricOptions, Pair, Sums, ratio
from segcli.metrics.points import answers_of, iou_of_runs, targets

__all__ = ["Clicks", "ClicksSums"]

_PERCENT = (80, 85, 90)
_NO_OBJECTS = "the ground truth has no object (0/0)"


@dataclass(slots=True)
class ClicksSums(Sums):
    """Objects and how they were after each click.

    Attributes:
        objects: objects that were clicked on.
        unanswered: of these, how many have no mask at all.
        ious: by number of clicks: the IoU of each object.
        clicks: by IoU in percent: clicks until it was reached, all of them where it was not.
        failed: by IoU in percent: objects that did not reach it.
    """

    objects: int = 0
    unanswered: int = 0
    ious: dict[int, ExactSum] = field(default_factory=dict)
    clicks: dict[int, int] = field(default_factory=dict)
    failed: dict[int, int] = field(default_factory=dict)

    def push(self, ious: Sequence[float]) -> None:
        """Add one object: its IoU after each click, as many as there are in `ious` of the sums."""
        self.objects += 1
        for number, iou in enumerate(ious, 1):
            self.ious[number].push(iou)
        for percent in _PERCENT:
            reached = [k for k, iou in enumerate(ious, 1) if iou >= percent / 100]
            self.clicks[percent] += reached[0] if reached else len(ious)
            self.failed[percent] += not reached

    def add(self, other: Sums) -> None:
        """Add objects of other images."""
        assert isinstance(other, ClicksSums)
        self.objects += other.objects
        self.unanswered += other.unanswered
        for number, ious in other.ious.items():
            self.ious[number].add(ious)
        for percent in _PERCENT:
            self.clicks[percent] += other.clicks[percent]
            self.failed[percent] += other.failed[percent]

    def compute(self) -> dict[str, float]:
        """Means over objects."""
        return {
            **{f"miou_at_{number}": ious.mean for number, ious in self.ious.items()},
            **{f"noc_{p}": ratio(self.clicks[p], self.objects) for p in _PERCENT},
            **{f"noc_failed_{p}": ratio(self.failed[p], self.objects) for p in _PERCENT},
        }

    def counts(self) -> dict[str, int]:
        """Objects, those without a mask, and those that did not get there."""
        failed = {f"failed_{percent}": self.failed[percent] for percent in _PERCENT}
        return {"gt_objects": self.objects, "unanswered": self.unanswered, **failed}

    def notes(self) -> list[str]:
        """Say what objects without an answer count as."""
        said = f"{self.unanswered} of {self.objects} objects have no answer and count as IoU 0"
        return [said] if self.unanswered else []


class Clicks(Metric):
    """Corrective clicks, against the object.

    Args:
        options: `clicks` is the most clicks of an object.
    """

    def __init__(self, options: MetricOptions) -> None:
        self._clicks = options.clicks
        self.undefined = dict.fromkeys(self.zero().compute(), _NO_OBJECTS)
        self.lower_is_better = frozenset(n for n in self.undefined if n.startswith("noc"))

    def zero(self) -> Sums:
        """No objects."""
        numbers = range(1, self._clicks + 1)
        none = dict.fromkeys(_PERCENT, 0)
        return ClicksSums(0, 0, {n: ExactSum() for n in numbers}, dict(none), dict(none))

    def measure(self, pair: Pair) -> Sums:
        """Objects of one image; the segments with an object's id are its masks, click by click.

        Raises:
            PairError: a predicted segment answers no object, or has no predicted IoU, or there are
                more of one object than clicks.
        """
        objects = targets(pair.gt)
        answers = answers_of(pair.pred, objects, most=self._clicks)
        void = None if pair.gt.ignore is None else runs(pair.gt.ignore)
        sums = self.zero()
        assert isinstance(sums, ClicksSums)
        for target in objects:
            truth = runs(target.mask)
            ious = [iou_of_runs(runs(s.mask), truth, void) for s in answers[target.id]]
            sums.unanswered += not ious
            # Who stops clicking keeps the mask.
            last = ious[-1] if ious else 0.0
            sums.push([*ious, *[last] * (self._clicks - len(ious))])
        return sums

    def conventions(self) -> dict[str, str]:
        """Where is clicked, what counts as reached, and the empty cases."""
        return {
            "clicks": f"up to {self._clicks} clicks an object; miou_at_K: mean IoU after K clicks; "
            "noc_T: mean number of clicks to IoU >= T %",
            "clicks_first": "the pixel of the object farthest from its border: Euclidean distance "
            "to the nearest pixel centre outside, everything outside the image being outside",
            "clicks_next": "of missed pixels (click inside) or wrong ones (click outside), "
            "whichever holds the pixel farthest from its region's border, that pixel; ties: "
            "outside before inside, then the first in row-major order; no pixel is clicked twice",
            "clicks_mask": "after the first click the mask of highest predicted IoU of 3, then the "
            "single mask; clicks add up",
            "clicks_end": "an object without an error left is not clicked on again and keeps its "
            "mask",
            "noc": f"an object that does not reach the IoU counts as {self._clicks} clicks; "
            "noc_failed_T: share of such objects; reached at the last click is reached",
            "points_pooled": "pooled: mean over the objects of all images",
            "points_objects": "crowds left out; ignored pixels cut from objects and masks, and "
            "never clicked; an object without an answer has IoU 0",
            "empty_images": "an image without objects is undefined, left out of the mean of images",
        }
