"""What makes scores doubtful, found after the fact and said aloud.

`segcli eval --check` sees more; what the sums alone show is said after every evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from segcli.evaluate.accumulate import Accumulator
from segcli.evaluate.result import Failure
from segcli.evaluate.settings import EvalSettings
from segcli.evaluate.traps import (
    ASKED_FOR,
    CUSTOMARY_VOID,
    Finding,
    about_ignored,
    all_empty,
    class_ids_shifted,
    ignored_predicted,
    inverted,
    protocol_reduced,
    same_files,
    swapped_sides,
    two_classes,
    unnamed_void,
)
from segcli.formats.base import Source
from segcli.metrics import Protocol
from segcli.metrics.base import Row, ratio

__all__ = ["doubts"]

_LISTED = 5
_CLASSES, _FOUND, _SHARED = 3, 0.1, 0.8


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
    found = [finding.line for finding in _findings(settings, protocol, sources, totals)]
    if totals.resized:
        found.append(f"{totals.resized} predictions were resized to the ground truth's size")
    if left_out:
        some = "; ".join(failure.error for failure in left_out[:_LISTED])
        more = f"; and {len(left_out) - _LISTED} more" if len(left_out) > _LISTED else ""
        found.append(f"{len(left_out)} unmatched files are left out: {some}{more}")
    return tuple(found)


def _findings(
    settings: EvalSettings,
    protocol: tuple[Protocol, str],
    sources: tuple[Source, Source],
    totals: Accumulator,
) -> Iterator[Finding]:
    semantic, counts = protocol[0] == "semantic", totals.counts()
    if (sources[0].format, sources[1].format) == ("coco-dataset", "coco"):
        yield swapped_sides()
    if totals.same_files:
        yield same_files(totals.same_files, totals.images)
    # Tables of other protocols take long to make, and tell nothing here.
    rows = totals.tables().get("per_class", []) if semantic else []
    semantic = semantic and all("gt_pixels" in row for row in rows)
    if settings.ignore_index is not None:
        truth = _true_classes(rows) if semantic else _true_sides(counts, settings.ignore_index)
        percent = 100 * ratio(totals.ignored, totals.pixels) if totals.pixels else 0.0
        yield from about_ignored(settings.ignore_index, totals.ignored, truth, percent=percent)
    elif _has_unnamed_void(rows if semantic else [], protocol[0], sources):
        yield unnamed_void("a class of IoU 0" if semantic else "an object or foreground")
    idle = counts.get("pixels_predicted_as_ignored_classes", 0)
    if found := ignored_predicted(idle, totals.pixels - totals.ignored):
        yield found
    if semantic:
        yield from _about_classes(rows)
    elif {"tp", "fp", "fn", "tn"} <= counts.keys():
        yield from _about_pixels(counts, totals.images)
    elif {"gt_objects", "pred_objects"} <= counts.keys():
        yield from _about_sides(counts["pred_objects"], counts["gt_objects"], totals.images)
    if protocol[1] != ASKED_FOR and protocol[0] != sources[1].kind:
        yield protocol_reduced(protocol, sources[1].kind)


def _true_classes(rows: Sequence[Row]) -> list[int]:
    return [row["class"] for row in rows if row["gt_pixels"]]


def _true_sides(counts: dict[str, int], ignore: int) -> list[int] | None:
    """Background and foreground, as far as there are any; None where no count tells."""
    if "gt_objects" in counts:
        return two_classes(counts["gt_objects"], ignore)
    known = {"tp", "fn"} <= counts.keys()
    return two_classes(counts["tp"] + counts["fn"], ignore) if known else None


def _has_unnamed_void(
    rows: Sequence[Row], protocol: Protocol, sources: tuple[Source, Source]
) -> bool:
    if protocol == "semantic":
        return any(
            row["class"] == CUSTOMARY_VOID and row["gt_pixels"] > row["pred_pixels"] == 0
            for row in rows
        )
    pred, gt = sources
    return gt.border and not pred.border


def _about_classes(rows: Sequence[Row]) -> Iterator[Finding]:
    """No class is found, and areas agree one class further: ids are off by one."""
    true = {row["class"]: row["gt_pixels"] for row in rows if row["class"] and row["gt_pixels"]}
    guess = {row["class"]: row["pred_pixels"] for row in rows}
    if len(true) < _CLASSES or any(row["iou.pooled"] > _FOUND for row in rows if row["class"]):
        return
    for step, word in ((-1, "less"), (1, "more")):
        shared = sum(min(n, guess.get(c + step, 0)) for c, n in true.items()) / sum(true.values())
        if shared > _SHARED:
            yield class_ids_shifted(
                f"no class is found, and predicted areas are those of the true classes with ids "
                f"one {word}",
                word,
            )


def _about_pixels(counts: dict[str, int], images: int) -> Iterator[Finding]:
    tp, fp, fn, tn = (counts[name] for name in ("tp", "fp", "fn", "tn"))
    yield from _about_sides(tp + fp, tp + fn, images)
    if found := inverted(ratio(tp, tp + fp + fn), ratio(fn, fn + tn + tp)):
        yield found


def _about_sides(predicted: int, true: int, images: int) -> Iterator[Finding]:
    if images and true and not predicted:
        yield all_empty("predictions", images, None)
    elif images and predicted and not true:
        yield all_empty("ground truth", images, None)
