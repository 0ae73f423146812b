"""`segcli eval`: predictions and ground truth in, scores out."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segcli.cli import eval_options as options
from segcli.cli.options import ConfigFile, Debug, Json, NoColor, Preset, Quiet, Verbose
from segcli.cli.output import Output, reporting

if TYPE_CHECKING:
    from collections.abc import Callable

    from segcli.cli.scoring import Scoring
    from segcli.evaluate import Evaluation, ImageRow, Verdict
    from segcli.evaluate.gates import Gate
    from segcli.formats import Source
    from segcli.report.rows import ImageWriter, RowFormat

__all__ = ["eval_command"]

_GATES = "Gates"
_OUT = "Results"
_SHOWN = 10
_SCORED_ONLY = (
    *("fail_under", "fail_over", "baseline", "max_drop", "csv", "per_image", "ci"),
    *("metrics", "model", "device", "dtype", "clicks", "feed_mask", "resamples", "seed"),
    *("boundary_ratio", "spacing", "tolerance"),
)


@reporting
def eval_command(
    pred: Annotated[
        str,
        typer.Argument(metavar="PRED", help="Predictions: a folder or file, or - for records."),
    ],
    gt: Annotated[str, typer.Argument(metavar="GT", help="Ground truth: a folder or file.")],
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            metavar="",
            help="Score nothing: look at both sides, and name all that would mislead. "
            "Exit 3 when files are unmatched or damaged.",
            rich_help_panel=_OUT,
        ),
    ] = False,
    protocol: options.ProtocolName = None,
    metrics: options.Metrics = None,
    kind: options.Kind = None,
    pred_kind: options.PredKind = None,
    gt_kind: options.GtKind = None,
    pred_format: options.PredFormat = None,
    gt_format: options.GtFormat = None,
    annotator: options.Annotators = None,
    ignore_index: options.IgnoreIndex = None,
    reduce_zero_label: options.ReduceZeroLabel = None,
    class_names: options.ClassNames = None,
    label_divisor: options.LabelDivisor = None,
    class_agnostic: options.ClassAgnostic = None,
    boundary_ratio: options.BoundaryRatio = None,
    spacing: options.Spacing = None,
    tolerance: options.Tolerance = None,
    model: options.Model = None,
    device: options.Device = None,
    dtype: options.DType = None,
    clicks: options.Clicks = None,
    feed_mask: options.FeedMask = None,
    match: options.Match = None,
    pairs: options.PairsFile = None,
    missing: options.Missing = None,
    resize_pred: options.ResizePred = None,
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
    ci: options.Intervals = None,
    resamples: options.Resamples = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    preset: Preset = None,
    config: ConfigFile = None,
    debug: Debug = False,
) -> None:
    r"""Score predictions against ground truth.

    Examples:

        segcli eval out/ labels/

        segcli eval out/ labels/ --check

        segcli eval results.json instances.json --json

        segcli predict imgs -o - | segcli eval - labels/ --fail-under f1_50.pooled=0.8

        segcli eval masks/ gt/ --match '(\d+)_mask' --per-image rows.csv

        segcli eval pictures/ labels/ --protocol points --model tiny --clicks 10

    Formats and the protocol are told by what the files hold, and said. Scores are given pooled over
    the data set and as the mean of images, where both are defined. Exit code 3: some images failed
    or had no counterpart; 4: a gate was not met.
    """
    given = dict(locals())
    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    if check:
        code = _check(given, output)
        if code:
            raise typer.Exit(code)
        return
    verdict = _run(_prepare(given), output)
    if verdict.exit_code:
        raise typer.Exit(verdict.exit_code)


@dataclass(frozen=True, slots=True)
class _Job:
    """A checked command, ready to run."""

    scoring: Scoring
    gates: tuple[Gate, ...]
    json: bool
    csv: str | None
    per_image: str | None

    @property
    def sources(self) -> tuple[Source, Source]:
        return self.scoring.sources


def _prepare(given: dict[str, Any]) -> _Job:
    """Find every mistake in the command before anything is scored."""
    from segcli.cli.scoring import eval_config, open_scoring, refuse_idle  # noqa: PLC0415
    from segcli.evaluate import lower_scores, parse_gates, read_baseline, score_names  # noqa: PLC0415

    _check_stdout(given)
    _check_files(given)
    config = eval_config(given)
    baseline = read_baseline(config.baseline) if config.baseline else None
    prompts = {name: given[name] for name in ("model", "device", "dtype") if given[name]}
    if given["feed_mask"] is not None:
        prompts["feed_mask"] = given["feed_mask"]
    scoring = open_scoring(config, given["pred"], given["gt"], prompts)
    settings = scoring.settings
    names = score_names(scoring.protocol, settings.metric_options, settings.families)
    lower = lower_scores(scoring.protocol, settings.metric_options, settings.families)
    asked = config.fail_under, config.fail_over, config.max_drop
    gates = parse_gates(*asked, baseline, names, lower)
    refuse_idle(given, scoring)
    scoring.sources[0].prepare()
    return _Job(scoring, gates, given["json"], given["csv"], given["per_image"])


def _check(given: dict[str, Any], output: Output) -> int:
    """Look at both sides and print what was found; the exit code."""
    from segcli.cli.progress import counting  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.cli.scoring import eval_config, open_scoring  # noqa: PLC0415
    from segcli.errors import UsageError  # noqa: PLC0415
    from segcli.evaluate.check import check  # noqa: PLC0415
    from segcli.report.check import print_check  # noqa: PLC0415

    for name in _SCORED_ONLY:
        if given[name] is not None and given[name] is not False:
            flag = name.replace("_", "-")
            raise UsageError(
                f"--{flag} does not go with --check", why="nothing is scored", fix="leave one out"
            )
    config = eval_config(given)
    if config.protocol == "points":
        raise UsageError(
            "--check does not go with --protocol points",
            why="there are no predictions before a model is prompted",
            fix="leave --check out",
        )
    scoring = open_scoring(config, given["pred"], given["gt"])
    with counting("looking", len(scoring.sources[1].keys()), output) as advance:
        report = check(*scoring.sources, scoring.settings, on_item=advance)
    if given["json"]:
        output.json(report.to_json())
    else:
        with output.printing() as console:
            print_check(console, report)
    return report.exit_code


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
    from segcli.cli.progress import counting  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.evaluate import decide, evaluate  # noqa: PLC0415
    from segcli.report.rows import scores_csv  # noqa: PLC0415

    for side, source in zip(("predictions", "ground truth"), job.sources, strict=True):
        output.note(f"{side}: {source.description}")
    rows: list[ImageRow] = []
    with ExitStack() as files:
        writer = _image_writer(job, output, files)
        csv = _writer(job.csv, output, files)
        advance = files.enter_context(counting("scoring", len(job.sources[1].keys()), output))

        def on_image(row: ImageRow) -> None:
            advance()
            if writer is not None:
                writer.image(row)
            if output.verbose:
                rows.append(replace(row, sums=()))

        evaluation = evaluate(*job.sources, job.scoring.settings, on_image=on_image)
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
    from segcli.evaluate.protocol import options_for  # noqa: PLC0415
    from segcli.evaluate.run_files import Recorder  # noqa: PLC0415
    from segcli.report.rows import ImageWriter  # noqa: PLC0415

    write = _writer(job.per_image, output, files)
    if write is None:
        return None
    style: RowFormat = "csv" if str(job.per_image).endswith(".csv") else "ndjson"
    settings = job.scoring.settings
    options = options_for(settings, job.sources[1])
    measured = job.scoring.protocol, options, settings.families
    recorder = Recorder(*measured)
    return ImageWriter(write, style, image_score_names(*measured), recorder.record)


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
        worst = worst_images(rows, evaluation.protocol, lower=evaluation.params["lower_is_better"])
        with output.printing() as console:
            print_evaluation(console, evaluation, worst)
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
