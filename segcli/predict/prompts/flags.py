"""Prompts on the command line, for one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segcli.errors import InputError, UsageError
from segcli.predict.prompts.asked import Asked, a_number, checked, read_mask

__all__ = ["Flags", "asked_by_flags", "objects_of"]


@dataclass(frozen=True, slots=True)
class Flags:
    """What was typed.

    Attributes:
        points: ``x,y`` or ``x,y,label``.
        boxes: ``x0,y0,x1,y1``.
        mask: a picture file with a rough mask.
        each_point: every point is an object of its own.
        normalized: numbers are fractions of the picture's width and height.
    """

    points: Sequence[str] = ()
    boxes: Sequence[str] = ()
    mask: str | None = None
    each_point: bool = False
    normalized: bool = False

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return bool(self.points or self.boxes or self.mask)


def asked_by_flags(flags: Flags) -> tuple[Asked, ...]:
    """The objects that the options ask for, boxes first; see `objects_of` for what belongs to what.

    Raises:
        InputError: a number is none, or a prompt impossible.
        UsageError: it is not clear which object a point or the mask belongs to.
    """
    points = [(_numbers("--point", text, (2, 3)), f"--point {text}") for text in flags.points]
    boxes = [(_numbers("--box", text, (4,)), f"--box {text}") for text in flags.boxes]
    loose = [
        Asked(where, (_point(numbers, where),), normalized=flags.normalized)
        for numbers, where in points
    ]
    framed = [
        Asked(where, box_xyxy=(box[0], box[1], box[2], box[3]), normalized=flags.normalized)
        for box, where in boxes
    ]
    objects = objects_of(loose, framed, each_point=flags.each_point)
    if flags.mask is not None:
        objects = _with_mask(objects, flags)
    return tuple(checked(asked) for asked in objects)


def objects_of(points: Sequence[Asked], boxes: Sequence[Asked], *, each_point: bool) -> list[Asked]:
    """Objects from points and boxes that were given without saying what belongs together.

    Each box is an object. Points are all of one object, which is the one box's where there is one
    box; or each an object of its own.

    Raises:
        UsageError: there are points and several boxes.
    """
    if each_point or not points:
        return [*boxes, *points]
    together = tuple(point for asked in points for point in asked.points)
    if not boxes:
        return [replace(points[0], points=together)]
    if len(boxes) > 1:
        raise UsageError(
            f"{points[0].where}: there are {len(boxes)} boxes, and it is not said whose points "
            "these are",
            fix="--each-point makes points objects of their own; a file of --prompts with objects "
            "says what belongs together",
        )
    return [replace(boxes[0], points=together)]


def _with_mask(objects: list[Asked], flags: Flags) -> list[Asked]:
    assert flags.mask is not None
    where = f"--mask {flags.mask}"
    mask = read_mask(Path(flags.mask), where)
    if not objects:
        return [Asked(where, mask=mask)]
    if len(objects) > 1:
        raise UsageError(
            f"{where}: {len(objects)} objects are asked for, and a mask is of one",
            fix="a file of --prompts with a mask for each object",
        )
    return [replace(objects[0], mask=mask)]


def _numbers(option: str, text: str, lengths: tuple[int, ...]) -> list[float]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in lengths:
        shape = "x,y or x,y,label" if option == "--point" else "x0,y0,x1,y1"
        raise InputError(f"{option} '{text}' has {len(parts)} numbers", fix=f"{option} {shape}")
    return [a_number(part, f"{option} {text}", "the part") for part in parts]


def _point(numbers: list[float], where: str) -> tuple[float, float, int]:
    label = numbers[2] if len(numbers) > 2 else 1.0
    if label not in (0.0, 1.0):
        raise InputError(
            f"{where}: the label is neither 1 nor 0",
            fix="1 for a point inside the object, 0 for one outside",
        )
    return numbers[0], numbers[1], int(label)
