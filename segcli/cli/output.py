"""The one output sink: data on stdout, everything for people on stderr, one exit code.

Commands run inside `reporting`, which turns every exception into a message and an exit code:

    SegcliError          error / why / fix, its own exit code
    KeyboardInterrupt    130
    BrokenPipeError      141, silently: the reader downstream has what it wanted
    anything else        1, "a bug", with how to see the traceback
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec

import typer

from segcli.errors import SegcliError, WriteError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "EXIT_BROKEN_PIPE",
    "EXIT_INTERRUPTED",
    "EXIT_PARTIAL",
    "Output",
    "reporting",
]

EXIT_BUG = 1
EXIT_PARTIAL = 3
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's data and words go.

    Attributes:
        quiet: only errors on stderr.
        verbose: more detail on stderr.
        no_color: no colour anywhere, as with the environment variable NO_COLOR.
    """

    quiet: bool = False
    verbose: bool = False
    no_color: bool = False

    @property
    def stderr(self) -> Console:
        """A console on stderr."""
        return _console(stderr=True, no_color=self.no_color)

    @property
    def stdout(self) -> Console:
        """A console on stdout, for tables that people read."""
        return _console(stderr=False, no_color=self.no_color)

    def line(self, text: str) -> None:
        """One line of data on stdout, flushed at once."""
        with _writing_to_stdout():
            sys.stdout.write(text if text.endswith("\n") else text + "\n")
            sys.stdout.flush()

    @contextlib.contextmanager
    def printing(self) -> Iterator[Console]:
        """The console of stdout, for tables; a full or closed stdout is a named failure."""
        with _writing_to_stdout():
            yield self.stdout
            sys.stdout.flush()

    def json(self, value: dict[str, Any]) -> None:
        """One JSON document on stdout, in a fixed order, without NaN or Infinity."""
        from segcli.formats.base import json_text  # noqa: PLC0415 (`--version` must stay quick)

        self.line(json_text(value, indent=2))

    def note(self, text: str) -> None:
        """A hint on stderr, unless quiet."""
        if not self.quiet:
            _say(text)

    def warn(self, text: str) -> None:
        """A warning on stderr, unless quiet."""
        if not self.quiet:
            _say(f"warning: {text}")

    def hear_warnings(self) -> None:
        """Say what the library logs as a warning."""
        logger = logging.getLogger("segcli")
        if not logger.handlers:
            logger.addHandler(_Warnings(self))

    def error(self, error: SegcliError) -> None:
        """An error on stderr: what, why, and a fix that works."""
        _say(_described(error))


class _Warnings(logging.Handler):
    """Hands warnings of the library to the one output."""

    def __init__(self, output: Output) -> None:
        super().__init__(logging.WARNING)
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        """Say it as the command's own warning."""
        self._output.warn(record.getMessage())


def reporting(command: Callable[P, None]) -> Callable[P, None]:
    """Wrap a command so that every exception becomes a message and an exit code.

    The command's ``debug`` parameter, when true, shows the traceback as well.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        debug = bool(kwargs.get("debug")) or os.environ.get("SEGCLI_DEBUG", "") not in {"", "0"}
        if debug:
            logging.basicConfig(stream=sys.stderr)
            logging.getLogger("segcli").setLevel(logging.DEBUG)
        with _exit_codes(debug=debug):
            command(*args, **kwargs)
            with _writing_to_stdout():
                sys.stdout.flush()

    return wrapped


@contextlib.contextmanager
def _writing_to_stdout() -> Iterator[None]:
    """A full or closed standard output is a named failure; a reader that left is a closed pipe."""
    if sys.stdout is None:
        raise WriteError("standard output is closed")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _abandon_stdout()
        raise WriteError("cannot write to standard output", why=str(error)) from error


@contextlib.contextmanager
def _exit_codes(*, debug: bool) -> Iterator[None]:
    try:
        yield
    except typer.Exit:
        raise
    except BrokenPipeError:
        _abandon_stdout()
        raise typer.Exit(EXIT_BROKEN_PIPE) from None
    except KeyboardInterrupt:
        _say("interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except SegcliError as error:
        if debug:
            traceback.print_exc()
        _say(_described(error))
        raise typer.Exit(error.exit_code) from None
    except Exception as error:  # noqa: BLE001 (the last line of defence names it a bug)
        if debug:
            traceback.print_exc()
        _say(
            f"error: {type(error).__name__}: {error}\n"
            "why: this is a bug in segcli, not in how you called it\n"
            "fix: run the same command with --debug and report what it prints"
        )
        raise typer.Exit(EXIT_BUG) from None


def _described(error: SegcliError) -> str:
    lines = [f"error: {error.message}"]
    if error.why:
        lines.append(f"why: {error.why}")
    if error.fix:
        lines.append(f"fix: {error.fix}")
    return "\n".join(lines)


def _say(text: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _abandon_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush cannot fail."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _console(*, stderr: bool, no_color: bool) -> Console:
    from rich.console import Console  # noqa: PLC0415 (rich is slow to import)

    return Console(stderr=stderr, no_color=no_color or None, highlight=False)
