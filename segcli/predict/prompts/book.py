"""All prompts of a run: read, matched with the pictures, and summed up in a hash."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from segcli.errors import InputError, UsageError
from segcli.formats.base import json_text, stem_of
from segcli.inputs import InputImage
from segcli.predict.prompts.asked import Asked, Row
from segcli.predict.prompts.coco_boxes import read_coco_boxes
from segcli.predict.prompts.flags import Flags, asked_by_flags
from segcli.predict.prompts.lines import How, read_lines, row_of
from segcli.predict.prompts.table import read_table
from segcli.predict.prompts.yolo_boxes import read_yolo_boxes

__all__ = ["Book", "book_of_flags", "book_of_rows", "read_rows", "rows_in_list"]

_STDIN = "standard input"


@dataclass(frozen=True, slots=True)
class Book:
    """What is asked for in each picture.

    Attributes:
        objects: by the picture's key, in the order given; a picture that is missing is asked
            nothing.
        categories: name by category id.
    """

    objects: Mapping[str, tuple[Asked, ...]]
    categories: Mapping[int, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """A hash of what is asked for, wherever it was written down."""
        content = sorted(
            (key, [{**asdict(asked), "where": ""} for asked in objects])
            for key, objects in self.objects.items()
            if objects
        )
        return f"sha256:{hashlib.sha256(json_text(content).encode()).hexdigest()}"


def book_of_flags(flags: Flags, images: Sequence[InputImage]) -> Book:
    """The prompts of the command line, which are of one picture.

    Raises:
        UsageError: there are several pictures, or a prompt is impossible.
    """
    objects = asked_by_flags(flags)
    if len(images) != 1:
        raise UsageError(
            f"{objects[0].where} is of one picture, and {len(images)} were given",
            fix="one picture, or --prompts FILE, which says what to ask in which picture",
        )
    return Book({images[0].key: objects})


def read_rows(source: str, *, normalized: bool, each_point: bool) -> list[Row]:
    """Read a file of prompts, told by its content.

    Args:
        source: NDJSON, CSV or TSV, a COCO dataset, a YOLO text file or a folder of them; ``-`` is
            NDJSON on standard input.
        normalized: numbers are fractions of the picture's width and height.
        each_point: of NDJSON: points without an object are each one.

    Raises:
        InputError: it cannot be read, or a row is malformed or impossible.
        UsageError: an option has no meaning for such a file.
    """
    path = Path(source)
    if source != "-" and not path.exists():
        raise InputError(f"no such file of prompts: '{source}'")
    if path.is_dir() or path.suffix.lower() == ".txt":
        _refuse("--each-point", each_point, f"{source}: YOLO has boxes and no points")
        _refuse("--normalized", normalized, f"{source}: YOLO is normalized as it is")
        return read_yolo_boxes(path)
    name = _STDIN if source == "-" else source
    text = _text(source)
    if not text.lstrip().startswith("{"):
        if text.lstrip().startswith("["):
            raise InputError(
                f"{name}: a JSON list does not name pictures",
                why="COCO results refer to images that only a COCO dataset names",
                fix="a COCO dataset, NDJSON, CSV or YOLO texts",
            )
        _refuse("--each-point", each_point, f"{name}: rows without an object are objects already")
        return read_table(text, name, normalized=normalized)
    how = How(normalized, each_point, Path() if source == "-" else path.parent)
    whole = _whole_json(text)
    if whole is not None and "images" in whole:
        _refuse("--each-point", each_point, f"{name}: COCO has boxes and no points")
        _refuse("--normalized", normalized, f"{name}: COCO's boxes are in pixels")
        return read_coco_boxes(whole, path)
    if whole is not None:
        return [row_of(whole, f"{name} line 1", how)]
    return read_lines(text, name, how)


def rows_in_list(text: str, name: str, *, normalized: bool, each_point: bool) -> list[Row]:
    """Rows of a list of pictures (``--files-from``) that is NDJSON.

    Raises:
        InputError: a line is malformed, or asks for something impossible.
    """
    folder = Path() if name == "-" else Path(name).parent
    where = _STDIN if name == "-" else name
    return read_lines(text, where, How(normalized, each_point, folder))


def book_of_rows(rows: Iterable[Row], images: Sequence[InputImage]) -> Book:
    """Match rows with pictures, and names of categories with ids.

    Raises:
        InputError: a row names no picture that was given, or several.
    """
    index = _Index(images)
    objects: dict[str, list[Asked]] = {}
    for row in rows:
        objects.setdefault(index.find(row), []).extend(row.objects)
    everything = [asked for some in objects.values() for asked in some]
    categories = _categories(everything)
    numbers = {name: number for number, name in categories.items()}

    def numbered(asked: Asked) -> Asked:
        if asked.category is not None:
            name = asked.category_name or categories.get(asked.category)
            return replace(asked, category_name=name)
        return replace(asked, category=numbers.get(asked.category_name or ""))

    return Book({key: tuple(map(numbered, some)) for key, some in objects.items()}, categories)


def _categories(objects: Sequence[Asked]) -> dict[int, str]:
    """Name by id: ids as given, names without one counted on from 1 in alphabetical order."""
    known = {a.category: a.category_name for a in objects if a.category is not None}
    categories = {number: name for number, name in known.items() if name is not None}
    unnumbered = {a.category_name for a in objects if a.category is None} - {None}
    free = max([0, *known]) + 1
    fresh = sorted(name for name in unnumbered if name and name not in categories.values())
    return {**categories, **{free + i: name for i, name in enumerate(fresh)}}


class _Index:
    """Finds the picture that a row names."""

    def __init__(self, images: Sequence[InputImage]) -> None:
        self._keys = {image.key for image in images}
        self._by: list[dict[str, set[str]]] = [{}, {}, {}, {}, {}]
        for image in images:
            page = "" if image.page is None else f"#page={image.page}"
            path, source = image.path, image.source
            names = (
                source + page,
                str(Path(source).resolve()) + page,
                path.rpartition("/")[2] + page,
                stem_of(path) + page,
                stem_of(path.rpartition("/")[2]) + page,
            )
            for found, name in zip(self._by, names, strict=True):
                found.setdefault(name, set()).add(image.key)

    def find(self, row: Row) -> str:
        """By key, as it was given, by file, by file name, and without suffix, in this order."""
        if row.path in self._keys:
            return row.path
        path, page = row.path.partition("#page=")[::2]
        page = f"#page={page}" if page else ""
        file = path.rpartition("/")[2] + page
        names = (row.path, str(Path(path).resolve()) + page, file, row.path, file)
        for found, name in zip(self._by, names, strict=True):
            keys = found.get(name, set())
            if len(keys) == 1:
                return next(iter(keys))
            if keys:
                raise InputError(
                    f"{row.where}: '{row.path}' may be any of {len(keys)} pictures",
                    why=", ".join(sorted(keys)[:5]),
                    fix="name it by its path below the folder of pictures",
                )
        raise InputError(
            f"{row.where}: '{row.path}' is none of the {len(self._keys)} pictures given",
            why="a row names a picture by its path below the folder of pictures, or by its file "
            "name",
            fix="take the row out, or give the picture",
        )


def _refuse(option: str, given: bool, why: str) -> None:
    if given:
        raise UsageError(f"{option} has no meaning here", why=why, fix="leave it out")


def _text(source: str) -> str:
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read prompts from '{source}'", why=str(error)) from error
    if not text.strip():
        raise InputError(f"the file of prompts '{source}' is empty")
    return text


def _whole_json(text: str) -> dict[str, object] | None:
    """The one JSON object that a text is, or None."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
