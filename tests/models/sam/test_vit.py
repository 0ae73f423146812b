"""The ViT encoder against transformers' own."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from transformers import SamConfig, SamHQVisionConfig, SamHQVisionModel
from transformers.models.sam.modeling_sam import SamVisionModel

from segcli.models.sam import vit
from segcli.models.sam.vit import encode_with_vit
from segcli.models.sam.workers import Workers

WORKERS = Workers(2)
# Of a picture of 16 x 16 patches: windows that divide it, that need padding, and one as large.
WINDOWS = [4, 5, 16]


def encoder(family: str, **settings):
    """A small vision encoder all of whose parameters are random; transformers starts many at 0."""
    vision = {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 4,
        "output_channels": 16,
        "window_size": 5,
        "global_attn_indexes": [1, 3],
        "mlp_dim": 64,
        **settings,
    }
    if family == "sam":
        model = SamVisionModel(SamConfig(vision_config=vision).vision_config)
    else:
        model = SamHQVisionModel(SamHQVisionConfig(**vision))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model.eval().vision_encoder


def pictures(count: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    assert expected.std() > 0.1
    assert torch.allclose(found, expected, atol=2e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("family", ["sam", "sam_hq"])
@pytest.mark.parametrize("window", WINDOWS)
@torch.inference_mode()
def test_equals_stock(family, window):
    """The embedding is stock's, with and without relative positions, and biases of q, k and v.

    So are SAM-HQ's features: those after the first layer that sees the whole picture.
    """
    for positions, bias in product([True, False], repeat=2):
        model = encoder(family, window_size=window, use_rel_pos=positions, qkv_bias=bias)
        stock = model(pictures())
        embedding, early = encode_with_vit(model, pictures(), WORKERS)
        assert_close(embedding, stock.last_hidden_state)
        if family == "sam_hq":
            assert_close(early, stock.intermediate_embeddings[0])


@torch.inference_mode()
def test_without_absolute_positions():
    """An encoder without absolute positions is stock's as well."""
    model = encoder("sam", use_abs_pos=False)
    assert model.pos_embed is None
    embedding, _ = encode_with_vit(model, pictures(), WORKERS)
    assert_close(embedding, model(pictures()).last_hidden_state)


@torch.inference_mode()
def test_pictures_of_a_batch_do_not_see_each_other():
    """Two pictures together are encoded as each alone."""
    model, both = encoder("sam_hq"), pictures(2)
    together = encode_with_vit(model, both, WORKERS)
    for index in range(2):
        alone = encode_with_vit(model, both[index : index + 1], WORKERS)
        for found, expected in zip(alone, together, strict=True):
            assert_close(found, expected[index : index + 1])


@torch.inference_mode()
def test_row_blocks_change_nothing(monkeypatch):
    """Attention over a few rows of queries at a time, down to one row, is attention over all."""
    model = encoder("sam")
    expected, _ = encode_with_vit(model, pictures(), WORKERS)
    row = 2 * 16 * 256 * 4
    for limit in (1, 3 * row, 1 << 30):
        monkeypatch.setattr(vit, "_BYTES_AT_ONCE", limit)
        found, _ = encode_with_vit(model, pictures(), WORKERS)
        assert_close(found, expected)


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize("size", [(6, 6), (3, 7)])
@torch.inference_mode()
def test_attention_for_a_gpu_equals_that_for_a_cpu(size, positions, monkeypatch):
    """Relative positions as further channels are relative positions added to the logits.

    Both are checked against the formula: softmax(q·k / √d + bias of rows + bias of columns)·v.
    """
    monkeypatch.setattr(vit, "_BYTES_AT_ONCE", 1 << 10)
    torch.manual_seed(2)
    heads, depth, (height, width) = 3, 8, size
    query, key, value = torch.randn(3, heads, height * width, depth)
    rows, columns = torch.randn(height, depth, height), torch.randn(width, depth, width)
    relative = (rows, columns) if positions else (None, None)
    logits = query @ key.transpose(1, 2) * 0.3
    if positions:
        grid = query.unflatten(1, size)
        down = torch.einsum("nyxd,ydk->nyxk", grid, rows)[..., None]
        across = torch.einsum("nyxd,xdk->nyxk", grid, columns)[..., None, :]
        logits = logits + (down + across).reshape(logits.shape)
    expected = logits.softmax(-1) @ value
    for attend in (vit._attend_by_rows, vit._attend_fused):
        assert_close(attend(query, key, value, relative, size, 0.3), expected)


@torch.inference_mode()
def test_path_for_a_gpu_reads_nothing_back():
    """On the meta device, which has no values, the path for a GPU runs and gives the shapes."""
    model = encoder("sam").to("meta")
    embedding, early = encode_with_vit(model, pictures().to("meta"), WORKERS)
    assert embedding.shape == (1, 16, 16, 16)
    assert early.shape == (1, 16, 16, 32)
