"""EdgeTAM's image model on EfficientNet-Lite0, as far as masks of single pictures need it.

Source: "EdgeTAM" (Zhou et al., 2025) and transformers' EdgeTamModel, whose names and numbers these
are: the decoder and the encoder of `segcli.models.sam` take either.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from segcli.models.sam.lite.backbone import CHANNELS, EfficientNetLite
from segcli.models.sam.lite.decoder import MaskDecoder
from segcli.models.sam.lite.prompts import PositionCode, PromptEncoder

__all__ = ["STRIDE", "LiteModel", "Shape"]

STRIDE = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """What may differ from one such model to the next.

    Attributes:
        side: rows and columns of the input, a multiple of 32.
        width: channels of the embedding and of tokens.
        heads: of every attention.
        mlp: hidden units of a transformer layer.
        masks: number of masks, the single one among them.
        mask_channels: of the layers that see a mask prompt.
    """

    side: int
    width: int
    heads: int
    mlp: int
    masks: int
    mask_channels: int


class LiteModel(nn.Module):
    """Encoder, prompt encoder and decoder."""

    def __init__(self, shape: Shape) -> None:
        """Make the modules."""
        super().__init__()
        self.grid = shape.side // STRIDE
        self.shared_image_embedding = PositionCode(shape.width)
        self.vision_encoder = _VisionEncoder(shape.width)
        self.prompt_encoder = PromptEncoder(shape.width, shape.side, shape.mask_channels)
        self.mask_decoder = MaskDecoder(shape.width, shape.heads, shape.mlp, shape.masks)
        self.no_memory_embedding = nn.Parameter(torch.empty(1, 1, shape.width))

    def get_image_embeddings(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Normalised pixels (1, 3, side, side) → the decoder's view of the picture.

        Returns:
            High-resolution features (1, C/8, 4h, 4w) and (1, C/4, 2h, 2w), and the embedding
            (1, C, h, w).
        """
        fine, middle, coarse = self.vision_encoder(pixels)
        decoder = self.mask_decoder
        embedding = coarse + self.no_memory_embedding.view(1, -1, 1, 1)
        return [decoder.conv_s0(fine), decoder.conv_s1(middle), embedding]

    def get_image_wide_positional_embeddings(self) -> torch.Tensor:
        """Codes of the centres of the embedding's pixels, (1, C, h, w)."""
        device = self.no_memory_embedding.device
        centres = (torch.arange(self.grid, device=device, dtype=torch.float32) + 0.5) / self.grid
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        code: torch.Tensor = self.shared_image_embedding(torch.stack([x, y], dim=-1))
        return code.permute(2, 0, 1)[None]


class _VisionEncoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.backbone = _Backbone()
        self.neck = _Neck(width)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Pixels → pyramid (1, C, H / s, W / s) for s = 4, 8, 16."""
        pyramid: list[torch.Tensor] = self.neck(self.backbone.timm_model(pixels))
        return pyramid[:3]


class _Backbone(nn.Module):
    """A level of names that transformers' wrapper of timm puts between."""

    def __init__(self) -> None:
        super().__init__()
        self.timm_model = EfficientNetLite()


class _Neck(nn.Module):
    """Feature pyramid: every map at one width, with what is seen from farther away added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(n, width, 1) for n in reversed(CHANNELS))

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        pyramid: list[torch.Tensor] = []
        for conv, plane in zip(self.convs, reversed(maps), strict=True):
            level = conv(plane)
            if pyramid:
                level = level + functional.interpolate(pyramid[0], scale_factor=2.0)
            pyramid.insert(0, level)
        return pyramid
