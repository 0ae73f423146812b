"""Prompt tokens and image attend to each other: SAM's two-way transformer, with less arithmetic.

A prompt has about eight tokens and the image thousands of pixels, so every product is arranged to
touch the pixels as few times as possible:

- in the first layer the image is the same for every prompt: its keys, values and queries are
  computed once an image, and it is never repeated;
- later, tokens attend to the image by ``(q Wkᵀ)·Xᵀ`` instead of ``q·(X Wk)ᵀ``, and by
  ``(softmax·X)·Wv`` instead of ``softmax·(X Wv)``;
- the image attends to tokens likewise, with the output projection folded into the values.

Equations: "Segment Anything" (Kirillov et al., 2023), appendix A, "lightweight mask decoder"; the
weights and the order of the operations are those of transformers' SamTwoWayTransformer and
Sam2TwoWayTransformer. In half precision only what has pixels is halved; tokens stay in float32.
N prompts have n tokens each, the image has T pixels of C channels, and h heads d channels each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

__all__ = ["ImageSide", "attend", "image_side"]


@dataclass(frozen=True, slots=True)
class ImageSide:
    """What the transformer needs of an image, computed once for all prompts on it.

    Attributes:
        pixels: (T, C) image embedding with the dense prompt added.
        positions: (T, C) positional encoding of the pixels.
        keys: (h, d, T) first layer, from tokens to image.
        values: (h, T, d) the same.
        queries: (h, d, T) first layer, from image to tokens.
    """

    pixels: torch.Tensor
    positions: torch.Tensor
    keys: torch.Tensor
    values: torch.Tensor
    queries: torch.Tensor


def image_side(
    transformer: Any,  # noqa: ANN401 (a transformers module)
    pixels: torch.Tensor,
    positions: torch.Tensor,
) -> ImageSide:
    """Project the image for the first layer.

    Args:
        transformer: the two-way transformer.
        pixels: (T, C), in the precision of all that has pixels.
        positions: (T, C) float32.
    """
    first = transformer.layers[0]
    to_image, to_tokens = first.cross_attn_token_to_image, first.cross_attn_image_to_token
    placed = pixels.float() + positions
    keys = _heads(to_image.k_proj(placed), to_image.num_attention_heads)
    values = _heads(to_image.v_proj(pixels.float()), to_image.num_attention_heads)
    queries = _heads(to_tokens.q_proj(placed), to_tokens.num_attention_heads)
    return ImageSide(
        pixels,
        positions.to(pixels.dtype),
        keys.transpose(1, 2).contiguous().to(pixels.dtype),
        values.contiguous().to(pixels.dtype),
        queries.transpose(1, 2).contiguous().to(pixels.dtype),
    )


def attend(
    transformer: Any,  # noqa: ANN401 (a transformers module)
    image: ImageSide,
    prompts: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the transformer.

    Args:
        transformer: the two-way transformer.
        image: what `image_side` gave.
        prompts: (N, n, C) float32 output tokens and prompt tokens.

    Returns:
        tokens: (N, n, C) float32.
        pixels: (N, T, C), the image as each prompt sees it.
    """
    tokens = _first_self_attention(transformer.layers[0], prompts)
    tokens = tokens + _tokens_see_first_image(transformer.layers[0], image, tokens + prompts)
    tokens = _think(transformer.layers[0], tokens)
    pixels = _first_image_sees_tokens(transformer.layers[0], image, tokens + prompts, tokens)
    pixels = _normalised(transformer.layers[0].layer_norm4, pixels)
    for layer in list(transformer.layers)[1:]:
        placed = pixels + image.positions
        asking = (tokens + prompts)[None]
        tokens = layer.layer_norm1(tokens + layer.self_attn(asking, asking, tokens[None])[0][0])
        seen = _tokens_see_image(layer.cross_attn_token_to_image, tokens + prompts, pixels, placed)
        tokens = _think(layer, tokens + seen)
        _image_sees_tokens(
            layer.cross_attn_image_to_token, pixels, placed, tokens + prompts, tokens
        )
        pixels = _normalised(layer.layer_norm4, pixels)
    final = transformer.final_attn_token_to_image
    seen = _tokens_see_image(final, tokens + prompts, pixels, pixels + image.positions)
    return transformer.layer_norm_final_attn(tokens + seen), pixels


