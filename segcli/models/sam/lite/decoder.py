"""The weights of the mask decoder, and the small networks among them.

`segcli.models.sam.decoder` does the work on them; what it leaves to modules runs here. Source:
transformers' EdgeTamMaskDecoder, whose names and numbers these are.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["MaskDecoder"]


class MaskDecoder(nn.Module):
    """The tokens, the two-way transformer, the upscaling and the heads."""

    def __init__(self, width: int, heads: int, mlp: int, masks: int) -> None:
        """Make the modules.

        Args:
            width: channels C of a token.
            heads: of every attention.
            mlp: hidden units of a transformer layer.
            masks: number of masks, the single one among them.
        """
        super().__init__()
        self.obj_score_token = nn.Embedding(1, width)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(masks, width)
        self.transformer = _Transformer(width, heads, mlp)
        self.upscale_conv1 = nn.ConvTranspose2d(width, width // 4, 2, 2)
        self.upscale_layer_norm = nn.LayerNorm(width // 4, eps=1e-6)
        self.upscale_conv2 = nn.ConvTranspose2d(width // 4, width // 8, 2, 2)
        self.conv_s0 = nn.Conv2d(width, width // 8, 1)
        self.conv_s1 = nn.Conv2d(width, width // 4, 1)
        self.output_hypernetworks_mlps = nn.ModuleList(
            _Network(width, width, width // 8, 3) for _ in range(masks)
        )
        self.iou_prediction_head = _Network(width, width, masks, 3, sigmoid=True)


class _Transformer(nn.Module):
    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer(width, heads, mlp) for _ in range(2))
        self.final_attn_token_to_image = _Attention(width, width // 2, heads)
        self.layer_norm_final_attn = nn.LayerNorm(width)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.self_attn = _Attention(width, width, heads)
        self.cross_attn_token_to_image = _Attention(width, width // 2, heads)
        self.cross_attn_image_to_token = _Attention(width, width // 2, heads)
        self.mlp = _Network(width, mlp, width, 2)
        self.layer_norm1 = nn.LayerNorm(width)
        self.layer_norm2 = nn.LayerNorm(width)
        self.layer_norm3 = nn.LayerNorm(width)
        self.layer_norm4 = nn.LayerNorm(width)


class _Attention(nn.Module):
    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.num_attention_heads = heads
        self.scaling = (inner // heads) ** -0.5
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.o_proj = nn.Linear(inner, width)

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor]:
        """(B, N, n, C) each → (B, N, n, C), in a tuple as in transformers."""
        projected = (self.q_proj(query), self.k_proj(key), self.v_proj(value))
        q, k, v = (
            x.unflatten(-1, (self.num_attention_heads, -1)).transpose(-2, -3) for x in projected
        )
        seen = functional.scaled_dot_product_attention(q, k, v, scale=self.scaling)
        return (self.o_proj(seen.transpose(-2, -3).flatten(-2)),)


class _Network(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(
        self, before: int, hidden: int, after: int, depth: int, *, sigmoid: bool = False
    ) -> None:
        super().__init__()
        self.proj_in = nn.Linear(before, hidden)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth - 2))
        self.proj_out = nn.Linear(hidden, after)
        self.sigmoid = sigmoid

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., before) → (..., after)."""
        for layer in (self.proj_in, *self.layers):
            x = functional.relu(layer(x))
        x = self.proj_out(x)
        return x.sigmoid() if self.sigmoid else x
