"""Progress on stderr: a bar with rate and time left on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from segcli.cli.output import Output

if TYPE_CHECKING:
    from segcli.predict.api import Prediction

__all__ = ["counting", "progress"]

_SECONDS_BETWEEN_LINES = 10.0

Tell = Callable[[dict[str, Any]], None]


@contextmanager
def progress(prediction: Prediction, output: Output) -> Iterator[Tell]:
    """Yield a function that is told each image's record.

    Args:
        prediction: the run, whose counts tell finished images of this run from earlier ones.
        output: where to draw.
    """
    if output.quiet:
        yield lambda _: None
    elif output.stderr.is_terminal:
        with _bar(prediction, output) as tell:
            yield tell
    else:
        yield _lines(prediction, output)


@contextmanager
def counting(what: str, total: int, output: Output) -> Iterator[Callable[[], None]]:
    """Yield a function that is called once for each image done.

    Args:
        what: the work, as the bar names it.
        total: images expected.
        output: where to draw.
    """
    if output.quiet:
        yield lambda: None
    elif not output.stderr.is_terminal:
        yield _counted_lines(total, output)
    else:
        from rich.progress import Progress  # noqa: PLC0415 (rich is slow to import)

        with Progress(console=output.stderr, transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda: bar.advance(task)


def _counted_lines(total: int, output: Output) -> Callable[[], None]:
    started = last = time.monotonic()
    count = 0

    def advance() -> None:
        nonlocal last, count
        count += 1
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            output.note(f"{count}/{total} images, {count / (now - started):.2f}/s")

    return advance


def _rate(prediction: Prediction, started: float) -> float:
    """Images of this run a second; those of earlier runs do not count."""
    fresh = prediction.counts["ok"] + prediction.counts["errors"]
    return fresh / max(time.monotonic() - started, 1e-9)


@contextmanager
def _bar(prediction: Prediction, output: Output) -> Iterator[Tell]:
    from rich.progress import (  # noqa: PLC0415 (rich is slow to import)
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[left]}"),
        console=output.stderr,
        transient=True,
    )
    started = time.monotonic()
    with bar:
        task = bar.add_task("segmenting", total=len(prediction.items), rate="", left="")

        def tell(record: dict[str, Any]) -> None:
            rate = _rate(prediction, started)
            left = f"{_left(prediction, rate)} left" if rate else ""
            bar.update(task, advance=1, rate=f"{rate:.2f}/s", left=left)
            _report_failure(record, output)

        yield tell


def _lines(prediction: Prediction, output: Output) -> Tell:
    started = last = time.monotonic()
    count = 0

    def tell(record: dict[str, Any]) -> None:
        nonlocal last, count
        count += 1
        _report_failure(record, output)
        now, rate = time.monotonic(), _rate(prediction, started)
        if now - last >= _SECONDS_BETWEEN_LINES and rate:
            last = now
            left = _left(prediction, rate)
            output.note(f"{count}/{len(prediction.items)} pictures, {rate:.2f}/s, {left} left")

    return tell


def _left(prediction: Prediction, rate: float) -> str:
    """Time until the last image of this run, as h:mm:ss."""
    counts = prediction.counts
    waiting = len(prediction.todo) - counts["ok"] - counts["errors"]
    return str(timedelta(seconds=round(waiting / rate)))


def _report_failure(record: dict[str, Any], output: Output) -> None:
    if record["status"] == "error":
        error = record["error"]
        reason = f" ({error['why']})" if error.get("why") else ""
        output.warn(f"{error['message']}{reason}")
