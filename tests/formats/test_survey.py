"""A survey says what a file holds, and counts pieces only for those who ask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.formats import survey as module
from segcli.formats.judge import judge
from segcli.formats.survey import survey


def save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values).save(path)
    return path


def striped(pieces: int) -> np.ndarray:
    """Three classes; each in as many separate stripes."""
    return np.repeat(np.tile(np.uint8([1, 2, 3]), pieces), 3)[None].repeat(8, axis=0)


def test_pieces_are_counted_once_and_only_when_asked_for(tmp_path, monkeypatch):
    """`one_piece` is the share of labels of one piece; opening a folder does not pay for it."""
    asked = []
    count = module.pieces
    monkeypatch.setattr(module, "pieces", lambda runs: asked.append(1) or count(runs))
    found = survey(save(tmp_path / "a.png", np.uint8([[1, 0, 2, 0, 1, 0, 255, 0, 255]])))
    assert found.values == (0, 1, 2, 255)
    assert not asked
    assert found.one_piece == 0.5
    assert found.one_piece == 0.5
    assert len(asked) == 1


def test_a_map_of_very_many_runs_is_counted_at_once(tmp_path, monkeypatch):
    """Its runs would take more memory than the picture."""
    monkeypatch.setattr(module, "_MOST_HELD", 4)
    asked = []
    count = module.pieces
    monkeypatch.setattr(module, "pieces", lambda runs: asked.append(1) or count(runs))
    found = survey(save(tmp_path / "a.png", np.uint8([[1, 0, 1, 0, 1, 2]])))
    assert len(asked) == 1
    assert found.one_piece == 0.5


@pytest.mark.parametrize(("pieces", "expected"), [(1, "instance"), (2, "semantic")])
def test_few_files_are_asked_where_few_decide(tmp_path, monkeypatch, pieces, expected):
    """Class maps are told apart by a few files of a large folder, objects by all."""
    maps = [striped(pieces) for _ in range(40)]
    maps[-1][:, -1] = 4
    found = [survey(save(tmp_path / f"{i}.png", values)) for i, values in enumerate(maps)]
    asked = []
    count = module.pieces
    monkeypatch.setattr(module, "pieces", lambda runs: asked.append(1) or count(runs))
    assert judge(found).kind == expected
    assert len(asked) == 40 if expected == "instance" else len(asked) < 5


def test_palettes_and_wide_labels_have_no_pieces_to_count(tmp_path):
    """They are told by how they are stored."""
    wide = survey(save(tmp_path / "wide.png", np.uint16([[1, 0, 1]])))
    assert (wide.mode, wide.one_piece) == ("16-bit", 1.0)
