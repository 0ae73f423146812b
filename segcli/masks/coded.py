"""Segments as a file lists them: each becomes a record of its own only when somebody asks for it.

Scores such as COCO's look at masks as they are coded, at classes and at scores. Making a record of
each object, with the area and the box of its mask, takes longer than matching them all.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import overload

from segcli.masks.rle import measure
from segcli.records import RLE, Segment

__all__ = ["CodedSegments", "LazySegments", "masks_of"]


class LazySegments(Sequence[Segment]):
    """Segments of one image that become records when asked for; equal to a tuple of the same."""

    @property
    @abstractmethod
    def records(self) -> tuple[Segment, ...]:
        """All segments, made once."""

    @overload
    def __getitem__(self, index: int) -> Segment: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Segment, ...]: ...
    def __getitem__(self, index: int | slice) -> Segment | tuple[Segment, ...]:
        return self.records[index]

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.records)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, LazySegments)):
            return NotImplemented
        return self.records == tuple(other)

    def __hash__(self) -> int:
        return hash(self.records)

    def __repr__(self) -> str:
        return repr(self.records)

    def __reduce__(self) -> tuple[type[tuple[Segment, ...]], tuple[tuple[Segment, ...]]]:
        return tuple, (self.records,)


@dataclass(eq=False, repr=False)
class CodedSegments(LazySegments):
    """Segments of one image, column by column.

    Attributes:
        height: rows of the image, and so of each mask.
        width: columns of the same.
        counts: COCO's compressed string of each mask, known to be whole.
        categories: category ids, or None of a proposal.
        scores: confidences, None where none is stated.
        areas: stated areas, None where the pixels of the mask are to be counted.
        crowds: True of regions that stand for many objects.
        ids: identities in the source.
        names: name by category id.
    """

    height: int
    width: int
    counts: Sequence[str]
    categories: Sequence[int | None]
    scores: Sequence[float | None]
    areas: Sequence[float | None] = ()
    crowds: Sequence[bool] = ()
    ids: Sequence[int | None] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    _records: tuple[Segment, ...] | None = None

    @property
    def masks(self) -> list[RLE]:
        """The masks alone."""
        return [RLE(self.height, self.width, counts) for counts in self.counts]

    @property
    def known_crowds(self) -> Sequence[bool]:
        """The same as `crowds`, where nothing is said of them too."""
        return self.crowds or [False] * len(self.counts)

    @property
    def known_areas(self) -> list[float]:
        """The areas as stated, else pixels of the masks."""
        if self.areas and None not in self.areas:
            return [float(area) for area in self.areas if area is not None]
        return [float(segment.area) for segment in self.records]

    @property
    def records(self) -> tuple[Segment, ...]:
        """All segments, made once."""
        if self._records is None:
            masks = self.masks
            sides = (
                *(masks, measure(masks), self.categories, self.scores),
                *(self.areas or repeat(None), self.known_crowds),
                self.ids or repeat(None),
            )
            self._records = tuple(
                Segment(
                    mask=mask,
                    area=pixels if area is None else area,
                    box_xywh=box,
                    score=score,
                    category=category,
                    category_name=None if category is None else self.names.get(category),
                    id=number,
                    iscrowd=crowd,
                )
                # What is repeated has no end.
                for mask, (pixels, box), category, score, area, crowd, number in zip(
                    *sides, strict=False
                )
            )
        return self._records

    def __len__(self) -> int:
        return len(self.counts)


def masks_of(segments: Sequence[Segment]) -> list[RLE]:
    """The masks of segments, which may not be records yet."""
    if isinstance(segments, CodedSegments):
        return segments.masks
    return [segment.mask for segment in segments]
