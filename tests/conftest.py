"""Fixtures shared by all tests: no network, small seeded models, small pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers import blobs
from PIL import Image

os.environ["HF_HUB_OFFLINE"] = "1"
# Tiny models gain nothing from threads, and lose much to them on a machine that is busy.
os.environ["OMP_NUM_THREADS"] = "1"
for name in [n for n in os.environ if n.startswith("SEGCLI_")]:
    del os.environ[name]

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures with ground truth, where the machine has them."""
    if not SHARED.is_dir():
        pytest.skip("the shared data is not on this machine")
    return SHARED


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Three pictures in two folders: ``imgs/a/1.png``, ``imgs/b/1.png``, ``imgs/b/2.jpg``."""
    folder = tmp_path / "imgs"
    for seed, name in enumerate(["a/1.png", "b/1.png", "b/2.jpg"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blobs(seed)).save(path)
    return folder


@pytest.fixture(scope="session")
def sam_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SAM with seeded random weights, saved as a user would save one."""
    import torch
    from transformers import SamConfig, SamImageProcessor, SamModel

    torch.manual_seed(0)
    config = SamConfig(
        vision_config={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 4,
            "output_channels": 32,
            "window_size": 4,
            "global_attn_indexes": [1],
            "num_pos_feats": 16,
            "mlp_dim": 64,
        },
        prompt_encoder_config={
            "hidden_size": 32,
            "image_size": 64,
            "patch_size": 4,
            "mask_input_channels": 4,
        },
        mask_decoder_config={
            "hidden_size": 32,
            "mlp_dim": 64,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
    )
    model = SamModel(config)
    for parameter in model.mask_decoder.parameters():
        parameter.data = parameter.data * 4
    folder = tmp_path_factory.mktemp("models") / "sam"
    model.save_pretrained(folder)
    SamImageProcessor(
        size={"longest_edge": 64},
        pad_size={"height": 64, "width": 64},
        mask_size={"longest_edge": 16},
        mask_pad_size={"height": 16, "width": 16},
    ).save_pretrained(folder)
    return folder
