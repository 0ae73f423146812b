"""`segcli predict --tile`: large pictures from the command line to the files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from class_models import make
from helpers import blobs
from PIL import Image
from typer.testing import CliRunner
from word_models import clipseg_in, grounding_dino_in, sam3_in

from segcli.cli.app import app

EXAMPLES = Path(__file__).parents[2] / "examples"
FLAGS = ["--points-per-side=16"]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def fine(*arguments) -> str:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture
def mosaic(tmp_path):
    """Six example pictures in one of 512 x 960, and its label map: (pictures, ground truth)."""
    images, labels, count = [], [], 0
    for name in ("coins_000002", "cells_000002", "coins_000002") * 2:
        values = np.asarray(Image.open(EXAMPLES / "ground_truth" / f"{name}.png")).astype(int)
        images.append(np.asarray(Image.open(EXAMPLES / "images" / f"{name}.png").convert("RGB")))
        labels.append(np.where(values > 0, values + count, 0))
        count += int(values.max())
    for folder, parts, kind in (("imgs", images, np.uint8), ("gt", labels, np.uint16)):
        (tmp_path / folder).mkdir()
        whole = np.vstack([np.hstack(parts[:3]), np.hstack(parts[3:])]).astype(kind)
        Image.fromarray(whole).save(tmp_path / folder / "m.png")
    return tmp_path / "imgs", tmp_path / "gt"


def predict(*arguments) -> dict:
    """The record of one picture."""
    return json.loads(fine("predict", *arguments).splitlines()[0])


def scores(out, truth) -> dict:
    return json.loads(fine("eval", out, truth))["metrics"]


def test_a_large_picture_with_the_bundled_model(mosaic, tmp_path):
    """Small objects that are lost in the whole picture are found in its tiles."""
    images, truth = mosaic
    whole = predict(images, "-o", tmp_path / "whole", *FLAGS)
    tiles = predict(images, "-o", tmp_path / "tiles", "--tile", 320, *FLAGS)
    assert len(tiles["segments"]) > 2 * len(whole["segments"])
    assert all(s["segmentation"]["size"] == [512, 960] for s in tiles["segments"])
    f1 = [scores(tmp_path / name, truth)["f1_50"]["pooled"] for name in ("whole", "tiles")]
    assert f1[1] > 2 * f1[0]
    settings = json.loads((tmp_path / "tiles" / "manifest.json").read_text())["settings"]
    assert (settings["tile"], settings["overlap"]) == (320, 40)
    other = run("predict", images, "-o", tmp_path / "tiles", "--tile=320", "--overlap=99", *FLAGS)
    assert other.exit_code == 2
    assert "overlap: 40 there, 99 now" in " ".join(other.stderr.split())


def test_prompts_in_tiles(mosaic, tmp_path):
    """Boxes of all objects, asked in tiles: as many answers, in order, and better ones."""
    images, truth = mosaic
    segcli = ["convert", truth, tmp_path / "truth", "--to", "coco-dataset", "--images", images]
    fine(*segcli)
    (boxes,) = (tmp_path / "truth").rglob("*.json")
    call = [images, "--prompts", boxes]
    records = {
        name: predict(*call, "-o", tmp_path / name, *flags)
        for name, flags in (("whole", ()), ("tiles", ("--tile", 320)))
    }
    asked = [[s["prompt"]["box"] for s in r["segments"]] for r in records.values()]
    assert asked[0] == asked[1]
    assert len(asked[0]) > 300
    f1 = [scores(tmp_path / name, truth)["f1_50"]["pooled"] for name in records]
    assert f1[1] > f1[0]


@pytest.mark.parametrize("name", ["dino", "sam3", "clipseg"])
def test_words_in_tiles(sam_dir, tmp_path, name):
    """Each way of taking words: masks, boxes and names are the picture's; a map is one a text."""
    Image.fromarray(blobs(3, 96, 310)).save(tmp_path / "p.png")
    make = {"dino": grounding_dino_in, "sam3": sam3_in, "clipseg": clipseg_in}[name]
    folder = make(tmp_path / "model")
    chosen = ["-m", sam_dir, "--detector", folder] if name == "dino" else ["-m", folder]
    loose = ["--mask-threshold", "0.3"] if name == "clipseg" else ["--box-threshold", "0.01"]
    record = predict(tmp_path / "p.png", "-o", tmp_path / "out", *chosen, *loose,
                  "--text", "bright disc", "--text", "cat", "--tile", 128)  # fmt: skip
    segments = record["segments"]
    assert segments
    assert all(s["segmentation"]["size"] == [96, 310] for s in segments)
    assert {s["category_name"] for s in segments} <= {"bright disc", "cat"}
    if name == "clipseg":
        assert len({s["category"] for s in segments}) == len(segments)
    else:
        assert max(s["prompt"]["box"][2] for s in segments) > 128


def test_a_picture_that_fits_one_tile_is_the_same(picture_folder, sam_dir, tmp_path):
    """With a tile larger than the pictures, every record is that of a run without."""
    call = [picture_folder, "-m", sam_dir, "--max-masks=4", "--pred-iou-thresh=0"]
    fine("predict", *call, "-o", tmp_path / "whole")
    fine("predict", *call, "-o", tmp_path / "tiles", "--tile", 64)
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
    record = predict(tmp_path / "p.png", "-o", tmp_path / "out", "-m", folder, "--task",
                  task, "--tile", 64, "--overlap", 16, *flags)  # fmt: skip
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
        (["--tile=128", "--overlap=64"], "--overlap 64 is out of range"),
        (["--overlap=16"], "--overlap is of tiles"),
    ],
)
def test_tiles_that_cannot_be(picture_folder, tmp_path, flags, words):
    """Impossible tiles and options that would be ignored are errors before anything is written."""
    done = run("predict", picture_folder / "a" / "1.png", "-o", tmp_path / "out", *flags)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()
