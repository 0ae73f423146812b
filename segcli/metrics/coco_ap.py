"""COCO mask AP and AR: the twelve numbers, and AP per class.

Matching and accumulation are hotcoco's, equal to pycocotools' `COCOeval(iouType="segm")` within
rounding; see `coco_matches`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal, cast

from segcli.errors import PairError
from segcli.masks.coded import CodedSegments
from segcli.masks.labels import rank_score, segments_of
from segcli.masks.rle import segment_from_rle
from segcli.metrics.base import Metric, MetricOptions, Pair, Row, Sums
from segcli.metrics.coco_curves import TWELVE, Curves, twelve
from segcli.metrics.coco_matches import EVERY_CLASS, CodedImage, Guess, Matches, Truth
from segcli.records import Segment

__all__ = ["EVERY_CLASS", "CocoAp", "CocoSums", "Objects", "objects_of"]

MAX_DETECTIONS = 100
_SHOWN = ("ap", "ap50", "ap75", "ar100")
_NONE = "the ground truth has no object (of this size)"

Scope = Literal["per class", "class-agnostic"]


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one image, and what has to be known about them beside their masks.

    Attributes:
        gt: true objects, crowds among them.
        pred: predicted objects.
        scores: of each predicted object, 0 where none is stated.
        unscored: predicted objects that state no score.
    """

    gt: Sequence[Segment]
    pred: Sequence[Segment]
    scores: Sequence[float]
    unscored: int

    def totals(self, pair: Pair) -> dict[str, Any]:
        """The fields of `CocoSums` that say what was matched, for one image."""
        truths, guesses = _categories(self.gt), _categories(self.pred)
        return {
            "names": dict(pair.gt.categories),
            "gt_classes": {*pair.gt.categories, *truths},
            "pred_classes": set(guesses),
            "gt_objects": (len(self.gt), len(truths)),
            "pred_objects": (len(self.pred), len(guesses)),
            "scores": (min(self.scores), max(self.scores)) if self.scores else None,
            "unscored": self.unscored,
            "capped": int(len(self.pred) > MAX_DETECTIONS),
        }

    def truths(self) -> list[Truth]:
        """The true objects as they are matched."""
        gt = self.gt
        if isinstance(gt, CodedSegments):
            columns = gt.counts, gt.categories, gt.known_areas, gt.known_crowds
            return list(zip(*columns, strict=True))
        return [(s.mask.counts, s.category, float(s.area), s.iscrowd) for s in gt]

    def guesses(self) -> list[Guess]:
        """The predicted objects as they are matched."""
        pred = self.pred
        if isinstance(pred, CodedSegments):
            return list(zip(pred.counts, pred.categories, self.scores, strict=True))
        rows = zip(pred, self.scores, strict=True)
        return [(s.mask.counts, s.category, score) for s, score in rows]


def objects_of(pair: Pair) -> Objects:
    """The objects of a pair.

    Raises:
        PairError: a score is not a finite number.
    """
    pred = segments_of(pair.pred)
    stated = _scores(pair, pred)
    unscored = stated.count(None)
    scores = [0.0 if score is None else score for score in stated] if unscored else stated
    return Objects(segments_of(pair.gt), pred, cast("list[float]", scores), unscored)


def _scores(pair: Pair, pred: Sequence[Segment]) -> list[float | None]:
    if isinstance(pred, CodedSegments) and all(map(math.isfinite, filter(None, pred.scores))):
        return list(pred.scores)
    return [_score(pair, segment) for segment in pred]


def _categories(segments: Sequence[Segment]) -> list[int]:
    if isinstance(segments, CodedSegments):
        return [category for category in segments.categories if category is not None]
    return [segment.category for segment in segments if segment.category is not None]


