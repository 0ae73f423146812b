"""How often each value of one PNG meets each value of another, without their pixels.

Many scores of two label maps rest on these counts alone. hotcoco decodes both files and counts in
one go, in half the time that decoding alone takes Pillow. It is given PNGs of 8-bit greys or of
palette indices, as most tools write them; where a file is anything else, or something is wrong with
it, the pixels must be read, and whoever reads them says what is wrong. hotcoco checks the checksums
of a file's chunks, and not that of the data within them: only an encoder that wrote rubbish would
differ there.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from hotcoco.semantic import SemanticEval

__all__ = ["PairCounter", "ValuePairs"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = 1 << 11
_HEADER = struct.Struct(">IIBBBBB")
_CHUNK = struct.Struct(">I4s")
# By bits a pixel and kind of colour; readers differ in what greys of fewer bits are.
_MODES = {(8, 0): "8-bit grey", **{(bits, 3): "palette" for bits in (1, 2, 4, 8)}}
# They change no value and turn no picture; what marks an animation or holds EXIF is not here.
_HARMLESS = frozenset(
    (b"PLTE", b"tRNS", b"gAMA", b"pHYs", b"sRGB", b"cHRM", b"sBIT", b"bKGD", b"tIME", b"tEXt")
)
_MOST_PIXELS = 1 << 26
_FEW, _ALL = 32, 256

Values = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ValuePairs:
    """The pairs of values that two maps hold in one place, each pair once.

    Attributes:
        first: (N,) value of the first map.
        second: (N,) value of the second map.
        pixels: (N,) pixels that hold both, at least 1.
        height: rows of both maps.
        width: columns of both maps.
        modes: of either file, as `Raster` has it.
        one_file: whether both are one file on disk.
    """

    first: Values
    second: Values
    pixels: Counts
    height: int
    width: int
    modes: tuple[str, str]
    one_file: bool = False

    def histogram(self, side: Literal[0, 1]) -> tuple[npt.NDArray[np.intp], Counts]:
        """The values of one map, ascending, and the pixels of each."""
        pixels = np.bincount((self.first, self.second)[side], self.pixels).astype(np.int64)
        present = np.flatnonzero(pixels)
        return present, pixels[present]


@dataclass(frozen=True, slots=True)
class _Head:
    """What the head of a plain PNG says."""

    height: int
    width: int
    mode: str


class PairCounter:
    """Counts pairs of files; threads may share one."""

    def __init__(self) -> None:
        # A table of all values that 8 bits can hold takes longer to fill than a small one.
        self._values = _FEW

    def count(self, first: str, second: str) -> ValuePairs | None:
        """The pairs of values of two plain PNGs of one size, or None where they are not such."""
        one, other = _head(first), _head(second)
        if one is None or other is None or (one.height, one.width) != (other.height, other.width):
            return None
        table = _table(first, second, self._values)
        if table is None and self._values < _ALL:
            table = _table(first, second, _ALL)
            if table is not None:
                self._values = _ALL
        if table is None or int(table.sum()) != one.height * one.width:
            return None
        held = np.nonzero(table)
        pixels = table[held].astype(np.int64)
        values = held[0].astype(np.uint8), held[1].astype(np.uint8)
        # Where the values differ it cannot be, and asking takes as long as opening both.
        one_file = np.array_equal(*values) and os.path.samefile(first, second)  # noqa: PTH121
        modes = one.mode, other.mode
        return ValuePairs(*values, pixels, one.height, one.width, modes, one_file)


def _table(first: str, second: str, values: int) -> npt.NDArray[np.uint64] | None:
    counter = SemanticEval(values, ignore_index=None)
    try:
        counter.update_png(first, second)
    except Exception:  # noqa: BLE001 (whatever it is: reading the pixels will say it)
        return None
    table: npt.NDArray[np.uint64] = counter.confusion()
    return table


def _head(path: str) -> _Head | None:
    """What a PNG of 8-bit greys or palette indices says before its pixels; None for another."""
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError:
        return None
    try:
        head = os.read(file, _HEAD)
    except OSError:
        return None
    finally:
        os.close(file)
    if not head.startswith(_SIGNATURE + b"\0\0\0\x0dIHDR") or not _is_harmless(head):
        return None
    width, height, depth, colour, *rest = _HEADER.unpack_from(head, 16)
    # What is left is compression, filters and interlace; no other than 0 are simple.
    mode = _MODES.get((depth, colour))
    if mode is None or any(rest) or not 0 < width * height <= _MOST_PIXELS:
        return None
    return _Head(height, width, mode)


def _is_harmless(head: bytes) -> bool:
    """Whether all chunks before the pixels are whole, and bear on neither values nor order."""
    at = len(_SIGNATURE)
    while at + _CHUNK.size <= len(head):
        length, kind = _CHUNK.unpack_from(head, at)
        if kind == b"IDAT":
            return True
        behind = at + 8 + length
        check = head[behind : behind + 4]
        known = kind in _HARMLESS or at == len(_SIGNATURE)
        if not known or check != zlib.crc32(head[at + 4 : behind]).to_bytes(4, "big"):
            return False
        at = behind + 4
    return False
