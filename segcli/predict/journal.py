"""``segments.ndjson``: the results, and the commit point from which a killed run continues.

A record is appended when all other files of its image are in place. A last line cut short by a
kill is dropped on the next run. When a run ends, records stand in the order of the plan, so an
interrupted and an unbroken run leave the same bytes.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from segcli.errors import WriteError
from segcli.formats.base import replacing
from segcli.formats.ndjson import FILE_NAME, parse_line, to_line

__all__ = ["Journal"]


class Journal:
    """The records of one output folder."""

    def __init__(self, folder: Path) -> None:
        """Read what earlier runs left, without changing it.

        Raises:
            InputError: a line that is not the last is no record.
        """
        self.path = folder / FILE_NAME
        self._whole_bytes = 0
        self._order: list[str] = []
        self._offsets: dict[str, tuple[int, int]] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self._file: IO[bytes] | None = None
        if self.path.is_file():
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

    @contextmanager
    def appending(self) -> Iterator[None]:
        """Open for appending; a torn last line is cut off first."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
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
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise write_failure(self.path, error) from error
        self._remember(record_key(record), record, self._whole_bytes, len(line))
        self._whole_bytes += len(line)

    def settle(self, keys: Sequence[str]) -> None:
        """Leave one record for each key, in that order; a file that is so already is untouched."""
        wanted = [key for key in keys if key in self._offsets]
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
    """The identity of the image that a record is about."""
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
