"""One PNG per segment, in a folder per image."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcli.errors import InputError, MaskError
from segcli.formats.base import (
    Format,
    ReadOptions,
    Source,
    WriteOptions,
    replacing,
    size_lookup,
)
from segcli.formats.files import read_raster
from segcli.formats.folders import amg_folders, any_folders, folder_name, object_folders
from segcli.masks.labels import segments_of
from segcli.masks.rle import decode, segment_from_mask
from segcli.records import ImageRef, LabelKind, Segment, Segmentation

__all__ = ["FORMAT", "read_object_mask", "remove_beyond", "save_mask"]


def save_mask(mask: npt.NDArray[np.bool_], path: Path) -> None:
    """Write one (H, W) bool mask as an 8-bit PNG of 0 and 255."""
    with replacing(path) as file:
        Image.fromarray(mask.view(np.uint8) * np.uint8(255)).save(file, "PNG")


def read_object_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read one object's (H, W) mask.

    Raises:
        MaskError: the file is damaged, or has more than one value beside 0.
    """
    values: npt.NDArray[Any] = read_raster(path).values
    inside: npt.NDArray[np.bool_] = values != 0
    if values.dtype != bool:
        top = int(values.max())
        if np.count_nonzero(values == top) != np.count_nonzero(inside) and top:
            raise MaskError(
                f"{path}: one object's mask has several values (up to {top})",
                why="a mask file per object has two values, 0 and one other",
                fix="threshold the masks and save them as PNG, not JPEG",
            )
    return inside


def remove_beyond(folder: Path, count: int, pattern: str) -> None:
    """Remove numbered files left by an earlier, longer result.

    Args:
        folder: the image's folder.
        count: files numbered `count` and above go.
        pattern: regular expression of a whole file name whose group 1 is the number.
    """
    for path in folder.iterdir():
        match = re.fullmatch(pattern, path.name)
        if match and int(match[1]) >= count:
            path.unlink()


def _write(result: Segmentation, folder: Path, stem: str, options: WriteOptions) -> list[Path]:
    del options
    below = folder / stem
    below.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, segment in enumerate(segments_of(result)):
        paths.append(below / f"{index:04d}.png")
        save_mask(decode(segment.mask), paths[-1])
    remove_beyond(below, len(paths), r"(\d{4,})\.png")
    return paths


class _Folders(Source):
    """A folder of object masks for each image."""

    format = "masks"
    kind: LabelKind = "instance"

    def __init__(self, path: Path, files: dict[str, list[str]], options: ReadOptions) -> None:
        count = sum(len(names) for names in files.values())
        self.description = (
            f"{path}: {count} masks of single objects in {len(files)} folders, one folder an image"
        )
        self._root = path
        self._files = {folder_name(path, below): names for below, names in files.items()}
        self._size_of = size_lookup(options)

    def keys(self) -> Sequence[str]:
        """Folders, relative."""
        return sorted(self._files)

    def read(self, key: str) -> Segmentation:
        """Decode every mask in one image's folder."""
        segments: list[Segment] = []
        size: tuple[int, int] | None = None
        for position, name in enumerate(self._files[key]):
            mask = read_object_mask(self._root / name)
            if size is not None and mask.shape != size:
                raise MaskError(
                    f"{self._root / name}: is {mask.shape[1]}x{mask.shape[0]}, "
                    f"the masks beside it {size[1]}x{size[0]}",
                    why="all masks of an image have the image's size",
                    fix="save them at that size, or give each image its own folder",
                )
            size = mask.shape[0], mask.shape[1]
            stem = Path(name).stem
            number = int(stem) if stem.isascii() and stem.isdigit() else position
            segments.append(segment_from_mask(mask, id=number))
        size = size or self._size_of(key)
        if size is None:
            raise MaskError(
                f"{self._root / key}: holds no masks, so the image size is unknown",
                fix="evaluate segments.ndjson, or a format that stores the image size",
            )
        image = ImageRef(path=key, height=size[0], width=size[1], source=str(self._root / key))
        return Segmentation(image=image, segments=tuple(segments))


def _recognise(path: Path) -> str | None:
    if not path.is_dir() or amg_folders(path) or not object_folders(path):
        return None
    return "folders of object masks"


def _open(path: Path, options: ReadOptions) -> Source:
    # Who names the format may have other file names than those by which it is told.
    files = (object_folders(path) or any_folders(path)) if path.is_dir() else {}
    if not files:
        raise InputError(
            f"{path}: holds no folders of object masks",
            why="expected <image>/0000.png, 0001.png, … or <image>/masks/*.png; where the format "
            "is said to be masks, a folder of pictures for each image and none outside them",
            fix="leave the format out",
        )
    return _Folders(path, files, options)


FORMAT = Format(
    name="masks",
    summary="one 8-bit PNG of 0 and 255 per segment: <image>/0000.png, 0001.png, …",
    loses="scores; categories and crowd marks; images without a segment leave an empty folder",
    write_image=_write,
    recognise=_recognise,
    open=_open,
)
