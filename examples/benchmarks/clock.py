"""Seconds of the wall and of the processors, measured in turns so that all meet the same load.

Each tool runs in a process of its own: what one of them does to memory, threads or Python helps or
hinders no other.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

__all__ = ["Result", "Run", "Scores", "Tool", "Unavailable", "in_turns"]

Scores = dict[str, float]
Run = Callable[[], Scores]


class Unavailable(Exception):  # noqa: N818 (a word that fits its use)
    """A tool that is installed and cannot run here; the message says why."""


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


class Tool:
    """One tool in a process of its own, which waits until it is asked to run.

    Args:
        prepare: gives what is measured; what it imports and reads is not measured.

    Raises:
        ImportError: it is not installed.
        Unavailable: it cannot run here.
    """

    def __init__(self, prepare: Callable[[], Run]) -> None:
        # A process that starts afresh has nothing of this one, least of all its memory.
        context = multiprocessing.get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, prepare), daemon=True)
        self._process.start()
        other.close()
        self._answer()

    def run(self, result: Result) -> None:
        """Run once, and keep the best in the result."""
        self._pipe.send(True)
        wall, processor, result.scores = self._answer()
        result.wall = min(result.wall, wall)
        result.processor = min(result.processor, processor)
        result.spent += wall

    def stop(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()

    def _answer(self) -> tuple[float, float, Scores]:
        answer = self._pipe.recv()
        if isinstance(answer, BaseException):
            raise answer
        found: tuple[float, float, Scores] = answer
        return found


def in_turns(tools: Mapping[str, Tool], repeats: int, patience: float) -> dict[str, Result]:
    """Run everything once, then once more, and so on.

    Args:
        tools: what to measure, by name; they are stopped in the end.
        repeats: how often at most.
        patience: seconds after which one that was measured is left out of further turns.
    """
    results = {name: Result() for name in tools}
    for _ in range(repeats):
        for name, tool in tools.items():
            if results[name].spent < patience:
                tool.run(results[name])
    for tool in tools.values():
        tool.stop()
    return results


def _serve(pipe: Connection, prepare: Callable[[], Run]) -> None:
    try:
        run = prepare()
        pipe.send((0.0, 0.0, {}))
        while pipe.recv():
            pipe.send(_measured(run))
    except EOFError:
        return
    except (Exception, SystemExit) as error:  # noqa: BLE001 (whatever it is, who asked must know)
        pipe.send(error)


def _measured(run: Run) -> tuple[float, float, Scores]:
    wall, processor = time.perf_counter(), _processor()
    scores = run()
    return time.perf_counter() - wall, _processor() - processor, scores


def _processor() -> float:
    uses = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)
