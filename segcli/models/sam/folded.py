"""The mask decoder with its projections folded to the token side: the same numbers, less work.

A prompt has about eight tokens and the image thousands of pixels, so every product is arranged to
touch the pixels as few times as possible:

- attention from tokens to the image: ``(q Wkᵀ)·Xᵀ`` instead of ``q·(X Wk)ᵀ``, and
  ``(softmax·X)·Wv`` instead of ``softmax·(X Wv)``;
- attention from the image to tokens: likewise, with the output projection folded into the values;
- in the first layer the image is the same for every prompt and is never repeated;
- predicted IoU depends on tokens only, so masks are upscaled for the prompts that pass;
- a 2x2 transposed convolution with stride 2 is a matrix product in channels-last; its 2x2 cells
  stay beside their pixel until the last step, since everything between is pixel by pixel.

Equations: "Segment Anything" (Kirillov et al., 2023), appendix A, "lightweight mask decoder"; the
weights and the order of operations are those of transformers' SamMaskDecoder and Sam2MaskDecoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from segcli.models.sam.encoder import Encoded

__all__ = ["FoldedMasks", "decode_folded"]


@dataclass(frozen=True, slots=True)
class FoldedMasks:
    """Predictions of a batch of prompts, whose masks are made on demand.

    Attributes:
        ious: (N, M) float32 predicted IoU of each prompt's masks.
        decoder: transformers' mask decoder.
        pixels: (N, T, C) image embedding as each prompt sees it after the transformer.
        kernels: (N, M, C/8) what each mask multiplies the upscaled embedding by.
        fine: two high-resolution features (channels-last, by cell), or None for SAM.
        grid: (h, w) of the image embedding, h * w = T.
    """

    ious: torch.Tensor
    decoder: Any
    pixels: torch.Tensor
    kernels: torch.Tensor
    fine: tuple[torch.Tensor, torch.Tensor] | None
    grid: tuple[int, int]

    def logits(self, indices: torch.Tensor) -> torch.Tensor:
        """Mask logits of some predictions.

        Args:
            indices: (K,) flat indices into `ious`.

        Returns:
            (K, 4h, 4w) float32.
        """
        masks_per_prompt = self.ious.shape[1]
        prompts, position = torch.unique(indices // masks_per_prompt, return_inverse=True)
        upscaled = self._upscaled(self.pixels[prompts])
        planes = upscaled @ self.kernels[prompts].transpose(1, 2)
        chosen = planes[position, :, indices % masks_per_prompt]
        rows, columns = self.grid
        # Each pixel's cells are 2x2 of the first upscaling times 2x2 of the second.
        cells = chosen.view(-1, rows, columns, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4, 6)
        return cells.reshape(-1, 4 * rows, 4 * columns)

    def _upscaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """(K, T, C) → (K, 16 T, C/8), cells of a pixel side by side."""
        decoder = self.decoder
        coarse, fine = self.fine or (None, None)
        norm = decoder.upscale_layer_norm
        once = _transposed_convolution(decoder.upscale_conv1, pixels)
        if coarse is not None:
            once += coarse
        once = functional.layer_norm(once, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        twice = _transposed_convolution(decoder.upscale_conv2, functional.gelu(once))
        if fine is not None:
            twice += fine
        return functional.gelu(twice)


def decode_folded(
    model: Any,  # noqa: ANN401 (a transformers model)
    encoded: Encoded,
    points: torch.Tensor,
    labels: torch.Tensor,
    *,
    multimask: bool,
) -> FoldedMasks:
    """Decode point prompts on one image.

    Args:
        model: a SAM or SAM2-family model of transformers.
        encoded: the image.
        points: (1, N, k, 2) x, y in pixels of the model's input.
        labels: (1, N, k) 1 inside, 0 outside.
        multimask: the three masks of the ambiguity-aware tokens instead of the single one.
    """
    decoder = model.mask_decoder
    sparse, dense = model.prompt_encoder(
        input_points=points, input_labels=labels, input_boxes=None, input_masks=None
    )
    embedding = encoded.inputs["image_embeddings"]
    fine = None
    if isinstance(embedding, (list, tuple)):
        fine = _by_cell(embedding[1], 1), _by_cell(embedding[0], 2)
        embedding = embedding[-1]
    rows, columns = embedding.shape[-2:]
    pixels = _channels_last(embedding + dense)
    positions = _channels_last(model.get_image_wide_positional_embeddings())
    special = [decoder.iou_token.weight, decoder.mask_tokens.weight]
    if hasattr(decoder, "obj_score_token"):
        special.insert(0, decoder.obj_score_token.weight)
    output = torch.cat(special)
    prompts = sparse[0]
    tokens = torch.cat([output.expand(len(prompts), -1, -1), prompts], dim=1)
    tokens, pixels = _two_way(decoder.transformer, tokens, pixels, positions)
    first_mask = len(output) - decoder.num_mask_tokens
    wanted = range(1, decoder.num_mask_tokens) if multimask else range(1)
    ious = decoder.iou_prediction_head(tokens[:, first_mask - 1])[:, list(wanted)]
    heads = decoder.output_hypernetworks_mlps
    kernels = torch.stack([heads[i](tokens[:, first_mask + i]) for i in wanted], dim=1)
    return FoldedMasks(ious.float(), decoder, pixels, kernels, fine, (rows, columns))


def _two_way(
    transformer: Any,  # noqa: ANN401 (a transformers module)
    prompts: torch.Tensor,
    pixels: torch.Tensor,
    positions: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (N, n, C) and image (T, C) attend to each other; the image becomes (N, T, C)."""
    tokens = prompts
    for number, layer in enumerate(transformer.layers):
        if number == 0:
            tokens = layer.self_attn(tokens[None], tokens[None], tokens[None])[0][0]
        else:
            placed = (tokens + prompts)[None]
            tokens = tokens + layer.self_attn(placed, placed, tokens[None])[0][0]
        tokens = layer.layer_norm1(tokens)
        seen = _tokens_see_image(
            layer.cross_attn_token_to_image, tokens + prompts, pixels, positions
        )
        tokens = layer.layer_norm2(tokens + seen)
        tokens = layer.layer_norm3(tokens + layer.mlp(tokens))
        told = _image_sees_tokens(
            layer.cross_attn_image_to_token, pixels, positions, tokens + prompts, tokens
        )
        pixels = layer.layer_norm4(told.add_(pixels))
    seen = _tokens_see_image(
        transformer.final_attn_token_to_image, tokens + prompts, pixels, positions
    )
    return transformer.layer_norm_final_attn(tokens + seen), pixels


