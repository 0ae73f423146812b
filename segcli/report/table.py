"""Scores as tables for people: pooled and mean of images side by side, conventions above."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from segcli.evaluate.result import HEADLINES, Evaluation, ImageRow, Interval
from segcli.metrics import Protocol
from segcli.metrics.base import MEAN_OF_IMAGES
from segcli.report.layout import UNDEFINED, Column, Grid, frame, number, print_parts

__all__ = ["ScoreRow", "print_evaluation", "score_rows", "worst_images"]

_ABOUT = frozenset({"class", "name", "isthing", "threshold"})
_INTERVAL = "95 % interval"
_SIZES = {
    "error": "a prediction of another size is an error",
    "nearest": "predictions of another size are resized to the nearest pixel",
}
_COLUMNS = {"gt_pixels": "gt pixels", "pred_pixels": "pred pixels", "matched_iou": "matched IoU"}


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One line of the score table.

    Attributes:
        name: the metric, without the scope.
        pooled: its value over the data set.
        mean_of_images: the mean of each image's value, or None where images have none.
    """

    name: str
    pooled: float
    mean_of_images: float | None


def score_rows(metrics: Mapping[str, float]) -> list[ScoreRow]:
    """Dotted scores as rows, `x.pooled` and `x.mean_of_images` in one."""
    rows = []
    for name, value in metrics.items():
        stem, _, scope = name.rpartition(".")
        if scope == "pooled":
            rows.append(ScoreRow(stem, value, metrics[f"{stem}.mean_of_images"]))
        elif scope != "mean_of_images":
            rows.append(ScoreRow(name, value, None))
    return rows


def worst_images(
    rows: Sequence[ImageRow], protocol: Protocol, count: int = 5, lower: Collection[str] = ()
) -> list[ImageRow]:
    """The images that score worst by the protocol's headline metric, the worst first.

    Args:
        rows: all images.
        protocol: what was compared.
        count: how many to name.
        lower: the scores that are the better the lower they are.
    """
    name = _headline(rows, protocol)
    sign = -1 if name in lower else 1
    scored = [row for row in rows if not math.isnan(row.scores[name])]
    return sorted(scored, key=lambda row: (sign * row.scores[name], row.name))[:count]


def _headline(rows: Sequence[ImageRow], protocol: Protocol) -> str:
    """The score images are ranked by: the protocol's own, or the first where that is not there."""
    names = list(rows[0].scores) if rows else []
    wanted = HEADLINES[protocol]
    return wanted if wanted in names or not names else names[0]


def print_evaluation(
    console: Console, evaluation: Evaluation, worst: Sequence[ImageRow] = ()
) -> None:
    """Print the conventions, the scores, the per-class table and the worst images.

    Args:
        console: where to; a console that is no terminal gets the same text without colour or lines
            drawn by the terminal.
        evaluation: what was scored.
        worst: images to name, the worst first.
    """
    parts: list[RenderableType] = [_header(evaluation), _scores(evaluation)]
    tables = evaluation.tables
    parts += [_table(name.replace("_", " "), rows) for name, rows in tables.items() if rows]
    if worst:
        parts.append(_worst(worst, evaluation))
    if reasons := _reasons(evaluation):
        parts.append(reasons)
    print_parts(console, parts)


def _header(evaluation: Evaluation) -> Text:
    params, counts = evaluation.params, evaluation.counts
    pairing = params["pairing"]
    empty = pairing["taken_as_empty"]
    unmatched = (
        pairing["predictions_without_ground_truth"]
        + pairing["ground_truth_without_prediction"]
        - empty
    )
    ignore, percent = params["ignore_index"], params["ignored_percent"]
    index = "" if ignore is None else f" ({ignore})"
    void = f"{percent:.3g} %{index} ignored" if index or percent else "none ignored"
    scored = f"{counts['images']} images scored, {counts['failed']} not"
    pairs = f"{pairing['pairs']} pairs by {pairing['rule']}, {unmatched} unmatched"
    pairs += f", {empty} taken as empty" if empty else ""
    why = f"protocol {evaluation.protocol}: {params['protocol_why']}"
    pixels = f"pixels: {void}; {_SIZES[params['sizes']['mismatch']]}"
    pooled = "pooled = summed over the data set, then one ratio"
    mean = f"(mean) of images = one ratio an image, undefined ({UNDEFINED}) ones left out"
    lines = [f"{scored}; {pairs}", f"{why}; {pixels}", f"{pooled}; {mean}"]
    if bootstrap := params.get("bootstrap"):
        drawn = f"{bootstrap['resamples']} resamples, seed {bootstrap['seed']}"
        lines.append(f"{_INTERVAL}: percentile bootstrap over images, {drawn}")
    lines += evaluation.headlines
    return Text("\n".join(lines), style="dim")


def _scores(evaluation: Evaluation) -> Grid:
    rows, intervals = score_rows(evaluation.metrics), evaluation.intervals
    means = ["" if row.mean_of_images is None else number(row.mean_of_images) for row in rows]
    pooled = Column("pooled", [number(row.pooled) for row in rows])
    groups = [[pooled], [Column("mean of images", means)]]
    if intervals:
        alone = [row.name if row.mean_of_images is None else f"{row.name}.pooled" for row in rows]
        names = alone, [f"{row.name}.mean_of_images" for row in rows]
        for group, scope in zip(groups, names, strict=True):
            group.append(Column(_INTERVAL, [_ends(intervals.get(name)) for name in scope]))
    return Grid(None, [Column("metric", [row.name for row in rows], text=True)], groups)


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f"{number(interval.low)} to {number(interval.high)}"


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Grid:
    present = [row for row in rows if not _absent(row)]
    if present and len(present) < len(rows):
        title += f" ({len(rows) - len(present)} absent from both sides not shown)"
        rows = present
    first: list[Column] = []
    groups: list[list[Column]] = []
    for name in rows[0]:
        if all(row[name] is None for row in rows):
            continue
        text = any(isinstance(row[name], str) for row in rows)
        column = Column(_label(name), [_cell(row[name], name) for row in rows], text)
        if name in _ABOUT:
            first.append(column)
        elif groups and name.endswith(f".{MEAN_OF_IMAGES}"):
            groups[-1].append(column)
        else:
            groups.append([column])
    return Grid(title, first, groups)


def _absent(row: Mapping[str, Any]) -> bool:
    """Whether nothing is known of a class: no score is defined, and no count is above 0."""
    numbers = [value for name, value in row.items() if name not in {"class", "name", "isthing"}]
    return all(not v or (isinstance(v, float) and math.isnan(v)) for v in numbers)


def _label(column: str) -> str:
    name, _, scope = column.rpartition(".")
    if scope == "mean_of_images":
        return "(mean)"
    return name if scope == "pooled" else _COLUMNS.get(column, column)


def _worst(rows: Sequence[ImageRow], evaluation: Evaluation) -> Table:
    name = _headline(rows, evaluation.protocol)
    end = "highest" if name in evaluation.params["lower_is_better"] else "lowest"
    table = frame(f"{end} {name}")
    table.add_column("image", overflow="fold")
    table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, number(row.scores[name]))
    return table


def _reasons(evaluation: Evaluation) -> Text | None:
    by_reason: dict[str, list[str]] = {}
    for name, reason in evaluation.undefined.items():
        by_reason.setdefault(reason, []).append(name)
    lines = [f"{UNDEFINED} {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return Text("\n".join(lines)) if lines else None


def _cell(value: Any, column: str) -> str:  # noqa: ANN401 (a cell of any table)
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}" if column == "threshold" else number(value)
    return str(value)
