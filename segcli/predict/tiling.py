"""Runs that look at large pictures tile by tile: their settings, and what their segments may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from segcli.errors import UsageError
from segcli.masks.stitching import Rules
from segcli.models.catalog import ModelRef
from segcli.models.classes.settings import ClassSettings
from segcli.models.settings import GenerateSettings
from segcli.models.tiled import Tiled, TileSettings
from segcli.predict.settings import PredictSettings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from segcli.records import Segment

__all__ = ["rules_for", "tile_settings", "tiled", "untruncated"]

# A tile's border is where models see least; what lies there must be in the next tile's middle.
_OVERLAP_SHARE = 8


def tile_settings(settings: PredictSettings, *, asked: bool) -> TileSettings | None:
    """How pictures are cut, or None where they are looked at as a whole.

    Args:
        settings: those of the run.
        asked: points, boxes, masks or words were given.

    Raises:
        ConfigError: a tile is too small, or the overlap too large for it.
        UsageError: a setting would be ignored.
    """
    if not settings.tile:
        if settings.tile_overlap is not None:
            raise UsageError("--tile-overlap is of tiles, and there are none", fix="--tile SIZE")
        return None
    if asked:
        raise UsageError(
            "--tile is not for prompts or words, which were given",
            why="it cuts pictures up for models that look for everything in them",
            fix="leave --tile out",
        )
    overlap = settings.tile_overlap
    return TileSettings(
        settings.tile, settings.tile // _OVERLAP_SHARE if overlap is None else overlap
    )


def rules_for(model: ModelRef, effective: object) -> Rules:
    """What the segments of a picture may be: objects that overlap, or a class for each pixel."""
    if not isinstance(effective, ClassSettings) or effective.task == "instance":
        return Rules()
    if effective.task == "semantic":
        return Rules(exclusive=True, whole=None)
    facts = model.classes
    assert facts is not None
    things = facts.things
    stuff = frozenset() if things is None else frozenset(facts.categories) - things
    return Rules(exclusive=True, whole=stuff)


def untruncated(effective: GenerateSettings, tiles: TileSettings | None) -> GenerateSettings:
    """The settings of a tile: how many masks are kept is a matter of the whole picture."""
    return effective if tiles is None else replace(effective, max_masks=0)


def tiled(
    segment: Callable[[npt.NDArray[np.uint8]], tuple[Segment, ...]],
    tiles: TileSettings | None,
    model: ModelRef,
    effective: object,
) -> Callable[[npt.NDArray[np.uint8]], tuple[Segment, ...]]:
    """A model that is shown tiles, or the model itself where there are none."""
    if tiles is None:
        return segment
    most = effective.max_masks if isinstance(effective, GenerateSettings) else 0
    return Tiled(segment, tiles, rules_for(model, effective), most).segment
