"""Prompts as a CSV table: a row has a point, a box or both; rows may share an object."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

from segcli.errors import InputError, closest
from segcli.predict.prompts.asked import Asked, Row, a_number, checked

__all__ = ["COLUMNS", "read_table"]

COLUMNS = ("path", "x", "y", "label", "x0", "y0", "x1", "y1", "object", "category")
_BOX = ("x0", "y0", "x1", "y1")


def read_table(text: str, name: str, *, normalized: bool) -> list[Row]:
    """Rows of a CSV or TSV file with a header.

    Rows of one picture with one value in the column ``object`` are one object; a row without is an
    object of its own. The object's id is that value where it is a whole number.

    Raises:
        InputError: a column is unknown, or a row malformed or impossible.
    """
    tabs = "\t" in text.partition("\n")[0]
    lines = csv.reader(io.StringIO(text), delimiter="\t" if tabs else ",")
    header = [column.strip() for column in next(lines, [])]
    _check_header(header, name)
    objects: dict[tuple[str, str], Asked] = {}
    wheres: dict[tuple[str, str], str] = {}
    for values in lines:
        where = f"{name} line {lines.line_num}"
        if not any(value.strip() for value in values):
            continue
        if len(values) != len(header):
            raise InputError(f"{where}: has {len(values)} values, the header {len(header)}")
        row = dict(zip(header, (value.strip() for value in values), strict=True))
        if not row["path"]:
            raise InputError(f"{where}: names no picture")
        key = row["path"], row.get("object") or where
        asked = _asked(row, where, normalized=normalized)
        objects[key] = _joined(objects[key], asked) if key in objects else asked
        wheres.setdefault(key, where)
    return [Row(path, wheres[path, n], (checked(asked),)) for (path, n), asked in objects.items()]


def _check_header(header: Sequence[str], name: str) -> None:
    unknown = [column for column in header if column not in COLUMNS]
    if unknown or len(set(header)) != len(header):
        wrong = unknown[0] if unknown else next(c for c in header if header.count(c) > 1)
        raise InputError(
            f"{name} line 1: {'unknown' if unknown else 'repeated'} column '{wrong}'",
            why=f"the columns are {', '.join(COLUMNS)}",
            fix=closest(wrong, COLUMNS),
        )
    point, box = ({"x", "y"}, set(_BOX))
    has = set(header)
    whole = (not has & point or point <= has) and (not has & box or box <= has)
    if "path" not in has or not has & (point | box) or not whole:
        raise InputError(
            f"{name} line 1: the header lacks columns",
            why=f"it has {', '.join(header) or 'none'}",
            fix="path with x,y (and label), or with x0,y0,x1,y1, or with both",
        )


def _asked(row: Mapping[str, str], where: str, *, normalized: bool) -> Asked:
    point = [row.get(column, "") for column in ("x", "y")]
    box = [row.get(column, "") for column in _BOX]
    for some, columns in ((point, "x and y"), (box, "x0, y0, x1 and y1")):
        if any(some) and not all(some):
            raise InputError(f"{where}: of {columns} some are empty")
    label = row.get("label") or "1"
    if label not in ("0", "1"):
        raise InputError(f"{where}: the label '{label}' is neither 1 nor 0")
    asked = Asked(where, normalized=normalized, **_named(row))  # type: ignore[arg-type]
    if point[0]:
        x, y = (a_number(value, where, "the coordinate") for value in point)
        asked = replace(asked, points=((x, y, int(label)),))
    if box[0]:
        x0, y0, x1, y1 = (a_number(value, where, "the edge") for value in box)
        asked = replace(asked, box_xyxy=(x0, y0, x1, y1))
    if not asked.points and not asked.box_xyxy:
        raise InputError(f"{where}: has neither a point nor a box")
    return asked


def _named(row: Mapping[str, str]) -> dict[str, int | str | None]:
    number, category = row.get("object", ""), row.get("category", "")
    named: dict[str, int | str | None] = {"id": int(number) if number.isdecimal() else None}
    if category.isdecimal():
        named["category"] = int(category)
    elif category:
        named["category_name"] = category
    return named


def _joined(before: Asked, asked: Asked) -> Asked:
    """One object from two of its rows."""
    if before.box_xyxy and asked.box_xyxy and before.box_xyxy != asked.box_xyxy:
        raise InputError(f"{asked.where}: the object has a box already", why=f"from {before.where}")
    for name in ("category", "category_name"):
        first, second = getattr(before, name), getattr(asked, name)
        if None not in (first, second) and first != second:
            raise InputError(
                f"{asked.where}: the object is of category '{first}' already",
                why=f"from {before.where}",
            )
    return replace(
        before,
        points=before.points + asked.points,
        box_xyxy=before.box_xyxy or asked.box_xyxy,
        category=asked.category if before.category is None else before.category,
        category_name=before.category_name or asked.category_name,
    )