@dataclass(slots=True)
class CocoSums(Sums):
    """Matches by class, and what has to be said about the objects that were matched.

    Attributes:
        prefix: put before each score's name.
        title: what people call the scores.
        agnostic: True when all objects are one class by request.
        evaluators: matched images by category id, and for all objects as one class under None,
            where it is not hotcoco that matches.
        matches: what hotcoco matched.
        names: category names, where known.
        gt_objects: true objects, and of these with a category.
        pred_objects: predicted objects, and of these with a category.
        gt_classes: categories that the ground truth holds or lists.
        pred_classes: categories that are predicted.
        scores: the lowest and highest score, or None before the first prediction.
        unscored: predictions that state no score.
        capped: images with more than 100 predictions.
        images: of the sums of one image, that image, not matched yet.
    """

    prefix: ClassVar[str] = ""
    title: ClassVar[str] = "COCO AP"

    agnostic: bool = False
    evaluators: dict[int | None, Any] = field(default_factory=dict)
    matches: Matches = field(default_factory=Matches)
    names: dict[int, str] = field(default_factory=dict)
    gt_objects: tuple[int, int] = (0, 0)
    pred_objects: tuple[int, int] = (0, 0)
    gt_classes: set[int] = field(default_factory=set)
    pred_classes: set[int] = field(default_factory=set)
    scores: tuple[float, float] | None = None
    unscored: int = 0
    capped: int = 0
    images: list[CodedImage] = field(default_factory=list)

    def add(self, other: Sums) -> None:
        """Add the matches of other images, whose indices must be others."""
        assert isinstance(other, CocoSums)
        for category, evaluator in other.evaluators.items():
            mine = self.evaluators.get(category)
            self.evaluators[category] = (
                copy.copy(evaluator) if mine is None else self._merged(mine, evaluator)
            )
        self.names.update(other.names)
        self.gt_objects = _plus(self.gt_objects, other.gt_objects)
        self.pred_objects = _plus(self.pred_objects, other.pred_objects)
        self.gt_classes |= other.gt_classes
        self.pred_classes |= other.pred_classes
        ranges = [r for r in (self.scores, other.scores) if r is not None]
        self.scores = (min(r[0] for r in ranges), max(r[1] for r in ranges)) if ranges else None
        self.unscored += other.unscored
        self.capped += other.capped
        self.matches.add(other.matches, other.images, named=self._named)

    def _merged(self, mine: Any, other: Any) -> Any:  # noqa: ANN401 (as the subclass has them)
        raise NotImplementedError

    def _finished(self, evaluator: Any) -> Curves:  # noqa: ANN401 (the same)
        raise NotImplementedError

    def _curves(self) -> dict[int | None, Curves]:
        """Of each class where classes count, else of all objects as one under None."""
        by_class = self.scope == "per class"
        found = {
            category: self._finished(self.evaluators[category])
            for category in sorted(self.evaluators, key=lambda c: -1 if c is None else c)
            if (category is not EVERY_CLASS) == by_class
        }
        if by_class:
            return found | self.matches.curves(self.gt_classes | self.pred_classes)
        # Without a true object nothing is defined, and classes may count yet.
        return found if self._named else found | self.matches.curves(None)

    @property
    def _named(self) -> bool:
        """Whether every object so far has a category that counts."""
        (gt, gt_named), (pred, pred_named) = self.gt_objects, self.pred_objects
        return not self.agnostic and gt == gt_named and pred == pred_named

    @property
    def scope(self) -> Scope:
        """Per class when every object of both sides has a category, else all as one class."""
        return "per class" if self._named and self.gt_objects[0] else "class-agnostic"

    def compute(self) -> dict[str, float]:
        """The twelve numbers."""
        found = twelve(list(self._curves().values()))
        return {self.prefix + name: value for name, value in found.items()}

    def counts(self) -> dict[str, int]:
        """Objects of both sides."""
        return {"gt_objects": self.gt_objects[0], "pred_objects": self.pred_objects[0]}

    def tables(self) -> dict[str, list[Row]]:
        """One row a class, when scored per class."""
        if self.scope != "per class":
            return {}
        rows: list[Row] = []
        for category, curves in self._curves().items():
            scores = twelve([curves], _SHOWN)
            if math.isnan(scores["ar100"]):
                continue
            called = None if category is None else self.names.get(category)
            row: Row = {"class": category, "name": called}
            rows.append({**row, **{self.prefix + name: scores[name] for name in _SHOWN}})
        return {"per_class": rows}

    def notes(self) -> list[str]:
        """How classes, scores and the limit of 100 detections bear on AP."""
        said = [f"{self.title} is {self.scope}{self._why_agnostic()}"]
        if self.scope == "per class":
            said += self._about_classes()
        if self.pred_objects[0] and self.scores is not None and self.scores[0] == self.scores[1]:
            origin = "no prediction states a score" if self.unscored else "all scores are equal"
            said.append(f"{origin}: {self.title} then ranks by order only; prefer F1 and AP-DSB")
        elif self.unscored:
            said.append(f"{self.unscored} predictions state no score and rank last")
        if self.capped:
            said.append(
                f"{self.capped} images have more than {MAX_DETECTIONS} predictions; "
                f"{self.title} and AR use the best {MAX_DETECTIONS} (a class)"
            )
        return said

    def _about_classes(self) -> list[str]:
        said = []
        if len(self.pred_classes) == 1 < len(self.gt_classes):
            only = next(iter(self.pred_classes))
            said.append(
                f"every prediction has the category {only}: proposals of a format that cannot say "
                "'no category' need --class-agnostic"
            )
        if unknown := sorted(self.pred_classes - self.gt_classes):
            some = ", ".join(str(c) for c in unknown[:10])
            said.append(f"predictions of categories the ground truth does not list: {some}")
        return said

    def _why_agnostic(self) -> str:
        if self.agnostic:
            return ", as asked for"
        (gt, gt_named), (pred, pred_named) = self.gt_objects, self.pred_objects
        if self.scope == "per class" or (not gt_named and not pred_named):
            return ""
        side = "predictions" if gt_named == gt else "ground truth"
        count, named = (pred, pred_named) if side == "predictions" else (gt, gt_named)
        return f": {count - named} of {count} objects of the {side} carry no category"


