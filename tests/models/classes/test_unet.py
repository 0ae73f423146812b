"""U-Net and relatives as segmentation_models_pytorch saves them."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import torch
from helpers import blobs
from PIL import Image

from segcli.errors import MissingExtraError, ModelError
from segcli.models.catalog import find
from segcli.models.classes.loaded import load_class_model
from segcli.models.classes.settings import ClassSettings
from segcli.models.classes.unet import UnetProcessor

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
INSTALLED = importlib.util.find_spec("segmentation_models_pytorch") is not None
needs_extra = pytest.mark.skipif(not INSTALLED, reason="segcli[unet] is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small U-Net of three classes, saved as its library saves it."""
    from class_models import unet

    torch.manual_seed(0)
    return unet(tmp_path_factory.mktemp("unet"))


@needs_extra
@pytest.mark.parametrize(("name", "classes", "channels"), [("Unet", 1, 1), ("Linknet", 4, 3)])
def test_relatives_and_channels(name, classes, channels, tmp_path):
    """Other architectures, one class, grey input: logits equal the library's own model."""
    import segmentation_models_pytorch as smp
    from class_models import unet

    torch.manual_seed(1)
    path = unet(tmp_path, classes, name, channels)
    loaded = load_class_model(
        find(str(path)), ClassSettings("semantic"), device="cpu", dtype="auto"
    )
    image = blobs(2, 64, 96)
    found = np.zeros((64, 96), int)
    from segcli.masks.rle import decode

    for segment in loaded.segment(image):
        found[decode(segment.mask)] = segment.category
    model = smp.from_pretrained(str(path)).eval()
    inputs = loaded.runtime.processor(torch.from_numpy(image).permute(2, 0, 1))["pixel_values"]
    with torch.inference_mode():
        logits = model(inputs)[0]
    theirs = (logits[0] >= 0).int() if classes == 1 else logits.argmax(0)
    assert (found == theirs.numpy()).mean() > 0.999
    names = list(find(str(path)).classes.categories.values())
    assert names == (["background", "foreground"] if classes == 1 else
                     [f"class_{i}" for i in range(classes)])  # fmt: skip


@needs_extra
def test_from_folder_to_score(folder, tmp_path):
    """A large picture through a window; class maps are written, read back and scored."""
    from typer.testing import CliRunner

    from segcli.cli.app import app

    (tmp_path / "imgs").mkdir()
    Image.fromarray(blobs(0, 150, 210)).save(tmp_path / "imgs" / "a.png")
    out = tmp_path / "out"
    call = ["predict", str(tmp_path / "imgs"), "-o", str(out), "-m", str(folder), "--window", "96"]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.stderr
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["window"] == 96
    assert manifest["settings"]["window_overlap"] == 0.25
    assert manifest["settings"]["task"] == "semantic"
    scored = CliRunner().invoke(app, ["eval", str(out), str(out / "semantic"), "--json"])
    assert json.loads(scored.stdout)["metrics"]["miou"]["pooled"] == 1.0
    other = CliRunner().invoke(app, [*call[:-1], "64"])
    assert other.exit_code == 2
    assert "window: 96 there, 64 now" in other.stderr


def test_padding_is_mirrored_and_taken_off():
    """Sides become multiples of 32; a small picture, which cannot be mirrored, is padded by 0."""
    processor = UnetProcessor()
    image = torch.from_numpy(blobs(0, 50, 70)).permute(2, 0, 1)
    found = processor(image)
    assert found["pixel_values"].shape == (1, 3, 64, 96)
    assert found["valid_share"] == (50 / 64, 70 / 96)
    inner = found["pixel_values"][0, :, :50, :70]
    torch.testing.assert_close(found["pixel_values"][0, :, 50, :70], inner[:, 48])
    assert processor(image[:, :2, :2])["pixel_values"].shape == (1, 3, 32, 32)


@needs_extra
def test_missing_extra_names_its_command(folder, monkeypatch):
    """Without the library the error says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match="segmentation_models_pytorch") as caught:
        load_class_model(find(str(folder)), ClassSettings("semantic"), device="cpu", dtype="auto")
    assert caught.value.fix == "pip install 'segcli[unet]'"


@needs_extra
def test_damaged_directories_are_refused(folder, tmp_path):
    """A class that is no model, or weights that do not fit, are errors and no traceback."""
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    for change in ({"_model_class": "encoders"}, {"classes": 5}, {"in_channels": 7}):
        (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
        with pytest.raises(ModelError, match="cannot load"):
            load_class_model(
                find(str(tmp_path)), ClassSettings("semantic"), device="cpu", dtype="auto"
            )


@needs_extra
def test_named_classes_must_be_as_many(folder, tmp_path):
    """The names in segcli.json are the model's classes, one for each."""
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "segcli.json").write_text(json.dumps({"classes": ["ground", "leaf", "stem"]}))
    assert list(find(str(tmp_path)).classes.categories.values()) == ["ground", "leaf", "stem"]
    (tmp_path / "segcli.json").write_text(json.dumps({"classes": ["ground", "leaf"]}))
    with pytest.raises(ModelError, match="names 2 classes, and it has 3"):
        find(str(tmp_path))
