"""How tables for people are laid out, on a terminal and in a file or pipe."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table

__all__ = ["UNDEFINED", "Column", "Grid", "frame", "number", "print_parts"]

UNDEFINED = "n/a"
_ENDLESS = 10_000
_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a grid.

    Attributes:
        header: its heading.
        cells: one a row.
        text: words, which stand on the left and may be broken; numbers never are.
    """

    header: str
    cells: Sequence[str]
    text: bool = False

    @property
    def width(self) -> int:
        """Places that its longest line takes."""
        return max(cell_len(line) for line in (self.header, *self.cells))


@dataclass(frozen=True, slots=True)
class Grid:
    """A table whose numbers are always whole: a terminal too narrow shows its columns in parts.

    Attributes:
        title: above it, or None.
        first: the columns that say what a row is about, repeated in every part.
        groups: the other columns; those of one group stay side by side.
    """

    title: str | None
    first: Sequence[Column]
    groups: Sequence[Sequence[Column]]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        for number, columns in enumerate(self._parts(options.max_width)):
            if number:
                yield ""
            table = frame(None if number else self.title)
            for column in columns:
                justify: Literal["left", "right"] = "left" if column.text else "right"
                fold = column.text or column.width > options.max_width
                table.add_column(column.header, justify=justify, no_wrap=not fold, overflow="fold")
            for cells in zip(*(column.cells for column in columns), strict=True):
                table.add_row(*cells)
            yield table

    def _parts(self, width: int) -> list[list[Column]]:
        widest = max((_width(group) for group in self.groups), default=0)
        room = max(width - _width(self.first) - _GAP, widest)
        parts: list[list[Column]] = [[]]
        for group in self.groups:
            if parts[-1] and _width([*parts[-1], *group]) > room:
                parts.append([])
            parts[-1] += group
        return [[*self.first, *part] for part in parts]


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width + _GAP for column in columns) - _GAP


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
