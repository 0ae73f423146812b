"""How well proposals without classes cover the true objects: average recall and best overlap.

Average recall (AR@k) is COCO's for category-agnostic proposals (`COCOeval` of pycocotools with
`useCats = 0`; Hosang et al. 2016): greedy matching by rank, at most k proposals an image, recall
averaged over IoU 0.50:0.05:0.95. Best overlap is the IoU of an object's best proposal, its mean
the "average best overlap" of Uijlings et al. 2013.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from segcli.errors import PairError
from segcli.masks.labels import rank_score
from segcli.metrics.base import ExactSum, Metric, MetricOptions, Pair, Row, Sums, ratio
from segcli.metrics.intersections import Intersections, intersect
from segcli.records import Segment

__all__ = ["LIMITS", "BestOverlap", "BestOverlapSums", "ProposalRecall", "RecallSums"]

LIMITS = (1, 10, 100, 1000)
# As pycocotools has them, to the last bit: 0.6 is not the nearest number to six tenths.
_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_SIZES = MappingProxyType(
    {
        "": (0.0, math.inf),
        "_small": (0.0, 32.0**2),
        "_medium": (32.0**2, 96.0**2),
        "_large": (96.0**2, math.inf),
    }
)
_NO_OBJECT = "the ground truth has no object (of this size)"

Integers = npt.NDArray[np.int64]


def _zeros() -> Integers:
    return np.zeros((len(_SIZES), len(LIMITS), len(_THRESHOLDS)), np.int64)


@dataclass(slots=True)
class RecallSums(Sums):
    """True objects, and how many of them are found.

    Attributes:
        objects: (4,) true objects, of any size and by size.
        found: (4, 4, 10) of these, matched by one of the best 1, 10, 100 or 1000 proposals, at each
            IoU threshold.
        proposals: proposals of all images.
        unscored: of these, how many state neither a score nor a predicted IoU.
        capped: images with more than 1000 proposals.
    """

    objects: Integers = field(default_factory=lambda: np.zeros(len(_SIZES), np.int64))
    found: Integers = field(default_factory=_zeros)
    proposals: int = 0
    unscored: int = 0
    capped: int = 0

    def add(self, other: Sums) -> None:
        """Add objects of other images."""
        assert isinstance(other, RecallSums)
        self.objects += other.objects
        self.found += other.found
        self.proposals += other.proposals
        self.unscored += other.unscored
        self.capped += other.capped

    def compute(self) -> dict[str, float]:
        """AR at each limit, and by size of object at the last."""
        scores = {f"ar_{k}": self._recall(0, i) for i, k in enumerate(LIMITS)}
        for i, size in enumerate(_SIZES):
            if size:
                scores[f"ar_{LIMITS[-1]}{size}"] = self._recall(i, len(LIMITS) - 1)
        return scores

    def _recall(self, size: int, limit: int) -> float:
        return ratio(int(self.found[size, limit].sum()), int(self.objects[size]) * len(_THRESHOLDS))

    def counts(self) -> dict[str, int]:
        """Objects and proposals."""
        return {"gt_objects": int(self.objects[0]), "proposals": self.proposals}

    def tables(self) -> dict[str, list[Row]]:
        """Recall at each threshold."""
        rows: list[Row] = []
        for t, threshold in enumerate(_THRESHOLDS.tolist()):
            row: Row = {"threshold": round(threshold, 2)}
            for i, k in enumerate(LIMITS):
                row[f"recall_{k}"] = ratio(int(self.found[0, i, t]), int(self.objects[0]))
            rows.append(row)
        return {"per_threshold": rows}

    def notes(self) -> list[str]:
        """What the limits rest on."""
        said = []
        if self.unscored:
            said.append(
                f"{self.unscored} of {self.proposals} proposals state no score and rank last, in "
                "the order they come: AR@1 to AR@100 then say little"
            )
        if self.capped:
            said.append(f"{self.capped} images have more than {LIMITS[-1]} proposals")
        return said


class ProposalRecall(Metric):
    """COCO's average recall of proposals, whatever their class."""

    undefined = MappingProxyType(
        {f"ar_{k}": _NO_OBJECT for k in LIMITS}
        | {f"ar_{LIMITS[-1]}{size}": _NO_OBJECT for size in _SIZES if size}
    )

    def __init__(self, options: MetricOptions) -> None:
        del options

    def zero(self) -> Sums:
        """No objects."""
        return RecallSums()

    def measure(self, pair: Pair) -> Sums:
        """Objects and proposals of one image.

        Raises:
            PairError: a score is not finite.
        """
        found = intersect(pair)
        proposals = len(found.pred_areas)
        worth = _worth(pair, proposals)
        sums = RecallSums(
            proposals=proposals,
            unscored=worth.count(-math.inf),
            capped=int(proposals > LIMITS[-1]),
        )
        candidates = _candidates(found, worth)
        sizes = _sizes(pair, found)
        for i, (low, high) in enumerate(_SIZES.values()):
            wanted = (found.gt_areas > 0) & (sizes >= low) & (sizes <= high)
            sums.objects[i] = np.count_nonzero(wanted)
            for t, threshold in enumerate(_THRESHOLDS.tolist()):
                ranks = _matched_ranks(candidates, wanted, threshold)
                sums.found[i, :, t] = [sum(rank < k for rank in ranks) for k in LIMITS]
        return sums

    def conventions(self) -> dict[str, str]:
        """The ranking and the matching rule."""
        return {
            "proposals": "ar_k: class-agnostic, the best k proposals of each image, IoU >= "
            "0.50:0.05:0.95, greedy by rank, as COCO with useCats=0 and maxDets=k",
            "proposal_rank": "mean of predicted IoU and stability score where all proposals of an "
            "image state both, else score, else predicted IoU; ties: the earlier in its file",
            "proposal_area": "as annotated, else pixels of the mask; small <= 32², medium to 96², "
            "large >= 96² pixels",
            "proposal_objects": "every segment of the ground truth, in panoptic maps stuff too",
            "proposal_crowd": "crowds are no objects to find; pixels that do not count are cut "
            "from both sides",
        }


