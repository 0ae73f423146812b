"""Which protocol compares two sides, and why."""

from __future__ import annotations

from segcli.errors import UsageError
from segcli.evaluate.settings import EvalSettings
from segcli.formats.base import Source
from segcli.metrics import Protocol

__all__ = ["check_options", "choose_protocol"]

_LABEL_MAPS = frozenset({"labels", "binary"})
_WITH_CLASSES = frozenset({"coco", "coco-dataset", "ndjson", "yolo"})


def choose_protocol(pred: Source, gt: Source, wanted: Protocol | None) -> tuple[Protocol, str]:
    """The protocol that both sides can be scored by, and the reason in words.

    The ground truth decides: binary masks → binary, class maps → semantic, objects → instance;
    where the predictions do not tell objects or classes apart, the foreground is compared.

    Raises:
        UsageError: the protocol asked for needs what a side does not hold.
    """
    if wanted is not None:
        _check_possible(pred, gt, wanted)
        return wanted, "asked for"
    if gt.kind == "instance" and pred.kind != "instance":
        return "binary", f"the predictions are {pred.kind}, not objects: foreground is compared"
    if gt.kind == "semantic" and pred.kind == "instance" and pred.format not in _WITH_CLASSES:
        return "binary", "the predictions are objects without classes: foreground is compared"
    return gt.kind, f"the ground truth is {gt.kind}"


def _check_possible(pred: Source, gt: Source, wanted: Protocol) -> None:
    for side, source in (("predictions", pred), ("ground truth", gt)):
        if wanted == "instance" and source.kind != "instance":
            lacks = "objects: each as its own mask or label value"
        elif (
            wanted == "semantic"
            and source.kind == "instance"
            and source.format not in _WITH_CLASSES
        ):
            lacks = "classes"
        else:
            continue
        option = "--pred-kind" if side == "predictions" else "--gt-kind"
        raise UsageError(
            f"--protocol {wanted} needs {lacks}; the {side} are {source.kind}",
            why=source.description,
            fix=_fix(source, option, wanted),
        )


def _fix(source: Source, option: str, wanted: Protocol) -> str:
    if source.format in _LABEL_MAPS:
        return f"{option} {wanted}, if the values are {wanted} ids, or leave --protocol out"
    return "--protocol binary, or leave --protocol out"


def check_options(settings: EvalSettings, protocol: Protocol) -> None:
    """Refuse options that would be ignored.

    Raises:
        UsageError: class names without classes, or class-agnostic matching without objects.
    """
    if settings.class_names is not None and protocol != "semantic":
        raise UsageError(
            f"--class-names needs the protocol semantic, and this one is {protocol}",
            why="the list says which values of class maps are classes; COCO files name their own",
            fix="leave --class-names out, or --kind semantic if the values are class ids",
        )
    if settings.class_agnostic and protocol != "instance":
        raise UsageError(
            f"--class-agnostic needs the protocol instance, and this one is {protocol}",
            why="it makes all objects one class for COCO AP",
            fix="leave --class-agnostic out, or --kind instance if the values are object ids",
        )
