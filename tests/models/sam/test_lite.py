"""The bundled model's own modules against transformers', timm's and torchvision's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from helpers import blobs, environment
from safetensors.torch import load_file, save_file

from segcli.models.catalog import BUNDLED, find
from segcli.models.sam.lite.load import load_lite
from segcli.models.sam.runtime import load_runtime

TINY = BUNDLED / "tiny"


@pytest.fixture(scope="module")
def small_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another shape of the same architecture: random weights, normalisations that do something."""
    folder = tmp_path_factory.mktemp("models") / "lite"
    torch.manual_seed(0)
    config = transformers.EdgeTamConfig.from_pretrained(TINY)
    config.vision_config.fpn_hidden_size = 32
    config.vision_config.backbone_feature_sizes = [[24, 24], [12, 12], [6, 6]]
    for part in (config.prompt_encoder_config, config.mask_decoder_config):
        part.hidden_size = 32
    config.prompt_encoder_config.image_size = 96
    config.prompt_encoder_config.mask_input_channels = 8
    config.mask_decoder_config.num_attention_heads = 2
    config.mask_decoder_config.mlp_dim = 48
    config.mask_decoder_config.iou_head_hidden_dim = 32
    model = transformers.EdgeTamModel(config)
    for name, tensor in model.named_buffers():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.1)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    model.save_pretrained(folder)
    images = transformers.Sam2ImageProcessor(
        size={"height": 96, "width": 96},
        mask_size={"height": 24, "width": 24},
        image_mean=[0.2, 0.5, 0.6],
        image_std=[0.3, 0.2, 0.4],
    )
    images.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["bundled", "small"])
def both(request: pytest.FixtureRequest) -> tuple[Any, Any, Any, Any]:
    """Our model and image processor, then the stock ones, of one directory."""
    folder = TINY if request.param == "bundled" else request.getfixturevalue("small_dir")
    ours = load_lite(folder)
    assert ours is not None
    stock = transformers.AutoModelForMaskGeneration.from_pretrained(folder, dtype=torch.float32)
    return *ours, stock.eval(), transformers.AutoImageProcessor.from_pretrained(folder)


@pytest.mark.parametrize("size", [(48, 64), (301, 200), (3, 3), (1, 9)])
def test_pictures_become_the_same_pixels(both, size):
    """Enlarged, shrunk and flat pictures: not one bit differs from torchvision's resize."""
    _, squash, _, processor = both
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = processor(images=picture, input_data_format="channels_last", return_tensors="pt")
    assert torch.equal(squash(images=picture)["pixel_values"], expected["pixel_values"])


@torch.inference_mode()
def test_the_encoder_is_the_stock_encoder(both):
    """Embedding, high-resolution features and codes of position."""
    model, squash, stock, _ = both
    pixels = squash(images=blobs(1, 60, 80))["pixel_values"]
    found, expected = model.get_image_embeddings(pixels), stock.get_image_embeddings(pixels)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))
    codes = model.get_image_wide_positional_embeddings()
    torch.testing.assert_close(codes, stock.get_image_wide_positional_embeddings())


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["points", "box", "points and box"])
def test_prompts_become_the_stock_tokens(both, kind):
    """Points in and outside, box corners as labels, padding, boxes, and points with boxes."""
    model, _, stock, _ = both
    random = torch.Generator().manual_seed(2)
    points = 90 * torch.rand(1, 4, 3, 2, generator=random)
    labels = torch.tensor([[[1, 0, -10], [2, 3, 1], [1, -10, -10], [0, 1, -1]]])
    boxes = 90 * torch.rand(1, 4, 4, generator=random)
    given = (
        (points, labels) if "points" in kind else (None, None),
        boxes if "box" in kind else None,
    )
    found, _ = model.prompt_encoder(*given[0], given[1], None)
    expected, _ = stock.prompt_encoder(*given[0], given[1], None)
    torch.testing.assert_close(found, expected)


@torch.inference_mode()
def test_a_mask_becomes_the_stock_embedding(both):
    """The dense prompt of low-resolution logits."""
    model, _, stock, _ = both
    logits = 4 * torch.randn(1, 1, 24, 24, generator=torch.Generator().manual_seed(3))
    found, expected = (m.prompt_encoder.mask_embed(logits) for m in (model, stock))
    torch.testing.assert_close(found, expected)


