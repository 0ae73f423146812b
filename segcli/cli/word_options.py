"""Options of `segcli predict` that say in words what to look for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["BoxThreshold", "DetectorName", "TextFile", "TextThreshold", "Texts", "texts_of"]

_PANEL = "Words"

Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        metavar="WORDS",
        help="What to look for; repeatable, each is a class. Needs tiny-words, a SAM 3 or a "
        "CLIPSeg as --model, or a --detector.",
        rich_help_panel=_PANEL,
    ),
]
TextFile = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="More of it from a file, one a line.", rich_help_panel=_PANEL
    ),
]
DetectorName = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="NAME",
        help="A Grounding DINO, directory or Hub id, whose boxes the SAM of --model turns into "
        "masks.",
        rich_help_panel=_PANEL,
    ),
]
BoxThreshold = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Drop objects of lower score. [default: the model's, 0.35; SAM 3: 0.5]",
        rich_help_panel=_PANEL,
    ),
]
TextThreshold = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Drop boxes whose score for their words is lower. [default: 0.25]",
        rich_help_panel=_PANEL,
    ),
]


def texts_of(given: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The texts of the options, or None without any.

    Raises:
        InputError: the file of texts cannot be read, or is empty.
    """
    texts = list(given["text"] or ())
    if (source := given["text_file"]) is not None:
        from segcli.errors import InputError  # noqa: PLC0415 (`--version` must stay quick)

        try:
            lines = Path(source).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the texts in '{source}'", why=str(error)) from error
        found = [line.strip() for line in lines if line.strip()]
        if not found:
            raise InputError(f"the file of texts '{source}' is empty")
        texts += found
    return tuple(texts) or None
