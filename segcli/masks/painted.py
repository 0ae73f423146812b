"""The segments of a map of their ids, whose masks are coded only when somebody asks for them.

Panoptic quality counts pixels of the map; coding each mask takes longer than all else it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segcli.masks.coded import LazySegments
from segcli.masks.labels import segments_from_label_map
from segcli.records import Segment

__all__ = ["Columns", "PaintedSegments", "columns_of"]


class Columns(NamedTuple):
    """What segments are, beside their masks.

    Attributes:
        ids: identities in the source.
        categories: category ids.
        crowds: True of regions that stand for many objects.
    """

    ids: Sequence[int | None]
    categories: Sequence[int | None]
    crowds: Sequence[bool]


@dataclass(eq=False, repr=False)
class PaintedSegments(LazySegments):
    """Segments of one image, each of which is a value of a map.

    Attributes:
        values: (H, W) segment ids, 0 = void.
        columns: what the segments are; each id is in the map, and no other but 0.
        areas: stated areas, None where the pixels of the map are to be counted.
        names: name by category id.
    """

    values: npt.NDArray[np.integer[Any]]
    columns: Columns
    areas: Sequence[float | None]
    names: Mapping[int, str] = field(default_factory=dict)
    _records: tuple[Segment, ...] | None = None

    @property
    def records(self) -> tuple[Segment, ...]:
        """All segments, made once."""
        if self._records is None:
            found = {segment.id: segment for segment in segments_from_label_map(self.values)}
            self._records = tuple(
                replace(
                    found[number],
                    category=category,
                    category_name=None if category is None else self.names.get(category),
                    iscrowd=crowd,
                    area=found[number].area if area is None else area,
                )
                for number, category, crowd, area in zip(*self.columns, self.areas, strict=True)
            )
        return self._records

    def __len__(self) -> int:
        return len(self.areas)


def columns_of(segments: Sequence[Segment]) -> Columns:
    """What segments are, which may not be records yet."""
    if isinstance(segments, PaintedSegments):
        return segments.columns
    return Columns(
        [segment.id for segment in segments],
        [segment.category for segment in segments],
        [segment.iscrowd for segment in segments],
    )
