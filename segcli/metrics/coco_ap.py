"""COCO mask AP and AR: the twelve numbers, and AP per class.

Matching and accumulation are hotcoco's, equal to pycocotools' `COCOeval(iouType="segm")` within
rounding; this module and `masks/rle.py` are the only ones that call it. Detections are matched as
each image arrives, so masks are not kept.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from hotcoco import StreamingEval

from segcli.errors import PairError
from segcli.masks.labels import rank_score, segments_of
from segcli.masks.rle import segment_from_rle, to_coco
from segcli.metrics.base import Metric, MetricOptions, Pair, Row, Sums
from segcli.metrics.coco_curves import TWELVE, Curves, curves_of, twelve
from segcli.records import Segment

__all__ = ["EVERY_CLASS", "CocoAp", "CocoSums", "Objects", "objects_of"]

MAX_DETECTIONS = 100
_NONE = "the ground truth has no object (of this size)"

Scope = Literal["per class", "class-agnostic"]
EVERY_CLASS = None


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one image, and what has to be known about them beside their masks.

    Attributes:
        gt: true objects, crowds among them.
        pred: predicted objects.
        scores: of each predicted object, 0 where none is stated.
        unscored: predicted objects that state no score.
    """

    gt: tuple[Segment, ...]
    pred: tuple[Segment, ...]
    scores: list[float]
    unscored: int

    def totals(self, pair: Pair) -> dict[str, Any]:
        """The fields of `CocoSums` that say what was matched, for one image."""
        return {
            "names": dict(pair.gt.categories),
            "gt_classes": {*pair.gt.categories, *_categories(self.gt)},
            "pred_classes": set(_categories(self.pred)),
            "gt_objects": (len(self.gt), len(_categories(self.gt))),
            "pred_objects": (len(self.pred), len(_categories(self.pred))),
            "scores": (min(self.scores), max(self.scores)) if self.scores else None,
            "unscored": self.unscored,
            "capped": int(len(self.pred) > MAX_DETECTIONS),
        }


def objects_of(pair: Pair) -> Objects:
    """The objects of a pair.

    Raises:
        PairError: a score is not a finite number.
    """
    pred = segments_of(pair.pred)
    stated = [_score(pair, segment) for segment in pred]
    scores = [0.0 if score is None else score for score in stated]
    return Objects(segments_of(pair.gt), pred, scores, stated.count(None))


def _categories(segments: Iterable[Segment]) -> list[int]:
    return [segment.category for segment in segments if segment.category is not None]


@dataclass(slots=True)
class _Image:
    """The annotations of one image, as COCO dictionaries by category (None = all as one)."""

    index: int
    size: dict[str, int]
    gt: dict[int | None, list[dict[str, Any]]]
    pred: dict[int | None, list[dict[str, Any]]]


