"""What was decoded to be looked at, kept until it is read: decoding is most of the work."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Kept", "Stamp", "stamp_of"]

T = TypeVar("T")
Stamp = tuple[int, int]


class Kept(Generic[T]):
    """Contents by file, each given away once; the oldest go when they are too many.

    Args:
        most_bytes: what all contents together may take.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._bytes = 0
        self._contents: dict[str | Path, tuple[Stamp | None, int, T]] = {}
        self._lock = Lock()

    def put(self, path: str | Path, content: T, size: int) -> None:
        """Keep what a file holds.

        Args:
            path: the file.
            content: what was read from it; it will belong to who takes it.
            size: its bytes in memory.
        """
        stamp = stamp_of(path)
        with self._lock:
            self._drop(path)
            self._contents[path] = stamp, size, content
            self._bytes += size
            while self._bytes > self._most:
                self._drop(next(iter(self._contents)))

    def take(self, path: str | Path) -> T | None:
        """What a file holds, or None when it was not kept or has changed since."""
        with self._lock:
            stamp, content = self._drop(path)
        return content if stamp is not None and stamp == stamp_of(path) else None

    def _drop(self, path: str | Path) -> tuple[Stamp | None, T | None]:
        if path not in self._contents:
            return None, None
        stamp, size, content = self._contents.pop(path)
        self._bytes -= size
        return stamp, content


def stamp_of(path: str | Path) -> Stamp | None:
    """What changes when a file is written again; None when it is gone."""
    try:
        state = os.stat(path)  # noqa: PTH116 (a Path takes longer to make)
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size