def _first_self_attention(layer: Any, prompts: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """The first layer has no positional part and no residual here."""
    tokens = prompts[None]
    attended: torch.Tensor = layer.layer_norm1(layer.self_attn(tokens, tokens, tokens)[0][0])
    return attended


def _think(layer: Any, tokens: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """The token's own steps between looking at the image and being looked at."""
    tokens = layer.layer_norm2(tokens)
    thought: torch.Tensor = layer.layer_norm3(tokens + layer.mlp(tokens))
    return thought


def _tokens_see_first_image(
    layer: Any,  # noqa: ANN401 (a transformers module)
    image: ImageSide,
    asking: torch.Tensor,
) -> torch.Tensor:
    """(N, n, C) attends to an image that is the same for all prompts."""
    attention = layer.cross_attn_token_to_image
    heads = attention.num_attention_heads
    count, length, _ = asking.shape
    query = attention.q_proj(asking) * attention.scaling
    # Tokens of all prompts side by side: one product a head.
    query = query.view(count * length, heads, -1).transpose(0, 1).to(image.keys.dtype)
    value = ((query @ image.keys).softmax(-1) @ image.values).to(asking.dtype)
    seen: torch.Tensor = _output(attention)(value.transpose(0, 1).reshape(count, length, -1))
    return seen


def _first_image_sees_tokens(
    layer: Any,  # noqa: ANN401 (a transformers module)
    image: ImageSide,
    asked: torch.Tensor,
    told: torch.Tensor,
) -> torch.Tensor:
    """The image's pixels, the same for all prompts, attend to tokens (N, n, C): (N, T, C)."""
    attention = layer.cross_attn_image_to_token
    heads = attention.num_attention_heads
    count, length, _ = asked.shape
    key = attention.k_proj(asked) * attention.scaling
    key = key.view(count * length, heads, -1).transpose(0, 1).to(image.queries.dtype)
    logits = (key @ image.queries).view(heads, count, length, -1)
    weights = logits.softmax(2).transpose(0, 1).reshape(count, heads * length, -1)
    pixels = image.pixels.expand(count, -1, -1)
    value = _folded_values(attention, told).to(pixels.dtype)
    return torch.baddbmm(pixels, weights.transpose(1, 2), value)


def _tokens_see_image(
    attention: Any,  # noqa: ANN401 (a transformers module)
    asking: torch.Tensor,
    pixels: torch.Tensor,
    placed: torch.Tensor,
) -> torch.Tensor:
    """(N, n, C) attends to pixels (N, T, C); the bias of the keys cancels in the softmax."""
    heads = attention.num_attention_heads
    count, length, channels = asking.shape
    query = _split(attention.q_proj(asking) * attention.scaling, heads)
    key_weight = attention.k_proj.weight.view(heads, -1, channels)
    folded = (query @ key_weight).reshape(count, heads * length, channels).to(pixels.dtype)
    weights = (folded @ placed.transpose(1, 2)).softmax(-1)
    gathered = (weights @ pixels).view(count, heads, length, channels).to(asking.dtype)
    value_weight = attention.v_proj.weight.view(heads, -1, channels)
    value = gathered @ value_weight.transpose(1, 2)
    value = value.transpose(1, 2).reshape(count, length, -1) + attention.v_proj.bias
    seen: torch.Tensor = _output(attention)(value)
    return seen


def _image_sees_tokens(
    attention: Any,  # noqa: ANN401 (a transformers module)
    pixels: torch.Tensor,
    placed: torch.Tensor,
    asked: torch.Tensor,
    told: torch.Tensor,
) -> None:
    """Pixels (N, T, C) attend to tokens (N, n, C), and what they see is added to them in place."""
    heads = attention.num_attention_heads
    count, length, channels = asked.shape
    key = _split(attention.k_proj(asked) * attention.scaling, heads)
    query_weight = attention.q_proj.weight.view(heads, -1, channels)
    folded = (key @ query_weight).reshape(count, heads * length, channels)
    offset = (key @ attention.q_proj.bias.view(heads, -1, 1)).view(count, heads * length, 1)
    # A pixel in the last axis: softmax over few tokens is quick along any axis but the last.
    offset, folded = offset.to(pixels.dtype), folded.to(pixels.dtype)
    logits = torch.baddbmm(offset, folded, placed.transpose(1, 2))
    weights = logits.view(count, heads, length, -1).softmax(2).view_as(logits)
    value = _folded_values(attention, told).to(pixels.dtype)
    pixels.baddbmm_(weights.transpose(1, 2), value)


def _folded_values(attention: Any, told: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """Values with the output projection applied: (N, h n, C).

    A pixel's weights add up to 1 for each head, so the heads share the bias.
    """
    heads = attention.num_attention_heads
    output = _output(attention)
    weight = output.weight.view(output.weight.shape[0], heads, -1).permute(1, 2, 0)
    value = _split(attention.v_proj(told), heads) @ weight + output.bias / heads
    folded: torch.Tensor = value.reshape(len(told), -1, output.weight.shape[0])
    return folded


def _normalised(norm: Any, pixels: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    weight, bias = norm.weight.to(pixels.dtype), norm.bias.to(pixels.dtype)
    return functional.layer_norm(pixels, norm.normalized_shape, weight, bias, norm.eps)


def _split(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    """(N, n, h d) → (N, h, n, d)."""
    count, length, _ = tokens.shape
    return tokens.view(count, length, heads, -1).transpose(1, 2)


def _heads(pixels: torch.Tensor, heads: int) -> torch.Tensor:
    """(T, h d) → (h, T, d)."""
    return pixels.view(len(pixels), heads, -1).transpose(0, 1)


def _output(attention: Any) -> Any:  # noqa: ANN401 (a transformers module)
    return attention.out_proj if hasattr(attention, "out_proj") else attention.o_proj