class CocoAp(Metric):
    """COCO's average precision and recall over masks."""

    undefined = MappingProxyType(dict.fromkeys(TWELVE, _NONE))
    averaged = False

    def __init__(self, options: MetricOptions) -> None:
        self._names = dict(options.class_names or {})
        self._agnostic = options.class_agnostic

    def zero(self) -> Sums:
        """No objects."""
        return CocoSums(self._agnostic, names=dict(self._names))

    def measure(self, pair: Pair) -> Sums:
        """The objects of one image, ready to be matched."""
        found = objects_of(pair)
        image = pair.gt.image
        void = None
        if pair.gt.ignore is not None:
            area = segment_from_rle(pair.gt.ignore).area
            void = (pair.gt.ignore.counts, EVERY_CLASS, float(area), True)
        coded = CodedImage(
            pair.index,
            image.height,
            image.width,
            found.truths(),
            found.guesses(),
            void,
        )
        return CocoSums(**found.totals(pair), images=[coded])

    def conventions(self) -> dict[str, str]:
        """COCO's rules."""
        return {
            "coco": "ap and ar: greedy by score, IoU >= 0.50:0.05:0.95, at most 100 predictions an "
            "image (and class), crowds forgive; class-agnostic: predictions of categories that the "
            "ground truth does not list count (pycocotools drops them)",
            "coco_void": "pixels that do not count are a crowd of each class: a prediction that "
            "matches no object, with the share of the IoU threshold there, is not counted",
            "coco_area": "ground truth: as annotated, else pixels of the mask; predictions: pixels "
            "of the mask, never of the box; small < 32², large > 96² pixels",
            "coco_score": "score, else predicted IoU, else equal for all; ties: the earlier "
            "image (COCO: by id; files: by name), then (class-agnostic) the lower category, then "
            "the earlier in its file",
        }


def _score(pair: Pair, segment: Segment) -> float | None:
    score = rank_score(segment, math.nan)
    stated = segment.score is not None or segment.predicted_iou is not None
    if stated and not math.isfinite(score):
        raise PairError(
            f"{pair.pred.image.key}: a predicted object has the score {score}",
            why="scores rank the predictions, so each must be a finite number",
        )
    return score if stated else None


def _plus(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] + b[0], a[1] + b[1]
