"""`segcli compare`: two runs on the same images, and what changed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segcli.cli import eval_options as options
from segcli.cli.options import ConfigFile, Debug, Json, NoColor, Preset, Quiet, Verbose
from segcli.cli.output import EXIT_PARTIAL, Output, reporting

if TYPE_CHECKING:
    from segcli.evaluate.comparison import Comparison
    from segcli.evaluate.runs import Run

__all__ = ["compare_command"]

_OUT = "Results"
_SHOWN = 10
_ALWAYS = frozenset({"resamples", "seed"})

_RUN = "Predictions, with --gt; else rows written by segcli eval --per-image FILE.ndjson."


@reporting
def compare_command(
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help=_RUN)],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The run to compare with it.")],
    gt: Annotated[
        str | None,
        typer.Option(metavar="GT", help="Ground truth of both runs: a folder or file."),
    ] = None,
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
    match: options.Match = None,
    pairs: options.PairsFile = None,
    missing: options.Missing = None,
    resize_pred: options.ResizePred = None,
    csv: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Scores as CSV; - is stdout.", rich_help_panel=_OUT),
    ] = None,
    resamples: options.Resamples = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    config: ConfigFile = None,
    preset: Preset = None,
    debug: Debug = False,
) -> None:
    """Compare two runs on the same images.

    Examples:

        segcli compare old/ new/ --gt labels/

        segcli compare a.json b.json --gt instances.json --json

        segcli eval old/ labels/ --per-image a.ndjson

        segcli compare a.ndjson b.ndjson

    For every score: A, B, their difference B - A with its 95 % interval by paired bootstrap over
    images, and the share of resamples in which B is higher; then every class, and the images that
    changed most. Exit code 3: a run failed on some images, or only one scored them.
    """
    given = dict(locals())
    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    job = _prepare(given, output)
    comparison = job.compare()
    _show(job, comparison, output)
    if not comparison.complete:
        raise typer.Exit(EXIT_PARTIAL)


@dataclass(frozen=True, slots=True)
class _Job:
    """Both runs, scored."""

    runs: tuple[Run, Run]
    resamples: int
    seed: int
    json: bool
    csv: str | None

    def compare(self) -> Comparison:
        from segcli.evaluate.compare import compare  # noqa: PLC0415 (`--version` must stay quick)

        return compare(*self.runs, self.resamples, self.seed)


def _prepare(given: dict[str, Any], output: Output) -> _Job:
    from segcli.cli.scoring import eval_config  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.evaluate import settings_from  # noqa: PLC0415
    from segcli.evaluate.run_files import read_runs  # noqa: PLC0415

    _check_output(given)
    config = eval_config(given)
    settings = settings_from(config)
    if given["gt"] is None:
        _check_rows(given)
        runs = read_runs(given["run_a"], given["run_b"])
    else:
        runs = _scored(given, config, output)
    return _Job(runs, config.resamples, settings.seed, given["json"], given["csv"])


def _scored(given: dict[str, Any], config: Any, output: Output) -> tuple[Run, Run]:  # noqa: ANN401
    from segcli.cli.progress import counting  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.cli.scoring import open_scoring, refuse_idle  # noqa: PLC0415
    from segcli.errors import UsageError  # noqa: PLC0415
    from segcli.evaluate.run_files import is_run_file  # noqa: PLC0415
    from segcli.evaluate.runs import score_run  # noqa: PLC0415

    paths = given["run_a"], given["run_b"]
    for path in paths:
        if is_run_file(path):
            raise UsageError(
                f"{path}: holds scores, not masks, and --gt is given",
                why="its images are scored already",
                fix=f"segcli compare {paths[0]} {paths[1]}, both of them such rows",
            )
    # Both are opened before one is scored: a mistake in the second must not cost the first.
    opened = [open_scoring(config, path, given["gt"]) for path in paths]
    for scoring in opened:
        refuse_idle(given, scoring)
    if len({scoring.protocol for scoring in opened}) > 1:
        raise UsageError(
            f"{paths[0]} would be scored as {opened[0].protocol} and {paths[1]} as "
            f"{opened[1].protocol}",
            why="scores of two protocols cannot be compared",
            fix="--protocol binary",
        )
    runs = []
    for path, scoring in zip(paths, opened, strict=True):
        output.note(f"{path}: {scoring.sources[0].description}")
        with counting("scoring", len(scoring.sources[1].keys()), output) as advance:
            runs.append(score_run(path, scoring.sources, scoring.settings, advance))
    return runs[0], runs[1]


def _check_output(given: dict[str, Any]) -> None:
    from segcli.errors import OutputError, UsageError  # noqa: PLC0415 (`--version` must stay quick)

    csv = given["csv"]
    if given["json"] and csv == "-":
        raise UsageError("--json and --csv - both write to standard output", fix="--csv FILE")
    if csv not in (None, "-") and Path(csv).is_dir():
        raise OutputError(f"--csv {csv}: is a folder", fix=f"--csv {Path(csv) / 'delta.csv'}")


def _check_rows(given: dict[str, Any]) -> None:
    """Without ground truth nothing is scored: options of scoring would be ignored."""
    from segcli.errors import InputError, UsageError  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.evaluate import EvalConfig  # noqa: PLC0415
    from segcli.evaluate.run_files import is_run_file  # noqa: PLC0415

    paths = given["run_a"], given["run_b"]
    for path in paths:
        if not is_run_file(path):
            raise InputError(
                f"{path}: holds no rows of segcli eval --per-image",
                why="predictions are scored only where the ground truth is given",
                fix=f"segcli compare {paths[0]} {paths[1]} --gt GT",
            )
    names = [f.name for f in fields(EvalConfig) if f.name not in _ALWAYS]
    asked = [name for name in names if given.get(name) not in (None, [])]
    if asked:
        raise UsageError(
            f"--{asked[0].replace('_', '-')} would be ignored without --gt",
            why="both runs are scored already",
            fix="leave it out, or give the predictions and --gt GT",
        )


def _show(job: _Job, comparison: Comparison, output: Output) -> None:
    """Data on stdout; what went wrong and what is doubtful on stderr."""
    from segcli.errors import ItemError  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.report.comparison import comparison_csv, print_comparison  # noqa: PLC0415

    if job.csv is not None:
        _write(job.csv, comparison_csv(comparison), output)
    if job.json:
        output.json(comparison.to_json())
    elif job.csv != "-":
        with output.printing() as console:
            print_comparison(console, comparison)
    for note in comparison.notes:
        output.note(note)
    for warning in comparison.warnings:
        output.warn(warning)
    gaps = comparison.gaps()
    shown = gaps if output.verbose else gaps[:_SHOWN]
    for gap in shown:
        output.error(ItemError(gap.error, why=gap.why, fix=gap.fix))
    if more := len(gaps) - len(shown):
        output.note(f"and {more} more images not compared: -v names all, --json lists them")


def _write(path: str, text: str, output: Output) -> None:
    from segcli.errors import OutputError  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.formats.base import replacing  # noqa: PLC0415

    if path == "-":
        output.line(text)
        return
    try:
        with replacing(Path(path)) as file:
            file.write(text.encode("utf-8"))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written", why=str(error)) from error
