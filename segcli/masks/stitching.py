"""From the segments of overlapping tiles to those of the picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from segcli.masks.band import AGREE, agreement, seen_in_band
from segcli.masks.rle import encode_runs, segment_from_rle
from segcli.masks.run_overlap import runs_with_sums
from segcli.masks.tiles import Rectangle, Tile, runs_in_picture, union_of_runs
from segcli.records import Segment

__all__ = ["Rules", "Stitcher", "in_picture"]

_Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Rules:
    """What segments may be.

    Attributes:
        exclusive: no pixel is in two of them, so each takes the tile in which it lies deepest.
        whole: categories of which a picture has one segment only; None: all of them.
    """

    exclusive: bool = False
    whole: frozenset[int] | None = frozenset()

    def is_whole(self, segment: Segment) -> bool:
        """It is joined with all others of its category."""
        return self.whole is None or segment.category in self.whole


@dataclass(slots=True)
class _Group:
    """Segments that are one: by tile, their numbers."""

    members: dict[int, list[int]]


@dataclass(slots=True)
class Stitcher:
    """Takes the segments of one tile after the other and gives those of the picture.

    Nothing is ever painted at the size of the picture: masks stay runs, and what is decoded is of
    one tile at a time.

    Attributes:
        height: rows of the picture.
        width: columns of the picture.
        rules: what the segments may be.
    """

    height: int
    width: int
    rules: Rules
    _tiles: list[Tile] = field(default_factory=list)
    _segments: list[Segment] = field(default_factory=list)
    _tile_of: list[int] = field(default_factory=list)
    _links: list[tuple[float, int, int]] = field(default_factory=list)
    _groups: list[_Group] = field(default_factory=list)

    def add(self, tile: Tile, segments: Iterable[Segment]) -> None:
        """Take the segments of a tile, in the tile's own pixels, and match them with earlier ones.

        Args:
            tile: where it lies.
            segments: what was found there; `box_xywh` is tight.
        """
        number = len(self._tiles)
        self._tiles.append(tile)
        fresh = list(enumerate((s for s in segments if s.area > 0), len(self._segments)))
        for index, segment in fresh:
            self._segments.append(segment)
            self._tile_of.append(number)
            self._groups.append(_Group({number: [index]}))
        fresh = [(i, s) for i, s in fresh if not self.rules.is_whole(s)]
        for earlier, other in enumerate(self._tiles[:-1]):
            if fresh and tile.area.shared_with(other.area) is not None:
                self._match(fresh, tile.area, earlier, other.area)

    def _match(
        self,
        fresh: Sequence[tuple[int, Segment]],
        area: Rectangle,
        earlier: int,
        other: Rectangle,
    ) -> None:
        first = np.searchsorted(self._tile_of, earlier, side="left")
        behind = np.searchsorted(self._tile_of, earlier, side="right")
        known = [
            (i, self._segments[i])
            for i in range(int(first), int(behind))
            if not self.rules.is_whole(self._segments[i])
        ]
        ours, theirs = seen_in_band(fresh, area, other), seen_in_band(known, other, area)
        for one in ours:
            for two in theirs:
                share = agreement(one, two)
                if share > 0:
                    self._links.append((share, one.number, two.number))

    def finish(self) -> tuple[Segment, ...]:
        """The segments of the picture: best first where they have scores, else by category."""
        for _, one, two in sorted(self._links, key=lambda link: (-link[0], link[1], link[2])):
            self._join(one, two)
        self._join_whole()
        done: set[int] = set()
        found = []
        for group in self._groups:
            if id(group) in done:
                continue
            done.add(id(group))
            segment = self._stitched(sorted(i for some in group.members.values() for i in some))
            if segment is not None:
                found.append(segment)
        found.sort(key=lambda s: (-s.score if s.score is not None else 0.0, s.category or 0))
        return tuple(
            segment if segment.id is None else replace(segment, id=number)
            for number, segment in enumerate(found, 1)
        )

    def _join_whole(self) -> None:
        first_of: dict[int | None, int] = {}
        for index, segment in enumerate(self._segments):
            if self.rules.is_whole(segment):
                first = first_of.setdefault(segment.category, index)
                self._join(first, index)

    def _join(self, one: int, two: int) -> None:
        """Make two groups one, unless a tile says that they are two objects in the same place."""
        left, right = self._groups[one], self._groups[two]
        if left is right or self._contradicted(left, right):
            return
        if len(left.members) < len(right.members):
            left, right = right, left
        for tile, members in right.members.items():
            left.members.setdefault(tile, []).extend(members)
            for index in members:
                self._groups[index] = left

    def _contradicted(self, left: _Group, right: _Group) -> bool:
        return not self.rules.exclusive and any(
            self._same_place(self._segments[i], self._segments[j])
            for tile in left.members.keys() & right.members.keys()
            for i in left.members[tile]
            for j in right.members[tile]
        )

    @staticmethod
    def _same_place(one: Segment, two: Segment) -> bool:
        if _box(one).shared_with(_box(two)) is None:
            return False
        shared = runs_with_sums(one.mask).shared_with(runs_with_sums(two.mask))
        return shared >= AGREE * min(one.area, two.area)

    def _stitched(self, members: Sequence[int]) -> Segment | None:
        """One segment of the picture, or None if other tiles know better of all its pixels."""
        tiles = [self._tiles[self._tile_of[i]] for i in members]
        segments = [self._segments[i] for i in members]
        if len(members) == 1 and self._is_rest(segments[0], tiles[0]):
            return None
        picture = Rectangle(0, 0, self.width, self.height)
        parts = [
            runs_in_picture(
                segment.mask, tile.area, self.height, tile.core if self.rules.exclusive else picture
            )
            for segment, tile in zip(segments, tiles, strict=True)
        ]
        starts, stops = union_of_runs(parts)
        if not len(starts):
            return None
        measured = segment_from_rle(encode_runs(starts, stops, self.height, self.width))
        moved = [_provenance(s, t.area) for s, t in zip(segments, tiles, strict=True)]
        largest = max(moved, key=lambda s: s.area)
        return replace(
            largest,
            mask=measured.mask,
            area=measured.area,
            box_xywh=measured.box_xywh,
            score=_mean([(s.score, s.area) for s in moved]),
            predicted_iou=_mean([(s.predicted_iou, s.area) for s in moved]),
            stability_score=_mean([(s.stability_score, s.area) for s in moved]),
            crop_box_xywh=_xywh(_around([_xyxy(s.crop_box_xywh) for s in moved])),
            prompt_box_xyxy=_around([s.prompt_box_xyxy for s in moved]),
        )

    def _is_rest(self, segment: Segment, tile: Tile) -> bool:
        """It is cut off, and mostly outside of its tile's core: another tile sees it in full."""
        x, y, width, height = segment.box_xywh
        area = tile.area
        cut = (
            (x <= 0 < area.left)
            or (y <= 0 < area.top)
            or (area.left + x + width >= area.right < self.width)
            or (area.top + y + height >= area.bottom < self.height)
        )
        if not cut or self.rules.exclusive:
            return False
        starts, stops = runs_in_picture(segment.mask, area, self.height, tile.core)
        return int((stops - starts).sum()) < AGREE * segment.area


