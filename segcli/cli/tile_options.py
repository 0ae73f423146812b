"""Options of `segcli predict` that are about large pictures."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Tile", "TileOverlap"]

_PANEL = "Large pictures"

Tile = Annotated[
    int | None,
    typer.Option(
        metavar="SIZE",
        help="Cut larger pictures into tiles of SIZE pixels, run any model on each, and stitch "
        "segments that a border cut. (--window blends one class map, of models of pixels.) "
        "[default: 0, off]",
        rich_help_panel=_PANEL,
    ),
]
TileOverlap = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Pixels in common with the next tile, by which segments are matched. "
        "[default: an eighth of the tile]",
        rich_help_panel=_PANEL,
    ),
]
