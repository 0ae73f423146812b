"""One object that was asked for, as it was written down, and what it means in a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segcli.errors import InputError, ItemError, MaskError
from segcli.formats.masks import read_object_mask
from segcli.masks.rle import encode
from segcli.records import RLE, Prompt

__all__ = ["Asked", "Row", "a_number", "checked", "read_mask", "to_prompt"]

# Tools round the edges of boxes outwards, by less than a pixel or this share of the picture.
_PIXELS, _SHARE = 1.0, 1e-3


@dataclass(frozen=True, slots=True)
class Asked:
    """An object as it was asked for.

    Attributes:
        where: file and line, or option, for messages.
        points: x, y and label (1 inside, 0 outside).
        box_xyxy: half-open box.
        mask: rough mask.
        category: category id.
        category_name: name of the category.
        id: identity in the source.
        normalized: points and box are fractions of the picture's width and height.
    """

    where: str
    points: tuple[tuple[float, float, int], ...] = ()
    box_xyxy: tuple[float, float, float, float] | None = None
    mask: RLE | None = None
    category: int | None = None
    category_name: str | None = None
    id: int | None = None
    normalized: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """The objects asked for in one picture by one line of a file.

    Attributes:
        path: the picture as it is named there.
        where: file and line.
        objects: what is asked for; none is an empty result.
    """

    path: str
    where: str
    objects: tuple[Asked, ...] = ()


def a_number(value: Any, where: str, what: str) -> float:  # noqa: ANN401 (parsed text)
    """A finite number, also as text.

    Raises:
        InputError: it is none.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: {what} {value!r} is not a number")
    return number


def checked(asked: Asked) -> Asked:
    """An object that can be asked for in some picture.

    Raises:
        InputError: it cannot in any.
    """
    where = asked.where
    for x, y, label in asked.points:
        if label not in (0, 1):
            raise InputError(
                f"{where}: the label {label} of a point is neither 1 nor 0",
                fix="1 for a point inside the object, 0 for one outside",
            )
        top = 1.0 if asked.normalized else math.inf
        if not (0 <= x < top and 0 <= y < top):
            raise InputError(
                f"{where}: the point {_told(x, y)} lies outside of any picture",
                why="x and y go from 0 to the picture's width and height"
                + (", as fractions of them: below 1" if asked.normalized else ""),
                fix="" if asked.normalized else "--normalized, if x and y are fractions",
            )
    _check_box(asked)
    if not asked.box_xyxy and not asked.mask and not any(label for *_, label in asked.points):
        raise InputError(
            f"{where}: asks for nothing",
            why="an object needs a point inside it (label 1), a box or a mask",
        )
    return asked


def _check_box(asked: Asked) -> None:
    if asked.box_xyxy is None:
        return
    x0, y0, x1, y1 = asked.box_xyxy
    if not (x0 < x1 and y0 < y1):
        raise InputError(
            f"{asked.where}: the box {_told(*asked.box_xyxy)} has no area",
            why="a box is x0,y0,x1,y1 with x0 < x1 and y0 < y1",
        )
    low = -_SHARE if asked.normalized else -_PIXELS
    top = 1 + _SHARE if asked.normalized else math.inf
    if not (low <= x0 and low <= y0 and x1 <= top and y1 <= top):
        raise InputError(
            f"{asked.where}: the box {_told(*asked.box_xyxy)} lies outside of any picture",
            why="edges go from 0 to the picture's width and height"
            + (", as fractions of them: up to 1" if asked.normalized else ""),
        )


def read_mask(path: Path, where: str) -> RLE:
    """The mask of one object from a picture file of two values, 0 outside.

    Raises:
        InputError: it cannot be read, or is empty.
    """
    if not path.is_file():
        raise InputError(f"{where}: there is no mask file '{path}'")
    try:
        mask = read_object_mask(path)
    except MaskError as error:
        raise InputError(f"{where}: {error.message}", why=error.why, fix=error.fix) from error
    if not mask.any():
        raise InputError(f"{where}: the mask '{path}' is empty", fix="leave it out")
    return encode(mask)


def to_prompt(asked: Asked, name: str, height: int, width: int) -> Prompt:
    """What is asked for, in pixels of a picture.

    Args:
        asked: the object.
        name: how to call the picture.
        height: its rows.
        width: its columns.

    Raises:
        ItemError: it lies outside of the picture, or its mask has another size.
    """
    across, down = (width, height) if asked.normalized else (1, 1)
    points = tuple((x * across, y * down, label) for x, y, label in asked.points)
    for x, y, _ in points:
        if not (x < width and y < height):
            raise _outside(asked, f"the point {_told(x, y)}", name, height, width)
    box = asked.box_xyxy
    if box is not None:
        x0, y0, x1, y1 = (e * across if i % 2 == 0 else e * down for i, e in enumerate(box))
        box = max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
        slack = max(_PIXELS, _SHARE * max(width, height)) if asked.normalized else _PIXELS
        over = max(x1 - width, y1 - height)
        if over > slack or not (box[0] < box[2] and box[1] < box[3]):
            raise _outside(asked, f"the box {_told(x0, y0, x1, y1)}", name, height, width)
    mask = asked.mask
    if mask is not None and (mask.height, mask.width) != (height, width):
        raise ItemError(
            f"{name}: the mask asked with is {mask.width}x{mask.height}, the picture "
            f"{width}x{height}",
            why=asked.where,
            fix="give the mask at the size of the upright picture",
        )
    return Prompt(points, box, mask, asked.category, asked.category_name, asked.id)


def _outside(asked: Asked, what: str, name: str, height: int, width: int) -> ItemError:
    return ItemError(
        f"{name}: {what} lies outside of the picture of {width}x{height} pixels",
        why=f"{asked.where} asks for it",
        fix="pixels of the upright picture, or --normalized for fractions",
    )


def _told(*numbers: float) -> str:
    return ",".join(f"{number:g}" for number in numbers)
