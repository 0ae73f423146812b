"""YOLO segmentation: one text file per image, one normalised polygon per object."""

from __future__ import annotations

import re
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
from segcli.formats.files import files_below, spread
from segcli.masks.labels import segments_of
from segcli.masks.rle import decode, from_polygons, segment_from_rle
from segcli.records import ImageRef, LabelKind, Segment, Segmentation

__all__ = ["FORMAT"]

CLASS_AGNOSTIC = 0
_FIX = "a line is: class x1 y1 x2 y2 x3 y3 …, coordinates divided by the image's width and height"
_LINE = re.compile(r"\d+(\s+-?[\d.]+(e-?\d+)?){6,}", re.IGNORECASE)
_NO_LABELS = frozenset({"classes.txt", "readme.txt", "license.txt", "train.txt", "val.txt"})


def _write(result: Segmentation, folder: Path, stem: str, options: WriteOptions) -> list[Path]:
    del options
    image = result.image
    lines = [_line(segment, image.height, image.width) for segment in segments_of(result)]
    path = folder / f"{stem}.txt"
    with replacing(path) as file:
        file.write("".join(line for line in lines if line).encode("ascii"))
    return [path]


def _line(segment: Segment, height: int, width: int) -> str:
    # scipy is loaded only by who needs it: its import takes longer than most commands.
    from segcli.masks.polygons import outer_contours  # noqa: PLC0415

    contours = outer_contours(decode(segment.mask))
    if not contours:
        return ""
    category = CLASS_AGNOSTIC if segment.category is None else segment.category
    corners = (contours[0] / (width, height)).ravel().tolist()
    return " ".join([str(category), *(_decimal(value) for value in corners)]) + "\n"


def _decimal(value: float) -> str:
    return f"{value:.7f}".rstrip("0").rstrip(".")


class _Texts(Source):
    """One text file for each image."""

    format = "yolo"
    kind: LabelKind = "instance"

    def __init__(self, path: Path, names: Sequence[str], options: ReadOptions) -> None:
        self.description = f"{path}: YOLO segmentation, {len(names)} text files of polygons"
        self._root = path if path.is_dir() else path.parent
        self._names = names
        self._size_of = size_lookup(options)
        self._sized = options.size_of is not None or bool(options.image_sizes)
        self.single = path.is_file()

    def keys(self) -> Sequence[str]:
        """The text files, relative."""
        return self._names

    def read(self, key: str) -> Segmentation:
        """One image's polygons, rasterised at the image's size.

        Raises:
            InputError: no sizes of images are given in `ReadOptions`.
            MaskError: that of this image is not, or a line is no polygon.
        """
        path = self._root / key
        size = self._size_of(key)
        if size is None:
            unknown = MaskError if self._sized else InputError
            raise unknown(
                f"{path}: the size of its image is unknown",
                why="YOLO polygons are fractions of the image, the text does not state it",
                fix="segcli convert SRC DST --images FOLDER; segcli eval takes it from the masks "
                "of the same image on the other side",
            )
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise MaskError(f"{path}: cannot be read", why=str(error), fix=_FIX) from error
        segments = tuple(
            _segment(f"{path} line {number}", line, size)
            for number, line in enumerate(lines, start=1)
            if line.strip()
        )
        image = ImageRef(path=key, height=size[0], width=size[1], source=str(path))
        return Segmentation(image=image, segments=segments)


def _segment(where: str, line: str, size: tuple[int, int]) -> Segment:
    category, *words = line.split()
    try:
        numbers = [float(word) for word in words]
        number = int(category)
    except ValueError as error:
        raise MaskError(f"{where}: not numbers", why=str(error), fix=_FIX) from error
    score = numbers.pop() if len(numbers) % 2 else None
    if len(numbers) < 6:
        raise MaskError(
            f"{where}: is a box, not a polygon" if len(numbers) == 4 else f"{where}: no polygon",
            why="a mask is a class and at least three points x y",
            fix=_FIX,
        )
    if not all(-1e-3 <= value <= 1.001 for value in numbers):
        raise MaskError(f"{where}: coordinates are not fractions of the image, 0 to 1", fix=_FIX)
    height, width = size
    pixels = [v * (height if i % 2 else width) for i, v in enumerate(numbers)]
    return segment_from_rle(from_polygons([pixels], height, width), category=number, score=score)


def _text_files(path: Path) -> list[str]:
    names = files_below(path) if path.is_dir() else iter([path.name])
    return sorted(
        name
        for name in names
        if name.lower().endswith(".txt") and name.rpartition("/")[2].lower() not in _NO_LABELS
    )


def _recognise(path: Path) -> str | None:
    root = path if path.is_dir() else path.parent
    firsts = [_first_line(root / name) for name in spread(_text_files(path), 20)]
    filled = [line for line in firsts if line]
    fits = bool(filled) and all(_LINE.fullmatch(line) for line in filled)
    return "YOLO polygons" if fits else None


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.readline(1 << 20).decode("utf-8", "replace").strip()
    except OSError:
        # Reading the file will say what is wrong with it.
        return ""


def _open(path: Path, options: ReadOptions) -> Source:
    names = _text_files(path)
    if not names:
        raise InputError(f"{path}: holds no .txt files", fix="leave the format out")
    return _Texts(path, names, options)


FORMAT = Format(
    name="yolo",
    summary="YOLO segmentation, one text file per image with a normalised polygon per object",
    loses="holes, all parts of an object but the largest, scores and crowd marks; class-agnostic "
    "becomes class 0",
    write_image=_write,
    recognise=_recognise,
    open=_open,
)
