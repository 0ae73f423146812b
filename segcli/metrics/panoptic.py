"""Panoptic quality: PQ = SQ x RQ, for all classes, for things and for stuff.

Kirillov et al., "Panoptic Segmentation" (CVPR 2019), with the void and crowd rules of the COCO
panoptic API (`panopticapi/evaluation.py`), whose numbers the pooled scores equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from segcli.errors import PairError
from segcli.masks.painted import columns_of
from segcli.metrics.base import Metric, MetricOptions, Pair, Row, Sums, ratio
from segcli.metrics.panoptic_match import EVERY_CLASS, Tally, tally_segments

__all__ = ["Panoptic", "PanopticSums"]

_SCORES = ("pq", "sq", "rq")
_REASONS = {
    "": "no class occurs on either side (0/0)",
    "_things": "no thing class occurs, or none is stated (isthing in the ground truth)",
    "_stuff": "no stuff class occurs, or none is stated (isthing in the ground truth)",
}


@dataclass(slots=True)
class PanopticSums(Sums):
    """Segments by class and outcome.

    Attributes:
        classes: the outcomes by category id.
        names: category names, where known.
        things: category ids of countable things; None: not stated.
    """

    classes: dict[int, Tally] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    things: frozenset[int] | None = None

    def add(self, other: Sums) -> None:
        """Add segments of other images."""
        assert isinstance(other, PanopticSums)
        for category, tally in other.classes.items():
            self.classes.setdefault(category, Tally()).add(tally)
        self.names.update(other.names)
        if other.things is not None:
            self.things = (self.things or frozenset()) | other.things

    def compute(self) -> dict[str, float]:
        """The nine means over classes; NaN for a group that has none."""
        groups: dict[str, list[Tally]] = {"": [], "_things": [], "_stuff": []}
        for category in sorted(self.classes):
            tally = self.classes[category]
            if tally.occurs:
                groups[""].append(tally)
                if self.things is not None:
                    groups["_things" if category in self.things else "_stuff"].append(tally)
        scores = {}
        for group, tallies in groups.items():
            rows = [tally.scores() for tally in tallies]
            for name in _SCORES:
                scores[name + group] = ratio(math.fsum(row[name] for row in rows), len(rows))
        return scores

    def counts(self) -> dict[str, int]:
        """Classes that occur, and their segments by outcome."""
        found = [tally for tally in self.classes.values() if tally.occurs]
        return {
            "classes": len(found),
            "tp": sum(tally.tp for tally in found),
            "fp": sum(tally.fp for tally in found),
            "fn": sum(tally.fn for tally in found),
        }

    def tables(self) -> dict[str, list[Row]]:
        """One row a class that occurs."""
        rows: list[Row] = []
        for category in sorted(self.classes):
            tally = self.classes[category]
            if not tally.occurs:
                continue
            rows.append(
                {
                    "class": category,
                    "name": self.names.get(category),
                    "isthing": None if self.things is None else category in self.things,
                    **tally.scores(),
                    "tp": tally.tp,
                    "fp": tally.fp,
                    "fn": tally.fn,
                    "iou_sum": float(tally.iou),
                }
            )
        return {"per_class": rows}

    def notes(self) -> list[str]:
        """Whether things and stuff can be told apart."""
        if self.things is not None or not self.classes:
            return []
        return ["the ground truth does not say which classes are things: PQ is over all classes"]


class Panoptic(Metric):
    """Panoptic quality over segments of all classes."""

    undefined = MappingProxyType(
        {name + group: why for group, why in _REASONS.items() for name in _SCORES}
    )

    def __init__(self, options: MetricOptions) -> None:
        self._names = dict(options.class_names or {})
        self._things = options.things
        self._agnostic = options.class_agnostic

    def zero(self) -> Sums:
        """No segments."""
        if self._agnostic:
            return PanopticSums(names={EVERY_CLASS: "object"}, things=frozenset({EVERY_CLASS}))
        return PanopticSums(names=dict(self._names), things=self._things)

    def measure(self, pair: Pair) -> Sums:
        """Segments of one image, refused when a category is outside the list of classes."""
        tallies = tally_segments(pair, class_agnostic=self._agnostic)
        sums = self.zero()
        assert isinstance(sums, PanopticSums)
        sums.classes = tallies
        if not self._agnostic:
            sums.names.update(pair.gt.categories)
            if pair.gt.things is not None:
                sums.things = pair.gt.things
            _check_listed(pair, sums.names)
        return sums

    def conventions(self) -> dict[str, str]:
        """The matching rule, and which classes are averaged."""
        return {
            "panoptic": "pq, sq, rq: same class and IoU > 0.5, as panopticapi (pooled: its PQ)",
            "panoptic_classes": "mean over the classes with a segment that counts"
            + (": all segments as one class, as asked for" if self._agnostic else ""),
            "panoptic_void": "unlabelled pixels of the ground truth (0, ignored) leave the union; "
            "an unmatched prediction with more than half its pixels in void or in crowds of its "
            "class is not counted (all crowds; panopticapi looks at the last one listed); crowds "
            "are never matched nor missed",
            "panoptic_area": "pixels of the map, on both sides",
            "panoptic_mean_of_images": "the mean over images of each image's mean over its own "
            "classes; an image without segments that count is left out",
        }


def _check_listed(pair: Pair, listed: Mapping[int, str]) -> None:
    if not listed:
        return
    for side, where in (("ground truth", pair.gt), ("prediction", pair.pred)):
        found = {c for c in columns_of(where.segments).categories if c is not None}
        if stray := sorted(found - listed.keys()):
            raise PairError(
                f"{where.image.source or where.image.key}: the {side} holds segments of classes "
                f"outside the class list: {', '.join(map(str, stray[:10]))}",
                why="a segment of an unknown class can be neither right nor wrong",
                fix="add them to the categories of the ground truth, or to --class-names",
            )
