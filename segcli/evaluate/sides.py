"""Open both sides, each told what only the other one knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from segcli.errors import InputError, ItemError, UsageError
from segcli.evaluate.annotators import Annotators
from segcli.evaluate.pairing import NameRule, rule_of
from segcli.evaluate.settings import EvalSettings
from segcli.formats import ReadOptions, Source, open_source
from segcli.formats.classes import ClassList, with_classes
from segcli.formats.coco_dataset import CocoDataset
from segcli.formats.coco_panoptic import CocoPanoptic
from segcli.formats.files import listed_once
from segcli.formats.ndjson import StreamSource
from segcli.formats.rasters import count_folders
from segcli.metrics import Protocol, metrics_for
from segcli.records import LabelKind

__all__ = ["Side", "open_annotators", "open_sides", "read_options"]

SizeOf = Callable[[str], "tuple[int, int] | None"]
_WITHOUT_SIZES = frozenset({"yolo", "amg", "masks"})
_MAPS = frozenset({"labels", "binary", "semantic"})
_NUMBERED = frozenset({"coco", "yolo"})
_CLASSES_AND_OBJECTS = frozenset({"coco", "coco-dataset", "yolo"})


@dataclass(frozen=True, slots=True)
class Side:
    """Where one side is, and what the user says it is.

    Attributes:
        path: a file or folder, or "-" for records on standard input.
        format: the format's name, or None to tell by the content.
        kind: what its label values mean, or None to tell by the content.
    """

    path: str
    format: str | None = None
    kind: LabelKind | None = None


def open_sides(pred: Side, gt: Side, settings: EvalSettings | None = None) -> tuple[Source, Source]:
    """Open predictions and ground truth.

    Predictions get what only the ground truth's files say: COCO image names and sizes, names of
    categories. Formats that store no image size get it from the image's counterpart on the other
    side. Where what one side's label values mean is a guess, what the other side holds decides. The
    ignore index is the ground truth's alone: a prediction cannot take pixels out of the score.

    Args:
        pred: the predictions.
        gt: the ground truth.
        settings: what label values mean, and how files are paired, as sizes are looked up so.

    Raises:
        UsageError: a side is missing, of an unknown format, cannot be this side, or is said to
            be of a kind that its format cannot be.
    """
    if gt.path == "-":
        raise InputError(
            "the ground truth cannot come from standard input",
            why="predictions look their ground truth up by name",
            fix="segcli predict IMAGES -o - | segcli eval - GT",
        )
    with listed_once():
        return _opened(pred, gt, settings or EvalSettings())


def _opened(pred: Side, gt: Side, settings: EvalSettings) -> tuple[Source, Source]:
    truth_options = read_options(settings, gt, settings.classes)
    pred_options = read_options(settings, pred, settings.scored_classes)
    if _values_suffice((pred, gt), settings):
        count_folders(Path(gt.path), Path(pred.path), settings.workers)
    truth = _open(gt, truth_options)
    if truth.kind != "panoptic":
        # Void is the ground truth's alone: a prediction cannot take pixels out of the score. In
        # panoptic maps, where each pixel needs a segment, it says that a pixel has none.
        pred_options = replace(pred_options, ignore_index=None, ignored=frozenset())
    pred_options = _as_known(pred_options, truth)
    preds = _open(pred, pred_options)
    _check_numbering(preds, truth, settings)
    _check_kind(pred, preds, "--pred-kind")
    _check_kind(gt, truth, "--gt-kind")
    if kind := _settled(preds, truth):
        preds = _open(pred, replace(pred_options, kind=kind, kind_why="as the ground truth"))
    elif kind := _settled(truth, preds):
        truth = _open(gt, replace(truth_options, kind=kind, kind_why="as the predictions"))
    sized_truth, sized_preds = truth, preds
    rule = partial(rule_of, preds, truth, settings.match, settings.listed)
    if truth.format in _WITHOUT_SIZES:
        size_of = _sizes_in(preds, truth, lambda: _reversed(rule()))
        sized_truth = _open(gt, replace(truth_options, size_of=size_of))
    if preds.format in _WITHOUT_SIZES:
        size_of = _sizes_in(truth, preds, rule)
        sized_preds = _open(pred, replace(pred_options, size_of=size_of))
    return sized_preds, sized_truth


def _values_suffice(sides: tuple[Side, Side], settings: EvalSettings) -> bool:
    """Whether all that may be measured of label maps rests on how often their values meet."""
    if any(s.format not in (None, *_MAPS) or s.kind in ("instance", "panoptic") for s in sides):
        return False
    protocols: tuple[Protocol, ...] = (
        ("binary", "semantic") if settings.protocol is None else (settings.protocol,)
    )
    metrics = [
        metric
        for protocol in protocols
        for metric in metrics_for(protocol, settings.metric_options, settings.families or None)
    ]
    return bool(metrics) and all(metric.by_value for metric in metrics)


def _as_known(options: ReadOptions, truth: Source) -> ReadOptions:
    """What the ground truth's files tell the readers of predictions."""
    if isinstance(truth, (CocoDataset, CocoPanoptic)):
        options = replace(options, image_sizes=truth.sizes, coco_names=truth.names)
    if truth.categories:
        things = truth.things if truth.things is not None else options.things
        names = options.class_names or truth.categories
        options = replace(options, class_names=names, things=things)
    return options


