"""Points, boxes and masks as the mask decoder takes them.

Source: "Segment Anything" (Kirillov et al., 2023), appendix A; "SAM 2" (Ravi et al., 2024), which
takes a box for two points. The numbers are those of transformers' EdgeTamPromptEncoder.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

__all__ = ["PositionCode", "PromptEncoder"]

_NO_POINT = -1
_PADDING = -10
_BOX_LABELS = (2, 3)


class PositionCode(nn.Module):
    """Random Fourier features of positions."""

    def __init__(self, width: int) -> None:
        """Make room for the frequencies."""
        super().__init__()
        self.register_buffer("positional_embedding", torch.empty(2, width // 2))

    def forward(self, xy: torch.Tensor) -> torch.Tensor:
        """(..., 2) x, y as shares of the picture's sides → (..., C)."""
        phase = 2 * math.pi * ((2 * xy - 1) @ self.get_buffer("positional_embedding"))
        return torch.cat([phase.sin(), phase.cos()], dim=-1)


class PromptEncoder(nn.Module):
    """Tokens of points and boxes, and the dense embedding of a mask."""

    def __init__(self, width: int, side: int, mask_channels: int) -> None:
        """Make the modules.

        Args:
            width: channels C of a token.
            side: rows and columns of the model's input.
            mask_channels: of the layers that see a mask.
        """
        super().__init__()
        self.side = side
        self.shared_embedding = PositionCode(width)
        self.mask_embed = _MaskEmbedding(width, mask_channels)
        self.no_mask_embed = nn.Embedding(1, width)
        self.point_embed = nn.Embedding(4, width)
        self.not_a_point_embed = nn.Embedding(1, width)

    def forward(
        self,
        points: torch.Tensor | None,
        labels: torch.Tensor | None,
        boxes: torch.Tensor | None,
        masks: None = None,  # noqa: ARG002 (transformers' signature)
    ) -> tuple[torch.Tensor, None]:
        """Tokens of N objects.

        Args:
            points: (1, N, k, 2) x, y in pixels of the model's input.
            labels: (1, N, k): 1 inside, 0 outside, 2 and 3 the corners of a box, -10 to be ignored.
            boxes: (1, N, 4) xyxy.
            masks: not taken here: `mask_embed` embeds them.

        Returns:
            (1, N, k', C): points, the corners of the box, and a token for the end of them.
        """
        places, kinds = [], []
        if points is not None and labels is not None:
            places.append(points)
            kinds.append(labels)
        if boxes is not None:
            places.append(boxes.reshape(*boxes.shape[:2], 2, 2))
            corners = torch.tensor(_BOX_LABELS, device=boxes.device)
            kinds.append(corners.expand(*boxes.shape[:2], -1))
        xy, kind = torch.cat(places, dim=2), torch.cat(kinds, dim=2)
        xy = functional.pad(xy + 0.5, (0, 0, 0, 1))
        kind = functional.pad(kind, (0, 1), value=_NO_POINT)[..., None]
        code = self.shared_embedding(xy / self.side)
        code = torch.where(kind == _NO_POINT, self.not_a_point_embed.weight, code)
        code = torch.where(kind == _PADDING, torch.zeros_like(code), code)
        named = self.point_embed(kind[..., 0].clamp(min=0)) * (kind >= 0)
        return code + named, None


class _MaskEmbedding(nn.Module):
    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels // 4, 2, 2)
        self.layer_norm1 = nn.LayerNorm(channels // 4, eps=1e-6)
        self.conv2 = nn.Conv2d(channels // 4, channels, 2, 2)
        self.layer_norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.conv3 = nn.Conv2d(channels, width, 1)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """(1, 1, 4h, 4w) → (1, C, h, w)."""
        x = functional.gelu(_by_pixel(self.layer_norm1, self.conv1(logits)))
        x = functional.gelu(_by_pixel(self.layer_norm2, self.conv2(x)))
        return self.conv3(x)  # type: ignore[no-any-return]


def _by_pixel(norm: nn.LayerNorm, planes: torch.Tensor) -> torch.Tensor:
    """Normalise (N, C, H, W) over its channels."""
    normalised: torch.Tensor = norm(planes.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return normalised
