"""The modules of scripts lie beside them, so their folders join the import path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
for name in (".", "train_panoptic", "train_tiny", "train_words"):
    sys.path.insert(0, str(ROOT / "examples" / name))


@pytest.fixture
def scene_folder(tmp_path: Path) -> Path:
    """Two small scenes as a user's own data: `images/` and `labels/` of the same names."""
    from scenes import make_scene, write_scene

    for seed in (0, 4):
        scene = make_scene(seed, size=(96, 128))
        write_scene(scene, tmp_path / "images", tmp_path / "labels", f"own_{seed}")
    return tmp_path
