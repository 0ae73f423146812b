"""Every family, end to end: a folder of pictures, predictions, files, and their score.

The command line runs in this process; the models are transformers' own, saved as users save them.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from class_models import FAMILIES, QUERIES
from helpers import blobs
from PIL import Image
from typer.testing import CliRunner

from segcli.cli.app import app
from segcli.models.catalog import find
from segcli.models.classes.facts import class_facts
from segcli.models.classes.loaded import load_class_model
from segcli.models.classes.settings import ClassSettings

# Random models are sure of nothing.
ALL = ["--threshold=0", "--overlap-mask-area-threshold=0"]


def run(*arguments) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture
def pictures(tmp_path):
    """A wide picture, a tall one in a folder, and a square one."""
    folder = tmp_path / "imgs"
    for seed, (name, size) in enumerate(
        [("wide.png", (40, 90)), ("b/tall.png", (75, 50)), ("square.png", (64, 64))]
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blobs(seed, *size)).save(path)
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_semantic_from_folder_to_score(name, model_dir, pictures, tmp_path):
    """Each pixel has a class; the class maps are read back and equal the records."""
    out = tmp_path / "out"
    run("predict", pictures, "-o", out, "-m", model_dir(name), "--task", "semantic", "--overlay")
    assert sorted(p.name for p in out.iterdir()) == [
        "manifest.json", "overlay", "segments.ndjson", "semantic",
    ]  # fmt: skip
    with Image.open(out / "semantic" / "b" / "tall.png") as picture:
        assert (picture.size, picture.mode) == ((50, 75), "L")
    listed = json.loads((out / "semantic" / "classes.json").read_text())["classes"]
    assert [c["name"] for c in listed] == ["person", "dog", "sky", "grass"]
    score = json.loads(run("eval", out, out / "semantic", "--json"))
    assert score["params"]["protocol"] == "semantic"
    assert score["metrics"]["miou"]["pooled"] == 1.0
    assert score["metrics"]["pixel_accuracy"]["pooled"] == 1.0


@pytest.mark.parametrize("name", QUERIES)
def test_panoptic_and_instances_from_folder_to_score(name, model_dir, pictures, tmp_path):
    """One checkpoint serves both: panoptic files score 1 against its records, objects as well."""
    out = tmp_path / "panoptic"
    call = ["predict", pictures, "-m", model_dir(name), *ALL[:1]]
    run(*call, "-o", out, "--task", "panoptic", *ALL[1:])
    truth = json.loads((out / "panoptic.json").read_text())
    assert [(c["name"], c["isthing"]) for c in truth["categories"]] == [
        ("person", 1), ("dog", 1), ("sky", 0), ("grass", 0),
    ]  # fmt: skip
    score = json.loads(run("eval", out, out / "panoptic.json", "--json"))
    assert score["params"]["protocol"] == "panoptic"
    assert score["metrics"]["pq"]["pooled"] == 1.0
    out = tmp_path / "instance"
    run(*call, "-o", out, "--task", "instance", "--format", "coco", "--format", "coco-dataset")
    found = json.loads((out / "coco.json").read_text())
    assert found
    assert {r["category_id"] for r in found} <= {0, 1}
    assert all(isinstance(r["segmentation"]["counts"], str) for r in found)


def test_default_task_is_the_trained_one(model_dir):
    """The card decides; then the family, the processor and the name; then panoptic."""
    assert find(str(model_dir("segformer"))).classes.task == "semantic"
    split = find(str(model_dir("eomt_semantic"))).classes
    assert (split.task, split.tasks) == ("semantic", ("semantic",))
    config = json.loads((model_dir("mask2former") / "config.json").read_text())
    for name, task, tasks in (
        ("facebook/mask2former-swin-small-coco-instance", "instance", ("instance",)),
        ("facebook/mask2former-swin-small-ade-semantic", "semantic", ("semantic",)),
        ("facebook/mask2former-swin-small-coco-panoptic", "panoptic", None),
        ("mine", "panoptic", None),
        ("my-panoptic/mine", "panoptic", None),
    ):
        facts = class_facts(name, config, {})
        assert facts.task == task
        assert facts.tasks == (tasks or ("semantic", "instance", "panoptic"))
    assert class_facts("x-semantic", config, {"task": "instance"}).task == "instance"
    assert class_facts("x", {"model_type": "bert", "architectures": ["BertModel"]}, {}) is None
    generic = {"model_type": "new", "architectures": ["NewForSemanticSegmentation"]}
    assert class_facts("x", generic, {}).tasks == ("semantic",)


@pytest.mark.parametrize("name", ["segformer", "upernet"])
def test_pixels_equal_transformers(name, model_dir):
    """Class maps are those of the stock processor: for these models it is right."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

    folder = model_dir(name)
    loaded = load_class_model(
        find(str(folder)), ClassSettings("semantic"), device="cpu", dtype="auto"
    )
    image = blobs(3, 45, 80)
    ours = np.full((45, 80), -1)
    from segcli.masks.rle import decode

    for segment in loaded.segment(image):
        ours[decode(segment.mask)] = segment.category
    model = AutoModelForSemanticSegmentation.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        output = model(**processor(images=image, return_tensors="pt"))
    theirs = processor.post_process_semantic_segmentation(output, target_sizes=[(45, 80)])[0]
    assert (ours == theirs.numpy()).mean() > 0.999


