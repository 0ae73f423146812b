"""Runs that look at large pictures tile by tile: their settings, and what their segments may be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from segcli.errors import UsageError
from segcli.masks.stitching import Rules
from segcli.models.catalog import ModelRef
from segcli.models.classes.settings import ClassSettings
from segcli.models.settings import GenerateSettings
from segcli.models.tiled import Tiled, TileSettings
from segcli.models.tiled_prompts import TiledPrompts
from segcli.predict.settings import PredictSettings
from segcli.predict.words import WordRun

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from segcli.records import Prompt, Segment

__all__ = ["rules_for", "tile_settings", "tiled", "tiled_prompts", "untruncated"]

# A tile's border is where models see least; what lies there must be in the next tile's middle.
_OVERLAP_SHARE = 8


def tile_settings(settings: PredictSettings) -> TileSettings | None:
    """How pictures are cut, or None where they are looked at as a whole.

    Raises:
        ConfigError: a tile is too small, or the overlap too large for it.
        UsageError: a setting would be ignored.
    """
    if not settings.tile:
        if settings.overlap is not None:
            raise UsageError("--overlap is of tiles, and there are none", fix="--tile SIZE")
        return None
    overlap = settings.overlap
    return TileSettings(
        settings.tile, settings.tile // _OVERLAP_SHARE if overlap is None else overlap
    )


def rules_for(model: ModelRef, effective: object) -> Rules:
    """What the segments of a picture may be: objects that overlap, or a class for each pixel."""
    classes = Rules(exclusive=True, whole=None)
    if isinstance(effective, WordRun):
        return classes if effective.output == "map" else Rules()
    if not isinstance(effective, ClassSettings) or effective.task == "instance":
        return Rules()
    if effective.task == "semantic":
        return classes
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


def tiled_prompts(
    answer: Callable[[npt.NDArray[np.uint8], Sequence[Prompt]], tuple[Segment, ...]],
    tiles: TileSettings | None,
) -> Callable[[npt.NDArray[np.uint8], Sequence[Prompt]], tuple[Segment, ...]]:
    """A promptable model that is shown tiles, or the model itself where there are none."""
    return answer if tiles is None else TiledPrompts(answer, tiles).answer
