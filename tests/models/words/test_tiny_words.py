"""The bundled model of words on scenes it never saw: it reads, and it looks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import segcli

from segcli.models.catalog import find

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "words"


@pytest.fixture
def trainer(monkeypatch):
    """The report of the model's trainer, which knows the controls."""
    pytest.importorskip("skimage")
    for name in ("train_tiny", "train_panoptic", "train_words"):
        monkeypatch.syspath_prepend(str(ROOT / "examples" / name))
    import words_report

    return words_report


def test_the_card_and_the_files():
    """It is small, licensed, and takes words."""
    model = find("tiny-words")
    assert model.words.output == "map"
    assert model.card["license"] == "Apache-2.0"
    assert sum(p.stat().st_size for p in model.directory.glob("*.safetensors")) <= 8 * 2**20
    assert (model.directory / "README.md").read_text().startswith("# tiny-words")


def test_it_reads_and_it_looks(trainer):
    """Colours and grounds are found better than by a model that cannot read, or cannot see.

    So are pairs of colour and shape that training never showed; shapes alone it hardly knows.
    """
    from words_scenes import make_words_scene

    scenes = [make_words_scene(seed, held_out=True) for seed in range(801_000, 801_025)]
    answer = trainer.reader(find("tiny-words").directory)
    rows = trainer.measure(answer, scenes)
    pairs = ("colour and shape", "colour and shape, never seen together", "colour and thing")
    for kind in (*pairs, "ground"):
        row = rows[kind]
        assert row["model"] > 2 * max(row["cannot read"], row["cannot see"]), (kind, row)
    silent = trainer.silence(answer, scenes)
    assert silent["unknown words"] > 0.9
    assert silent["absent"] > 0.4


def test_words_of_the_examples_are_scored(tmp_path):
    """The README's way: pictures and a file of words in, class maps' mIoU out."""
    words = EXAMPLES / "words.txt"
    done = segcli(
        "predict", EXAMPLES / "images", "-o", "out", "-m", "tiny-words", "--text-file", words,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scored = segcli(
        "eval", "out", EXAMPLES / "ground_truth", "--protocol", "semantic", "--ignore-index", "255",
        "--json", cwd=tmp_path,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    found = json.loads(scored.stdout)
    assert found["metrics"]["miou"]["pooled"] > 0.5
