"""Finding models: offline, safe, and helpful when something is missing."""

from __future__ import annotations

import json
import shutil

import pytest

from segcli.errors import ModelError
from segcli.models.catalog import CATALOG, find, weights_hash


def test_local_directory(sam_dir):
    """A folder written by save_pretrained is a model."""
    model = find(str(sam_dir))
    assert model.family.name == "sam"
    assert not model.family.squashes
    assert weights_hash(model).startswith("sha256:")


def test_bundled_model():
    """The default model is inside the package, is described, and has thresholds of its own."""
    model = find("tiny")
    assert model.card["summary"]
    assert set(model.card["stronger"]) <= set(CATALOG)
    assert "pred_iou_thresh" in model.generate_defaults
    size = sum(p.stat().st_size for p in model.directory.glob("*.safetensors"))
    assert size <= 16 * 2**20


@pytest.mark.parametrize(
    ("name", "fix"),
    [("tyni", "tiny"), ("sam-vit-bse", "sam-vit-base"), ("nothing like it", "models list")],
)
def test_unknown_name(name, fix):
    """An unknown name is met with the closest known one."""
    with pytest.raises(ModelError, match="unknown model") as caught:
        find(name)
    assert fix in caught.value.fix


def test_not_cached_says_how_to_fetch(monkeypatch, tmp_path):
    """A Hub model that is not here names the command that fetches it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name in ("sam-vit-base", "someone/some-model"):
        with pytest.raises(ModelError, match="not on this machine") as caught:
            find(name)
        assert f"segcli models pull {name}" in caught.value.fix


def test_cached_snapshot_is_found(monkeypatch, tmp_path, sam_dir):
    """A model in the Hub cache is used from its snapshot, and its revision is known."""
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--facebook--sam-vit-base"
    revision = "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(sam_dir, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    assert find("sam-vit-base").revision == revision


def test_pickled_weights_are_refused(tmp_path, sam_dir):
    """A model that ships only pickled weights is not loaded."""
    folder = tmp_path / "pickled"
    shutil.copytree(sam_dir, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors") as caught:
        find(str(folder))
    assert "pickled" in caught.value.why


def test_other_kinds_of_model_are_refused(tmp_path):
    """A directory of a model that makes no masks is named as such."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="bert"):
        find(str(tmp_path))
    with pytest.raises(ModelError, match="not a model directory"):
        find(str(tmp_path.parent / tmp_path.name / ".."))