def _tokens_see_image(
    attention: Any,  # noqa: ANN401 (a transformers module)
    queries: torch.Tensor,
    pixels: torch.Tensor,
    positions: torch.Tensor,
) -> torch.Tensor:
    """(N, n, C) attends to pixels (T, C) or (N, T, C); the bias of the keys cancels in softmax."""
    heads = attention.num_attention_heads
    count, length, channels = queries.shape
    query = _split(attention.q_proj(queries), heads) * attention.scaling
    key_weight = attention.k_proj.weight.view(heads, -1, channels)
    folded = (query @ key_weight).reshape(count, heads * length, channels)
    if pixels.dim() == 2:
        logits = folded @ (pixels + positions).T
    else:
        logits = torch.baddbmm(folded @ positions.T, folded, pixels.transpose(1, 2))
    gathered = (logits.softmax(-1) @ pixels).view(count, heads, length, channels)
    value_weight = attention.v_proj.weight.view(heads, -1, channels)
    value = gathered @ value_weight.transpose(1, 2)
    value = value.transpose(1, 2).reshape(count, length, -1) + attention.v_proj.bias
    seen: torch.Tensor = _output(attention)(value)
    return seen


def _image_sees_tokens(
    attention: Any,  # noqa: ANN401 (a transformers module)
    pixels: torch.Tensor,
    positions: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
) -> torch.Tensor:
    """Pixels (T, C) or (N, T, C) attend to tokens (N, n, C): (N, T, C)."""
    heads = attention.num_attention_heads
    count, length, channels = keys.shape
    key = _split(attention.k_proj(keys), heads) * attention.scaling
    query_weight = attention.q_proj.weight.view(heads, -1, channels)
    query_bias = attention.q_proj.bias.view(heads, -1, 1)
    folded = (key @ query_weight).reshape(count, heads * length, channels).transpose(1, 2)
    offset = (key @ query_bias).view(count, 1, heads * length)
    if pixels.dim() == 2:
        logits = torch.matmul(pixels + positions, folded)
    else:
        logits = torch.baddbmm(torch.matmul(positions, folded), pixels, folded)
    logits = logits + offset
    weights = logits.view(count, -1, heads, length).softmax(-1).view_as(logits)
    output = _output(attention)
    output_weight = output.weight.view(channels, heads, -1).permute(1, 2, 0)
    value = _split(attention.v_proj(values), heads) @ output_weight
    told: torch.Tensor = torch.matmul(weights, value.reshape(count, heads * length, channels))
    return told.add_(output.bias)


def _split(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    """(N, n, heads * d) → (N, heads, n, d)."""
    count, length, _ = tokens.shape
    return tokens.view(count, length, heads, -1).transpose(1, 2)


def _output(attention: Any) -> Any:  # noqa: ANN401 (a transformers module)
    return attention.out_proj if hasattr(attention, "out_proj") else attention.o_proj


def _channels_last(planes: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) → (h * w, C)."""
    return planes[0].flatten(1).T.contiguous()


def _by_cell(feature: torch.Tensor, levels: int) -> torch.Tensor:
    """(1, C, 2^l h, 2^l w) → (h * w * 4^l, C), the cells of a pixel side by side, coarse first."""
    channels, rows, columns = feature.shape[1:]
    side = 2**levels
    cells = feature.view(channels, rows // side, *(2,) * levels, columns // side, *(2,) * levels)
    down = range(2, 2 + levels)
    pairs = [axis for i in down for axis in (i, i + levels + 1)]
    return cells.permute(1, 2 + levels, *pairs, 0).reshape(-1, channels)


def _transposed_convolution(layer: Any, pixels: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """A 2x2, stride-2 transposed convolution: (K, P, C) → (K, 4 P, C'), cells side by side."""
    weight = layer.weight.permute(0, 2, 3, 1).flatten(1)
    cells = pixels @ weight
    upscaled: torch.Tensor = cells.view(len(pixels), -1, layer.weight.shape[1])
    return upscaled.add_(layer.bias)
