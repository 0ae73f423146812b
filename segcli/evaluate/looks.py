"""What one image's masks hold, in numbers: a look, and the sum of many looks at one side."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcli.errors import SegcliError
from segcli.formats.files import ARRAYS, PICTURES
from segcli.formats.runs import Runs, pieces, runs_of
from segcli.formats.survey import Survey, survey
from segcli.masks.labels import rank_score
from segcli.masks.rle import runs
from segcli.records import RLE, LabelMap, Segment, Segmentation

__all__ = ["MANY", "Look", "SideLooks", "Span", "look_at"]

MANY = 100
"""Predictions of an image that COCO AP counts at most."""
_MODES = {
    "1": "1-bit",
    "L": "8-bit grey",
    "LA": "8-bit grey with alpha",
    "P": "palette",
    "PA": "palette with alpha",
    "RGB": "RGB colours",
    "RGBA": "RGB colours with alpha",
    "I": "32-bit",
    "F": "float",
}
_LISTED_VALUES = 256
_PIECED = 255


@dataclass(frozen=True, slots=True)
class Look:
    """What one image's masks hold.

    Attributes:
        key: path of the image in its side.
        size: (height, width).
        storage: how the file stores it, or "" where it is not one file of an image.
        values: pixels by label value; empty where there is no label map.
        void: pixels that do not count.
        areas: (N,) pixels of each object.
        scores: (S,) the scores stated, NaN among them where they are that.
        categories: objects by category id.
        names: category names, where known.
        zero_ids: objects with the annotation id 0.
        stored: what the file holds before it is interpreted, where it was looked at.
        pieces: connected pieces of label values, and how many values those are, where counted.
    """

    key: str
    size: tuple[int, int]
    storage: str
    values: dict[int, int]
    void: int
    areas: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    categories: Counter[int]
    names: dict[int, str]
    zero_ids: int
    stored: Survey | None = None
    pieces: tuple[int, int] = (0, 0)


def look_at(key: str, side: Segmentation, *, stored: bool = False, whole: bool = False) -> Look:
    """Count what one image's masks hold.

    Args:
        key: path of the image in its side.
        side: its masks.
        stored: look at the file itself as well.
        whole: count the connected pieces of label values, which takes longer than all else.
    """
    path = Path(side.image.source) if side.labels is not None and side.image.source else None
    values = {} if side.labels is None else _histogram(side.labels)
    objects = [s for s in side.segments if not s.iscrowd]
    ranks = [rank_score(s, math.inf) for s in objects if _is_scored(s)]
    return Look(
        key=key,
        size=(side.image.height, side.image.width),
        storage="" if path is None else _storage(path),
        values=values,
        void=0 if side.ignore is None else _area(side.ignore),
        areas=_areas(side.labels, values, objects),
        scores=np.array(ranks, np.float64),
        categories=Counter(s.category for s in side.segments if s.category is not None),
        names=_names(side),
        zero_ids=sum(s.id == 0 for s in side.segments),
        stored=_survey(path) if stored and path is not None else None,
        pieces=_pieces(side.labels.values) if whole and side.labels is not None else (0, 0),
    )


def _is_scored(segment: Segment) -> bool:
    return segment.score is not None or segment.predicted_iou is not None


def _names(side: Segmentation) -> dict[int, str]:
    own = {s.category: s.category_name for s in side.segments}
    stated = {k: v for k, v in own.items() if k is not None and v is not None}
    return {**side.categories, **stated}


def _histogram(labels: LabelMap) -> dict[int, int]:
    values = labels.values
    if labels.kind == "binary":
        inside = int(np.count_nonzero(values))
        return {v: n for v, n in ((0, values.size - inside), (1, inside)) if n}
    present, counts = runs_of(values).histogram()
    return dict(zip(present.tolist(), counts.tolist(), strict=True))


def _areas(
    labels: LabelMap | None, values: dict[int, int], objects: list[Segment]
) -> npt.NDArray[np.float64]:
    """Pixels of each object: of a class or binary map's foreground, as one object."""
    if labels is None or (labels.kind == "panoptic" and objects):
        return np.array([s.area for s in objects], np.float64)
    inside = [n for value, n in values.items() if value != 0]
    if labels.kind in ("binary", "semantic"):
        inside = [sum(inside)] if inside else []
    return np.array(inside, np.float64)


def _area(rle: RLE) -> int:
    starts, stops = runs(rle)
    return int((stops - starts).sum())


