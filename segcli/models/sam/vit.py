"""SAM's image encoder, a ViT with windows and relative positions, in cache-sized pieces.

The numbers are those of transformers' SamVisionEncoder and SamHQVisionEncoder, up to rounding, with
less memory and fewer copies:

- the bias of relative positions is added to a few rows of logits at a time, so it is never there
  for all pairs of pixels (4096 x 4096 for each head); on a GPU it becomes further channels of
  queries and keys (one-hot keys), which fused attention takes as they are;
- windows are cut out of queries, keys and values after projection, so padding is not projected:
  a padded pixel's are the biases;
- what treats each pixel by itself is done for a band of rows at a time;
- in half precision the sums that run through all layers stay in float32, as do norms and softmax.

Source: "Segment Anything" (Kirillov et al., 2023), "Exploring Plain Vision Transformer Backbones
for Object Detection" (Li et al., 2022). B images of h x w pixels have D channels in n heads of d.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from segcli.models.sam.workers import Workers

__all__ = ["encode_with_vit"]

# Logits of so many bytes are made at a time, for the cache.
_BYTES_AT_ONCE = 2 << 20
# And so many pixels are projected: enough for the products to be quick.
_PIXELS_AT_ONCE = 1024
_Task = tuple[int, slice, slice, slice]


def encode_with_vit(
    encoder: Any,  # noqa: ANN401 (a transformers module)
    pixels: torch.Tensor,
    workers: Workers,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run the encoder.

    Args:
        encoder: transformers' vision encoder.
        pixels: (B, 3, H, W) normalised.
        workers: threads for attention on the CPU.

    Returns:
        embedding: (B, C, h, w).
        early: (B, h, w, D) after the first layer with global attention, for SAM-HQ.
    """
    hidden = encoder.patch_embed(pixels).float()
    if encoder.pos_embed is not None:
        hidden = hidden + encoder.pos_embed
    early = None
    for layer in encoder.layers:
        hidden = hidden + _attended(layer, hidden, workers)
        for rows in _bands(hidden):
            hidden[:, rows] += layer.mlp(_normed(layer.layer_norm2, hidden[:, rows]))
        if early is None and not layer.window_size:
            early = hidden
    early = hidden if early is None else early
    return encoder.neck(hidden.to(pixels.dtype)), early.to(pixels.dtype)


