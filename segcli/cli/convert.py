"""`segcli convert`: masks from one format to another, saying what is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from segcli.cli.options import Debug, Json, NoColor, Quiet, Verbose
from segcli.cli.output import EXIT_PARTIAL, Output, reporting
from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.formats.base import ReadOptions
    from segcli.formats.convert import Converted

__all__ = ["convert_command"]

_SCHEMA = "segcli.convert/1"
_SHOWN = 10


@reporting
def convert_command(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Masks in any format we read.")],
    target: Annotated[str, typer.Argument(metavar="DST", help="Folder to write into.")],
    to: Annotated[
        str, typer.Option("--to", metavar="FORMAT", help="The format to write.")
    ] = "labels",
    source_format: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="FORMAT", help="The format of SRC. [default: told by content]"
        ),
    ] = None,
    kind: Annotated[
        Literal["binary", "semantic", "instance", "panoptic"] | None,
        typer.Option(
            metavar="KIND",
            help="What label values of SRC mean: binary, semantic, instance or panoptic. "
            "[default: told by content]",
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Class list of SRC: names, colours, things; or cityscapes, ade20k, voc.",
        ),
    ] = None,
    ignore_index: Annotated[
        int | None,
        typer.Option(metavar="N", help="Label value of SRC that is void."),
    ] = None,
    label_divisor: Annotated[
        int,
        typer.Option(metavar="N", help="Panoptic label values are class * N + object.", min=2),
    ] = 1000,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The pictures, for formats that store no image size (yolo)."
        ),
    ] = None,
    overlap_policy: Annotated[
        Literal["score", "small-on-top", "large-on-top"],
        typer.Option(
            metavar="POLICY",
            help="Who keeps a shared pixel in a label map: score, small-on-top, large-on-top.",
        ),
    ] = "score",
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            metavar="",
            help="Write into a folder that holds files, replacing same names.",
        ),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Convert masks between formats.

    Examples:

        segcli convert out labels/ --to labels --overlap-policy small-on-top

        segcli convert annotations.json yolo/ --to yolo

        segcli convert colours/ classes/ --to semantic --class-names voc

        segcli convert labels/ coco/ --to coco-dataset --images images/

    Exit code 3: some images could not be converted; the others are written.
    """
    del debug
    from segcli.formats import open_source  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.formats.base import ReadOptions  # noqa: PLC0415
    from segcli.formats.convert import convert  # noqa: PLC0415

    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    options = ReadOptions(kind=kind, ignore_index=ignore_index, label_divisor=label_divisor)
    options = _told(options, class_names, images)
    reader = open_source(source, options, source_format)
    if kind not in (None, reader.kind):
        raise UsageError(
            f"{source}: cannot be {kind}: it is of the format {reader.format}",
            why="only the values of label maps can mean one thing or another",
            fix="leave --kind out",
        )
    output.note(reader.description)
    done = convert(
        reader,
        Path(target),
        to,
        overlap_policy,
        overwrite=overwrite,
        class_names=options.class_names,
    )
    if json:
        output.json(_summary(done, target, to))
    _show(done, target, to, output)
    if done.failures:
        raise typer.Exit(EXIT_PARTIAL)


def _told(options: ReadOptions, class_names: str | None, images: Path | None) -> ReadOptions:
    """Choices of the reader, with what a class list and a folder of pictures say."""
    from segcli.formats.classes import read_class_list, with_classes  # noqa: PLC0415
    from segcli.formats.picture_sizes import picture_sizes  # noqa: PLC0415

    if class_names is not None:
        options = with_classes(options, read_class_list(class_names))
    return options if images is None else replace(options, size_of=picture_sizes(images))


def _summary(done: Converted, target: str, to: str) -> dict[str, object]:
    return {
        "schema": _SCHEMA,
        "status": "summary",
        "target": target,
        "format": to,
        "images": done.images,
        "segments": done.segments,
        "loses": done.loses,
        "failed": len(done.failures),
        "failures": [failure.to_record() for failure in done.failures],
    }


def _show(done: Converted, target: str, to: str, output: Output) -> None:
    if done.loses:
        output.warn(f"{to} cannot hold everything: {done.loses}")
    shown = done.failures if output.verbose else done.failures[:_SHOWN]
    for failure in shown:
        output.error(failure.error)
    if more := len(done.failures) - len(shown):
        output.note(f"and {more} more failures: -v names all, --json lists them")
    failed = f", {len(done.failures)} images failed" if done.failures else ""
    output.note(f"{done.images} images, {done.segments} segments written to {target}{failed}")
