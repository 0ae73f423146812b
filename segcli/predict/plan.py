"""What a run will do: which pictures, and under which names their results are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from segcli.formats.base import stem_of
from segcli.inputs import InputImage

__all__ = ["Item", "plan_items"]


@dataclass(frozen=True, slots=True)
class Item:
    """One picture and the name of its results.

    Attributes:
        image: the picture.
        stem: relative path, without suffix, of every file made from it.
    """

    image: InputImage
    stem: str


def plan_items(images: Sequence[InputImage]) -> list[Item]:
    """Name the results of every picture, so that no two pictures share a name.

    A picture's results carry its path without the suffix; where that is shared (``x.jpg`` and
    ``x.png``, also ``X.jpg`` on file systems that ignore case), its whole name.
    """
    stems = [stem_of(image.key) for image in images]
    whole = [stem_of(image.key.replace(image.path, f"{image.path}.", 1)) for image in images]
    # A whole name may in turn be the stem of another picture (x.jpg and x.jpg.png).
    while clashing := _clashing(stems, whole):
        for index in clashing:
            stems[index] = whole[index]
    return [Item(image, stem) for image, stem in zip(images, stems, strict=True)]


def _clashing(stems: Sequence[str], whole: Sequence[str]) -> list[int]:
    """Indices of shared stems that are not whole names yet."""
    taken = Counter(stem.casefold() for stem in stems)
    return [i for i, s in enumerate(stems) if taken[s.casefold()] > 1 and s != whole[i]]
