"""Small models of every family, made once a session."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of the small model of a family, made when it is first asked for."""
    from class_models import make

    root, made = tmp_path_factory.mktemp("class-models"), {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = make(name, root)
        return made[name]

    return folder
