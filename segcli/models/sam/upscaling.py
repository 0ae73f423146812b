"""Image embedding → mask logits: SAM's upscaling and hypernetwork product, as matrix products.

A 2x2 transposed convolution with stride 2 is a matrix product in channels-last memory, and
everything between the two is pixel by pixel. So the cells that a pixel of the embedding becomes
(2x2, then 2x2 of each) stay beside it until the masks are done, and only those are rearranged.

Source: transformers' SamMaskDecoder, Sam2MaskDecoder and SamHQMaskDecoder; "Segment Anything in
High Quality" (Ke et al., 2023) for the last. T pixels of the embedding have C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.nn import functional

__all__ = ["HighQuality", "Upscaler", "to_image"]

# Embedding pixels are upscaled so many at a time that what they become stays in the cache.
_BYTES_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class HighQuality:
    """SAM-HQ's part of an image: its own features and, for each prompt, its own kernel.

    Attributes:
        features: (C/8, 4h, 4w) early and final image features, fused.
        kernels: (N, C/8) what each prompt's high-quality token multiplies them by.
    """

    features: torch.Tensor
    kernels: torch.Tensor


class Upscaler:
    """The upscaling layers of a mask decoder, on one image."""

    def __init__(
        self,
        decoder: Any,  # noqa: ANN401 (a transformers module)
        fine: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> None:
        """Arrange the weights.

        Args:
            decoder: the mask decoder.
            fine: the SAM2 family's high-resolution features, (1, C/8, 4h, 4w) and
                (1, C/4, 2h, 2w), which are added to what is upscaled; None for SAM.
        """
        self._decoder = decoder
        self._first, bias = _as_product(decoder.upscale_conv1)
        self._first_bias = bias if fine is None else _by_cell(fine[1], 1) + bias
        self._second, bias = _as_product(decoder.upscale_conv2)
        if fine is not None:
            pixels = len(self._first_bias)
            bias = (_by_cell(fine[0], 2).view(pixels, 4, -1) + bias).flatten(0, 1)
        self._second_bias = bias

    def paint(self, pixels: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
        """Mask logits of some prompts.

        Args:
            pixels: (K, T, C) the image as each prompt sees it.
            kernels: (K, M, C/8) what each mask multiplies the upscaled image by.

        Returns:
            (K, M, 16 T) logits, the cells of a pixel side by side.
        """
        length, channels = pixels.shape[1:]
        step = max(1, _BYTES_AT_ONCE // (2 * channels * pixels.element_size()))
        planes = pixels.new_empty(*kernels.shape[:2], 16 * length)
        for plane, one, kernel in zip(planes, pixels, kernels, strict=True):
            for start in range(0, length, step):
                stop = min(start + step, length)
                upscaled = self._upscaled(one[start:stop], start)
                plane[:, 16 * start : 16 * stop] = kernel @ upscaled.T
        return planes

    def paint_high_quality(
        self,
        pixels: torch.Tensor,
        kernels: torch.Tensor,
        extra: HighQuality,
        grid: tuple[int, int],
    ) -> torch.Tensor:
        """Mask logits of some prompts of SAM-HQ: each mask plus its prompt's high-quality one.

        Args:
            pixels: (K, T, C).
            kernels: (K, M, C/8).
            extra: the high-quality part, of the same prompts.
            grid: (h, w) with T = h * w; the features are cropped to it.

        Returns:
            (K, M, 16 T) as `paint`.
        """
        decoder, rows, columns = self._decoder, 4 * grid[0], 4 * grid[1]
        shared = extra.kernels @ extra.features[:, :rows, :columns].flatten(1)
        masks = []
        for one, kernel, own, start in zip(pixels, kernels, extra.kernels, shared, strict=True):
            upscaled = self._upscaled(one, 0)
            deep = decoder.mask_conv1(to_image(upscaled.T, grid)[None])
            deep = functional.gelu(decoder.mask_norm(deep))
            # The second convolution's many outputs are only ever summed up: one kernel does both.
            weight = torch.tensordot(own, decoder.mask_conv2.weight, 1)[None]
            bias = (own @ decoder.mask_conv2.bias)[None]
            high = functional.conv2d(deep, weight, bias, padding=1)[0, 0]
            masks.append(kernel @ upscaled.T + _to_cells(high + start.view(rows, columns), grid))
        return torch.stack(masks)

    def _upscaled(self, pixels: torch.Tensor, start: int) -> torch.Tensor:
        """(t, C) → (16 t, C/8), cells of a pixel side by side; `start` is the first pixel's number.

        Each product adds its own bias, which for the SAM2 family is different for each pixel.
        """
        bias = _part(self._first_bias, start, len(pixels))
        once = torch.addmm(bias, pixels, self._first).view(4 * len(pixels), -1)
        norm = self._decoder.upscale_layer_norm
        once = functional.layer_norm(once, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        bias = _part(self._second_bias, 4 * start, len(once))
        twice = torch.addmm(bias, functional.gelu(once), self._second)
        return functional.gelu(twice).view(16 * len(pixels), -1)


def to_image(cells: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(..., 16 h w) cells of each pixel side by side → (..., 4h, 4w)."""
    lead = cells.shape[:-1]
    order = _order(grid, cells.device)
    if cells.device.type == "cpu":
        # One plane at a time stays in the cache: seven times as quick as permuting axes of 2.
        rows = cells.reshape(-1, cells.shape[-1])
        planes = torch.stack([row.index_select(0, order) for row in rows]) if len(rows) else rows
    else:
        planes = cells.index_select(-1, order)
    return planes.view(*lead, 4 * grid[0], 4 * grid[1])


@lru_cache(maxsize=4)
def _order(grid: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Which cell each pixel of the image is: (16 h w,) int64."""
    rows, columns = grid
    cells = torch.arange(16 * rows * columns, device=device).view(rows, columns, 2, 2, 2, 2)
    return cells.permute(0, 2, 4, 1, 3, 5).flatten()


def _to_cells(plane: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """(4h, 4w) → (16 h w): the way back of `to_image`."""
    rows, columns = grid
    return plane.view(rows, 2, 2, columns, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(-1)


def _by_cell(feature: torch.Tensor, levels: int) -> torch.Tensor:
    """(1, C, 2^l h, 2^l w) → (h w, 4^l C), the cells of a pixel side by side, coarse first."""
    channels, rows, columns = feature.shape[1:]
    side = 2**levels
    cells = feature.view(channels, rows // side, *(2,) * levels, columns // side, *(2,) * levels)
    down = range(2, 2 + levels)
    pairs = [axis for i in down for axis in (i, i + levels + 1)]
    return cells.permute(1, 2 + levels, *pairs, 0).reshape(rows * columns // side**2, -1)


def _as_product(layer: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
    """Weight (C, 4 C') and bias (4 C',) of a 2x2, stride-2 transposed convolution."""
    return layer.weight.permute(0, 2, 3, 1).flatten(1).contiguous(), layer.bias.repeat(4)


def _part(bias: torch.Tensor, start: int, count: int) -> torch.Tensor:
    return bias if bias.ndim == 1 else bias[start : start + count]
