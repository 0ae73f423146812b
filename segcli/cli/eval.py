"""`segcli eval`: predictions and ground truth in, scores out."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segcli.cli.options import ConfigFile, Debug, Json, NoColor, Quiet, Verbose
from segcli.cli.output import Output, reporting

if TYPE_CHECKING:
    from collections.abc import Callable

    from segcli.evaluate import EvalSettings, Evaluation, ImageRow, Verdict
    from segcli.evaluate.gates import Gate
    from segcli.formats import Source
    from segcli.metrics import Protocol
    from segcli.report.rows import ImageWriter, RowFormat

__all__ = ["eval_command"]

_WHAT = "What is compared"
_PAIRS = "Pairs"
_GATES = "Gates"
_OUT = "Results"
_SHOWN = 10


@reporting
def eval_command(
    pred: Annotated[
        str,
        typer.Argument(metavar="PRED", help="Predictions: a folder or file, or - for records."),
    ],
    gt: Annotated[str, typer.Argument(metavar="GT", help="Ground truth: a folder or file.")],
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="binary, semantic or instance. [default: what the ground truth holds]",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="What label values mean on both sides: binary, semantic or instance.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    pred_kind: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="The same, predictions.", rich_help_panel=_WHAT),
    ] = None,
    gt_kind: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="The same, ground truth.", rich_help_panel=_WHAT),
    ] = None,
    pred_format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Format of the predictions. [default: told by content]",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    gt_format: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Format of the ground truth. [default: told by content]",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    ignore_index: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Label value of the ground truth that does not count.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Class list: JSON, or one name a line from id 0; other values are errors.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    class_agnostic: Annotated[
        bool | None,
        typer.Option(
            "--class-agnostic/--per-class",
            help="COCO AP over all objects as one class. [default: per class where both have some]",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    match: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Pair the paths in which the one group is equal. [default: by stem]",
            rich_help_panel=_PAIRS,
        ),
    ] = None,
    missing: Annotated[
        str | None,
        typer.Option(
            metavar="POLICY",
            help="Unmatched files: error (exit 3), skip, or empty (a missing prediction is an "
            "empty one). [default: error]",
            rich_help_panel=_PAIRS,
        ),
    ] = None,
    resize_pred: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD",
            help="Fit predictions of another size: none (an error) or nearest. [default: none]",
            rich_help_panel=_PAIRS,
        ),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=X",
            help="Exit 4 when lower; repeatable. Names are paths in the JSON; miou is miou.pooled.",
            rich_help_panel=_GATES,
        ),
    ] = None,
    fail_over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=X", help="Exit 4 when higher; repeatable.", rich_help_panel=_GATES
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="An earlier result of --json.", rich_help_panel=_GATES),
    ] = None,
    max_drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=X",
            help="Exit 4 when lower than the baseline by more; repeatable.",
            rich_help_panel=_GATES,
        ),
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Scores as CSV; - is stdout.", rich_help_panel=_OUT),
    ] = None,
    per_image: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="One row an image: .csv, or NDJSON; - is NDJSON on stdout.",
            rich_help_panel=_OUT,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Files read at once. [default: processors, at most 8]",
            rich_help_panel=_OUT,
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    config: ConfigFile = None,
    debug: Debug = False,
) -> None:
    r"""Score predictions against ground truth.

    Examples:

        segcli eval out/ labels/

        segcli eval results.json instances.json --json

        segcli predict imgs -o - | segcli eval - labels/ --fail-under f1_50.pooled=0.8

        segcli eval masks/ gt/ --match '(\d+)_mask' --per-image rows.csv

    Formats and the protocol are told by what the files hold, and said. Every score is given pooled
    over the data set and as the mean of images. Exit code 3: some images failed or had no
    counterpart; 4: a gate was not met.
    """
    given = dict(locals())
    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    verdict = _run(_prepare(given), output)
    if verdict.exit_code:
        raise typer.Exit(verdict.exit_code)


@dataclass(frozen=True, slots=True)
class _Job:
    """A checked command, ready to run."""

    settings: EvalSettings
    sources: tuple[Source, Source]
    protocol: Protocol
    gates: tuple[Gate, ...]
    json: bool
    csv: str | None
    per_image: str | None


def _prepare(given: dict[str, Any]) -> _Job:
    """Find every mistake in the command before anything is scored."""
    from segcli.config import Layers, resolve  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.evaluate import (  # noqa: PLC0415
        EvalConfig,
        Side,
        choose_protocol,
        open_sides,
        parse_gates,
        read_baseline,
        score_names,
        settings_from,
    )
    from segcli.evaluate.settings import kind_from  # noqa: PLC0415

    _check_stdout(given)
    _check_files(given)
    flags = {field.name: given[field.name] for field in fields(EvalConfig)}
    for name in ("fail_under", "fail_over", "max_drop"):
        flags[name] = tuple(flags[name]) if flags[name] else None
    config = resolve("eval", EvalConfig, Layers(flags, given["config"])).settings
    settings = settings_from(config)
    baseline = read_baseline(config.baseline) if config.baseline else None
    preds = Side(given["pred"], _told(config.pred_format), kind_from(config, "pred"))
    truths = Side(given["gt"], _told(config.gt_format), kind_from(config, "gt"))
    sources = open_sides(preds, truths, settings.ignore_index, settings.match)
    protocol, _ = choose_protocol(*sources, settings.protocol)
    names = score_names(protocol)
    gates = parse_gates(config.fail_under, config.fail_over, config.max_drop, baseline, names)
    return _Job(settings, sources, protocol, gates, given["json"], given["csv"], given["per_image"])


def _told(word: str) -> str | None:
    return None if word == "auto" else word


def _check_stdout(given: dict[str, Any]) -> None:
    from segcli.errors import UsageError  # noqa: PLC0415 (`--version` must stay quick)

    asked = {
        "--json": given["json"],
        "--csv -": given["csv"] == "-",
        "--per-image -": given["per_image"] == "-",
    }
    claims = [flag for flag, wanted in asked.items() if wanted]
    if len(claims) > 1:
        raise UsageError(
            f"{' and '.join(claims)} both write to standard output",
            fix=claims[1].replace(" -", " FILE"),
        )


def _check_files(given: dict[str, Any]) -> None:
    from segcli.errors import OutputError, UsageError  # noqa: PLC0415 (`--version` must stay quick)

    asked = {f: given[f.strip("-").replace("-", "_")] for f in ("--csv", "--per-image")}
    paths = {flag: Path(path) for flag, path in asked.items() if path not in (None, "-")}
    for flag, path in paths.items():
        if path.is_dir() or not path.name:
            raise OutputError(f"{flag} {path}: is a folder", fix=f"{flag} {path / 'scores.csv'}")
    if len({path.resolve() for path in paths.values()}) < len(paths):
        raise UsageError(
            f"--csv and --per-image both write to {asked['--csv']}",
            fix="--per-image images.csv",
        )


def _run(job: _Job, output: Output) -> Verdict:
    from segcli.evaluate import decide, evaluate  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.report.rows import scores_csv  # noqa: PLC0415

    for side, source in zip(("predictions", "ground truth"), job.sources, strict=True):
        output.note(f"{side}: {source.description}")
    rows: list[ImageRow] = []
    with ExitStack() as files:
        writer = _image_writer(job, output, files)
        csv = _writer(job.csv, output, files)

        def on_image(row: ImageRow) -> None:
            if writer is not None:
                writer.image(row)
            if output.verbose:
                rows.append(row)

        evaluation = evaluate(*job.sources, job.settings, on_image=on_image)
        if writer is not None:
            for failure in (*evaluation.failures, *evaluation.left_out):
                writer.failure(failure)
        if csv is not None:
            csv(scores_csv(evaluation))
    verdict = decide(evaluation, job.gates)
    _show(job, evaluation, verdict, rows, output)
    return verdict


def _image_writer(job: _Job, output: Output, files: ExitStack) -> ImageWriter | None:
    from segcli.evaluate import image_score_names  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.report.rows import ImageWriter  # noqa: PLC0415

    write = _writer(job.per_image, output, files)
    if write is None:
        return None
    style: RowFormat = "csv" if str(job.per_image).endswith(".csv") else "ndjson"
    return ImageWriter(write, style, image_score_names(job.protocol))


def _writer(path: str | None, output: Output, files: ExitStack) -> Callable[[str], None] | None:
    """What writes text to a file that appears once it is whole, or to stdout for "-"."""
    from segcli.errors import OutputError  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.formats.base import replacing  # noqa: PLC0415

    if path is None or path == "-":
        return None if path is None else output.line
    try:
        file = files.enter_context(replacing(Path(path)))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written", why=str(error)) from error

    def write(text: str) -> None:
        file.write(text.encode("utf-8"))

    return write


def _show(
    job: _Job, evaluation: Evaluation, verdict: Verdict, rows: list[ImageRow], output: Output
) -> None:
    """Data on stdout; what went wrong, what is doubtful and the verdict on stderr."""
    from segcli.errors import ItemError, SegcliError  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.report.table import print_evaluation, worst_images  # noqa: PLC0415

    if job.json:
        output.json(evaluation.to_json(verdict.records()))
    elif "-" not in {job.csv, job.per_image}:
        worst = worst_images(rows, evaluation.protocol)
        print_evaluation(output.stdout, evaluation, worst)
    for note in evaluation.notes[len(job.sources) :]:
        output.note(note)
    for warning in evaluation.warnings:
        output.warn(warning)
    shown = evaluation.failures if output.verbose else evaluation.failures[:_SHOWN]
    for failure in shown:
        output.error(ItemError(failure.error, why=failure.why, fix=failure.fix))
    more = len(evaluation.failures) - len(shown)
    if more:
        output.note(f"and {more} more failures: -v names all, --json lists them")
    if verdict.exit_code:
        output.error(SegcliError(verdict.line))
    elif verdict.gates:
        output.note(verdict.line)
