"""Bilinear enlargement a band of rows at a time, so that memory does not grow with the picture."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["PIXELS_AT_ONCE", "bands", "resized_rows"]

# Values of all maps together that are enlarged at once: 64 MiB of float32.
PIXELS_AT_ONCE = 1 << 24


def resized_rows(maps: Tensor, height: int, width: int, start: int, stop: int) -> Tensor:
    """Rows of maps that are enlarged to (height, width), the other rows never being made.

    Equal to `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` up to rounding.

    Args:
        maps: (N, h, w) floats.
        height: rows of the whole result.
        width: columns of the whole result.
        start: first row wanted.
        stop: the row behind the last one wanted.

    Returns:
        (N, stop - start, width) of the type of `maps`.
    """
    rows = maps.shape[1]
    place = (torch.arange(start, stop, device=maps.device) + 0.5) * (rows / height) - 0.5
    place = place.clamp(min=0)
    above = place.floor().long().clamp(max=rows - 1)
    below = (above + 1).clamp(max=rows - 1)
    share = (place - above).to(maps.dtype)[None, :, None]
    band = torch.lerp(maps[:, above], maps[:, below], share)
    if band.shape[2] == width:
        return band
    return functional.interpolate(
        band[None], size=(stop - start, width), mode="bilinear", align_corners=False
    )[0]


def bands(count: int, height: int, width: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of bands of rows so that `count` maps of a band stay within the limit."""
    rows = max(1, PIXELS_AT_ONCE // max(1, count * width))
    for start in range(0, height, rows):
        yield start, min(start + rows, height)
