"""Progress on stderr: a bar with rate and time left on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from segcli.cli.output import Output

__all__ = ["progress"]

_SECONDS_BETWEEN_LINES = 10.0

Tell = Callable[[dict[str, Any]], None]


@contextmanager
def progress(total: int, *, done: int, output: Output) -> Iterator[Tell]:
    """Yield a function that is told each image's record.

    Args:
        total: images of the run.
        done: images that earlier runs finished; they count as done but not towards the rate.
        output: where to draw.
    """
    if output.quiet:
        yield lambda _: None
    elif output.stderr.is_terminal:
        with _bar(total, output) as tell:
            yield tell
    else:
        yield _lines(total, done, output)


@contextmanager
def _bar(total: int, output: Output) -> Iterator[Tell]:
    from rich.progress import (  # noqa: PLC0415 (rich is slow to import)
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=output.stderr,
        transient=True,
    )
    started, fresh = time.monotonic(), 0
    with bar:
        task = bar.add_task("segmenting", total=total, rate="")

        def tell(record: dict[str, Any]) -> None:
            nonlocal fresh
            fresh += 1
            rate = fresh / max(time.monotonic() - started, 1e-9)
            bar.update(task, advance=1, rate=f"{rate:.2f}/s")
            _report_failure(record, output)

        yield tell


def _lines(total: int, done: int, output: Output) -> Tell:
    started = last = time.monotonic()
    count = 0

    def tell(record: dict[str, Any]) -> None:
        nonlocal last, count
        count += 1
        _report_failure(record, output)
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES and count > done:
            last = now
            rate = (count - done) / (now - started)
            left = (total - count) / rate
            output.note(f"{count}/{total} pictures, {rate:.2f}/s, about {left:.0f} s left")

    return tell


def _report_failure(record: dict[str, Any], output: Output) -> None:
    if record["status"] == "error":
        error = record["error"]
        reason = f" ({error['why']})" if error.get("why") else ""
        output.warn(f"{error['message']}{reason}")
