"""``segments.ndjson``: the results, and the commit point from which a killed run continues.

A record is appended when all other files of its image are in place. A last line cut short by a
kill is dropped on the next run. When a run ends, records stand in the order of the plan, so an
interrupted and an unbroken run leave the same bytes.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

from segcli.errors import InputError, WriteError
from segcli.formats.base import replacing
from segcli.formats.ndjson import FILE_NAME, parse_line, to_line

__all__ = ["Journal"]


class Journal:
    """The records of one output folder."""

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        """Read what earlier runs left, without changing it, or begin anew.

        Raises:
            InputError: a line that is not the last is no record.
        """
        self.path = folder / FILE_NAME
        self._size_when_read = 0
        self._whole_bytes = 0
        self._order: list[str] = []
        self._offsets: dict[str, tuple[int, int]] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self._file: FileIO | None = None
        if self.path.is_file() and not fresh:
            self._size_when_read = self.path.stat().st_size
            self._load()

    def _load(self) -> None:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                record = parse_line(line, f"{self.path} line {number}")
                key = record_key(record)
                self._remember(key, record, self._whole_bytes, len(line))
                self._whole_bytes += len(line)

    def _remember(self, key: str, record: dict[str, Any], offset: int, length: int) -> None:
        self._order.append(key)
        self._offsets[key] = (offset, length)
        self.records[key] = {k: v for k, v in record.items() if k != "segments"}

    def is_current(self) -> bool:
        """Nobody wrote to the file since it was read."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        return size == self._size_when_read

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Open for appending; a torn last line is cut off first."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: a buffer would be flushed once more on closing, after the disk was full.
        with self.path.open("ab", buffering=0) as file:
            file.truncate(self._whole_bytes)
            self._file = file
            try:
                yield
            finally:
                self._file = None

    def append(self, record: dict[str, Any]) -> None:
        """Commit one image's record.

        Raises:
            WriteError: the disk is full or the file cannot be written.
        """
        assert self._file is not None, "append outside of appending()"
        line = to_line(record).encode()
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
        except OSError as error:
            raise write_failure(self.path, error) from error
        self._remember(record_key(record), record, self._whole_bytes, len(line))
        self._whole_bytes += len(line)

    def settle(self, keys: Sequence[str]) -> None:
        """Leave one record an image: these first, in that order, then those of other runs."""
        wanted = [key for key in keys if key in self._offsets]
        planned = set(wanted)
        wanted += [key for key in dict.fromkeys(self._order) if key not in planned]
        if self._order == wanted:
            return
        with replacing(self.path) as target, self.path.open("rb") as source:
            for key in wanted:
                offset, length = self._offsets[key]
                source.seek(offset)
                target.write(source.read(length))

    def record(self, key: str) -> dict[str, Any]:
        """One image's whole record, read back from the file."""
        offset, length = self._offsets[key]
        with self.path.open("rb") as file:
            file.seek(offset)
            return parse_line(file.read(length), str(self.path))

    def lines(self) -> Iterable[bytes]:
        """The file's lines, one in memory at a time."""
        with self.path.open("rb") as file:
            yield from file


def record_key(record: dict[str, Any]) -> str:
    """The identity of the image that a record is about.

    Raises:
        InputError: the record is about no image.
    """
    if "path" not in record:
        raise InputError("a record names no picture", fix="another -o, or --overwrite")
    page = record.get("page")
    return str(record["path"]) if page is None else f"{record['path']}#page={page}"


def write_failure(path: Path, error: OSError) -> WriteError:
    """The error for a file that could not be written: it ends the run, which can be continued."""
    full = error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", None)}
    return WriteError(
        f"cannot write {path}",
        why="the disk is full" if full else str(error),
        fix="make room and run the same command again: it continues where it stopped"
        if full
        else "check the folder's permissions, or choose another -o",
    )
