"""`segcli convert`: masks from one format to another, saying what is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from segcli.cli.options import Debug, Quiet
from segcli.cli.output import Output, reporting

__all__ = ["convert_command"]


@reporting
def convert_command(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Masks in any format we read.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="Folder to write into.")],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="The format to write.")
    ] = "labels",
    overlap: Annotated[
        Literal["score", "small-on-top", "large-on-top"],
        typer.Option(
            metavar="POLICY",
            help="Who keeps a shared pixel in a label map: score, small-on-top, large-on-top.",
        ),
    ] = "score",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Convert masks between formats.

    Examples:

        segcli convert out labels/ --to labels --overlap small-on-top

        segcli convert annotations.json yolo/ --to yolo
    """
    del debug
    from segcli.formats import open_source  # noqa: PLC0415
    from segcli.formats.base import ReadOptions  # noqa: PLC0415
    from segcli.formats.convert import convert  # noqa: PLC0415

    output = Output(quiet=quiet)
    reader = open_source(source, ReadOptions())
    output.note(reader.description)
    done = convert(reader, Path(target), to, overlap)
    if done.loses:
        output.warn(f"{to} cannot hold everything: {done.loses}")
    output.note(f"{done.images} images, {done.segments} segments written to {target}")
