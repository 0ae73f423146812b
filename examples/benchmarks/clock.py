"""Seconds of the wall and of the processors, measured in turns so that all meet the same load."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Result", "Run", "Scores", "in_turns"]

Scores = dict[str, float]
Run = Callable[[], Scores]


@dataclass
class Result:
    """The best of several runs.

    Attributes:
        wall: seconds by the clock, the least of all runs.
        processor: seconds of user and system time over all threads and children, likewise.
        scores: what was computed, by name.
        spent: seconds of all runs together.
    """

    wall: float = float("inf")
    processor: float = float("inf")
    scores: Scores = field(default_factory=dict)
    spent: float = 0.0


def in_turns(runs: Mapping[str, Run], repeats: int, patience: float) -> dict[str, Result]:
    """Run everything once, then once more, and so on.

    Args:
        runs: what to measure, by name.
        repeats: how often at most.
        patience: seconds after which one that was measured is left out of further turns.
    """
    results = {name: Result() for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            if results[name].spent < patience:
                _measure(run, results[name])
    return results


def _measure(run: Run, result: Result) -> None:
    wall, processor = time.perf_counter(), _processor()
    result.scores = run()
    wall, processor = time.perf_counter() - wall, _processor() - processor
    result.wall = min(result.wall, wall)
    result.processor = min(result.processor, processor)
    result.spent += wall


def _processor() -> float:
    uses = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)
