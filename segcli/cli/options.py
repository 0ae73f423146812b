"""Options that mean the same on every command."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["ConfigFile", "Debug", "Json", "NoColor", "Preset", "Quiet", "Verbose"]

_PANEL = "Output and settings"

Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", metavar="", help="Only errors on stderr.", rich_help_panel=_PANEL
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", metavar="", help="More detail on stderr.", rich_help_panel=_PANEL
    ),
]
Json = Annotated[
    bool, typer.Option("--json", metavar="", help="JSON on stdout.", rich_help_panel=_PANEL)
]
NoColor = Annotated[
    bool,
    typer.Option(
        "--no-color", metavar="", help="No colour; NO_COLOR does the same.", rich_help_panel=_PANEL
    ),
]
ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config", metavar="FILE", help="Settings from a TOML file.", rich_help_panel=_PANEL
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset", metavar="NAME", help="Settings from a named preset.", rich_help_panel=_PANEL
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug", metavar="", help="Show the traceback of an error.", rich_help_panel=_PANEL
    ),
]
