"""Large pictures: any model, tile by tile, and what the borders cut stitched together again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segcli.errors import ConfigError
from segcli.masks.stitching import Rules, Stitcher
from segcli.masks.tiles import tiles_over
from segcli.records import Segment

__all__ = ["TileSettings", "Tiled"]

_LEAST_TILE = 64
_LEAST_OVERLAP = 8


@dataclass(frozen=True, slots=True)
class TileSettings:
    """How large pictures are cut.

    Attributes:
        tile: side of a tile in pixels; smaller pictures are looked at as a whole.
        overlap: pixels that a tile has in common with the next one, at least.
    """

    tile: int
    overlap: int

    def __post_init__(self) -> None:
        """Refuse tiles that cannot be stitched.

        Raises:
            ConfigError: a value is out of range.
        """
        if self.tile < _LEAST_TILE:
            raise ConfigError(
                f"--tile {self.tile} is too small", fix=f"at least {_LEAST_TILE} pixels"
            )
        if not _LEAST_OVERLAP <= self.overlap < self.tile / 2:
            raise ConfigError(
                f"--overlap {self.overlap} is out of range for --tile {self.tile}",
                why="tiles are stitched where they overlap, and half of one is its neighbour's",
                fix=f"from {_LEAST_OVERLAP} to {(self.tile - 1) // 2} pixels",
            )


@dataclass(frozen=True, slots=True)
class Tiled:
    """A model that is shown one tile of a picture at a time.

    Attributes:
        inner: the model: (h, w, 3) uint8 RGB → segments, best first.
        settings: how pictures are cut.
        rules: what its segments may be.
        most: keep only so many segments of a picture, best first; 0: all.
    """

    inner: Callable[[npt.NDArray[np.uint8]], tuple[Segment, ...]]
    settings: TileSettings
    rules: Rules = field(default_factory=Rules)
    most: int = 0

    def segment(self, image: npt.NDArray[np.uint8]) -> tuple[Segment, ...]:
        """Segment one (H, W, 3) uint8 RGB image; where there are scores, best first."""
        height, width = image.shape[:2]
        size = self.settings.tile
        if height <= size and width <= size:
            return self.inner(image)[: self.most or None]
        stitcher = Stitcher(height, width, self.rules)
        for tile in tiles_over(height, width, size, self.settings.overlap):
            left, top, right, bottom = tile.area
            part = np.ascontiguousarray(image[top:bottom, left:right])
            stitcher.add(tile, self.inner(part))
        return stitcher.finish()[: self.most or None]
