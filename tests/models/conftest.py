"""Small models of every family with seeded random weights, saved as users would save them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import settings

from segcli.models.catalog import find
from segcli.models.sam.runtime import Runtime, load_runtime

# Property tests have no deadline: the machine may be busy.
settings.register_profile("no-deadline", deadline=None, max_examples=60)
settings.load_profile("no-deadline")

SMALL_DECODER = {
    "hidden_size": 32,
    "mlp_dim": 64,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 32,
}
SIDES = {"height": 64, "width": 64}
MASK_SIDES = {"height": 16, "width": 16}


SMALL_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 64,
    "patch_size": 4,
    "output_channels": 32,
    "window_size": 5,
    "global_attn_indexes": [1, 2],
    "num_pos_feats": 16,
    "mlp_dim": 64,
    "initializer_range": 0.1,
}
SMALL_PROMPTS = {"hidden_size": 32, "image_size": 64, "patch_size": 4, "mask_input_channels": 4}


def save(model: Any, folder: Path) -> Path:
    """Save a model whose parameters are all random and large enough for masks of many shapes."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(4 if name.startswith("mask_decoder") else 1)
            # Biases and norms start at 0 and 1, where a forgotten one would not be noticed.
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    model.save_pretrained(folder)
    return folder


def padding_processor() -> transformers.SamImageProcessor:
    """The image processor of models that scale a picture by its longest edge and pad it."""
    return transformers.SamImageProcessor(
        size={"longest_edge": 64},
        pad_size=SIDES,
        mask_size={"longest_edge": 16},
        mask_pad_size=MASK_SIDES,
    )


@pytest.fixture(scope="session")
def sam_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM: a layer with windows, then two that see the whole picture.

    Unlike that of the other tests its encoder answers to the picture: with transformers' own
    initial weights, of 1e-10, the embedding is the same everywhere.
    """
    torch.manual_seed(0)
    config = transformers.SamConfig(
        vision_config=SMALL_VIT,
        prompt_encoder_config=SMALL_PROMPTS,
        mask_decoder_config=SMALL_DECODER,
    )
    folder = tmp_path_factory.mktemp("models") / "sam"
    padding_processor().save_pretrained(folder)
    return save(transformers.SamModel(config), folder)


@pytest.fixture(scope="session")
def sam_hq_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM-HQ, with the encoder of the small SAM."""
    torch.manual_seed(0)
    config = transformers.SamHQConfig(
        vision_config=SMALL_VIT,
        prompt_encoder_config=SMALL_PROMPTS,
        mask_decoder_config={**SMALL_DECODER, "vit_dim": 32},
    )
    folder = tmp_path_factory.mktemp("models") / "sam_hq"
    padding_processor().save_pretrained(folder)
    return save(transformers.SamHQModel(config), folder)


def sam2_in(folder: Path, *, stable: bool) -> Path:
    """A small SAM2, with the rule that asks how stable its single mask is or without."""
    torch.manual_seed(0)
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=16,
        num_attention_heads=1,
        image_size=[64, 64],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 4, 2],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=32,
    )
    config = transformers.Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16},
        mask_decoder_config={
            **SMALL_DECODER,
            "dynamic_multimask_via_stability": stable,
            # About half of this model's single masks are as stable as this.
            "dynamic_multimask_stability_thresh": 0.72,
        },
    )
    images = transformers.Sam2ImageProcessor(size=SIDES, mask_size=MASK_SIDES)
    transformers.Sam2Processor(images, target_size=64).save_pretrained(folder)
    return save(transformers.Sam2Model(config), folder)


@pytest.fixture(scope="session")
def sam2_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM2."""
    return sam2_in(tmp_path_factory.mktemp("models") / "sam2", stable=True)


@pytest.fixture(scope="session")
def sam2_plain_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM2 whose single mask is taken whether stable or not."""
    return sam2_in(tmp_path_factory.mktemp("models") / "sam2-plain", stable=False)


@pytest.fixture(scope="session")
def sam3_tracker_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM3 tracker."""
    torch.manual_seed(0)
    backbone = transformers.Sam3ViTConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        window_size=2,
        global_attn_indexes=[1],
        pretrain_image_size=28,
    )
    vision = transformers.Sam3VisionConfig(
        backbone_config=backbone,
        fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )
    config = transformers.Sam3TrackerConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 32, "image_size": 56, "patch_size": 14},
        # About half of this model's single masks are as stable as this.
        mask_decoder_config={**SMALL_DECODER, "dynamic_multimask_stability_thresh": 0.9},
    )
    folder = tmp_path_factory.mktemp("models") / "sam3_tracker"
    transformers.Sam3ImageProcessor(
        size={"height": 56, "width": 56}, mask_size=MASK_SIDES
    ).save_pretrained(folder)
    return save(transformers.Sam3TrackerModel(config), folder)


@pytest.fixture(scope="session")
def directory_of(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """From a small model's name to its folder; a model is made when it is first asked for."""

    def directory(name: str) -> Path:
        if name == "tiny":
            return find("tiny").directory
        folder: Path = request.getfixturevalue(f"{name}_dir")
        return folder

    return directory


@pytest.fixture(scope="session")
def runtime_of(directory_of: Callable[[str], Path]) -> Callable[..., Runtime]:
    """Load a small model by name on the CPU, in float32 unless another type is named.

    A model is loaded once for all tests, which leave it as it is.
    """

    @cache
    def runtime(name: str, dtype: torch.dtype = torch.float32) -> Runtime:
        return load_runtime(find(str(directory_of(name))), torch.device("cpu"), dtype)

    return runtime
