"""What makes scores doubtful, found after the fact and said aloud."""

from __future__ import annotations

from collections.abc import Sequence

from segcli.evaluate.accumulate import Accumulator
from segcli.evaluate.result import Failure
from segcli.evaluate.settings import EvalSettings
from segcli.metrics import Protocol

__all__ = ["doubts"]

_LISTED = 5


def doubts(
    settings: EvalSettings,
    protocol: Protocol,
    totals: Accumulator,
    left_out: Sequence[Failure],
) -> tuple[str, ...]:
    """Warnings about an evaluation, most serious first."""
    found = [*_about_void(settings, protocol, totals)]
    if totals.resized:
        found.append(f"{totals.resized} predictions were resized to the ground truth's size")
    if left_out:
        some = "; ".join(failure.error for failure in left_out[:_LISTED])
        more = f"; and {len(left_out) - _LISTED} more" if len(left_out) > _LISTED else ""
        found.append(f"{len(left_out)} unmatched files are left out: {some}{more}")
    return tuple(found)


def _about_void(settings: EvalSettings, protocol: Protocol, totals: Accumulator) -> list[str]:
    ignore = settings.ignore_index
    if ignore is None:
        return []
    if not totals.ignored:
        return [f"no pixel has the ignore index {ignore}"]
    if protocol == "semantic":
        truth = [row["class"] for row in totals.tables()["per_class"] if row["gt_pixels"]]
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
