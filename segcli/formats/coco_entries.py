"""The entries of COCO files as they usually are: parsed and checked many at once.

Whatever is written in another way is parsed to plain JSON, and looked at entry by entry by code
that knows every way of writing it and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from segcli.masks.counts import known_whole

__all__ = [
    "TOO_MANY_PIXELS",
    "Annotation",
    "Dataset",
    "Detection",
    "Said",
    "WholeMasks",
    "are_usual",
    "plain",
]

TOO_MANY_PIXELS = 1 << 32
"""Run lengths have 32 bits."""


class _Mask(msgspec.Struct, gc=False):
    size: tuple[int, int]
    counts: str


class Detection(msgspec.Struct, gc=False):
    """An entry of a results file; what else it says is left out."""

    image_id: int
    category_id: int
    segmentation: _Mask
    score: float


class Said(msgspec.Struct, gc=False, kw_only=True):
    """What an annotation says beside its image and its mask."""

    category_id: int
    score: float | None = None
    area: float | None = None
    iscrowd: int = 0
    id: int | None = None


class Annotation(Said, gc=False, kw_only=True):
    """An annotation of a dataset; what else it says is left out."""

    image_id: int
    segmentation: _Mask


class Dataset(msgspec.Struct):
    """A dataset whose annotations are as usual."""

    images: list[Any]
    annotations: list[Annotation]
    categories: Any = None


def plain(entries: Sequence[Any]) -> Sequence[dict[str, Any]]:
    """Entries as plain JSON, whatever they were parsed to."""
    return msgspec.to_builtins(entries) if are_usual(entries) else entries


class WholeMasks:
    """The masks of a file that are known to cover the size they state.

    Args:
        entries: of the whole file; only those that are as usual are looked at.
    """

    def __init__(self, entries: Sequence[Any]) -> None:
        self._usual = are_usual(entries)
        self._doubtful: set[int] = set()
        if self._usual:
            masks = [entry.segmentation for entry in entries]
            pixels = [height * width for height, width in [mask.size for mask in masks]]
            known = [False] * len(masks)
            if 0 <= min(pixels) <= max(pixels) < TOO_MANY_PIXELS:
                known = known_whole([mask.counts for mask in masks], pixels)
            both = zip(entries, known, strict=True)
            self._doubtful = {entry.image_id for entry, whole in both if not whole}

    def counts(self, entries: Sequence[Any], size: tuple[int, int]) -> list[str] | None:
        """The compressed counts of an image's masks.

        Args:
            entries: those of the image.
            size: its (height, width).

        Returns:
            One of each entry; None where they must be looked at one by one.
        """
        if not self._usual or not entries or entries[0].image_id in self._doubtful:
            return None
        masks = [entry.segmentation for entry in entries]
        if [mask.size for mask in masks].count(size) < len(masks):
            return None
        return [mask.counts for mask in masks]


def are_usual(entries: Sequence[Any]) -> bool:
    """Whether the entries of a file, which are all of one kind, were parsed as usual ones."""
    return bool(entries) and isinstance(entries[0], (Detection, Annotation))
