"""Options of `segcli predict` that ask for single objects, and what was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from segcli.inputs import InputImage
    from segcli.predict.prompts.asked import Row
    from segcli.predict.prompts.book import Book

__all__ = [
    "Boxes",
    "Cascade",
    "ClipToBox",
    "EachPoint",
    "Listed",
    "MaskFile",
    "Multimask",
    "Normalized",
    "Points",
    "PromptFile",
    "SingleMask",
    "book_for",
    "read_listed",
]

_PANEL = "Prompts: ask for single objects (SAM families)"

Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        metavar="X,Y[,LABEL]",
        help="A point inside the object, or outside with label 0; repeatable. All points are of "
        "one object: the box's where one box is given.",
        rich_help_panel=_PANEL,
    ),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        "--box",
        metavar="X0,Y0,X1,Y1",
        help="A box around an object, half-open; repeatable, each box is an object.",
        rich_help_panel=_PANEL,
    ),
]
MaskFile = Annotated[
    str | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        help="A rough mask of the object to start from: a PNG of two values at the picture's size.",
        rich_help_panel=_PANEL,
    ),
]
PromptFile = Annotated[
    str | None,
    typer.Option(
        "--prompts",
        metavar="FILE",
        help="Prompts for many pictures: NDJSON, CSV, a COCO dataset's boxes, YOLO boxes (a "
        "folder), or - for NDJSON on stdin.",
        rich_help_panel=_PANEL,
    ),
]
EachPoint = Annotated[
    bool,
    typer.Option(
        "--each-point",
        metavar="",
        help="Every point is an object of its own.",
        rich_help_panel=_PANEL,
    ),
]
Normalized = Annotated[
    bool,
    typer.Option(
        "--normalized",
        metavar="",
        help="Points and boxes are fractions, 0 to 1, of width and height; else pixels of the "
        "upright picture.",
        rich_help_panel=_PANEL,
    ),
]
Multimask = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH",
        help="best: of the three masks of a single point the one of highest predicted IoU, of "
        "other prompts the single mask; all: three an object; single. Segment everything: all or "
        "single. [default: best; the model's]",
        rich_help_panel=_PANEL,
    ),
]
SingleMask = Annotated[
    bool,
    typer.Option(
        "--single-mask", metavar="", help="Short for --multimask single.", rich_help_panel=_PANEL
    ),
]
Cascade = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Ask N times more, each time with the mask before. Several points of an object are "
        "corrections in their order: one more each time, all of them the last time. [default: 0]",
        rich_help_panel=_PANEL,
    ),
]
ClipToBox = Annotated[
    bool | None,
    typer.Option(
        "--clip-to-box/--no-clip-to-box",
        metavar="",
        help="Nothing of a mask outside of its box. [default: the model's, no]",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class Listed:
    """What ``--files-from`` holds.

    Attributes:
        paths: the pictures.
        rows: what is asked for in each, where the list is NDJSON.
    """

    paths: Sequence[str]
    rows: list[Row] | None


def read_listed(given: Mapping[str, Any]) -> Listed | None:
    """Read the list of pictures, or None without one: paths, or NDJSON with prompts.

    Raises:
        InputError: it cannot be read, or a line is malformed or impossible.
    """
    if (source := given["files_from"]) is None:
        return None
    from segcli.inputs import read_list, split_list  # noqa: PLC0415 (`--version` stays quick)
    from segcli.predict.prompts.book import rows_in_list  # noqa: PLC0415

    data = read_list(source)
    if given["null"] or not data.lstrip().startswith(b"{"):
        return Listed(split_list(data, null_separated=given["null"]), None)
    how = {"normalized": given["normalized"], "each_point": given["each_point"]}
    rows = rows_in_list(data.decode("utf-8", "replace"), source, **how)
    return Listed([row.path for row in rows], rows)


def book_for(
    given: Mapping[str, Any], listed: Listed | None, images: Sequence[InputImage]
) -> Book | None:
    """What the command line asks for in its pictures, or None for everything.

    Raises:
        InputError: a prompt is malformed, impossible, or of no picture.
        UsageError: prompts come from two places, or an option of theirs is given without any.
    """
    from segcli.errors import UsageError  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.predict.prompts.book import (  # noqa: PLC0415
        book_of_flags,
        book_of_rows,
        read_rows,
    )
    from segcli.predict.prompts.flags import Flags  # noqa: PLC0415

    rows = listed.rows if listed else None
    each, normalized = given["each_point"], given["normalized"]
    flags = Flags(given["point"] or (), given["box"] or (), given["mask"], each, normalized)
    places = [
        place
        for place, there in (
            ("--point, --box and --mask", bool(flags)),
            ("--prompts", given["prompts"] is not None),
            ("the list of --files-from", rows is not None),
        )
        if there
    ]
    if len(places) > 1:
        raise UsageError(
            f"prompts come from {' and from '.join(places)}", fix="give them in one place"
        )
    if not places:
        for name in ("each_point", "normalized"):
            if given[name]:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for prompts, and nothing is asked for",
                    fix="--point, --box or --prompts, or leave it out",
                )
        return None
    if flags:
        return book_of_flags(flags, images)
    if rows is None:
        rows = read_rows(given["prompts"], normalized=normalized, each_point=each)
    return book_of_rows(rows, images)