def _storage(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        return f"{suffix[1:]} array"
    if suffix not in PICTURES:
        return ""
    try:
        with Image.open(path) as picture:
            mode = "16-bit" if picture.mode.startswith("I;16") else picture.mode
            return f"{_MODES.get(mode, mode)} {picture.format}"
    except OSError:
        return ""


def _survey(path: Path) -> Survey | None:
    if path.suffix.lower() not in PICTURES | ARRAYS:
        return None
    try:
        return survey(path)
    except SegcliError:
        return None


def _pieces(values: npt.NDArray[np.integer]) -> tuple[int, int]:
    """Connected pieces (8 neighbours) of up to 255 values, and how many values those are."""
    found = runs_of(values)
    distinct = np.unique(found.values)
    chosen = distinct[distinct > 0][:_PIECED]
    codes = np.searchsorted(chosen, found.values) + 1
    codes[~np.isin(found.values, chosen)] = 0
    counted = Runs(found.starts, codes, found.height, found.width)
    return int(pieces(counted)[1:].sum()), len(chosen)


@dataclass(slots=True)
class Span:
    """The least, the most and the sum of numbers, and where the most was seen."""

    least: float = math.inf
    most: float = -math.inf
    total: float = 0.0
    count: int = 0
    at: str = ""

    def push(self, least: float, most: float, total: float, count: int, at: str) -> None:
        """Add numbers of one image."""
        if count == 0:
            return
        if most > self.most:
            self.most, self.at = most, at
        self.least = min(self.least, least)
        self.total += total
        self.count += count

    @property
    def mean(self) -> float:
        """The mean, or NaN of nothing."""
        return self.total / self.count if self.count else math.nan


@dataclass(slots=True)
class SideLooks:
    """The sum of the looks at one side.

    Attributes:
        images: images looked at.
        sizes: images by (height, width).
        storage: images by how they are stored.
        values: pixels by label value; of instance maps only the values themselves are kept.
        first: the first image that has a label value.
        distinct: label values of an image.
        pixels: pixels of all images.
        void: of these, how many do not count.
        empty: images without an object.
        objects: objects of an image.
        areas: pixels of an object.
        scores: scores of an object; those that are no finite number are in `strange`.
        strange: objects whose score is no finite number.
        unscored: objects that state no score.
        categories: objects by category.
        names: category names, where known.
        zero_ids: objects with the annotation id 0.
        crowded: images with more than 100 objects.
        stored: label values as stored, of the files looked at.
        sampled: files whose stored values were looked at.
        pieces: connected pieces of label values, and how many values those are.
        examples: the first image where something was seen.
    """

    images: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    storage: Counter[str] = field(default_factory=Counter)
    values: Counter[int] = field(default_factory=Counter)
    first: dict[int, str] = field(default_factory=dict)
    distinct: Span = field(default_factory=Span)
    pixels: int = 0
    void: int = 0
    empty: int = 0
    objects: Span = field(default_factory=Span)
    areas: Span = field(default_factory=Span)
    scores: Span = field(default_factory=Span)
    strange: int = 0
    unscored: int = 0
    categories: Counter[int] = field(default_factory=Counter)
    names: dict[int, str] = field(default_factory=dict)
    zero_ids: int = 0
    crowded: int = 0
    stored: set[int] = field(default_factory=set)
    sampled: int = 0
    pieces: tuple[int, int] = (0, 0)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, look: Look) -> None:
        """Add one image."""
        self.images += 1
        self.sizes[look.size] += 1
        self.examples.setdefault(f"size {look.size}", look.key)
        if look.storage:
            self.storage[look.storage] += 1
        self._add_values(look)
        self.pixels += look.size[0] * look.size[1]
        self.void += look.void
        self._add_objects(look)
        self.categories.update(look.categories)
        self.names.update(look.names)
        for category in look.categories:
            self.examples.setdefault(f"category {category}", look.key)
        self.zero_ids += look.zero_ids
        if look.zero_ids:
            self.examples.setdefault("zero id", look.key)
        self.pieces = (self.pieces[0] + look.pieces[0], self.pieces[1] + look.pieces[1])
        if look.stored is not None:
            self.sampled += 1
            if len(self.stored) <= _LISTED_VALUES:
                self.stored |= set(look.stored.values)

    def _add_values(self, look: Look) -> None:
        if not look.values:
            return
        low, high = min(look.values), max(look.values)
        self.distinct.push(len(look.values), len(look.values), len(look.values), 1, look.key)
        # Object ids beyond what is listed tell no more than the least and the most of them.
        if len(self.values) > _LISTED_VALUES:
            look_values = {v: n for v, n in look.values.items() if v in self.values}
            look_values |= {v: look.values[v] for v in (low, high)}
        else:
            look_values = look.values
        self.values.update(look_values)
        for value in look_values:
            self.first.setdefault(value, look.key)

    def _add_objects(self, look: Look) -> None:
        count, areas, scores = len(look.areas), look.areas, look.scores
        inside = int(np.count_nonzero(areas))
        self.empty += inside == 0
        if inside == 0:
            self.examples.setdefault("empty", look.key)
        self.objects.push(count, count, count, 1, look.key)
        if count:
            self.areas.push(
                float(areas.min()), float(areas.max()), float(areas.sum()), count, look.key
            )
        finite = scores[np.isfinite(scores)]
        if len(finite):
            self.scores.push(
                float(finite.min()), float(finite.max()), math.fsum(finite), len(finite), look.key
            )
        self.strange += len(scores) - len(finite)
        self.unscored += count - len(scores)
        self.crowded += count > MANY
