"""How tables for people are laid out, on a terminal and in a file or pipe."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.table import Table

__all__ = ["UNDEFINED", "frame", "number", "print_parts"]

UNDEFINED = "n/a"
_ENDLESS = 10_000


def frame(title: str | None = None) -> Table:
    """An empty table."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="bold",
    )


def number(value: float, *, signed: bool = False) -> str:
    """A score in four decimals, "n/a" where it is undefined."""
    if math.isnan(value):
        return UNDEFINED
    return f"{value:+.4f}" if signed else f"{value:.4f}"


def print_parts(console: Console, parts: Sequence[RenderableType]) -> None:
    """Print tables and texts below each other, an empty line between them.

    Args:
        console: where to; a console that is no terminal gets plain text, its lines as long as they
            need to be and ending where their text ends.
        parts: what to print.
    """
    text = io.StringIO()
    plain = Console(file=text, width=_ENDLESS, color_system=None, highlight=False)
    target = console if console.is_terminal else plain
    for position, part in enumerate(parts):
        if position:
            target.print()
        target.print(part)
    if target is plain:
        lines = text.getvalue().splitlines()
        console.file.write("".join(f"{line.rstrip()}\n" for line in lines))