@dataclass(slots=True)
class CocoSums(Sums):
    """Matches by class, and what has to be said about the objects that were matched.

    Attributes:
        prefix: put before each score's name.
        title: what people call the scores.
        agnostic: True when all objects are one class by request.
        evaluators: by category id, and for all objects as one class under None; a class has one
            from the first image that holds it.
        names: category names, where known.
        gt_objects: true objects, and of these with a category.
        pred_objects: predicted objects, and of these with a category.
        gt_classes: categories that the ground truth holds or lists.
        pred_classes: categories that are predicted.
        scores: the lowest and highest score, or None before the first prediction.
        unscored: predictions that state no score.
        capped: images with more than 100 predictions.
        images: images that are not matched yet.
    """

    prefix: ClassVar[str] = ""
    title: ClassVar[str] = "COCO AP"

    agnostic: bool = False
    evaluators: dict[int | None, Any] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    gt_objects: tuple[int, int] = (0, 0)
    pred_objects: tuple[int, int] = (0, 0)
    gt_classes: set[int] = field(default_factory=set)
    pred_classes: set[int] = field(default_factory=set)
    scores: tuple[float, float] | None = None
    unscored: int = 0
    capped: int = 0
    images: list[_Image] = field(default_factory=list)

    def add(self, other: Sums) -> None:
        """Add the matches of other images, whose indices must be others."""
        assert isinstance(other, CocoSums)
        for category, evaluator in other.evaluators.items():
            mine = self.evaluators.get(category)
            self.evaluators[category] = (
                copy.copy(evaluator) if mine is None else self._merged(mine, evaluator)
            )
        for image in other.images:
            self._feed(image)
        self.names.update(other.names)
        self.gt_objects = _plus(self.gt_objects, other.gt_objects)
        self.pred_objects = _plus(self.pred_objects, other.pred_objects)
        self.gt_classes |= other.gt_classes
        self.pred_classes |= other.pred_classes
        ranges = [r for r in (self.scores, other.scores) if r is not None]
        self.scores = (min(r[0] for r in ranges), max(r[1] for r in ranges)) if ranges else None
        self.unscored += other.unscored
        self.capped += other.capped

    def _merged(self, mine: Any, other: Any) -> Any:  # noqa: ANN401 (hotcoco ships no types)
        return StreamingEval.merge([mine, other])

    def _finished(self, evaluator: Any) -> Curves:  # noqa: ANN401 (the same)
        # Finishing an evaluator closes it, and more images may follow.
        done = copy.copy(evaluator).finalize()
        done.accumulate()
        return curves_of(done.eval)

    def _feed(self, image: _Image) -> None:
        for category in {*image.gt, *image.pred}:
            if category not in self.evaluators:
                self.evaluators[category] = StreamingEval([{"id": 1, "name": "object"}], "segm")
            self.evaluators[category].update(
                [{"id": image.index + 1, **image.size}],
                image.gt.get(category, []),
                image.pred.get(category, []),
            )

    @property
    def scope(self) -> Scope:
        """Per class when every object of both sides has a category, else all as one class."""
        (gt, gt_named), (pred, pred_named) = self.gt_objects, self.pred_objects
        named = gt > 0 and gt == gt_named and pred == pred_named
        return "per class" if named and not self.agnostic else "class-agnostic"

    def compute(self) -> dict[str, float]:
        """The twelve numbers."""
        wanted: Iterable[int | None] = [EVERY_CLASS]
        if self.scope == "per class":
            wanted = sorted(c for c in self.evaluators if c is not EVERY_CLASS)
        curves = [self._finished(self.evaluators[c]) for c in wanted if c in self.evaluators]
        return {self.prefix + name: value for name, value in twelve(curves).items()}

    def counts(self) -> dict[str, int]:
        """Objects of both sides."""
        return {"gt_objects": self.gt_objects[0], "pred_objects": self.pred_objects[0]}

    def tables(self) -> dict[str, list[Row]]:
        """One row a class, when scored per class."""
        if self.scope != "per class":
            return {}
        rows: list[Row] = []
        for category in sorted(c for c in self.evaluators if c is not None):
            scores = twelve([self._finished(self.evaluators[category])])
            if math.isnan(scores["ar100"]):
                continue
            row: Row = {"class": category, "name": self.names.get(category)}
            shown = ("ap", "ap50", "ap75", "ar100")
            rows.append({**row, **{self.prefix + name: scores[name] for name in shown}})
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
        size = {"height": image.height, "width": image.width}
        truths = [_annotation(s, pair.index, i) for i, s in enumerate(found.gt)]
        guesses = [
            _detection(s, pair.index, v) for s, v in zip(found.pred, found.scores, strict=True)
        ]
        grouped = _grouped(pair, (found.gt, truths), (found.pred, guesses))
        return CocoSums(**found.totals(pair), images=[_Image(pair.index, size, *grouped)])

    def conventions(self) -> dict[str, str]:
        """COCO's rules."""
        return {
            "coco": "ap and ar: greedy by score, IoU >= 0.50:0.05:0.95, at most 100 predictions an "
            "image (and class), crowds forgive",
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


def _annotation(segment: Segment, index: int, number: int) -> dict[str, Any]:
    # From 1: COCO's matching takes the id 0 for "not matched".
    return {
        "id": number + 1,
        "image_id": index + 1,
        "category_id": 1,
        "iscrowd": int(segment.iscrowd),
        "area": float(segment.area),
        "segmentation": to_coco(segment.mask),
    }


def _detection(segment: Segment, index: int, score: float) -> dict[str, Any]:
    return {
        "image_id": index + 1,
        "category_id": 1,
        "score": score,
        "segmentation": to_coco(segment.mask),
    }


Coded = tuple[Sequence[Segment], Sequence[dict[str, Any]]]
ByCategory = dict["int | None", list[dict[str, Any]]]


def _grouped(pair: Pair, gt: Coded, pred: Coded) -> tuple[ByCategory, ByCategory]:
    """Annotations and detections by category; pixels that do not count are a crowd in each.

    As one class they come by category, as pycocotools takes them with `useCats = 0`.
    """
    truths, guesses = _by_category(*gt), _by_category(*pred)
    if pair.gt.ignore is not None:
        void = segment_from_rle(pair.gt.ignore, iscrowd=True)
        annotation = _annotation(void, pair.index, len(gt[0]))
        for category in {*truths, *guesses}:
            truths.setdefault(category, []).append(annotation)
    return truths, guesses


def _by_category(
    segments: Iterable[Segment], coded: Iterable[dict[str, Any]]
) -> dict[int | None, list[dict[str, Any]]]:
    groups: dict[int | None, list[dict[str, Any]]] = {}
    both = zip(segments, coded, strict=True)
    for segment, annotation in sorted(both, key=lambda one: one[0].category or 0):
        groups.setdefault(EVERY_CLASS, []).append(annotation)
        if segment.category is not None:
            groups.setdefault(segment.category, []).append(annotation)
    return groups


def _plus(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] + b[0], a[1] + b[1]
