"""`segcli predict` with class-aware models: tasks, formats, options that fit or do not.

The command line runs in this process; pipes are real subprocesses.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from class_models import make
from helpers import environment
from PIL import Image
from typer.testing import CliRunner

from segcli.cli.app import app
from segcli.models.classes.families import UNET

LOOSE = ["--threshold=0", "--overlap-mask-area-threshold=0"]


@pytest.fixture(scope="session")
def universal(tmp_path_factory):
    """A small Mask2Former for all three tasks."""
    return make("mask2former", tmp_path_factory.mktemp("universal"))


@pytest.fixture(scope="session")
def pixelwise(tmp_path_factory):
    """A small SegFormer."""
    return make("segformer", tmp_path_factory.mktemp("pixelwise"))


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def fine(*arguments) -> str:
    done = run(*arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("task", "format_"), [("semantic", "semantic"), ("instance", "labels"),
                          ("panoptic", "coco-panoptic")]
)  # fmt: skip
def test_each_task_has_its_format(universal, picture_folder, tmp_path, task, format_):
    """One checkpoint, three tasks; the format that holds most of each is the default."""
    out = tmp_path / "out"
    flags = LOOSE if task == "panoptic" else LOOSE[:1] if task == "instance" else []
    fine("predict", picture_folder, "-o", out, "-m", universal, "--task", task, *flags)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["settings"]["format"] == [format_]
    assert manifest["settings"]["task"] == task
    names = {p.name for p in out.iterdir()} - {"manifest.json", "segments.ndjson"}
    assert names == {
        "semantic": {"semantic"}, "instance": {"labels"}, "panoptic": {"panoptic", "panoptic.json"},
    }[task]  # fmt: skip


def test_another_task_does_not_join_the_folder(universal, picture_folder, tmp_path):
    """What decides results is in the manifest: same again is done, another threshold refused."""
    call = ["predict", picture_folder, "-o", tmp_path / "out", "-m", universal]
    fine(*call, *LOOSE)
    again = run(*call, *LOOSE)
    assert "3 of 3 pictures are done already" in again.stderr
    for change in (["--threshold=0.1", LOOSE[1]], [*LOOSE, "--classes", "sky"]):
        other = run(*call, *change)
        assert other.exit_code == 2
        assert "other settings" in other.stderr
    fine(*call, *LOOSE, "--task", "panoptic")


def test_a_task_the_model_cannot_do(pixelwise, picture_folder, tmp_path):
    """The error names what the model can do, before anything is loaded or written."""
    done = run("predict", picture_folder, "-o", tmp_path / "out", "-m", pixelwise, "--task",
               "panoptic")  # fmt: skip
    assert done.exit_code == 2
    assert "it can do semantic" in done.stderr
    assert "--task semantic" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--points-per-side=8"], "--points-per-side is of segment-everything"),
        (["--backend=transformers"], "--backend is of segment-everything"),
        (["--window=64"], "--window would be ignored"),
        (["--task=semantic", "--threshold=0.3"], "--threshold would be ignored"),
        (["--task=instance", "--overlap-mask-area-threshold=0.1"], "would be ignored"),
        (["--task=semantic", "--format=labels"], "--format semantic"),
        (["--task=semantc"], "did you mean 'semantic'"),
        (["--classes=gras"], "did you mean 'grass'"),
        (["--palette=cityscape"], "did you mean 'cityscapes'"),
        (["--threshold=2"], "--threshold 2 is out of range"),
    ],
)
def test_options_that_cannot_be_used_are_errors(universal, picture_folder, tmp_path, flags, words):
    """No option is accepted and ignored, and a typo is met with the closest word."""
    done = run("predict", picture_folder, "-o", tmp_path / "out", "-m", universal, *flags)
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flag", ["--task=semantic", "--threshold=0.5", "--classes=1",
                                  "--palette=voc", "--window=64"])  # fmt: skip
def test_models_without_classes_refuse_their_options(picture_folder, tmp_path, flag):
    """A SAM has no task and no classes."""
    done = run("predict", picture_folder, "-o", tmp_path / "out", "-m", "tiny", flag)
    assert done.exit_code == 2
    assert "needs a class-aware model" in done.stderr


def test_only_the_classes_wanted(pixelwise, picture_folder, tmp_path):
    """Other pixels are void, which is 255 where 0 is a class; the list holds only those kept."""
    whole, some = tmp_path / "whole", tmp_path / "some"
    fine("predict", picture_folder, "-o", whole, "-m", pixelwise)
    fine("predict", picture_folder, "-o", some, "-m", pixelwise, "--classes", "Person,3")
    before = np.asarray(Image.open(whole / "semantic" / "a" / "1.png"))
    after = np.asarray(Image.open(some / "semantic" / "a" / "1.png"))
    kept = np.isin(before, (0, 3))
    assert kept.any()
    assert (after == np.where(kept, before, 255)).all()
    listed = json.loads((some / "semantic" / "classes.json").read_text())["classes"]
    assert [(c["id"], c.get("ignored", False)) for c in listed] == [
        (0, False), (3, False), (255, True),
    ]  # fmt: skip
    score = json.loads(fine("eval", some, whole / "semantic", "--json"))["metrics"]["miou"]
    assert 0 < score["pooled"] <= 1
    same = json.loads(fine("eval", some / "semantic", whole / "semantic", "--json"))["metrics"]
    assert same["miou"]["pooled"] == score["pooled"]


def test_palette_colours_overlay_and_class_list(pixelwise, picture_folder, tmp_path):
    """A palette gives classes of its names their colours, in the list and in the overlay."""
    out = tmp_path / "out"
    fine("predict", picture_folder, "-o", out, "-m", pixelwise, "--overlay", "--palette",
         "cityscapes")  # fmt: skip
    listed = json.loads((out / "semantic" / "classes.json").read_text())["classes"]
    colors = {c["name"]: c["color"] for c in listed}
    assert colors["person"] == [220, 20, 60]
    assert colors["sky"] == [70, 130, 180]
    with Image.open(out / "overlay" / "a" / "1.png") as drawn:
        assert drawn.width == 64
        assert drawn.height > 48


def test_records_flow_through_a_pipe_into_eval(pixelwise, picture_folder, tmp_path):
    """`predict -o - | eval -` compares classes with class maps: the same model scores 1."""
    truth = tmp_path / "truth"
    fine("predict", picture_folder, "-o", truth, "-m", pixelwise)
    command = f'"{sys.executable}" -m segcli'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c",
         f'{command} predict imgs -o - -m "{pixelwise}" | {command} eval - truth/semantic --json'],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["miou"]["pooled"] == 1.0


def test_convert_keeps_classes(universal, picture_folder, tmp_path):
    """Panoptic records become class maps and COCO files with the same classes."""
    out = tmp_path / "out"
    fine("predict", picture_folder, "-o", out, "-m", universal, *LOOSE)
    for name in ("coco-panoptic", "coco-dataset", "semantic"):
        fine("convert", out, tmp_path / name, "--to", name)
    truth = json.loads((tmp_path / "coco-panoptic" / "panoptic.json").read_text())
    assert [c["name"] for c in truth["categories"]] == ["person", "dog", "sky", "grass"]
    call = ["eval", out, tmp_path / "semantic", "--json"]
    assert json.loads(fine(*call))["metrics"]["miou"]["pooled"] == 1.0


def test_prompting_a_class_aware_model(universal, picture_folder, tmp_path):
    """The protocol of points needs a model that takes points."""
    out = tmp_path / "out"
    fine("predict", picture_folder, "-o", out, "-m", universal, *LOOSE)
    done = run("eval", picture_folder, out / "panoptic.json", "--protocol", "points", "--model",
               universal)  # fmt: skip
    assert done.exit_code == 2
    assert "cannot be prompted with points" in done.stderr


def test_models_info_and_list(universal, tmp_path):
    """`models` says what a checkpoint can do, and which families load."""
    facts = json.loads(fine("models", "info", universal, "--json"))
    assert facts["task"] == "panoptic"
    assert facts["tasks"] == ["semantic", "instance", "panoptic"]
    assert facts["things"] == ["person", "dog"]
    assert facts["classes"]["3"] == "grass"
    assert facts["settings"]["threshold"] == 0.5
    assert facts["licence"].startswith("unknown")
    (universal / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    assert json.loads(fine("models", "info", universal, "--json"))["licence"] == "mit"
    (universal / "README.md").unlink()
    listed = json.loads(fine("models", "list", "--json"))
    types = {family["type"]: family for family in listed["families"]}
    assert {"sam", "mask2former", "segformer", "oneformer", "detr"} <= set(types)
    assert types["mask2former"]["tasks"][0] == "panoptic"
    assert all(row["licence"] and row["megabytes"] for row in listed["models"])
    assert "tiny-panoptic" in fine("models", "list")
    assert UNET in types


def test_help_stays_readable():
    """Examples come first; class-aware options have a panel of their own."""
    text = fine("predict", "--help")
    assert text.index("tiny-panoptic --task") < text.index("Class-aware models")
    assert "--overlap-mask-area-threshold" in text.replace("…", "")


def test_class_maps_of_many_classes_are_16_bit(tmp_path):
    """Ids above 255 make every map of a run 16-bit, whatever occurs in it."""
    from segcli.formats import get
    from segcli.formats.base import WriteOptions
    from segcli.masks.rle import segment_from_mask
    from segcli.records import ImageRef, Segmentation

    mask = np.ones((4, 5), bool)
    results = [
        Segmentation(
            ImageRef(f"{i}.png", 4, 5), (segment_from_mask(mask, category=1),),
            categories={1: "a", last: "z"},
        )
        for i, last in enumerate((300, 300))
    ]  # fmt: skip
    get("semantic").write_dataset(results, tmp_path / "semantic" / "classes.json", WriteOptions())
    with Image.open(tmp_path / "semantic" / "0.png") as picture:
        assert picture.mode == "I;16"
