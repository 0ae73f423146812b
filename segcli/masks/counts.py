"""The run lengths in COCO's compressed strings, of many masks at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Lengths", "known_whole", "lots", "run_lengths"]

Lengths = npt.NDArray[np.int64]
# What fits into the processor's cache is several times quicker.
_CHARACTERS_AT_ONCE = 1 << 17
_MORE, _HIGHEST, _LONGEST = 32, 63, 8


def run_lengths(texts: Sequence[str]) -> tuple[Lengths, Lengths] | None:
    """The run lengths of several masks, each beginning with one outside of the mask.

    Args:
        texts: COCO's compressed counts; from the fourth on, a number is the difference from the
            last but one.

    Returns:
        (R,) lengths, mask by mask, and (N,) how many each mask has; None where one is damaged.
    """
    if not all(texts):
        return None
    # Below "0" the difference wraps around to more than 63.
    digits = np.frombuffer("".join(texts).encode("latin-1", "replace"), np.uint8) - np.uint8(48)
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    # A mask ends with a number: what is left of the last one would be read as part of the next.
    if int(digits.max()) > _HIGHEST or int(digits[ends - 1].max()) >= _MORE:
        return None
    found = _numbers(digits)
    if found is None:
        return None
    values, more = found
    behind = ends - np.searchsorted(more, ends)
    _add_differences(values, behind)
    return values, np.diff(behind, prepend=0)


def _numbers(digits: npt.NDArray[np.uint8]) -> tuple[Lengths, Lengths] | None:
    """The numbers of 5 bits a character, and the places of those with more to come."""
    last = digits < _MORE
    # The last character has the sign in its fifth bit; most numbers have no other.
    signed = (((digits & 0x1F) ^ 0x10) - np.uint8(0x10)).view(np.int8)
    values = signed[last].astype(np.int64)
    more = np.flatnonzero(~last)
    if len(more) == 0:
        return values, more
    order = np.arange(len(more))
    number = more - order
    begins = np.flatnonzero(np.diff(number, prepend=-1))
    before = np.diff(begins, append=len(more))
    if int(before.max()) >= _LONGEST:
        return None
    long = values[number[begins]] << (5 * before)
    place = order - np.repeat(begins, before)
    long += np.add.reduceat((digits[more] & 0x1F).astype(np.int64) << (5 * place), begins)
    values[number[begins]] = long
    return values, more


def _add_differences(values: Lengths, behind: Lengths) -> None:
    """Make lengths, in place, of what is given as differences, up to each of the places behind."""
    first = np.concatenate((behind[:1] * 0, behind[:-1]))
    # The first number is a length of its own, and no part of the sum of those two apart.
    heads = values[first]
    values[first] = 0
    for parity in (0, 1):
        # Adding up what lies apart takes four times as long.
        part = np.ascontiguousarray(values[parity::2])
        sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(part)))
        before, after = ((place + 1 - parity) // 2 for place in (first, behind))
        values[parity::2] = sums[1:] - np.repeat(sums[before], after - before)
    values[first] = heads


def known_whole(texts: Sequence[str], pixels: Sequence[int]) -> list[bool]:
    """Whether each mask has run lengths that cover its pixels exactly.

    One that is damaged may make False of those beside it: they must be looked at one by one.

    Args:
        texts: COCO's compressed counts.
        pixels: of each mask, in 64 bits.
    """
    known: list[bool] = []
    for first, behind in lots(texts):
        found = run_lengths(texts[first:behind])
        if found is None:
            known += [False] * (behind - first)
            continue
        lengths, counts = found
        begins = np.cumsum(counts) - counts
        covered = np.add.reduceat(lengths, begins)
        whole = covered == np.array(pixels[first:behind], np.int64)
        if int(lengths.min()) < 0:
            whole &= np.minimum.reduceat(lengths, begins) >= 0
        known += whole.tolist()
    return known


def lots(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ranges of texts that together are as long as is worked on at once, or a little longer."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)))
    first, begin = 0, 0
    while first < len(texts):
        behind = min(int(np.searchsorted(ends, begin + _CHARACTERS_AT_ONCE)) + 1, len(texts))
        yield first, behind
        first, begin = behind, int(ends[behind - 1])
