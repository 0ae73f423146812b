"""Sides of an evaluation that live in memory."""

from __future__ import annotations

import io
import weakref
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from segcli.errors import MaskError
from segcli.formats.base import Source
from segcli.formats.ndjson import StreamSource, to_line, to_record
from segcli.masks.rle import segment_from_mask
from segcli.records import ImageRef, LabelMap, Segmentation


class MemorySource(Source):
    """Label maps by key; a key whose value is None is damaged.

    Attributes:
        alive: how many segmentations that were read are still alive, and the most there ever were.
    """

    def __init__(self, kind, maps, format_name="labels"):
        self.kind = kind
        self.format = format_name
        self.description = f"{len(maps)} maps"
        self.maps = maps
        self.alive = self.most = 0

    def keys(self) -> Sequence[str]:
        return sorted(self.maps)

    def read(self, key: str) -> Segmentation:
        values = self.maps[key]
        if values is None:
            raise MaskError(f"{key}: cannot be decoded", why="truncated", fix="save it again")
        # A copy of its own, so that counting its life counts an image's pixels.
        values = values.copy()
        self.alive += 1
        self.most = max(self.most, self.alive)
        weakref.finalize(values, self._gone)
        image = ImageRef(key, *values.shape, source=f"folder/{key}")
        return Segmentation(image, labels=LabelMap(values, self.kind))

    def _gone(self) -> None:
        self.alive -= 1


def discs(seed: int, count: int = 4, size: int = 32) -> np.ndarray:
    """An instance label map of discs: (size, size) uint16."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    values = np.zeros((size, size), np.uint16)
    for number in range(1, count + 1):
        cy, cx, radius = *random.integers(0, size, 2), random.integers(2, 7)
        values[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = number
    return values


def stream_of(maps: dict[str, np.ndarray], errors: Sequence[str] = ()) -> StreamSource:
    """Records of ours, one line an image, error records among them."""
    lines = []
    for key, values in maps.items():
        masks = [values == v for v in np.unique(values) if v]
        image = ImageRef(key, *values.shape)
        segments = tuple(segment_from_mask(m, score=1 - i / 100) for i, m in enumerate(masks))
        lines.append(to_line(to_record(Segmentation(image, segments))))
    lines += [
        to_line({"schema": "segcli.image/1", "status": "error", "path": key, "page": None})
        for key in errors
    ]
    return StreamSource(io.BytesIO("".join(lines).encode()), "standard input")


@pytest.fixture
def memory() -> type[MemorySource]:
    """A source that lives in memory."""
    return MemorySource


@pytest.fixture
def disc_maps() -> Callable[..., dict[str, np.ndarray]]:
    """Instance label maps by key."""
    return lambda count=5, shift=0, suffix=".png": {
        f"{i:02d}{suffix}": np.roll(discs(i), shift, axis=1) for i in range(count)
    }


@pytest.fixture
def stream() -> Callable[..., StreamSource]:
    """A stream of records."""
    return stream_of
