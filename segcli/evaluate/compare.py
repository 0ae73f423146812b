"""Two runs on the same images: what changed, and whether other images would say the same.

A paired bootstrap (Efron and Tibshirani 1993): each resample draws the same images for both runs,
so what makes an image hard for both cancels out of the difference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import InputError, UsageError
from segcli.evaluate.bootstrap import LEVEL, Sample, bootstrap_params, draws, interval_of
from segcli.evaluate.comparison import Change, ClassChange, Comparison, Delta
from segcli.evaluate.result import HEADLINES
from segcli.evaluate.runs import Run
from segcli.metrics.exact import Weights
from segcli.metrics.resample import Resampled, chained

__all__ = ["compare"]

Floats = npt.NDArray[np.float64]
Places = tuple[tuple[int, int], ...]


def compare(a: Run, b: Run, resamples: int = 1000, seed: int = 0) -> Comparison:
    """Compare two runs on the images that both scored.

    Args:
        a: the first run, the one that changes are counted from.
        b: the second run, scored by the same metrics.
        resamples: how often images are drawn.
        seed: of the draws; the order of the images does not matter.

    Raises:
        UsageError: the runs were scored by different protocols.
        InputError: no image was scored by both.
    """
    if a.protocol != b.protocol:
        raise UsageError(
            f"{a.label} was scored as {a.protocol} and {b.label} as {b.protocol}",
            why="scores of two protocols cannot be compared",
            fix=f"--protocol {a.protocol if a.protocol == 'binary' else b.protocol}",
        )
    both, *alone = _images(a.sample, b.sample)
    if not both:
        raise InputError(
            f"{a.label} and {b.label} have no image in common",
            why="images are the same when their ground truth has the same path",
            fix="score both runs against the same ground truth",
        )
    points = _both(a, b, both, np.ones((1, len(both)), np.int64))
    pairs = [_both(a, b, both, weights) for weights in draws(len(both), resamples, seed)]
    drawn = chained(first for first, _ in pairs), chained(second for _, second in pairs)
    scores = _deltas(*(r.scores for r in points), *(r.scores for r in drawn))
    reasons = a.sample.reasons
    return Comparison(
        protocol=a.protocol,
        runs=(a.label, b.label),
        images=len(both),
        scores=scores,
        undefined={n: reasons[n] for n, d in scores.items() if math.isnan(d.delta)},
        classes=_class_changes(points, drawn),
        **_changes(a, b, both),
        alone=(alone[0], alone[1]),
        failures=(a.failures, b.failures),
        left_out=(a.left_out, b.left_out),
        skips=(a.skips, b.skips),
        params=_params(a, b, resamples, seed),
        notes=_notes(a, b, len(both)),
        warnings=tuple(f"{run.label}: {words}" for run in (a, b) for words in run.warnings),
    )


def _images(a: Sample, b: Sample) -> tuple[Places, tuple[str, ...], tuple[str, ...]]:
    """Positions of the images that both have, sorted by path, and the paths that one has alone."""
    first = {row.gt: i for i, row in enumerate(a.rows)}
    second = {row.gt: i for i, row in enumerate(b.rows)}
    both = tuple((first[key], second[key]) for key in sorted(first.keys() & second.keys()))
    alone = (first.keys() - second.keys(), second.keys() - first.keys())
    return both, tuple(sorted(alone[0])), tuple(sorted(alone[1]))


def _both(a: Run, b: Run, both: Places, weights: Weights) -> tuple[Resampled, Resampled]:
    results = []
    for run, places in zip((a, b), zip(*both, strict=True), strict=True):
        own = np.zeros((len(weights), len(run.sample.rows)), np.int64)
        own[:, list(places)] = weights
        results.append(run.sample.resample(own))
    return results[0], results[1]


def _deltas(
    a: Mapping[str, Floats],
    b: Mapping[str, Floats],
    drawn_a: Mapping[str, Floats],
    drawn_b: Mapping[str, Floats],
) -> dict[str, Delta]:
    """The scores that both runs have; a class that a draw lacks is undefined there."""
    return {
        name: _delta(float(a[name][0]), float(b[name][0]), drawn_b[name] - drawn_a[name])
        for name in a
        if name in b and name in drawn_a and name in drawn_b
    }


def _delta(a: float, b: float, differences: Floats) -> Delta:
    defined = differences[~np.isnan(differences)]
    interval = interval_of(differences, LEVEL)
    if not len(defined):
        return Delta(a, b, interval, math.nan, math.nan, math.nan)
    up, down = float((defined > 0).mean()), float((defined < 0).mean())
    return Delta(a, b, interval, up, down, min(1.0, 2 * (1 - max(up, down))))


def _class_changes(
    points: tuple[Resampled, Resampled], drawn: tuple[Resampled, Resampled]
) -> tuple[ClassChange, ...]:
    tables = [{key[0]: found for key, found in r.classes.items()} for r in (*points, *drawn)]
    names = {key[0]: key[1] for r in points for key in r.classes if key[1] is not None}
    shared = sorted(set(tables[0]).intersection(*tables[1:]), key=lambda c: (str(type(c)), c))
    rows = [ClassChange(c, names.get(c), _deltas(*(table[c] for table in tables))) for c in shared]
    return tuple(row for row in rows if any(not math.isnan(d.delta) for d in row.scores.values()))


def _changes(a: Run, b: Run, both: Places) -> dict[str, Any]:
    """The images by how their headline score changed."""
    names = list(a.sample.rows[0].scores)
    wanted = HEADLINES[a.protocol]
    headline = wanted if wanted in names else names[0] if names else ""
    found = [
        Change(
            a.sample.rows[i].gt,
            a.sample.rows[i].scores[headline],
            b.sample.rows[j].scores[headline],
        )
        for i, j in both
        if headline
    ]
    defined = [change for change in found if not math.isnan(change.delta)]
    changed = [change for change in defined if change.delta]
    return {
        "headline": headline,
        "changes": tuple(sorted(changed, key=lambda change: (-change.delta, change.image))),
        "unchanged": len(defined) - len(changed),
        "incomparable": len(found) - len(defined),
    }


def _params(a: Run, b: Run, resamples: int, seed: int) -> dict[str, Any]:
    return {
        "bootstrap": {
            **bootstrap_params(resamples, seed),
            "paired": "every resample draws the same images for both runs",
            "delta": "b - a",
            "two_sided_tail_share": "twice the smaller of the shares of resamples with delta >= 0 "
            "and with delta <= 0, at most 1",
        },
        "a": dict(a.params),
        "b": dict(b.params),
    }


def _notes(a: Run, b: Run, images: int) -> tuple[str, ...]:
    said = [f"{images} images that both runs scored are compared"]
    for run in (a, b):
        said += [f"{run.label}: no {name}: {why}" for name, why in run.lacking.items()]
    return tuple(said)
