"""What makes scores doubtful, found after the fact and said aloud."""

from __future__ import annotations

from collections.abc import Sequence

from segcli.evaluate.accumulate import Accumulator
from segcli.evaluate.result import Failure
from segcli.evaluate.settings import EvalSettings
from segcli.formats.base import Source
from segcli.metrics import Protocol

__all__ = ["doubts"]

_LISTED = 5
_CUSTOMARY = 255


def doubts(
    settings: EvalSettings,
    protocol: tuple[Protocol, str],
    sources: tuple[Source, Source],
    totals: Accumulator,
    left_out: Sequence[Failure],
) -> tuple[str, ...]:
    """Warnings about an evaluation, most serious first.

    Args:
        settings: what was asked for.
        protocol: how it was scored, and why.
        sources: predictions and ground truth.
        totals: the sums.
        left_out: what was not scored because `missing` says so.
    """
    found = [*_about_void(settings, protocol[0], sources, totals)]
    if protocol[1] != "asked for" and protocol[0] != sources[1].kind:
        found.append(
            f"scored as {protocol[0]} although the ground truth is {sources[1].kind}: {protocol[1]}"
        )
    if totals.resized:
        found.append(f"{totals.resized} predictions were resized to the ground truth's size")
    if left_out:
        some = "; ".join(failure.error for failure in left_out[:_LISTED])
        more = f"; and {len(left_out) - _LISTED} more" if len(left_out) > _LISTED else ""
        found.append(f"{len(left_out)} unmatched files are left out: {some}{more}")
    return tuple(found)


def _about_void(
    settings: EvalSettings,
    protocol: Protocol,
    sources: tuple[Source, Source],
    totals: Accumulator,
) -> list[str]:
    ignore = settings.ignore_index
    if ignore is None:
        return _unnamed_void(protocol, sources, totals)
    if not totals.ignored:
        return [f"no pixel has the ignore index {ignore}"]
    if protocol == "semantic":
        truth = [row["class"] for row in totals.tables().get("per_class", []) if row["gt_pixels"]]
    else:
        counts = totals.counts()
        truth = [1] if counts.get("gt_objects", counts.get("tp", 0) + counts.get("fn", 0)) else [0]
    if truth == [0]:
        said = f"with {ignore} ignored the ground truth is nothing but background"
        return [f"{said}: if {ignore} means inside, leave the ignore index out"]
    if ignore == 0 and len(truth) == 1:
        said = "background (0) is ignored and one class is left: IoU is then recall"
        return [f"{said}, since a pixel predicted outside the object costs nothing"]
    return []


def _unnamed_void(
    protocol: Protocol, sources: tuple[Source, Source], totals: Accumulator
) -> list[str]:
    """255 in the ground truth alone: the border of PASCAL VOC and the void of many others."""
    if protocol == "semantic":
        rows = totals.tables().get("per_class", [])
        found = any(
            r["class"] == _CUSTOMARY and r["gt_pixels"] > r["pred_pixels"] == 0 for r in rows
        )
        counts = "a class of IoU 0"
    else:
        pred, gt = sources
        found, counts = gt.border and not pred.border, "an object or foreground"
    if not found:
        return []
    said = f"the ground truth holds {_CUSTOMARY} and no prediction does: it counts as {counts}"
    return [f"{said}; if it means void, give --ignore-index {_CUSTOMARY}"]
