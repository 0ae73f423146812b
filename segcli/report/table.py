"""Scores as tables for people: pooled and mean of images side by side, conventions above."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from segcli.evaluate.result import Evaluation, ImageRow

__all__ = ["ScoreRow", "print_evaluation", "score_rows", "worst_images"]

_UNDEFINED = "n/a"
_ENDLESS = 10_000
_HEADLINES = {
    "binary": "iou",
    "semantic": "miou",
    "instance": "f1_50",
    "panoptic": "pq",
    "proposals": "best_overlap_miou",
    "regions": "covering",
    "points": "single_point_miou",
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


def worst_images(rows: Sequence[ImageRow], protocol: str, count: int = 5) -> list[ImageRow]:
    """The images that score lowest by the protocol's headline metric, the lowest first."""
    name = _headline(rows, protocol)
    scored = [row for row in rows if not math.isnan(row.scores[name])]
    return sorted(scored, key=lambda row: (row.scores[name], row.name))[:count]


def _headline(rows: Sequence[ImageRow], protocol: str) -> str:
    """The score images are ranked by: the protocol's own, or the first where that is not there."""
    names = list(rows[0].scores) if rows else []
    wanted = _HEADLINES[protocol]
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
    if not console.is_terminal:
        console.file.write(_plain(parts))
        return
    for number, part in enumerate(parts):
        if number:
            console.print()
        console.print(part)


def _plain(parts: Sequence[RenderableType]) -> str:
    """Text for a file or pipe: lines are as long as they need to be, and end where text ends."""
    text = io.StringIO()
    wide = Console(file=text, width=_ENDLESS, color_system=None, highlight=False)
    for number, part in enumerate(parts):
        if number:
            wide.print()
        wide.print(part)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _header(evaluation: Evaluation) -> Text:
    params, counts = evaluation.params, evaluation.counts
    pairing = params["pairing"]
    empty = pairing["taken_as_empty"]
    unmatched = (
        pairing["predictions_without_ground_truth"]
        + pairing["ground_truth_without_prediction"]
        - empty
    )
    ignore = params["ignore_index"]
    void = (
        "none ignored"
        if ignore is None
        else f"{params['ignored_percent']:.3g} % ({ignore}) ignored"
    )
    scored = f"{counts['images']} images scored, {counts['failed']} not"
    pairs = f"{pairing['pairs']} pairs by {pairing['rule']}, {unmatched} unmatched"
    pairs += f", {empty} taken as empty" if empty else ""
    why = f"protocol {evaluation.protocol}: {params['protocol_why']}"
    pixels = f"pixels: {void}; sizes differ: {params['sizes']['mismatch']}"
    pooled = "pooled = summed over the data set, then one ratio"
    mean = f"(mean) of images = one ratio an image, undefined ({_UNDEFINED}) ones left out"
    lines = [f"{scored}; {pairs}", f"{why}; {pixels}", f"{pooled}; {mean}"]
    lines += evaluation.headlines
    return Text("\n".join(lines), style="dim")


def _scores(evaluation: Evaluation) -> Table:
    table = _frame()
    for column in ("metric", "pooled", "mean of images"):
        table.add_column(column, justify="left" if column == "metric" else "right", no_wrap=True)
    family = ""
    for row in score_rows(evaluation.metrics):
        if family != (family := row.name.rpartition(".")[0]):
            table.add_section()
        mean = "" if row.mean_of_images is None else _number(row.mean_of_images)
        table.add_row(row.name, _number(row.pooled), mean)
    return table


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = [c for c in rows[0] if any(row[c] is not None for row in rows)]
    table = _frame(title)
    for column in columns:
        text = isinstance(rows[0][column], str)
        table.add_column(_label(column), justify="left" if text else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(row[column], column) for column in columns))
    return table


def _label(column: str) -> str:
    name, _, scope = column.rpartition(".")
    if scope == "mean_of_images":
        return "(mean)"
    return name if scope == "pooled" else _COLUMNS.get(column, column)


def _worst(rows: Sequence[ImageRow], protocol: str) -> Table:
    name = _headline(rows, protocol)
    table = _frame(f"lowest {name}")
    table.add_column("image", overflow="fold")
    table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.name, _number(row.scores[name]))
    return table


def _frame(title: str | None = None) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="bold",
    )


def _reasons(evaluation: Evaluation) -> Text | None:
    by_reason: dict[str, list[str]] = {}
    for name, reason in evaluation.undefined.items():
        by_reason.setdefault(reason, []).append(name)
    lines = [f"{_UNDEFINED} {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return Text("\n".join(lines)) if lines else None


def _cell(value: Any, column: str) -> str:  # noqa: ANN401 (a cell of any table)
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}" if column == "threshold" else _number(value)
    return str(value)


def _number(value: float) -> str:
    return _UNDEFINED if math.isnan(value) else f"{value:.4f}"
