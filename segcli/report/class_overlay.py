"""Overlays of class-aware results: the picture in the colours of its classes, with a legend."""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from segcli.formats.classes import Color
from segcli.formats.palettes import palette_colors
from segcli.masks.labels import label_map_from_segments
from segcli.records import Segmentation
from segcli.report.overlay import overlay_png

__all__ = ["ClassOverlay", "draw_class_overlay"]

_TINT = 0.55
_MARGIN = 4


class ClassOverlay:
    """Draws overlays, those of results with classes in the colours of a palette.

    Args:
        palette: see `segcli.formats.palettes.palette_colors`.
    """

    def __init__(self, palette: str | None = None) -> None:
        self._palette = palette
        self._colors: dict[tuple[tuple[int, str], ...], dict[int, Color]] = {}

    def __call__(self, pixels: npt.NDArray[np.uint8], result: Segmentation) -> bytes:
        """The overlay of (H, W, 3) uint8 RGB pixels as the bytes of a PNG file."""
        if not result.categories:
            return overlay_png(pixels, result)
        key = tuple(sorted(result.categories.items()))
        if key not in self._colors:
            self._colors[key] = palette_colors(result.categories, self._palette)
        buffer = io.BytesIO()
        drawn = draw_class_overlay(pixels, result, self._colors[key])
        Image.fromarray(drawn).save(buffer, "PNG", compress_level=3)
        return buffer.getvalue()


def draw_class_overlay(
    pixels: npt.NDArray[np.uint8], result: Segmentation, colors: Mapping[int, Color]
) -> npt.NDArray[np.uint8]:
    """Tint each segment in the colour of its class, line borders of objects, name what is there.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        result: segments of the same size, with categories.
        colors: colour by category.

    Returns:
        (H + legend, W, 3) uint8 RGB: the picture, and below it the classes that occur, the one of
        most pixels first.
    """
    height, width = pixels.shape[:2]
    owner = label_map_from_segments(result.segments, height, width)
    table = np.zeros((len(result.segments) + 1, 3), np.float32)
    for index, segment in enumerate(result.segments, start=1):
        table[index] = colors.get(segment.category or 0, (255, 255, 255))
    inside = (owner > 0)[..., None]
    tinted = pixels * (1 - _TINT) + table[owner] * _TINT
    drawn = np.where(inside, tinted, pixels).round().astype(np.uint8)
    border = np.zeros((height, width), bool)
    across, down = owner[:, 1:] != owner[:, :-1], owner[1:] != owner[:-1]
    border[:, 1:] |= across
    border[1:] |= down
    drawn[border] = 255
    counts = np.bincount(owner.ravel(), minlength=len(result.segments) + 1)
    totals: dict[int, int] = {}
    for index, segment in enumerate(result.segments, start=1):
        category = segment.category or 0
        totals[category] = totals.get(category, 0) + int(counts[index])
    present = sorted((n for n in totals if totals[n]), key=lambda n: (-totals[n], n))
    return np.concatenate([drawn, _legend(width, present, result.categories, colors)])


def _legend(
    width: int, present: list[int], names: Mapping[int, str], colors: Mapping[int, Color]
) -> npt.NDArray[np.uint8]:
    """(h, width, 3) rows of colour patches and names."""
    font = _font(max(11, min(24, width // 40)))
    line = int(font.size) + 2 * _MARGIN
    entries, x, y = [], 0, 0
    for number in present:
        text = names.get(number, str(number))
        needed = line + int(font.getlength(text)) + 2 * _MARGIN
        if x and x + needed > width:
            x, y = 0, y + line
        entries.append((x, y, number, text))
        x += needed
    strip = Image.new("RGB", (width, y + line if entries else 0), (255, 255, 255))
    draw = ImageDraw.Draw(strip)
    for left, top, number, text in entries:
        patch = (left + _MARGIN, top + _MARGIN, left + line - _MARGIN, top + line - _MARGIN)
        draw.rectangle(patch, fill=tuple(colors.get(number, (255, 255, 255))), outline=(0, 0, 0))
        draw.text((left + line, top + line // 2), text, fill=(0, 0, 0), font=font, anchor="lm")
    return np.asarray(strip)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font