def _check_numbering(preds: Source, truth: Source, settings: EvalSettings) -> None:
    """Refuse class ids that LabelMe's names were given here against ids that come from elsewhere.

    Raises:
        UsageError: only a class list can say which class is which.
    """
    if settings.classes is not None or "labelme" not in (preds.format, truth.format):
        return
    other = preds if truth.format == "labelme" else truth
    foreign = other.format in _NUMBERED or (other.kind == "semantic" and not other.categories)
    if other.format != "labelme" and foreign:
        raise UsageError(
            "LabelMe names its classes, and the other side numbers them",
            why=f"which number is which name is nowhere said; {other.description}",
            fix="--class-names FILE with the names in the order of the numbers, from 0",
        )


def read_options(settings: EvalSettings, side: Side, classes: ClassList | None) -> ReadOptions:
    """What the settings tell the readers of one side."""
    options = ReadOptions(
        kind=side.kind, ignore_index=settings.ignore_index, label_divisor=settings.label_divisor
    )
    return options if classes is None else with_classes(options, classes)


def open_annotators(
    pred: Source, gt: Source, paths: Sequence[str], side: Side, settings: EvalSettings
) -> tuple[Source, Source]:
    """Add further annotators' ground truth to the ground truth.

    Args:
        pred: the predictions, returned as they are.
        gt: the first annotator's ground truth.
        paths: one for each further annotator.
        side: what the user says about the ground truth, which holds for all of it.
        settings: what label values mean.

    Raises:
        UsageError: one cannot be opened, or has none of the pictures.
    """
    if not paths:
        return pred, gt
    side = replace(side, kind=gt.kind)
    options = replace(
        read_options(settings, side, settings.classes), kind_why="as the ground truth"
    )
    others = [_open(replace(side, path=path), options) for path in paths]
    return pred, Annotators(gt, others, settings.match)


def _open(side: Side, options: ReadOptions) -> Source:
    return open_source(side.path, options, side.format)


def _check_kind(side: Side, source: Source, option: str) -> None:
    if side.kind is None or side.kind == source.kind:
        return
    raise UsageError(
        f"{side.path}: cannot be {side.kind}: it is of the format {source.format}",
        why="only the values of label maps can mean one thing or another",
        fix=f"leave --kind and {option} out for this side",
    )


def _settled(doubtful: Source, other: Source) -> LabelKind | None:
    """What the doubtful side's values must mean for the other side's sake, or None."""
    if doubtful.certain or other.kind in ("binary", doubtful.kind):
        return None
    # Objects with classes go with class maps and with object ids alike.
    clear = other.certain and other.format not in _CLASSES_AND_OBJECTS
    return other.kind if clear or doubtful.kind == "binary" else None


def _reversed(rule: NameRule) -> NameRule:
    return NameRule(pred=rule.gt, gt=rule.pred, words=rule.words)


def _sizes_in(other: Source, own: Source, rule: Callable[[], NameRule]) -> SizeOf:
    """Finds (height, width) of an image by its counterpart on the other side.

    Args:
        other: the side that has the sizes.
        own: the side that lacks them.
        rule: makes the rule that pairs them, `pred` standing for the own side.
    """
    if isinstance(other, StreamSource):
        if own.format != "yolo":
            return lambda _: None
        raise InputError(
            "image sizes cannot be taken from standard input",
            why="the other side stores none, and a stream is read only once",
            fix="segcli predict IMAGES -o OUT, then segcli eval OUT GT",
        )
    pairs = rule()
    listed = other.keys()
    keys = {name: key for key in listed if (name := pairs.gt(key)) is not None}

    def size_of(key: str) -> tuple[int, int] | None:
        name = pairs.pred(key)
        return _size(other, keys[name]) if name in keys else None

    return size_of


def _size(source: Source, key: str) -> tuple[int, int] | None:
    if isinstance(source, CocoDataset):
        return source.sizes[key]
    try:
        image = source.read(key).image
    except ItemError:
        return None
    return image.height, image.width
