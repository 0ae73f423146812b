"""Panoptic maps: from values that join class and object, and from any other result."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import MaskError
from segcli.masks.labels import (
    Overlap,
    label_map_from_segments,
    segments_from_label_map,
    segments_of,
)
from segcli.masks.rle import decode
from segcli.records import Segment, Segmentation

__all__ = ["CLASS_AGNOSTIC", "PanopticCode", "PanopticMap", "panoptic_of"]

CLASS_AGNOSTIC = 1
"""The category of a segment that has none, where a format cannot say none."""
_MOST = 1 << 24
_BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class PanopticMap:
    """A map of segment ids, and the segments.

    Attributes:
        values: (H, W) non-negative integers: segment ids, 0 = void.
        segments: one for each id in `values`, with a category, not overlapping.
        names: name by category, of the categories that occur.
        things: those of them that are countable things.
    """

    values: npt.NDArray[np.integer[Any]]
    segments: tuple[Segment, ...]
    names: dict[int, str]
    things: frozenset[int]


@dataclass(frozen=True, slots=True)
class PanopticCode:
    """How label values join class and object: category * divisor + instance.

    A value below the divisor is a class without an object: stuff; or, where the class is a thing,
    a crowd (Cityscapes' groups). The class 0 is void unless `zero_is_class`.

    Attributes:
        divisor: 1000 in Cityscapes and COCO as DeepLab writes them.
        things: categories that are countable things.
        void: categories that are void.
        zero_is_class: whether the value 0 is a class like any other.
    """

    divisor: int
    things: frozenset[int]
    void: Collection[int] = ()
    zero_is_class: bool = False

    def category(self, value: int) -> int:
        """The class of a value."""
        return value if value < self.divisor else value // self.divisor

    def read(
        self, values: npt.NDArray[np.integer[Any]]
    ) -> tuple[npt.NDArray[np.integer[Any]], tuple[Segment, ...]]:
        """Segment ids (0 = void), and the segments with their category.

        Args:
            values: (H, W) integers.

        Raises:
            MaskError: a value is negative, or a class that is no thing has numbered objects.
        """
        if values.size and int(values.min()) < 0:
            raise MaskError(f"the value {int(values.min())} is negative", why="labels start from 0")
        offset = int(self.zero_is_class)
        ids = values.astype(np.int64) + offset if self.zero_is_class else values
        found = segments_from_label_map(ids)
        values_found = [s.id - offset for s in found if s.id is not None]
        void = [v + offset for v in values_found if self.category(v) in self.void]
        if void:
            ids = np.where(np.isin(ids, void), 0, ids)
        kept = tuple(
            self._coded(segment, (segment.id or 0) - offset)
            for segment in found
            if segment.id not in void
        )
        self._refuse_numbered_stuff(kept)
        return ids, kept

    def _coded(self, segment: Segment, value: int) -> Segment:
        category = self.category(value)
        crowd = value < self.divisor and category in self.things
        return replace(segment, category=category, iscrowd=crowd)

    def _refuse_numbered_stuff(self, segments: Collection[Segment]) -> None:
        seen: set[int | None] = set()
        for segment in segments:
            if segment.category in self.things:
                continue
            if segment.category in seen:
                raise MaskError(
                    f"the class {segment.category} has several objects in one image and is no "
                    "thing",
                    why=f"a label value is class * {self.divisor} + object, and stuff has no "
                    "objects",
                    fix="--class-names FILE.toml that says thing = true of it",
                )
            seen.add(segment.category)


def panoptic_of(segmentation: Segmentation, overlap: Overlap = "score") -> PanopticMap:
    """Any result as a panoptic map.

    Args:
        segmentation: a panoptic map is taken as it is. Segments are flattened, and those covered
            by others left out; one without a category gets `CLASS_AGNOSTIC`. In label maps 0 is
            void, unless it is a class of a class map with another name than background; and so is
            what must not count. Ids are made anew but for panoptic maps whose ids fit an RGB
            picture. Where things are not stated, the classes of a class map are stuff, and those of
            objects things.
        overlap: see `label_map_from_segments`.
    """
    labels, image = segmentation.labels, segmentation.image
    classes_only = labels is not None and labels.kind in ("semantic", "binary")
    if labels is not None and labels.kind == "panoptic" and int(labels.values.max()) < _MOST:
        values, segments = labels.values, segmentation.segments
    else:
        parts = _parts(segmentation)
        values = label_map_from_segments(parts, image.height, image.width, overlap)
        segments = tuple(
            replace(s, category=_category(parts[(s.id or 1) - 1]), iscrowd=parts[s.id - 1].iscrowd)
            for s in segments_from_label_map(values)
            if s.id is not None
        )
    given = {_category(s): s.category_name for s in segmentation.segments if s.category_name}
    given.update(segmentation.categories)
    names = {
        c: given.get(c) or ("object" if c == CLASS_AGNOSTIC else str(c))
        for c in sorted({_category(s) for s in segments})
    }
    things = frozenset(() if classes_only else names)
    if segmentation.things is not None:
        things = segmentation.things & names.keys()
    return PanopticMap(values, tuple(segments), names, things)


def _parts(segmentation: Segmentation) -> Sequence[Segment]:
    """The segments of a result; of a label map, without void, and with a class 0 that is one."""
    labels = segmentation.labels
    if labels is None or segmentation.segments:
        return segmentation.segments
    offset = int(
        labels.kind == "semantic" and segmentation.categories.get(0, _BACKGROUND) != _BACKGROUND
    )
    values = labels.values.astype(np.int64) + offset
    if segmentation.ignore is not None:
        values[decode(segmentation.ignore)] = 0
    found = segments_of(replace(segmentation, labels=replace(labels, values=values)))
    if labels.kind != "semantic":
        return found
    return tuple(replace(s, category=(s.id or 0) - offset, category_name=None) for s in found)


def _category(segment: Segment) -> int:
    return CLASS_AGNOSTIC if segment.category is None else segment.category
