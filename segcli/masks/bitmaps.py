"""Masks as single integers, a bit per pixel: a whole mask moves or combines in one step.

Pixel (y, x) is bit `(y + 1) * stride + x + 1`. The stride is the width and some clearance, so that
what moves out of a row by less than that reaches no other row.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["dilate_by_disk", "erode_by_square", "holds", "pack", "positions", "stride_of"]

BoolMask = npt.NDArray[np.bool_]


def stride_of(width: int, clearance: int) -> int:
    """Bits from row to row of masks that are to be moved by at most `clearance` columns."""
    return width + 1 + max(clearance, 1)


def pack(mask: BoolMask, stride: int) -> int:
    """A (H, W) bool mask as an integer."""
    height, width = mask.shape
    wide = np.zeros((height + 1, stride), bool)
    wide[1:, 1 : width + 1] = mask
    return int.from_bytes(np.packbits(wide, bitorder="little").tobytes(), "little")


def positions(bits: int) -> npt.NDArray[np.intp]:
    """(N,) numbers of the bits that are set, ascending."""
    words = np.frombuffer(bits.to_bytes(8 * (bits.bit_length() // 64 + 1), "little"), "<u8")
    # Few words hold any bit: outlines are thin.
    held = np.flatnonzero(words)
    spread = np.unpackbits(words[held].view(np.uint8), bitorder="little")
    word, bit = np.divmod(np.flatnonzero(spread.view(bool)), 64)
    found: npt.NDArray[np.intp] = held[word] * 64 + bit
    return found


def holds(bits: int, places: npt.NDArray[np.intp]) -> BoolMask:
    """(N,) whether each of the bits with these numbers is set."""
    data = bits.to_bytes(max(int(places[-1]) + 1, bits.bit_length()) // 8 + 1, "little")
    found: BoolMask = np.frombuffer(data, np.uint8)[places >> 3] >> (places & 7) & 1 == 1
    return found


def erode_by_square(bits: int, radius: int, stride: int) -> int:
    """Pixels with nothing but set pixels up to `radius` rows and columns away."""
    for step in (1, stride):
        done, length = 1, 2 * radius + 1
        while done < length:
            # Doubling: the number of passes grows with the logarithm of the length.
            more = min(done, length - done)
            bits &= bits >> more * step
            done += more
    return bits << radius * (stride + 1)


def dilate_by_disk(bits: int, radius: int, stride: int) -> int:
    """Places with a set pixel at a distance of at most `radius`, itself at most the clearance."""
    near, row, half = 0, bits, 0
    for away in range(radius, -1, -1):
        wider = math.isqrt(radius * radius - away * away)
        for _ in range(wider - half):
            row |= row << 1 | row >> 1
        half = wider
        near |= row << away * stride | row >> away * stride
    return near
