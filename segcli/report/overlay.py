"""Overlays: the picture with its segments outlined in distinct colours."""

from __future__ import annotations

import colorsys
import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcli.masks.rle import decode
from segcli.records import Segmentation

__all__ = ["draw_overlay", "overlay_png", "segment_colors"]

_TINT = 0.35
_GOLDEN_ANGLE = 0.381966


def segment_colors(count: int) -> npt.NDArray[np.uint8]:
    """Colours that differ from their neighbours in the list: hues a golden angle apart.

    Args:
        count: how many.

    Returns:
        (count, 3) uint8 RGB.
    """
    rows = [
        colorsys.hsv_to_rgb(i * _GOLDEN_ANGLE % 1.0, 0.95 - 0.25 * (i // 3 % 2), 1.0)
        for i in range(count)
    ]
    return (np.array(rows).reshape(-1, 3) * 255).round().astype(np.uint8)


def draw_overlay(pixels: npt.NDArray[np.uint8], result: Segmentation) -> npt.NDArray[np.uint8]:
    """Tint every segment lightly and outline it strongly; small segments lie on top.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        result: segments of the same size.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    from scipy import ndimage  # noqa: PLC0415 (slow to import, and most runs draw nothing)

    height, width = pixels.shape[:2]
    canvas = pixels.astype(np.float32)
    outlines: list[tuple[npt.NDArray[np.bool_], tuple[slice, slice], npt.NDArray[np.uint8]]] = []
    thickness = max(1, round(max(height, width) / 400))
    colors = segment_colors(len(result.segments))
    order = sorted(range(len(result.segments)), key=lambda i: -result.segments[i].area)
    for index in order:
        segment = result.segments[index]
        if not segment.area:
            continue
        x, y, w, h = (int(v) for v in segment.box_xywh)
        window = (slice(y, y + h), slice(x, x + w))
        inside = decode(segment.mask)[window]
        color = colors[index]
        canvas[window][inside] += _TINT * (color - canvas[window][inside])
        core = ndimage.binary_erosion(np.pad(inside, 1), iterations=thickness)[1:-1, 1:-1]
        outlines.append((inside & ~core, window, color))
    drawn = canvas.round().astype(np.uint8)
    for outline, window, color in outlines:
        drawn[window][outline] = color
    return drawn


def overlay_png(pixels: npt.NDArray[np.uint8], result: Segmentation) -> bytes:
    """The overlay as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(draw_overlay(pixels, result)).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
