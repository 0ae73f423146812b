"""The entries of COCO files as they usually are: parsed and checked many at once.

Whatever is written in another way is parsed to plain JSON, and looked at entry by entry by code
that knows every way of writing it and says what is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from segcli.masks.counts import known_whole

__all__ = ["Annotation", "Dataset", "Detection", "Said", "WholeMasks", "plain"]

# Run lengths have 32 bits.
_TOO_MANY = 1 << 32


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
    found: list[dict[str, Any]] = msgspec.to_builtins(entries)
    return found


class WholeMasks:
    """The masks of a file that are known to cover the size they state.

    Args:
        by_image: the entries of each image, of which only those that are as usual are looked at.
    """

    def __init__(self, by_image: Mapping[int, Sequence[Any]]) -> None:
        usual = {n: entries for n, entries in by_image.items() if _are_usual(entries)}
        masks = [entry.segmentation for entries in usual.values() for entry in entries]
        counts = [mask.counts for mask in masks]
        known = iter(known_whole(counts, [mask.size[0] * mask.size[1] for mask in masks]))
        self._sizes = {
            number: entries[0].segmentation.size
            for number, entries in usual.items()
            if all(list(islice(known, len(entries))))
        }

    def counts(
        self, number: int, entries: Sequence[Any], size: tuple[int, int]
    ) -> list[str] | None:
        """The compressed counts of an image's masks.

        Args:
            number: the image.
            entries: its entries.
            size: its (height, width).

        Returns:
            One of each entry; None where they must be looked at one by one.
        """
        if self._sizes.get(number) != size:
            return None
        return [entry.segmentation.counts for entry in entries]


def _are_usual(entries: Sequence[Any]) -> bool:
    """Whether all are, with masks of one size."""
    if not isinstance(entries[0], (Detection, Annotation)):
        return False
    sizes = [entry.segmentation.size for entry in entries]
    height, width = sizes[0]
    return abs(height * width) < _TOO_MANY and sizes.count(sizes[0]) == len(sizes)
