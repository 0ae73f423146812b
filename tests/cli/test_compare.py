"""`segcli compare` as a real process."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from helpers import segcli
from PIL import Image


def save(folder: Path, **columns: int) -> Path:
    """Binary masks whose first columns are inside."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, inside in columns.items():
        values = np.zeros((8, 10), np.uint8)
        values[:, :inside] = 255
        Image.fromarray(values).save(folder / f"{stem}.png")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two runs and their ground truth: IoU 0.5, 1, 0.5 and 0.75, 0.5, 0.5."""
    return (
        save(tmp_path / "a", x=4, y=5, z=2),
        save(tmp_path / "b", x=6, y=10, z=2),
        save(tmp_path / "gt", x=8, y=5, z=4),
    )


def test_two_folders_and_their_ground_truth(runs):
    """A table on stdout, what was found out on stderr, exit code 0."""
    a, b, gt = runs
    done = segcli("compare", a, b, "--gt", gt)
    assert done.returncode == 0, done.stderr
    lines = [line.split()[:4] for line in done.stdout.splitlines()]
    assert ["iou.mean_of_images", "0.6667", "0.5833", "-0.0833"] in lines
    assert ["x.png", "0.5000", "0.7500", "+0.2500"] in lines
    assert "3 images that both runs scored" in done.stderr
    assert "binary masks" in done.stderr


def test_json_is_one_object_and_repeats(runs):
    """`--json` writes one object, the same bytes for the same seed, others for another."""
    a, b, gt = runs
    words = ("compare", a, b, "--gt", gt, "--json", "--resamples", 200)
    first = segcli(*words)
    result = json.loads(first.stdout)
    assert result["schema"] == "segcli.compare/1"
    mean = result["metrics"]["iou"]["mean_of_images"]
    assert mean["delta"] == pytest.approx(-1 / 12)
    assert mean["delta_interval"]["low"] <= mean["delta"] <= mean["delta_interval"]["high"]
    assert result["params"]["bootstrap"]["resamples"] == 200
    assert result["params"]["a"]["pairing"]["pairs"] == 3
    assert result["images"]["rose_most"][0]["image"] == "x.png"
    assert segcli(*words, "--workers", 1).stdout == first.stdout
    assert segcli(*words, "--seed", 5).stdout != first.stdout


def test_rows_of_eval_give_the_same(runs, tmp_path):
    """Rows that `segcli eval --per-image` wrote need no masks any more."""
    a, b, gt = runs
    files = [tmp_path / "a.ndjson", tmp_path / "b.ndjson"]
    for run, file in zip((a, b), files, strict=True):
        assert segcli("eval", run, gt, "--per-image", file, "-q").returncode == 0
    direct = json.loads(segcli("compare", a, b, "--gt", gt, "--json").stdout)
    done = segcli("compare", *files, "--json")
    assert done.returncode == 0, done.stderr
    stored = json.loads(done.stdout)
    for part in ("metrics", "per_class", "undefined", "images"):
        assert stored[part] == direct[part]


def test_an_image_of_one_run_alone_is_exit_code_3(runs):
    """It is named with its reason and left out; `--missing empty` scores it."""
    a, b, gt = runs
    (b / "y.png").unlink()
    done = segcli("compare", a, b, "--gt", gt)
    assert done.returncode == 3
    assert "error: y.png: scored in A only" in done.stderr
    assert "why: B: y.png: has no prediction" in done.stderr
    assert "2 images scored in both" in done.stdout
    assert segcli("compare", a, b, "--gt", gt, "--missing", "empty").returncode == 0
    skipped = segcli("compare", a, b, "--gt", gt, "--missing", "skip")
    assert (skipped.returncode, "unmatched files are left out" in skipped.stderr) == (0, True)


def test_csv_on_stdout(runs, tmp_path):
    """`--csv -` writes rows and nothing else; a file appears whole."""
    a, b, gt = runs
    done = segcli("compare", a, b, "--gt", gt, "--csv", "-", "-q")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["metric"] for row in rows][:2] == ["iou.pooled", "iou.mean_of_images"]
    assert done.stderr == ""
    segcli("compare", a, b, "--gt", gt, "--csv", tmp_path / "delta.csv")
    assert (tmp_path / "delta.csv").read_text() == done.stdout


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ([], "--gt GT"),
        (["--gt", "GT", "--json", "--csv", "-"], "both write to standard output"),
        (["--gt", "none"], "none"),
        (["--gt", "GT", "--protocol", "instance"], "needs objects"),
        (["--gt", "GT", "--csv", "."], "is a folder"),
    ],
)
def test_mistakes_are_exit_code_2(runs, extra, words):
    """Nothing is scored, and the message says what would work."""
    a, b, gt = runs
    extra = [str(gt) if word == "GT" else word for word in extra]
    done = segcli("compare", a, b, *extra)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""


def test_options_that_would_be_ignored_are_refused(runs, tmp_path):
    """Rows are scored already: scoring options without --gt are mistakes, and so is --gt."""
    a, _, gt = runs
    rows = tmp_path / "a.ndjson"
    segcli("eval", a, gt, "--per-image", rows, "-q")
    done = segcli("compare", rows, rows, "--ignore-index", 255)
    assert (done.returncode, "--ignore-index would be ignored" in done.stderr) == (2, True)
    done = segcli("compare", rows, rows, "--gt", gt)
    assert (done.returncode, "holds scores, not masks" in done.stderr) == (2, True)