def test_split_pictures_equal_transformers(model_dir):
    """EoMT's patches along the longer side are joined as its own processor joins them."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation

    from segcli.models.classes.forward import run_queries

    folder = model_dir("eomt_semantic")
    loaded = load_class_model(
        find(str(folder)), ClassSettings("semantic"), device="cpu", dtype="auto"
    )
    image = blobs(3, 40, 130)
    with torch.inference_mode():
        ours = run_queries(loaded.runtime, image, "semantic")
        model = AutoModelForUniversalSegmentation.from_pretrained(folder).eval()
        processor = AutoImageProcessor.from_pretrained(folder)
        inputs = processor(images=image, return_tensors="pt")
        output = model(pixel_values=inputs["pixel_values"])
        output.patch_offsets = inputs["patch_offsets"]
        theirs = processor.post_process_semantic_segmentation(
            output, target_sizes=[(40, 130)], size={"shortest_edge": 64, "longest_edge": None},
            return_segmentation_scores=True,
        )[0]["segmentation_scores"]  # fmt: skip
    from segcli.models.classes.resample import resized_rows

    torch.testing.assert_close(resized_rows(ours, 40, 130, 0, 40), theirs, rtol=1e-4, atol=1e-5)


def test_padding_is_not_stretched_over_the_picture(model_dir):
    """EoMT pads a wide picture: the masks are cut to the picture before they are enlarged."""
    import torch
    from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation

    from segcli.models.classes.forward import run_queries
    from segcli.models.classes.resample import resized_rows

    folder = model_dir("eomt")
    ref = find(str(folder))
    loaded = load_class_model(ref, ClassSettings("panoptic"), device="cpu", dtype="auto")
    image = blobs(5, 40, 120)
    with torch.inference_mode():
        ours = run_queries(loaded.runtime, image, "panoptic").masks
        model = AutoModelForUniversalSegmentation.from_pretrained(folder).eval()
        processor = AutoImageProcessor.from_pretrained(folder)
        output = model(pixel_values=processor(images=image, return_tensors="pt")["pixel_values"])
        whole = torch.nn.functional.interpolate(
            output.masks_queries_logits, size=(64, 64), mode="bilinear"
        )
        theirs = processor.unpad_image(
            whole, [(40, 120)], {"shortest_edge": 64, "longest_edge": 64}
        )[0]
    torch.testing.assert_close(resized_rows(ours, 40, 120, 0, 40), theirs, rtol=1e-4, atol=1e-5)


def test_border_of_a_picture_is_not_cropped_away(model_dir):
    """MobileViT's processor would look at the middle only; here every pixel gets its class."""
    ref = find(str(model_dir("mobilevit")))
    loaded = load_class_model(ref, ClassSettings("semantic"), device="cpu", dtype="auto")
    found = loaded.segment(blobs(1, 50, 120))
    assert sum(s.area for s in found) == 50 * 120
    assert loaded.runtime.processor.do_center_crop
