"""`segcli predict`: pictures in, masks on disk or down a pipe."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segcli.cli.class_options import (
    Classes,
    ClassIds,
    OverlapMaskAreaThreshold,
    Palette,
    Task,
    Threshold,
    Window,
    WindowOverlap,
)
from segcli.cli.options import ConfigFile, Debug, Json, NoColor, Preset, Quiet, Verbose
from segcli.cli.output import Output, reporting
from segcli.cli.predict_run import print_plan, run_prediction
from segcli.cli.prompt_options import (
    Boxes,
    Cascade,
    ClipToBox,
    EachPoint,
    MaskFile,
    Multimask,
    Normalized,
    Points,
    PromptFile,
    SingleMask,
    book_for,
    read_listed,
)
from segcli.cli.tile_options import Tile, TileOverlap
from segcli.cli.word_options import (
    BoxThreshold,
    DetectorName,
    TextFile,
    Texts,
    TextThreshold,
    texts_of,
)

if TYPE_CHECKING:
    from segcli.predict.api import Request

__all__ = ["predict_command"]

_INPUT = "Pictures"
_MODEL = "Model"
_GRID = "Segment everything"
_CROPS = "Crops"
_OUT = "Results"


@reporting
def predict_command(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Files, folders (with sub-folders), quoted globs, or - for a picture's bytes.",
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="Output folder, or - for NDJSON on stdout.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    files_from: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Paths from a file, one a line, or NDJSON with prompts; - is stdin.",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    null: Annotated[
        bool,
        typer.Option(
            "-0",
            "--null",
            metavar="",
            help="The list is separated by NUL (find -print0).",
            rich_help_panel=_INPUT,
        ),
    ] = False,
    exif: Annotated[
        bool | None,
        typer.Option(
            "--exif/--no-exif",
            metavar="",
            help="Turn pictures upright as EXIF says. [default: exif]",
            rich_help_panel=_INPUT,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Short name, local directory or Hub id. [default: tiny]",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="segcli, or transformers for its stock pipeline. [default: segcli]",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, cpu, cuda, cuda:N or mps. [default: auto]",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="auto, float32, bfloat16 or float16. [default: auto]",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    compile: Annotated[  # noqa: A002 (the option's name)
        bool | None,
        typer.Option(
            "--compile/--no-compile",
            metavar="",
            help="Compile for a CUDA GPU; the first picture waits for it, up to minutes. "
            "[default: no-compile]",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    format: Annotated[  # noqa: A002 (the option's name)
        list[str] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            help="labels, masks, amg, sa1b, coco, coco-dataset, yolo, semantic or coco-panoptic; "
            "repeatable. [default: labels; of classes semantic or coco-panoptic]",
            rich_help_panel=_OUT,
        ),
    ] = None,
    overlay: Annotated[
        bool | None,
        typer.Option(
            "--overlay/--no-overlay",
            metavar="",
            help="Also draw the masks over each picture.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    overlap_policy: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            help="Who keeps a shared pixel in a label map: score, small-on-top, large-on-top. "
            "[default: score]",
            rich_help_panel=_OUT,
        ),
    ] = None,
    gt: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="COCO ground truth whose image ids the coco format takes.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Redo everything.", rich_help_panel=_OUT)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            "-n",
            metavar="",
            help="Print the plan and load no model.",
            rich_help_panel=_OUT,
        ),
    ] = False,
    point: Points = None,
    box: Boxes = None,
    mask: MaskFile = None,
    prompts: PromptFile = None,
    each_point: EachPoint = False,
    normalized: Normalized = False,
    multimask: Multimask = None,
    single_mask: SingleMask = False,
    cascade: Cascade = None,
    clip_to_box: ClipToBox = None,
    text: Texts = None,
    text_file: TextFile = None,
    detector: DetectorName = None,
    box_threshold: BoxThreshold = None,
    text_threshold: TextThreshold = None,
    task: Task = None,
    threshold: Threshold = None,
    overlap_mask_area_threshold: OverlapMaskAreaThreshold = None,
    classes: Classes = None,
    class_ids: ClassIds = None,
    palette: Palette = None,
    window: Window = None,
    window_overlap: WindowOverlap = None,
    tile: Tile = None,
    overlap: TileOverlap = None,
    points_per_side: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="The grid has N x N points. [default: the model's, 32]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    points_per_batch: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Points decoded at once; memory, not results. [default: as the machine allows]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    coarse_to_fine: Annotated[
        bool | None,
        typer.Option(
            "--coarse-to-fine/--every-point",
            metavar="",
            help="Ask a quarter of the grid first, then only points on no mask found: quicker, "
            "and some masks are missed. [default: every-point]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    pred_iou_thresh: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Drop masks of lower predicted IoU. [default: the model's]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    stability_score_thresh: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Drop less stable masks. [default: the model's]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    stability_score_offset: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Shift of the cutoff for stability. [default: 1.0]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    mask_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Logit (of class-aware models: probability) above which a pixel is inside. "
            "[default: 0.0; 0.5]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    box_nms_thresh: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Box IoU above which a worse mask is dropped. [default: the model's, 0.7]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    nms_metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="box_iou, or mask_smaller to drop parts of better masks. [default: the model's]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    mask_nms_thresh: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Share of the smaller mask for mask_smaller. [default: 0.3]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    min_mask_region_area: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Remove holes and islands under N pixels. [default: 0, off]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    connected: Annotated[
        bool | None,
        typer.Option(
            "--connected/--no-connected",
            metavar="",
            help="Keep of a mask only the piece on which its point lies, of prompts too. "
            "[default: the model's, no]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    max_masks: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Keep the N best masks of a picture. [default: 0, all]",
            rich_help_panel=_GRID,
        ),
    ] = None,
    crop_n_layers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Segment again on N layers of crops. [default: 0]",
            rich_help_panel=_CROPS,
        ),
    ] = None,
    crop_nms_thresh: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Box IoU for suppression between crops. [default: 0.7]",
            rich_help_panel=_CROPS,
        ),
    ] = None,
    crop_overlap_ratio: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="Overlap of crops in the first layer. [default: 0.3413]",
            rich_help_panel=_CROPS,
        ),
    ] = None,
    crop_n_points_downscale_factor: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Fewer points in smaller crops. [default: 1]",
            rich_help_panel=_CROPS,
        ),
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
    no_color: NoColor = False,
    config: ConfigFile = None,
    preset: Preset = None,
    debug: Debug = False,
) -> None:
    """Segment pictures: everything in them, single objects, or things and stuff with classes.

    Examples:

        segcli predict photos/ -o out --overlay

        segcli predict 'scans/**/*.tif' -o out --format coco --gt instances.json

        find imgs -name '*.jpg' -print0 | segcli predict --files-from - -0 -o out --json

        segcli predict imgs -o - | segcli eval - ground_truth

        segcli predict cells.png -o out --point 120,80 --point 140,95,0

        segcli predict imgs -o out --prompts boxes.csv

        segcli predict imgs -o out --model tiny-panoptic --task semantic --overlay

        segcli predict imgs -o out --model tiny-words --text "red thing" --text sky

    The same command again continues where a stopped run left off.
    """
    del debug
    given = dict(locals())
    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    request = _request(given, inputs or [], output, config=config, preset=preset)
    from segcli.predict.api import prepare  # noqa: PLC0415 (numpy and Pillow load here)

    prediction = prepare(request)
    if dry_run:
        print_plan(prediction, output, as_json=json)
        return
    try:
        run_prediction(prediction, output, emit=json or out == "-")
    except KeyboardInterrupt:
        if request.folder:
            output.note("what is finished is kept; the same command continues from there")
        raise


def _request(
    given: dict[str, Any],
    inputs: list[str],
    output: Output,
    *,
    config: str | None,
    preset: str | None,
) -> Request:
    from segcli.config import Layers, resolve  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.errors import UsageError  # noqa: PLC0415
    from segcli.formats.coco_dataset import image_ids  # noqa: PLC0415
    from segcli.inputs import find_images  # noqa: PLC0415
    from segcli.predict.api import Request  # noqa: PLC0415
    from segcli.predict.settings import PredictSettings  # noqa: PLC0415
    from segcli.report.class_overlay import ClassOverlay  # noqa: PLC0415

    out = given["out"]
    if not out:
        raise UsageError(
            "no output was given", fix="-o FOLDER, or -o - to write records to standard output"
        )
    if given["null"] and given["files_from"] is None:
        raise UsageError("-0 says how a list is separated, and there is none", fix="--files-from")
    kept = [n for n in ("format", "overlay", "overwrite", "gt") if given[n]]
    if out == "-" and kept:
        raise UsageError(
            f"--{kept[0]} writes files, and -o - keeps none", fix="-o FOLDER, with --json for both"
        )
    flags = {f.name: given[f.name] for f in fields(PredictSettings)}
    for name in ("format", "classes"):
        flags[name] = tuple(given[name]) if given[name] else None
    flags["text"] = texts_of(given)
    if given["single_mask"]:
        if given["multimask"] not in (None, "single"):
            raise UsageError("--single-mask and --multimask contradict each other")
        flags["multimask"] = "single"
    resolved = resolve("predict", PredictSettings, Layers(flags, config, preset))
    folder = None if out == "-" else Path(out)
    listed = read_listed(given)
    paths = None if listed is None else listed.paths
    if "-" in inputs and "-" in (given["files_from"], given["prompts"]):
        raise UsageError("standard input cannot be a picture and a list at once")
    found = find_images(inputs, listed=paths, exclude=folder)
    if found.passed_over:
        output.note(f"passed over {found.passed_over} files that are not pictures")
    return Request(
        images=found.images,
        settings=resolved.settings,
        folder=folder,
        overwrite=given["overwrite"],
        image_ids=image_ids(Path(given["gt"])) if given["gt"] else None,
        draw=ClassOverlay(resolved.settings.palette),
        prompts=book_for(given, listed, found.images),
        argv=sys.argv,
        sources=resolved.sources,
    )