def _worth(pair: Pair, proposals: int) -> list[float]:
    """The number that each proposal is ranked by, minus infinity where it states none."""
    listed: Sequence[Segment] = pair.pred.segments
    if pair.pred.labels is not None:
        # Objects of a map come in the order of their ids.
        listed = sorted(listed, key=lambda s: s.id or 0)
    if len(listed) != proposals:
        return [-math.inf] * proposals
    both = all(s.predicted_iou is not None and s.stability_score is not None for s in listed)
    worth = [_quality(s) if both else rank_score(s) for s in listed]
    for segment, value in zip(listed, worth, strict=True):
        stated = segment.score is not None or segment.predicted_iou is not None
        if stated and not math.isfinite(value):
            raise PairError(
                f"{pair.pred.image.key}: a proposal has the score {value}",
                why="scores rank the proposals, so each must be a finite number",
            )
    return worth


def _quality(segment: Segment) -> float:
    assert segment.predicted_iou is not None
    assert segment.stability_score is not None
    return (segment.predicted_iou + segment.stability_score) / 2


def _sizes(pair: Pair, found: Intersections) -> npt.NDArray[np.float64]:
    """The area of each true object: as annotated, else counted."""
    stated = [s.area for s in pair.gt.segments if not s.iscrowd]
    if pair.gt.labels is None:
        return np.array(stated, np.float64)
    return found.gt_areas.astype(np.float64)


Candidates = list[tuple[int, list[tuple[int, float]]]]


