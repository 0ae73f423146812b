"""Prompts as NDJSON: a JSON object a line, a line a picture.

``{"path", "points", "labels", "boxes"}`` is short for one object, or one for each box; lists of
lists of points are one list for each object; ``"objects"`` says everything of each object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segcli.errors import InputError, MaskError, UsageError, closest
from segcli.masks.rle import from_coco
from segcli.predict.prompts.asked import Asked, Row, a_number, checked, read_mask
from segcli.predict.prompts.flags import objects_of
from segcli.records import RLE

__all__ = ["How", "read_lines", "row_of"]

_ROW = ("path", "points", "labels", "boxes", "objects", "category", "categories", "ids")
_OBJECT = ("points", "labels", "box", "mask", "category", "category_name", "id")
_FIX = '{"path": "a.png", "points": [[x, y]], "labels": [1], "boxes": [[x0, y0, x1, y1]]}'


@dataclass(frozen=True, slots=True)
class How:
    """How numbers and points are meant.

    Attributes:
        normalized: numbers are fractions of the picture's width and height.
        each_point: every point that is not said to belong to an object is one of its own.
        folder: mask files are named relative to it.
    """

    normalized: bool = False
    each_point: bool = False
    folder: Path = Path()


def read_lines(text: str, name: str, how: How) -> list[Row]:
    """Rows of an NDJSON file.

    Raises:
        InputError: a line is malformed, or asks for something impossible.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{name} line {number}"
        try:
            value = json.loads(line)
        except ValueError as error:
            raise InputError(f"{where}: not JSON", why=str(error), fix=_FIX) from error
        rows.append(row_of(value, where, how))
    return rows


def row_of(value: Any, where: str, how: How) -> Row:  # noqa: ANN401 (parsed JSON)
    """The row of one JSON object.

    Raises:
        InputError: it is malformed, or asks for something impossible.
    """
    if not isinstance(value, dict) or not isinstance(value.get("path"), str) or not value["path"]:
        raise InputError(f"{where}: names no picture", why='a line has a "path"', fix=_FIX)
    _refuse_unknown(value, _ROW, where)
    if "objects" not in value:
        return Row(value["path"], where, tuple(map(checked, _short(value, where, how))))
    if mixed := [key for key in ("points", "labels", "boxes") if key in value]:
        raise InputError(
            f"{where}: has objects, and {mixed[0]} beside them",
            fix="put points and box of an object into the object",
        )
    objects = _list(value["objects"], where, "objects")
    found = [_object(each, f"{where} object {n}", how) for n, each in enumerate(objects, 1)]
    return Row(value["path"], where, tuple(checked(asked) for asked in found))


def _short(value: Mapping[str, Any], where: str, how: How) -> list[Asked]:
    points = _list(value.get("points"), where, "points")
    labels = value.get("labels")
    boxes = [
        None if box is None else _box(box, where)
        for box in _list(value.get("boxes"), where, "boxes")
    ]
    base = Asked(where, normalized=how.normalized)
    if any(_is_nested(each) or each is None for each in points):
        objects = _nested(base, points, labels, boxes)
    else:
        loose = [replace(base, points=(point,)) for point in _points(points, labels, where)]
        framed = [replace(base, box_xyxy=box) for box in boxes if box is not None]
        try:
            objects = objects_of(loose, framed, each_point=how.each_point)
        except UsageError as error:
            raise InputError(
                error.message, fix='"points" as one list for each box, or "objects"'
            ) from error
    return _named(objects, value, where)


def _nested(
    base: Asked,
    points: list[Any],
    labels: Any,  # noqa: ANN401 (parsed JSON)
    boxes: list[tuple[float, float, float, float] | None],
) -> list[Asked]:
    """One list of points for each object, and a box for each where there are boxes."""
    labels = [None] * len(points) if labels is None else _list(labels, base.where, "labels")
    frames = boxes or [None] * len(points)
    if not len(points) == len(labels) == len(frames):
        raise InputError(
            f"{base.where}: {len(points)} lists of points, {len(labels)} of labels and "
            f"{len(frames)} boxes",
            why="where points are one list for each object, so are labels and boxes",
            fix='null for an object without a box, or "objects"',
        )
    return [
        replace(base, points=tuple(_points(some or [], marks, base.where)), box_xyxy=frame)
        for some, marks, frame in zip(points, labels, frames, strict=True)
    ]


