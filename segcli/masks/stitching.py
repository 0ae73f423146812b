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

__all__ = ["Rules", "Stitcher"]


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
        moved = [_moved(s, t.area) for s, t in zip(segments, tiles, strict=True)]
        largest = max(moved, key=lambda s: s.area)
        return replace(
            largest,
            mask=measured.mask,
            area=measured.area,
            box_xywh=measured.box_xywh,
            score=_mean([(s.score, s.area) for s in moved]),
            predicted_iou=_mean([(s.predicted_iou, s.area) for s in moved]),
            stability_score=_mean([(s.stability_score, s.area) for s in moved]),
            crop_box_xywh=_around([s.crop_box_xywh for s in moved]),
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


def _box(segment: Segment) -> Rectangle:
    x, y, width, height = (int(v) for v in segment.box_xywh)
    return Rectangle(x, y, x + width, y + height)


def _moved(segment: Segment, area: Rectangle) -> Segment:
    """Its point and crop in the picture; its mask is left where it is."""
    point, crop = segment.point_xy, segment.crop_box_xywh
    return replace(
        segment,
        point_xy=None if point is None else (point[0] + area.left, point[1] + area.top),
        crop_box_xywh=None
        if crop is None
        else (crop[0] + area.left, crop[1] + area.top, crop[2], crop[3]),
    )


def _mean(values: Sequence[tuple[float | None, float]]) -> float | None:
    """The mean of numbers with their weights; None where one is missing."""
    known = [(value, weight) for value, weight in values if value is not None]
    if len(known) < len(values):
        return None
    total = sum(weight for _, weight in known)
    return round(sum(value * weight for value, weight in known) / total, 6)


def _around(
    boxes: Sequence[tuple[float, float, float, float] | None],
) -> tuple[float, float, float, float] | None:
    """The xywh box around boxes; None where one is missing."""
    known = np.array([box for box in boxes if box is not None], dtype=np.float64).reshape(-1, 4)
    if len(known) < len(boxes):
        return None
    left, top = (float(v) for v in known[:, :2].min(0))
    right, bottom = (float(v) for v in (known[:, :2] + known[:, 2:]).max(0))
    return left, top, right - left, bottom - top
