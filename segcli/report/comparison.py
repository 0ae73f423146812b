"""A comparison of two runs: tables for people, rows for machines."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from segcli.evaluate.comparison import Change, Comparison, Delta, most_changed
from segcli.evaluate.result import plain
from segcli.report.layout import UNDEFINED, Column, Grid, number, print_parts

__all__ = ["comparison_csv", "print_comparison"]

_COLUMNS = ("A", "B", "B - A", "95 % interval", "B > A")
_MOST = 5
_CELLS = (
    "a",
    "b",
    "delta",
    "low",
    "high",
    "undefined_resamples",
    "share_b_higher",
    "share_a_higher",
    "two_sided_tail_share",
)


def comparison_csv(comparison: Comparison) -> str:
    """All scores as CSV, one row each; scores of classes after those of the data set.

    Returns:
        metric, class, a, b, delta, low, high (of the interval of the delta), undefined_resamples,
        share_b_higher, share_a_higher, two_sided_tail_share; an undefined value is empty.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "class", *_CELLS])
    for name, delta in comparison.scores.items():
        writer.writerow([name, "", *_cells(delta)])
    for row in comparison.classes:
        label = row.id if row.name is None else row.name
        for name, delta in row.scores.items():
            writer.writerow([name, label, *_cells(delta)])
    return text.getvalue()


def _cells(delta: Delta) -> list[float | None]:
    interval = delta.interval
    ends = [plain(interval.low), plain(interval.high), interval.undefined]
    shares = [plain(v) for v in (delta.b_higher, delta.a_higher, delta.tails)]
    return [plain(delta.a), plain(delta.b), plain(delta.delta), *ends, *shares]


def print_comparison(console: Console, comparison: Comparison, most: int = _MOST) -> None:
    """Print what is compared, every score, every class's first score, and what changed most.

    Args:
        console: where to.
        comparison: the two runs.
        most: how many images to name, in each direction.
    """
    parts: list[RenderableType] = [_header(comparison), _scores(comparison)]
    if comparison.classes:
        parts.append(_classes(comparison))
    up, down = most_changed(comparison.changes, most)
    for title, changes in (("rose", up), ("fell", down)):
        if changes:
            parts.append(_changes(f"{title} most, {comparison.headline}", changes))
    if comparison.undefined:
        parts.append(_reasons(comparison))
    print_parts(console, parts)


def _header(comparison: Comparison) -> Text:
    bootstrap = comparison.params["bootstrap"]
    changes = comparison.changes
    up = sum(change.delta > 0 for change in changes)
    counted = f"{up} rose, {len(changes) - up} fell, {comparison.unchanged} unchanged"
    if comparison.incomparable:
        counted += f", {comparison.incomparable} undefined"
    drawn = f"{bootstrap['resamples']} resamples, seed {bootstrap['seed']}"
    level = f"{100 * bootstrap['level']:.0f} %"
    lines = [
        f"A: {comparison.runs[0]}",
        f"B: {comparison.runs[1]}",
        f"protocol {comparison.protocol}; {comparison.images} images scored in both",
        f"interval of B - A: {level} percentile of a paired bootstrap over images, {drawn}",
        "B > A: share of the resamples in which B scores higher",
    ]
    if comparison.headline:
        lines.append(f"images by {comparison.headline}: {counted}")
    return Text("\n".join(lines), style="dim")


def _scores(comparison: Comparison) -> Grid:
    names = Column("metric", list(comparison.scores), text=True)
    return Grid(None, [names], _beside([_shown(delta) for delta in comparison.scores.values()]))


def _classes(comparison: Comparison) -> Grid:
    score = next(iter(comparison.classes[0].scores))
    rows = [row for row in comparison.classes if score in row.scores]
    first = [Column("class", [str(row.id) for row in rows], text=True)]
    if any(row.name is not None for row in rows):
        first.append(Column("name", [row.name or "" for row in rows], text=True))
    groups = _beside([_shown(row.scores[score]) for row in rows])
    return Grid(f"per class, {score}", first, groups)


def _changes(title: str, changes: Sequence[Change]) -> Grid:
    images = Column("image", [change.image for change in changes], text=True)
    numbers = [(number(c.a), number(c.b), number(c.delta, signed=True)) for c in changes]
    return Grid(title, [images], _beside(numbers))


def _beside(rows: Sequence[Sequence[str]]) -> list[list[Column]]:
    """Both scores and their difference side by side, and what chance says of it."""
    columns = [Column(*column) for column in zip(_COLUMNS, zip(*rows, strict=True), strict=False)]
    return [part for part in (columns[:3], columns[3:]) if part]


def _shown(delta: Delta) -> tuple[str, ...]:
    low, high = delta.interval.low, delta.interval.high
    ends = UNDEFINED
    if not math.isnan(low):
        ends = f"{number(low, signed=True)} to {number(high, signed=True)}"
    share = UNDEFINED if math.isnan(delta.b_higher) else f"{100 * delta.b_higher:.1f} %"
    return number(delta.a), number(delta.b), number(delta.delta, signed=True), ends, share


def _reasons(comparison: Comparison) -> Text:
    by_reason: dict[str, list[str]] = {}
    for name, reason in comparison.undefined.items():
        by_reason.setdefault(reason, []).append(name)
    lines = [f"{UNDEFINED} {', '.join(names)}: {reason}" for reason, names in by_reason.items()]
    return Text("\n".join(lines))