def changed(folder: Path, copy: Path, file: str, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a model directory with one JSON file changed."""
    shutil.copytree(folder, copy)
    content = json.loads((copy / file).read_text())
    change(content)
    (copy / file).write_text(json.dumps(content))
    return copy


OTHERS = {
    "another backbone": ("config.json", "vision_config.backbone_config.architecture", "mnasnet"),
    "another pyramid": ("config.json", "vision_config.fpn_top_down_levels", [2, 3]),
    "another decoder": ("config.json", "mask_decoder_config.num_hidden_layers", 3),
    "another width": ("config.json", "vision_config.fpn_hidden_size", 64),
    "another resize": ("preprocessor_config.json", "resample", 3),
    "another size": ("preprocessor_config.json", "size", {"height": 64, "width": 96}),
    "a size missing": ("config.json", "mask_decoder_config.mlp_dim", None),
    "a setting missing": ("preprocessor_config.json", "do_rescale", None),
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_settings_are_left_to_transformers(small_dir, tmp_path, what):
    """One setting that this code does not follow, and it does not take the model."""
    file, path, value = OTHERS[what]

    def change(content: dict[str, Any]) -> None:
        *parents, name = path.split(".")
        for parent in parents:
            content = content[parent]
        if value is None:
            del content[name]
        else:
            assert content[name] != value
            content[name] = value

    assert load_lite(small_dir) is not None
    assert load_lite(changed(small_dir, tmp_path / "model", file, change)) is None


@pytest.mark.parametrize("name", ["sam", "sam2"])
def test_other_models_are_left_to_transformers(directory_of, name):
    """SAM and SAM2."""
    assert load_lite(directory_of(name)) is None


def test_weights_that_do_not_fit_are_left_to_transformers(small_dir, tmp_path):
    """A tensor missing, one of another shape, a file cut off, no file at all."""
    copy = tmp_path / "model"
    shutil.copytree(small_dir, copy)
    file = copy / "model.safetensors"
    whole = load_file(file)
    name = "mask_decoder.iou_token.weight"
    save_file({k: v for k, v in whole.items() if k != name}, file, {"format": "pt"})
    assert load_lite(copy) is None
    save_file({**whole, name: whole[name].T.contiguous()}, file, {"format": "pt"})
    assert load_lite(copy) is None
    save_file(whole, file, {"format": "pt"})
    assert load_lite(copy) is not None
    file.write_bytes(file.read_bytes()[:-100])
    assert load_lite(copy) is None
    file.unlink()
    assert load_lite(copy) is None


def test_weights_in_half_precision_are_loaded_in_single(small_dir, tmp_path):
    """A file half as large gives float32 modules."""
    copy = tmp_path / "model"
    shutil.copytree(small_dir, copy)
    file = copy / "model.safetensors"
    halved = {k: v.half() if v.is_floating_point() else v for k, v in load_file(file).items()}
    save_file(halved, file, {"format": "pt"})
    found = load_lite(copy)
    assert found is not None
    assert {p.dtype for p in found[0].parameters()} == {torch.float32}


def test_the_stock_pipeline_gets_the_stock_model():
    """Asked for, transformers' modules are loaded also where segcli has its own."""
    cpu = torch.device("cpu")
    stock = load_runtime(find("tiny"), cpu, torch.float32, stock=True)
    assert isinstance(stock.model, transformers.EdgeTamModel)
    assert not isinstance(load_runtime(find("tiny"), cpu, torch.float32).model, type(stock.model))


def test_the_bundled_model_runs_without_slow_imports(tmp_path):
    """Points, boxes and segment-everything import none of the packages that take seconds."""
    from PIL import Image

    picture = tmp_path / "a.png"
    Image.fromarray(blobs(1, 40, 40)).save(picture)
    code = (
        "import sys; from segcli.cli.app import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "slow = {'transformers', 'timm', 'torchvision', 'torch._dynamo'} & set(sys.modules)\n"
        "assert 'torch' in sys.modules and not slow, slow"
    )
    start = [sys.executable, "-c", code, "predict", str(picture), "-q", "-o"]
    for number, extra in enumerate((["--points-per-side=4"], ["--box=5,5,30,30"])):
        words = [*start, str(tmp_path / str(number)), *extra]
        done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