def _named(objects: list[Asked], value: Mapping[str, Any], where: str) -> list[Asked]:
    categories = value.get("categories", [value.get("category")] * len(objects))
    ids = value.get("ids", [None] * len(objects))
    for name, given in (("categories", categories), ("ids", ids)):
        if len(_list(given, where, name)) != len(objects):
            raise InputError(f"{where}: {len(given)} {name} for {len(objects)} objects")
    return [
        replace(asked, **_category(category, where), id=_whole(number, where, "id"))
        for asked, category, number in zip(objects, categories, ids, strict=True)
    ]


def _object(value: Any, where: str, how: How) -> Asked:  # noqa: ANN401 (parsed JSON)
    if not isinstance(value, dict):
        raise InputError(f"{where}: is no JSON object", fix='{"points": [[x, y]]}')
    _refuse_unknown(value, _OBJECT, where)
    box, mask = value.get("box"), value.get("mask")
    points = _points(_list(value.get("points"), where, "points"), value.get("labels"), where)
    named = _category(value.get("category"), where)
    if (name := value.get("category_name")) is not None:
        named["category_name"] = str(name)
    return Asked(
        where,
        tuple(points),
        None if box is None else _box(box, where),
        None if mask is None else _mask(mask, where, how),
        id=_whole(value.get("id"), where, "id"),
        normalized=how.normalized,
        **named,
    )


def _points(points: list[Any], labels: Any, where: str) -> list[tuple[float, float, int]]:  # noqa: ANN401
    marks = [1] * len(points) if labels is None else _list(labels, where, "labels")
    if len(marks) != len(points):
        raise InputError(f"{where}: {len(points)} points and {len(marks)} labels")
    found = []
    for point, mark in zip(points, marks, strict=True):
        if not isinstance(point, list) or len(point) not in (2, 3):
            raise InputError(f"{where}: the point {point!r} is not [x, y] or [x, y, label]")
        label = _whole(point[2] if len(point) > 2 else mark, where, "the label")
        x, y = (a_number(n, where, "a coordinate") for n in point[:2])
        found.append((x, y, 1 if label is None else label))
    return found


def _box(value: Any, where: str) -> tuple[float, float, float, float]:  # noqa: ANN401
    if not isinstance(value, list) or len(value) != 4:
        raise InputError(f"{where}: the box {value!r} is not [x0, y0, x1, y1]")
    x0, y0, x1, y1 = (a_number(number, where, "an edge") for number in value)
    return x0, y0, x1, y1


def _mask(value: Any, where: str, how: How) -> RLE:  # noqa: ANN401 (parsed JSON)
    if isinstance(value, str):
        return read_mask(how.folder / value, where)
    try:
        height, width = (int(n) for n in value["size"])
        return from_coco(value, height, width)
    except (MaskError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{where}: the mask is neither a file nor a COCO RLE with its size", why=str(error)
        ) from error


def _category(value: Any, where: str) -> dict[str, Any]:  # noqa: ANN401 (parsed JSON)
    if isinstance(value, str):
        return {"category_name": value}
    return {"category": _whole(value, where, "the category")}


def _whole(value: Any, where: str, what: str) -> int | None:  # noqa: ANN401 (parsed JSON)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{where}: {what} {value!r} is not a whole number")
    return value


def _list(value: Any, where: str, what: str) -> list[Any]:  # noqa: ANN401 (parsed JSON)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InputError(f"{where}: {what} is not a list", fix=_FIX)
    return value


def _is_nested(points: Any) -> bool:  # noqa: ANN401 (parsed JSON)
    return isinstance(points, list) and (not points or isinstance(points[0], list))


def _refuse_unknown(value: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    if unknown := [key for key in value if key not in known]:
        raise InputError(
            f"{where}: unknown key '{unknown[0]}'",
            why=f"known are {', '.join(known)}",
            fix=closest(unknown[0], known),
        )
