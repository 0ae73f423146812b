"""The folder that Meta's amg.py writes: a PNG per mask, and metadata.csv."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from segcli.errors import InputError, MaskError
from segcli.formats.base import (
    Format,
    ReadOptions,
    Source,
    WriteOptions,
    replacing,
    size_lookup,
)
from segcli.formats.folders import COLUMNS, METADATA, amg_folders, folder_name
from segcli.formats.masks import read_object_mask, remove_beyond, save_mask
from segcli.masks.labels import segments_of
from segcli.masks.rle import decode, segment_from_mask
from segcli.records import ImageRef, LabelKind, Segment, Segmentation

__all__ = ["FORMAT"]

_FIX = f"copy {METADATA} again: its columns are {', '.join(COLUMNS[:3])}, …"


def _write(result: Segmentation, folder: Path, stem: str, options: WriteOptions) -> list[Path]:
    del options
    below = folder / stem
    rows, paths = [",".join(COLUMNS)], []
    for index, segment in enumerate(segments_of(result)):
        paths.append(below / f"{index}.png")
        save_mask(decode(segment.mask), paths[-1])
        rows.append(_row(index, segment))
    with replacing(below / METADATA) as file:
        file.write(("\n".join(rows) + "\n").encode("ascii"))
    remove_beyond(below, len(paths), r"(\d+)\.png")
    return [*paths, below / METADATA]


def _row(index: int, segment: Segment) -> str:
    iou = segment.score if segment.predicted_iou is None else segment.predicted_iou
    numbers: list[float | None] = [index, segment.area, *segment.box_xywh]
    numbers += segment.point_xy or (None, None)
    numbers += [iou, segment.stability_score]
    numbers += segment.crop_box_xywh or (None,) * 4
    return ",".join(_number(value) for value in numbers)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(int(value)) if value == int(value) else repr(float(value))


class _AmgFolders(Source):
    """Meta's folders, one for each image."""

    format = "amg"
    kind: LabelKind = "instance"

    def __init__(self, path: Path, folders: Sequence[str], options: ReadOptions) -> None:
        self.description = f"{path}: Meta's amg layout, {len(folders)} folders with {METADATA}"
        self._folders = {folder_name(path, below): path / below for below in folders}
        self._size_of = size_lookup(options)

    def keys(self) -> Sequence[str]:
        """Folders, relative."""
        return sorted(self._folders)

    def read(self, key: str) -> Segmentation:
        """Decode one image's masks, with the metadata of each."""
        folder, segments = self._folders[key], list[Segment]()
        size: tuple[int, int] | None = None
        for row in _rows(folder / METADATA):
            path = folder / f"{row['id']}.png"
            mask = read_object_mask(path)
            if size is not None and mask.shape != size:
                raise MaskError(
                    f"{path}: is {mask.shape[1]}x{mask.shape[0]}, "
                    f"the masks beside it {size[1]}x{size[0]}",
                    fix="save all masks of an image at the image's size",
                )
            size = mask.shape[0], mask.shape[1]
            segments.append(segment_from_mask(mask, **_fields(folder, row)))
        size = size or self._size_of(key)
        if size is None:
            raise MaskError(
                f"{folder}: lists no masks, so the image size is unknown",
                fix="evaluate segments.ndjson, or a format that stores the image size",
            )
        image = ImageRef(path=key, height=size[0], width=size[1], source=str(folder))
        return Segmentation(image=image, segments=tuple(segments))


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows, columns = list(reader), tuple(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MaskError(f"{path}: cannot be read", why=str(error), fix=_FIX) from error
    if columns != COLUMNS:
        raise MaskError(f"{path}: has other columns than Meta's amg.py writes", fix=_FIX)
    if any(value is None for row in rows for value in row.values()):
        raise MaskError(f"{path}: a row is cut off", fix=_FIX)
    return rows


def _fields(folder: Path, row: dict[str, str]) -> dict[str, object]:
    try:
        values = [float(row[name]) if row[name] else None for name in COLUMNS]
    except (KeyError, ValueError) as error:
        raise MaskError(
            f"{folder / METADATA}: malformed row of the mask {row.get('id')}",
            why=repr(error),
            fix=_FIX,
        ) from error
    crop, point = values[10:14], values[6:8]
    return {
        "id": int(values[0] or 0),
        "score": values[8],
        "predicted_iou": values[8],
        "stability_score": values[9],
        "point_xy": None if None in point else tuple(point),
        "crop_box_xywh": None if None in crop else tuple(crop),
    }


def _recognise(path: Path) -> str | None:
    return "Meta's amg folders" if path.is_dir() and amg_folders(path) else None


def _open(path: Path, options: ReadOptions) -> Source:
    folders = amg_folders(path) if path.is_dir() else []
    if not folders:
        raise InputError(
            f"{path}: holds no {METADATA} with the header of Meta's amg.py",
            fix="leave the format out",
        )
    return _AmgFolders(path, folders, options)


FORMAT = Format(
    name="amg",
    summary="the folder of Meta's amg.py: <image>/0.png, 1.png, … and metadata.csv",
    loses="a score other than the predicted IoU; categories and crowd marks; "
    "the size of images without a segment",
    write_image=_write,
    recognise=_recognise,
    open=_open,
)
