"""Scores as tables for people: pooled and mean of images side by side, conventions above."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from segcli.evaluate.result import HEADLINES, Evaluation, ImageRow, Interval
from segcli.metrics import Protocol
from segcli.report.layout import UNDEFINED, frame, number, print_parts

__all__ = ["ScoreRow", "print_evaluation", "score_rows", "worst_images"]

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


def worst_images(rows: Sequence[ImageRow], protocol: Protocol, count: int = 5) -> list[ImageRow]:
    """The images that score lowest by the protocol's headline metric, the lowest first."""
    name = _headline(rows, protocol)
    scored = [row for row in rows if not math.isnan(row.scores[name])]
    return sorted(scored, key=lambda row: (row.scores[name], row.name))[:count]


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
        worst: images to name, lowest first.
    """
    parts: list[RenderableType] = [_header(evaluation), _scores(evaluation)]
    tables = evaluation.tables
    parts += [_table(name.replace("_", " "), rows) for name, rows in tables.items() if rows]
    if worst:
        parts.append(_worst(worst, evaluation.protocol))
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
    pixels = f"pixels: {void}; sizes differ: {params['sizes']['mismatch']}"
    pooled = "pooled = summed over the data set, then one ratio"
    mean = f"(mean) of images = one ratio an image, undefined ({UNDEFINED}) ones left out"
    lines = [f"{scored}; {pairs}", f"{why}; {pixels}", f"{pooled}; {mean}"]
    lines += evaluation.headlines
    return Text("\n".join(lines), style="dim")


def _scores(evaluation: Evaluation) -> Table:
    intervals = evaluation.intervals
    table = frame()
    beside = ("95 % interval",) if intervals else ()
    for column in ("metric", "pooled", *beside, "mean of images", *beside):
        table.add_column(column, justify="left" if column == "metric" else "right", no_wrap=True)
    family = ""
    for row in score_rows(evaluation.metrics):
        if family != (family := row.name.rpartition(".")[0]):
            table.add_section()
        cells = [row.name]
        alone = row.mean_of_images is None
        names = (row.name, "") if alone else (f"{row.name}.pooled", f"{row.name}.mean_of_images")
        for name, value in zip(names, (row.pooled, row.mean_of_images), strict=True):
            cells.append("" if value is None else number(value))
            if intervals:
                cells.append(_ends(intervals.get(name)))
        table.add_row(*cells)
    return table


def _ends(interval: Interval | None) -> str:
    return "" if interval is None else f"{number(interval.low)} to {number(interval.high)}"


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    present = [row for row in rows if not _absent(row)]
    if present and len(present) < len(rows):
        title += f" ({len(rows) - len(present)} absent from both sides not shown)"
        rows = present
    columns = [c for c in rows[0] if any(row[c] is not None for row in rows)]
    table = frame(title)
    for column in columns:
        text = isinstance(rows[0][column], str)
        table.add_column(_label(column), justify="left" if text else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(row[column], column) for column in columns))
    return table


def _absent(row: Mapping[str, Any]) -> bool:
    """Whether nothing is known of a class: no score is defined, and no count is above 0."""
    numbers = [value for name, value in row.items() if name not in {"class", "name", "isthing"}]
    return all(not v or (isinstance(v, float) and math.isnan(v)) for v in numbers)


def _label(column: str) -> str:
    name, _, scope = column.rpartition(".")
    if scope == "mean_of_images":
        return "(mean)"
    return name if scope == "pooled" else _COLUMNS.get(column, column)


def _worst(rows: Sequence[ImageRow], protocol: Protocol) -> Table:
    name = _headline(rows, protocol)
    table = frame(f"lowest {name}")
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