def _normed(norm: Any, hidden: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
    """A layer norm in float32, in the precision of its weights."""
    weight, bias = norm.weight.float(), norm.bias.float()
    normed = functional.layer_norm(hidden, norm.normalized_shape, weight, bias, norm.eps)
    return normed.to(norm.weight.dtype)


def _attended(layer: Any, hidden: torch.Tensor, workers: Workers) -> torch.Tensor:  # noqa: ANN401
    """Self-attention of normalised (B, h, w, D), in windows where the layer has them."""
    attention = layer.attn
    batch, height, width, channels = hidden.shape
    side = layer.window_size or max(height, width)
    windows = -(-height // side), -(-width // side)
    size = (height, width) if not layer.window_size else (side, side)
    projected = _projected(layer, hidden, (windows[0] * size[0], windows[1] * size[1]))
    rows, columns = _relative(attention, size)
    result = projected.new_empty(*projected.shape[:3], channels)
    work = partial(_attend_window, projected, result, rows, columns, attention)
    tasks = _tasks(batch, windows, size, attention.num_attention_heads, bool(layer.window_size))
    if hidden.device.type == "cpu":
        for _ in workers.map(work, tasks):
            pass
    else:
        for task in tasks:
            work(task)
    attended: torch.Tensor = attention.proj(result[:, :height, :width])
    return attended


def _bands(hidden: torch.Tensor) -> Iterator[slice]:
    """Rows of (B, h, w, D) to treat at a time."""
    _, height, width, _ = hidden.shape
    step = max(1, _PIXELS_AT_ONCE // width)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))


def _projected(
    layer: Any,  # noqa: ANN401
    hidden: torch.Tensor,
    size: tuple[int, int],
) -> torch.Tensor:
    """Queries, keys and values of (B, h, w, D): (B, *size, 3 D), those of zeros behind."""
    project = layer.attn.qkv
    batch, height, width, _ = hidden.shape
    kind = {"dtype": project.weight.dtype, "device": hidden.device}
    projected = torch.empty(batch, *size, project.out_features, **kind)
    for padding in (projected[:, height:], projected[:, :height, width:]):
        padding[:] = 0 if project.bias is None else project.bias
    for rows in _bands(hidden):
        projected[:, rows, :width] = project(_normed(layer.layer_norm1, hidden[:, rows]))
    return projected


def _tasks(
    batch: int, windows: tuple[int, int], size: tuple[int, int], heads: int, windowed: bool
) -> Iterator[_Task]:
    """Image, rows, columns and heads of each piece: a window, or a head of the whole image."""
    pieces = [slice(0, heads)] if windowed else [slice(i, i + 1) for i in range(heads)]
    for image in range(batch):
        for row in range(windows[0]):
            for column in range(windows[1]):
                down = slice(row * size[0], (row + 1) * size[0])
                across = slice(column * size[1], (column + 1) * size[1])
                for piece in pieces:
                    yield image, down, across, piece


@torch.inference_mode()
def _attend_window(
    projected: torch.Tensor,
    result: torch.Tensor,
    rows: torch.Tensor | None,
    columns: torch.Tensor | None,
    attention: Any,  # noqa: ANN401 (a transformers module)
    task: _Task,
) -> None:
    """Attend within one window for some heads, and write what is seen into `result`."""
    image, down, across, heads = task
    piece = projected[image, down, across]
    height, width = piece.shape[:2]
    window = piece.reshape(height, width, 3, attention.num_attention_heads, -1)
    parts = window[..., heads, :].permute(2, 3, 0, 1, 4).flatten(2, 3).contiguous()
    query, key, value = parts.unbind(0)
    if query.device.type == "cpu":
        seen = _attend_by_rows(query, key, value, (rows, columns), (height, width), attention.scale)
    else:
        seen = _attend_fused(query, key, value, (rows, columns), (height, width), attention.scale)
    depth = query.shape[-1]
    place = result[image, down, across, heads.start * depth : heads.stop * depth]
    place.copy_(seen.transpose(0, 1).reshape(height, width, -1))


_Relative = tuple[torch.Tensor | None, torch.Tensor | None]


def _attend_by_rows(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    relative: _Relative,
    size: tuple[int, int],
    scale: float,
) -> torch.Tensor:
    """(n, h w, d) each: attention of a few rows of queries at a time."""
    heads, length, _ = query.shape
    height, width = size
    step = max(1, _BYTES_AT_ONCE // (heads * width * length * query.element_size()))
    down, across = _biases(query, relative, size)
    seen = torch.empty_like(query)
    keys = key.transpose(1, 2)
    scaled = query * scale
    for start in range(0, height, step):
        stop = min(start + step, height)
        part = slice(start * width, stop * width)
        logits = scaled[:, part] @ keys
        if down is not None and across is not None:
            grid = logits.view(heads, -1, height, width)
            grid += down[:, part, :, None]
            grid += across[:, part, None, :]
        seen[:, part] = logits.softmax(-1) @ value
    return seen


def _attend_fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    relative: _Relative,
    size: tuple[int, int],
    scale: float,
) -> torch.Tensor:
    """As `_attend_by_rows`, with the bias as further channels of queries and of one-hot keys."""
    down, across = _biases(query, relative, size)
    if down is None or across is None:
        return functional.scaled_dot_product_attention(query, key, value, scale=scale)
    height, width = size
    cells = torch.arange(height * width, device=query.device)
    one_hot = [functional.one_hot(cells // width, height), functional.one_hot(cells % width, width)]
    extra = torch.cat(one_hot, 1).to(query.dtype).expand(len(query), -1, -1)
    queries = torch.cat([query * scale, down, across], -1)
    return functional.scaled_dot_product_attention(
        queries, torch.cat([key, extra], -1), value, scale=1.0
    )


def _relative(attention: Any, size: tuple[int, int]) -> _Relative:  # noqa: ANN401
    """What queries of each row (column) multiply for keys of each row (column): (h, d, h)."""
    if not attention.use_rel_pos:
        return None, None
    rows, columns = (
        attention.get_rel_pos(n, n, table).transpose(1, 2)
        for n, table in zip(size, (attention.rel_pos_h, attention.rel_pos_w), strict=True)
    )
    return rows, columns


def _biases(query: torch.Tensor, relative: _Relative, size: tuple[int, int]) -> _Relative:
    """Bias of (n, h w, d) queries towards each row, (n, h w, h), and each column of keys."""
    rows, columns = relative
    if rows is None or columns is None:
        return None, None
    grid = query.view(len(query), *size, -1)
    down = (grid @ rows).flatten(1, 2)
    across = (grid.transpose(1, 2) @ columns).transpose(1, 2).flatten(1, 2)
    return down, across
