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
    taken = Counter(stem_of(image.key).casefold() for image in images)
    items = []
    for image in images:
        stem = stem_of(image.key)
        if taken[stem.casefold()] > 1:
            stem = stem_of(f"{image.path}.{'' if image.page is None else f'#page={image.page}'}")
        items.append(Item(image, stem))
    return items
