"""Open both sides, each told what only the other one knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from segcli.errors import InputError, ItemError, UsageError
from segcli.evaluate.pairing import NameRule, rule_of
from segcli.formats import ReadOptions, Source, open_source
from segcli.formats.coco_dataset import CocoDataset
from segcli.formats.ndjson import StreamSource
from segcli.records import LabelKind

__all__ = ["Side", "open_sides"]

SizeOf = Callable[[str], "tuple[int, int] | None"]
_WITHOUT_SIZES = frozenset({"yolo", "amg", "masks"})
_CLASSES_AND_OBJECTS = frozenset({"coco", "coco-dataset", "yolo"})
_SAYS_SO = "--kind says so)"


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


def open_sides(
    pred: Side, gt: Side, ignore_index: int | None = None, match: str | None = None
) -> tuple[Source, Source]:
    """Open predictions and ground truth.

    COCO results get image names and sizes from a COCO ground truth; formats that store no image
    size get it from the image's counterpart on the other side. Where what one side's label values
    mean is a guess, what the other side holds decides. The ignore index is the ground truth's
    alone: a prediction cannot take pixels out of the score.

    Args:
        pred: the predictions.
        gt: the ground truth.
        ignore_index: see `EvalSettings`.
        match: see `EvalSettings`; sizes are looked up by it.

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
    told = {"ignore_index": ignore_index}
    truth = _open(gt, ReadOptions(kind=gt.kind, **told))
    known = truth if isinstance(truth, CocoDataset) else None
    names = {"image_sizes": known.sizes, "coco_names": known.names} if known else {}
    preds = _open(pred, ReadOptions(kind=pred.kind, **names))
    _check_kind(pred, preds, "--pred-kind")
    _check_kind(gt, truth, "--gt-kind")
    if kind := _settled(truth, preds):
        truth = _as_other(_open(gt, ReadOptions(kind=kind, **told)), "predictions")
    elif kind := _settled(preds, truth):
        preds = _as_other(_open(pred, ReadOptions(kind=kind)), "ground truth")
    if truth.format in _WITHOUT_SIZES:
        size_of = _sizes_in(preds, lambda: rule_of(preds, truth, match), "gt", truth)
        return preds, _open(gt, ReadOptions(kind=gt.kind, size_of=size_of, **told))
    if preds.format in _WITHOUT_SIZES:
        size_of = _sizes_in(truth, lambda: rule_of(preds, truth, match), "pred", preds)
        return _open(pred, ReadOptions(kind=pred.kind, size_of=size_of)), truth
    return preds, truth


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
    sure = other.certain and other.kind != "binary" and other.format not in _CLASSES_AND_OBJECTS
    usable = sure or (doubtful.kind == "binary" and other.kind != "binary")
    return None if doubtful.certain or not usable or other.kind == doubtful.kind else other.kind


def _as_other(source: Source, other: str) -> Source:
    source.description = f"{source.description.removesuffix(_SAYS_SO)}as the {other} are)"
    return source


def _sizes_in(
    other: Source, rule: Callable[[], NameRule], side: Literal["pred", "gt"], own: Source
) -> SizeOf:
    """Finds (height, width) of an image by its counterpart on the other side."""
    if isinstance(other, StreamSource):
        if own.format == "yolo":
            raise InputError(
                "image sizes cannot be taken from standard input",
                why="the other side stores none, and a stream is read only once",
                fix="segcli predict IMAGES -o OUT, then segcli eval OUT GT",
            )
        return lambda _: None
    learnt = rule()
    own_name, other_name = learnt.pred, learnt.gt
    if side == "gt":
        own_name, other_name = other_name, own_name
    keys = {name: key for key in other.keys() if (name := other_name(key)) is not None}

    def size_of(key: str) -> tuple[int, int] | None:
        counterpart = keys.get(own_name(key) or "")
        return None if counterpart is None else _size(other, counterpart)

    return size_of


def _size(source: Source, key: str) -> tuple[int, int] | None:
    if isinstance(source, CocoDataset):
        return source.sizes[key]
    try:
        image = source.read(key).image
    except ItemError:
        return None
    return image.height, image.width
