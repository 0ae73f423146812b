"""Open both sides, each told what only the other one knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from segcli.errors import InputError, ItemError
from segcli.formats import ReadOptions, Source, open_source
from segcli.formats.coco_dataset import CocoDataset
from segcli.formats.ndjson import StreamSource
from segcli.records import LabelKind

__all__ = ["Side", "open_sides"]

Sizes = Mapping[str, tuple[int, int]]
_WITHOUT_SIZES = frozenset({"yolo"})


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


def open_sides(pred: Side, gt: Side, ignore_index: int | None = None) -> tuple[Source, Source]:
    """Open predictions and ground truth.

    COCO results get image names and sizes from a COCO ground truth; formats that store no image
    size get it from the other side. The ignore index is the ground truth's alone: a prediction
    cannot take pixels out of the score.

    Raises:
        UsageError: a side is missing, of an unknown format, or cannot be this side.
    """
    if gt.path == "-":
        raise InputError(
            "the ground truth cannot come from standard input",
            why="predictions look their ground truth up by name",
            fix="segcli predict IMAGES -o - | segcli eval - GT",
        )
    truth = _open(gt, ignore_index=ignore_index)
    if isinstance(truth, CocoDataset):
        return _open(pred, sizes=truth.sizes, names=truth.names), truth
    preds = _open(pred)
    if truth.format in _WITHOUT_SIZES:
        return preds, _open(gt, sizes=_sizes_of(preds), ignore_index=ignore_index)
    if preds.format in _WITHOUT_SIZES:
        preds = _open(pred, sizes=_sizes_of(truth))
    return preds, truth


def _open(
    side: Side,
    *,
    sizes: Sizes | None = None,
    names: Mapping[int, str] | None = None,
    ignore_index: int | None = None,
) -> Source:
    options = ReadOptions(
        kind=side.kind,
        ignore_index=ignore_index,
        image_sizes=sizes or {},
        coco_names=names or {},
    )
    return open_source(side.path, options, side.format)


def _sizes_of(source: Source) -> Sizes:
    if isinstance(source, CocoDataset):
        return source.sizes
    if isinstance(source, StreamSource):
        raise InputError(
            "image sizes cannot be taken from standard input",
            why="the other side stores none, and a stream is read only once",
            fix="segcli predict IMAGES -o OUT, then segcli eval OUT GT",
        )
    sizes: dict[str, tuple[int, int]] = {}
    for key in list(source.keys()):
        try:
            image = source.read(key).image
        except ItemError:
            continue
        sizes[key] = image.height, image.width
    return sizes
