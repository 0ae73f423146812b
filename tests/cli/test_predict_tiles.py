"""`segcli predict --tile`: large pictures from the command line to the files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from class_models import make
from helpers import blobs
from PIL import Image
from typer.testing import CliRunner

from segcli.cli.app import app

FLAGS = ["--points-per-side=6"]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def fine(*arguments) -> dict:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout.splitlines()[0])


@pytest.fixture
def large(tmp_path):
    """A picture of 600 x 900 with discs, one of them over the border of two tiles."""
    y, x = np.mgrid[:600, :900]
    picture = np.random.default_rng(0).integers(0, 30, (600, 900, 3))
    for cy, cx, radius in ((150, 150, 70), (300, 450, 90), (460, 760, 80)):
        picture[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] = 220
    path = tmp_path / "large.png"
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return path


def test_a_large_picture_with_the_bundled_model(large, tmp_path):
    """A disc that a tile's border cuts is one mask of the whole disc; settings are recorded."""
    out = tmp_path / "out"
    record = fine("predict", large, "-o", out, "--tile", 512, *FLAGS)
    y, x = np.mgrid[:600, :900]
    disc = (y - 300) ** 2 + (x - 450) ** 2 < 90**2
    labels = np.asarray(Image.open(out / "labels" / "large.png"))
    assert labels.shape == (600, 900)
    number = np.bincount(labels[disc]).argmax()
    assert number > 0
    mask = labels == number
    assert (mask & disc).sum() / (mask | disc).sum() > 0.8
    assert all(s["segmentation"]["size"] == [600, 900] for s in record["segments"])
    settings = json.loads((out / "manifest.json").read_text())["settings"]
    assert (settings["tile"], settings["tile_overlap"]) == (512, 64)
    other = run("predict", large, "-o", out, "--tile", 512, "--tile-overlap", 100, *FLAGS)
    assert other.exit_code == 2
    assert "tile_overlap: 64 there, 100 now" in " ".join(other.stderr.split())


def test_a_picture_that_fits_one_tile_is_the_same(picture_folder, sam_dir, tmp_path):
    """With a tile larger than the pictures, every record is that of a run without."""
    call = ["predict", picture_folder, "-m", sam_dir, "--max-masks=4", "--pred-iou-thresh=0"]
    fine(*call, "-o", tmp_path / "whole")
    fine(*call, "-o", tmp_path / "tiles", "--tile", 64)
    name = "segments.ndjson"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "tiles" / name).read_bytes()


@pytest.mark.parametrize(
    ("model", "task"), [("mask2former", "panoptic"), ("mask2former", "instance"),
                        ("mask2former", "semantic"), ("segformer", "semantic")]
)  # fmt: skip
def test_class_aware_models_in_tiles(tmp_path, model, task):
    """Class maps and panoptic segments cover no pixel twice; a class of stuff is one segment."""
    Image.fromarray(blobs(3, 100, 170)).save(tmp_path / "p.png")
    folder = make(model, tmp_path)
    flags = [] if task == "semantic" else ["--threshold=0"]
    flags += ["--overlap-mask-area-threshold=0"] if task == "panoptic" else []
    record = fine("predict", tmp_path / "p.png", "-o", tmp_path / "out", "-m", folder, "--task",
                  task, "--tile", 64, "--tile-overlap", 16, *flags)  # fmt: skip
    segments = record["segments"]
    area = sum(s["area"] for s in segments)
    classes = [s["category"] for s in segments]
    if task == "semantic":
        assert area == 100 * 170
        assert len(set(classes)) == len(classes)
    if task == "panoptic":
        stuff = [c for c in classes if c >= 2]
        assert area <= 100 * 170
        assert len(set(stuff)) == len(stuff)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--tile=32"], "--tile 32 is too small"),
        (["--tile=128", "--tile-overlap=64"], "--tile-overlap 64 is out of range"),
        (["--tile-overlap=16"], "--tile-overlap is of tiles"),
        (["--tile=128", "--point=5,5"], "--tile is not for prompts"),
    ],
)
def test_tiles_that_cannot_be(picture_folder, tmp_path, flags, words):
    """Impossible tiles and options that would be ignored are errors before anything is written."""
    done = run("predict", picture_folder / "a" / "1.png", "-o", tmp_path / "out", *flags)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()