def in_picture(segment: Segment, area: Rectangle, height: int, width: int) -> Segment:
    """A segment of a part of a picture as one of the picture.

    Args:
        segment: in pixels of the part.
        area: where the part lies in the picture.
        height: rows of the picture.
        width: columns of the picture.
    """
    picture = Rectangle(0, 0, width, height)
    starts, stops = union_of_runs([runs_in_picture(segment.mask, area, height, picture)])
    measured = segment_from_rle(encode_runs(starts, stops, height, width))
    return replace(_provenance(segment, area), mask=measured.mask, box_xywh=measured.box_xywh)


def _box(segment: Segment) -> Rectangle:
    x, y, width, height = (int(v) for v in segment.box_xywh)
    return Rectangle(x, y, x + width, y + height)


def _provenance(segment: Segment, area: Rectangle) -> Segment:
    """What it was made from, in the picture; its mask is left where it is."""
    left, top = area.left, area.top
    point, crop, box = segment.point_xy, segment.crop_box_xywh, segment.prompt_box_xyxy
    return replace(
        segment,
        point_xy=point and (point[0] + left, point[1] + top),
        crop_box_xywh=crop and (crop[0] + left, crop[1] + top, crop[2], crop[3]),
        prompt_points=tuple((x + left, y + top, label) for x, y, label in segment.prompt_points),
        prompt_box_xyxy=box and (box[0] + left, box[1] + top, box[2] + left, box[3] + top),
    )


def _mean(values: Sequence[tuple[float | None, float]]) -> float | None:
    """The mean of numbers with their weights; None where one is missing."""
    known = [(value, weight) for value, weight in values if value is not None]
    if len(known) < len(values):
        return None
    total = sum(weight for _, weight in known)
    return round(sum(value * weight for value, weight in known) / total, 6)


def _around(boxes: Sequence[_Corners | None]) -> _Corners | None:
    """The xyxy box around boxes; None where one is missing."""
    known = [box for box in boxes if box is not None]
    if len(known) < len(boxes):
        return None
    lefts, tops, rights, bottoms = zip(*known, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _xyxy(box: _Corners | None) -> _Corners | None:
    return box and (box[0], box[1], box[0] + box[2], box[1] + box[3])


def _xywh(box: _Corners | None) -> _Corners | None:
    return box and (box[0], box[1], box[2] - box[0], box[3] - box[1])