def _candidates(found: Intersections, worth: Sequence[float]) -> Candidates:
    """By rank, the objects that a proposal may match (IoU of 0.5 or more), in their order."""
    order = sorted(range(len(worth)), key=lambda i: -worth[i])
    ranks = {proposal: rank for rank, proposal in enumerate(order)}
    ious = found.pixels / found.unions
    near = np.flatnonzero(ious >= _THRESHOLDS[0])
    by_rank: dict[int, list[tuple[int, float]]] = {}
    for i in near.tolist():
        rank = ranks[int(found.pred[i])]
        if rank < LIMITS[-1]:
            by_rank.setdefault(rank, []).append((int(found.gt[i]), float(ious[i])))
    return [(rank, sorted(by_rank[rank])) for rank in sorted(by_rank)]


def _matched_ranks(
    candidates: Candidates, wanted: npt.NDArray[np.bool_], threshold: float
) -> list[int]:
    """Ranks of the proposals that take an object: each the best that is left, by rank.

    Of equal overlaps the later object is taken, as pycocotools does.
    """
    free = wanted.tolist()
    ranks = []
    for rank, options in candidates:
        best, reached = -1, threshold
        for g, iou in options:
            if free[g] and iou >= reached:
                best, reached = g, iou
        if best >= 0:
            free[best] = False
            ranks.append(rank)
    return ranks


@dataclass(slots=True)
class BestOverlapSums(Sums):
    """The best IoU of each true object.

    Attributes:
        best: the sum over true objects of the best IoU that any proposal has with it.
        reached: how many of them have a proposal of IoU at least 0.5, and 0.75.
        proposals: proposals of all images.
        images: images added.
    """

    best: ExactSum = field(default_factory=ExactSum)
    reached: tuple[int, int] = (0, 0)
    proposals: int = 0
    images: int = 0

    def add(self, other: Sums) -> None:
        """Add objects of other images."""
        assert isinstance(other, BestOverlapSums)
        self.best.add(other.best)
        self.reached = (self.reached[0] + other.reached[0], self.reached[1] + other.reached[1])
        self.proposals += other.proposals
        self.images += other.images

    def compute(self) -> dict[str, float]:
        """The mean best IoU, recall at two thresholds, and the number of proposals an image."""
        return {
            "best_overlap_miou": self.best.mean,
            "best_overlap_recall_50": ratio(self.reached[0], self.best.count),
            "best_overlap_recall_75": ratio(self.reached[1], self.best.count),
            "proposals_per_image": ratio(self.proposals, self.images),
        }

    def counts(self) -> dict[str, int]:
        """Objects and proposals."""
        return {"gt_objects": self.best.count, "proposals": self.proposals}


class BestOverlap(Metric):
    """The best proposal of each true object, however many there are."""

    undefined = MappingProxyType(
        {
            "best_overlap_miou": _NO_OBJECT,
            "best_overlap_recall_50": _NO_OBJECT,
            "best_overlap_recall_75": _NO_OBJECT,
            "proposals_per_image": "there is no image",
        }
    )

    def __init__(self, options: MetricOptions) -> None:
        del options

    def zero(self) -> Sums:
        """No objects."""
        return BestOverlapSums()

    def measure(self, pair: Pair) -> Sums:
        """Objects of one image."""
        found = intersect(pair)
        best = np.zeros(len(found.gt_areas))
        np.maximum.at(best, found.gt, found.pixels / found.unions)
        sums = BestOverlapSums(proposals=len(found.pred_areas), images=1)
        values = best[found.gt_areas > 0]
        for value in values.tolist():
            sums.best.push(value)
        sums.reached = (int((values >= 0.5).sum()), int((values >= 0.75).sum()))
        return sums

    def conventions(self) -> dict[str, str]:
        """What is averaged."""
        return {
            "best_overlap": "the IoU of each true object's best proposal, one proposal may serve "
            "several; pooled: mean over objects, mean_of_images: over images of their own means",
            "best_overlap_recall": "objects whose best proposal has IoU >= 0.50 (_50), 0.75 (_75)",
            "best_overlap_limit": "all proposals count, whatever their rank: see how many there "
            "are (proposals_per_image)",
        }
