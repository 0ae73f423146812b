"""A dry look at both sides as tables for people."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from segcli.evaluate.check_report import CheckReport, SideReport
from segcli.evaluate.looks import Span
from segcli.evaluate.traps import Finding, numbers, plural

__all__ = ["print_check"]

_ENDLESS = 10_000
_SHOWN_SIZES = 3
_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_check(console: Console, report: CheckReport) -> None:
    """Print what each side holds, how they pair, and what was found.

    Args:
        console: where to; a console that is no terminal gets plain lines.
        report: what was found.
    """
    parts: list[RenderableType] = [_sides(report), _pairs(report)]
    parts += [_finding(finding) for finding in report.findings]
    parts.append(_verdict(report))
    if console.is_terminal:
        for number, part in enumerate(parts):
            if number:
                console.print()
            console.print(part)
        return
    text = io.StringIO()
    wide = Console(file=text, width=_ENDLESS, color_system=None, highlight=False)
    for number, part in enumerate(parts):
        if number:
            wide.print()
        wide.print(part)
    console.file.write("".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines()))


def _sides(report: CheckReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "predictions", "ground truth"):
        table.add_column(column, overflow="fold")
    for label, show in _ROWS.items():
        cells = show(report.pred), show(report.gt)
        if any(cells):
            table.add_row(label, *cells)
    return table


def _files(side: SideReport) -> str:
    lost = f", {side.unreadable} unreadable" if side.unreadable else ""
    return f"{side.files}{lost}"


def _kind(side: SideReport) -> str:
    return f"{side.format}: {side.kind}{'' if side.certain else ' (a guess)'}"


def _sizes(side: SideReport) -> str:
    sizes = sorted(side.looks.sizes.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{w}x{h} ({n})" for (h, w), n in sizes[:_SHOWN_SIZES])
    more = len(sizes) - _SHOWN_SIZES
    return shown + (f" and {more} more" if more > 0 else "")


def _storage(side: SideReport) -> str:
    return ", ".join(f"{words} ({n})" for words, n in sorted(side.looks.storage.items()))


def _values(side: SideReport) -> str:
    values = side.looks.values
    if not values:
        return ""
    if side.kind in ("binary", "semantic"):
        return numbers(values, side.looks.names)
    most = side.looks.distinct
    return f"{min(values)} to {max(values)}, at most {most.most:.0f} in an image ({most.at})"


def _stored(side: SideReport) -> str:
    stored = side.looks.stored
    told = not stored or stored == set(side.looks.values) or side.kind == "instance"
    return "" if told else f"{numbers(stored)} (in {side.looks.sampled} files)"


def _void(side: SideReport) -> str:
    looks = side.looks
    return f"{100 * looks.void / looks.pixels:.3g} %" if looks.void else ""


def _empty(side: SideReport) -> str:
    return str(side.looks.empty)


def _objects(side: SideReport) -> str:
    if side.kind not in ("instance", "panoptic"):
        return ""
    return f"{side.looks.objects.total:.0f}: {_range(side.looks.objects)} an image"


def _areas(side: SideReport) -> str:
    return f"{_range(side.looks.areas)} pixels" if side.looks.areas.count else ""


def _scores(side: SideReport) -> str:
    looks = side.looks
    if not looks.scores.count:
        return ""
    missing = f", {looks.unscored} without" if looks.unscored else ""
    return f"{looks.scores.least:.4g} to {looks.scores.most:.4g}{missing}"


def _categories(side: SideReport) -> str:
    return numbers(side.looks.categories, side.looks.names)


def _range(span: Span) -> str:
    if not span.count:
        return "none"
    return f"{span.least:g} to {span.most:g}, mean {span.mean:.4g}"


_ROWS: dict[str, Callable[[SideReport], str]] = {
    "images": _files,
    "format": _kind,
    "sizes": _sizes,
    "stored as": _storage,
    "stored values": _stored,
    "values": _values,
    "void": _void,
    "empty images": _empty,
    "objects": _objects,
    "areas": _areas,
    "scores": _scores,
    "categories": _categories,
}


def _pairs(report: CheckReport) -> Text:
    pairing = report.pairing
    lines = [f"{plural(pairing.looks.pairs, 'pair')} by {pairing.rule}"]
    lines += [f"  {pred} - {gt}" for pred, gt in pairing.examples]
    for noun, lacks, paths in (
        ("prediction", "ground truth", pairing.pred_only),
        ("ground truth", "prediction", pairing.gt_only),
    ):
        if paths:
            lines.append(f"{plural(len(paths), noun)} without {lacks}: {_some(paths)}")
    lines.append(f"protocol {report.protocol}: {report.protocol_why}")
    return Text("\n".join(lines))


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:5]) + (", …" if len(paths) > 5 else "")


def _finding(finding: Finding) -> Text:
    text = Text(f"{finding.level}: {finding.what}", style=_STYLES[finding.level])
    text.append(f"\n  why: {finding.why}", style="default")
    if finding.fix:
        text.append(f"\n  fix: {finding.fix}", style="default")
    return text


def _verdict(report: CheckReport) -> Text:
    counts = {level: sum(f.level == level for f in report.findings) for level in _STYLES}
    said = ", ".join(plural(n, level) for level, n in counts.items())
    return Text(f"{said}; looked at {report.looked_at}", style="dim")
