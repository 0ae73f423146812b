"""What a run will do: which pictures, and under which names their results are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from segcli.formats.base import unique_stems
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


def plan_items(images: Sequence[InputImage], kept: Iterable[str] = ()) -> list[Item]:
    """Name the results of every picture, so that no two pictures share a name.

    A picture's results carry its path without the suffix; where that is shared (``x.jpg`` and
    ``x.png``), its whole name.

    Args:
        images: the pictures.
        kept: keys of pictures whose results the folder holds from runs over other inputs.
    """
    keys = [image.key for image in images]
    others = sorted(set(kept) - set(keys))
    stems = unique_stems([*keys, *others])[: len(keys)]
    return [Item(image, stem) for image, stem in zip(images, stems, strict=True)]
