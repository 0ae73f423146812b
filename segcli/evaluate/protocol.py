"""Which protocol compares two sides, and why."""

from __future__ import annotations

from dataclasses import replace

from segcli.errors import UsageError
from segcli.evaluate.annotators import Annotators
from segcli.evaluate.settings import EvalSettings
from segcli.evaluate.traps import ASKED_FOR
from segcli.formats.base import Source
from segcli.metrics import MetricOptions, Protocol

__all__ = ["PROMPTED", "check_options", "choose_protocol", "options_for"]

PROMPTED = "model"
"""The format of predictions that a model makes when prompted with the ground truth."""

_LABEL_MAPS = frozenset({"labels", "binary", "semantic"})
_WITH_CLASSES = frozenset(
    {"cityscapes", "coco", "coco-dataset", "coco-panoptic", "labelme", "ndjson", "yolo"}
)
_OBJECTS = frozenset({"instance", "panoptic"})


def choose_protocol(pred: Source, gt: Source, wanted: Protocol | None) -> tuple[Protocol, str]:
    """The protocol that both sides can be scored by, and the reason in words.

    The ground truth decides: binary masks → binary, class maps → semantic, objects → instance,
    panoptic maps → panoptic; where the predictions do not tell objects or classes apart, what both
    sides hold is compared.

    Raises:
        UsageError: the protocol asked for needs what a side does not hold.
    """
    if isinstance(gt, Annotators) and wanted not in (None, "regions"):
        raise UsageError(
            f"--annotator needs the protocol regions, and this one is {wanted}",
            why="the other protocols compare with one ground truth",
            fix="--protocol regions, or leave --annotator out",
        )
    if wanted is not None:
        _check_possible(pred, gt, wanted)
        return wanted, ASKED_FOR
    if gt.annotated:
        return "regions", "there are several annotators"
    if gt.kind == "panoptic":
        return _for_panoptic(pred)
    if gt.kind == "instance" and pred.kind not in _OBJECTS:
        return "binary", f"the predictions are {pred.kind}, not objects: foreground is compared"
    if gt.kind == "semantic" and not _has_classes(pred):
        return "binary", "the predictions are objects without classes: foreground is compared"
    return gt.kind, f"the ground truth is {gt.kind}"


def _for_panoptic(pred: Source) -> tuple[Protocol, str]:
    if pred.kind == "semantic":
        return "semantic", "the predictions are classes without objects: classes are compared"
    if pred.kind == "binary" or not _has_classes(pred):
        raise UsageError(
            f"{pred.kind} predictions without classes cannot be scored against panoptic maps",
            why=pred.description,
            fix="--protocol proposals (objects of any class), or --protocol regions",
        )
    return "panoptic", "the ground truth is panoptic"


def _has_classes(source: Source) -> bool:
    return source.kind != "instance" or source.format in _WITH_CLASSES


def _check_possible(pred: Source, gt: Source, wanted: Protocol) -> None:
    for side, source in (("predictions", pred), ("ground truth", gt)):
        lacks = _lacks(source, wanted, truth=source is gt)
        if not lacks:
            continue
        option = "--pred-kind" if side == "predictions" else "--gt-kind"
        raise UsageError(
            f"--protocol {wanted} needs {lacks}; the {side} are {source.kind}",
            why=source.description,
            fix=_fix(source, option, wanted),
        )


def _lacks(source: Source, wanted: Protocol, *, truth: bool) -> str:
    """What a side would have to hold, or "" when it does."""
    if wanted == "points" and not truth:
        made = source.format in (PROMPTED, "ndjson")
        return "" if made else "a folder of pictures and --model, or segcli's records of prompts"
    if wanted in ("instance", "proposals", "points") and source.kind not in _OBJECTS:
        return "objects: each as its own mask or label value"
    if wanted == "semantic" and not _has_classes(source):
        return "classes"
    if wanted == "panoptic" and (source.kind not in _OBJECTS or not _has_classes(source)):
        return "a class and an object for each pixel"
    return ""


def _fix(source: Source, option: str, wanted: Protocol) -> str:
    if source.format in _LABEL_MAPS and wanted in ("instance", "semantic", "panoptic"):
        return f"{option} {wanted}, if the values are {wanted} ids, or leave --protocol out"
    if wanted == "points":
        return "segcli eval PICTURES GT --protocol points --model NAME"
    return "--protocol binary, or leave --protocol out"


def check_options(settings: EvalSettings, protocol: Protocol) -> None:
    """Refuse options that would be ignored.

    Raises:
        UsageError: an option belongs to other protocols than this one.
    """
    if settings.classes is not None and protocol not in ("semantic", "panoptic"):
        raise UsageError(
            f"--class-names needs the protocol semantic or panoptic, and this one is {protocol}",
            why="the list says which values of maps are classes; COCO files name their own",
            fix="leave --class-names out, or --kind semantic if the values are class ids",
        )
    if settings.reduce_zero_label and protocol != "semantic":
        raise UsageError(
            f"--reduce-zero-label needs the protocol semantic, and this one is {protocol}",
            why="it renumbers the classes of class maps",
            fix="leave --reduce-zero-label out, or --kind semantic if the values are class ids",
        )
    if settings.clicks > 1 and protocol != "points":
        raise UsageError(
            f"--clicks needs the protocol points, and this one is {protocol}",
            why="there a model is prompted with clicks on each object of the ground truth",
            fix="segcli eval PICTURES GT --protocol points --model NAME, or leave --clicks out",
        )
    if settings.class_agnostic and protocol not in ("instance", "panoptic"):
        raise UsageError(
            f"--class-agnostic needs the protocol instance or panoptic, and this one is {protocol}",
            why="it makes all objects one class",
            fix="leave --class-agnostic out, or --kind instance if the values are object ids",
        )


def options_for(settings: EvalSettings, gt: Source) -> MetricOptions:
    """What the metrics need to know; a format that lists its classes stands in for a class list."""
    options = settings.metric_options
    if settings.classes is not None or not gt.ignored:
        return options
    return replace(options, class_names=gt.categories, ignored=gt.ignored, things=gt.things)
