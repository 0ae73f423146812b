"""The protocols of `segcli eval` as a user calls them, in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import segcli
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "examples"


def discs(shift: int = 0) -> np.ndarray:
    """An instance label map of four discs: (48, 64) uint16."""
    y, x = np.mgrid[:48, :64]
    values = np.zeros((48, 64), np.uint16)
    for number, (cy, cx, r) in enumerate([(12, 12, 8), (12, 44, 9), (36, 14, 7), (34, 46, 10)], 1):
        values[(y - cy) ** 2 + (x - cx - shift) ** 2 < r * r] = number
    return values


@pytest.fixture
def objects(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and ground truth: one instance label map each, the prediction 2 pixels off."""
    for folder, shift in (("pred", 2), ("gt", 0)):
        (tmp_path / folder).mkdir()
        Image.fromarray(discs(shift)).save(tmp_path / folder / "a.png")
    return tmp_path / "pred", tmp_path / "gt"


def scores(*words) -> dict:
    done = segcli("eval", *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_binary_boundaries_and_distances(objects):
    """`--metrics all` adds boundary and distance scores; a shift of two pixels is HD 2."""
    result = scores(*objects, "--protocol", "binary", "--metrics", "all")
    metrics = result["metrics"]
    assert metrics["hd"]["mean_of_images"] == 2
    assert 0 < metrics["boundary_iou"]["pooled"] < metrics["iou"]["pooled"] < 1
    assert result["params"]["metrics"] == ["overlap", "boundary", "distance"]


def test_spacing_is_the_unit_of_distances(objects):
    """Distances come out in the unit of `--spacing`, columns apart from rows."""
    words = ("--protocol", "binary", "--metrics", "distance", "--spacing", "3,0.5")
    assert scores(*objects, *words)["metrics"]["hd"]["mean_of_images"] == 1


def test_a_gate_measures_what_it_needs(objects):
    """A gate on a score of a family that is not measured by default brings the family."""
    done = segcli("eval", *objects, "--protocol", "binary", "--fail-over", "hd.mean_of_images=1")
    assert done.returncode == 4
    assert "hd.mean_of_images is 2" in done.stderr


def test_proposals(objects):
    """Objects of any class: AR at 1, 10, 100 and 1000, and the best overlap."""
    metrics = scores(*objects, "--protocol", "proposals")["metrics"]
    average = {name: metrics[name]["pooled"] for name in ("ar_1", "ar_10", "ar_1000")}
    assert 0 < average["ar_1"] < average["ar_10"] == average["ar_1000"]
    assert 0 < metrics["best_overlap_miou"]["pooled"] < 1


def test_regions_against_several_annotators(objects):
    """`--annotator` adds ground truth; one that agrees with the prediction raises Rand."""
    pred, gt = objects
    alone = scores(pred, gt, "--protocol", "regions")["metrics"]
    both = scores(pred, gt, "--annotator", pred)
    assert both["params"]["protocol"] == "regions"
    assert both["metrics"]["rand"]["mean_of_images"] > alone["rand"]["mean_of_images"]
    refused = segcli("eval", pred, gt, "--annotator", pred, "--protocol", "instance")
    assert refused.returncode == 2
    assert "--annotator needs the protocol regions" in refused.stderr


def test_points_prompt_the_model():
    """`--protocol points` prompts the bundled model with a point an object, and names it."""
    picture, truth = (
        EXAMPLES / "images" / "shapes_000001.png",
        EXAMPLES / "ground_truth" / "shapes_000001.png",
    )
    result = scores(picture, truth, "--protocol", "points", "--model", "tiny")
    metrics = result["metrics"]
    assert metrics["single_point_miou"]["pooled"] <= metrics["best_of_3_miou"]["pooled"]
    assert metrics["best_of_3_miou"]["pooled"] > 0.3
    assert result["params"]["model"]["name"] == "tiny"


def test_a_model_needs_points(objects):
    """`--model` without `--protocol points` would be ignored, so it is refused."""
    done = segcli("eval", *objects, "--model", "tiny")
    assert done.returncode == 2
    assert "--model tiny needs --protocol points" in done.stderr


def test_clicks(tmp_path):
    """`--clicks` gives scores click by click, and goes with pictures and a model alone."""
    name = "nuclei_2.png"
    sides = EXAMPLES / "images" / name, EXAMPLES / "ground_truth" / name
    result = scores(*sides, "--protocol", "points", "--clicks", "2")
    assert list(result["metrics"])[:3] == ["miou_at_1", "miou_at_2", "noc_80"]
    assert 1 <= result["metrics"]["noc_90"]["pooled"] <= 2
    assert result["metrics"]["miou_at_1"]["pooled"] > 0.5
    records = tmp_path / "records.ndjson"
    records.write_text('{"schema": "segcli.image/1"}\n')
    for words, said in (
        ((*sides, "--clicks", "2"), "--clicks 2 needs --protocol points"),
        ((*sides, "--protocol", "points", "--no-feed-mask"), "--feed-mask has no effect here"),
        ((*sides, "--no-feed-mask"), "--feed-mask needs --protocol points"),
        ((records, sides[1], "--protocol", "points", "--clicks", "2"), "holds answers already"),
        ((*sides, "--check", "--clicks", "2"), "--clicks does not go with --check"),
    ):
        done = segcli("eval", *words)
        assert done.returncode == 2
        assert said in done.stderr


def test_presets_of_benchmarks(tmp_path):
    """A preset brings classes and void: VOC's 255 does not count."""
    for folder, border in (("pred", 0), ("gt", 255)):
        (tmp_path / folder).mkdir()
        values = np.zeros((20, 20), np.uint8)
        values[5:15, 5:15] = 12
        values[4, 4:16] = border
        Image.fromarray(values).save(tmp_path / folder / "a.png")
    result = scores(tmp_path / "pred", tmp_path / "gt", "--preset", "voc")
    assert result["metrics"]["miou"]["pooled"] == 1
    assert result["params"]["ignored_percent"] == 3
    refused = segcli("predict", tmp_path / "pred", "-o", tmp_path / "out", "--preset", "voc")
    assert refused.returncode == 2
    assert "has no settings for predict" in refused.stderr


def test_the_zero_label_can_be_reduced(tmp_path):
    """ADE20K: ground truth 0 is void, and its class N is the prediction's N - 1."""
    truth = np.zeros((20, 20), np.uint8)
    truth[:10], truth[10:15] = 1, 2
    predicted = np.full((20, 20), 7, np.uint8)
    predicted[:10], predicted[10:15] = 0, 1
    for folder, values in (("pred", predicted), ("gt", truth)):
        (tmp_path / folder).mkdir()
        Image.fromarray(values).save(tmp_path / folder / "a.png")
    words = (tmp_path / "pred", tmp_path / "gt", "--kind", "semantic", "--reduce-zero-label")
    assert scores(*words)["metrics"]["miou"]["pooled"] == 1


@pytest.mark.parametrize(
    "words",
    [
        ("--spacing", "2"),
        ("--tolerance", "3"),
        ("--boundary-ratio", "0.1"),
        ("--label-divisor", "100"),
        ("--seed", "1"),
        ("--resamples", "10"),
        ("--device", "cpu"),
    ],
)
def test_options_without_effect_are_refused(objects, words):
    """An option that would change nothing is an error that says what it needs."""
    done = segcli("eval", *objects, *words)
    assert done.returncode == 2
    assert words[0] in done.stderr
    assert "fix:" in done.stderr


def test_a_format_that_lists_its_classes_needs_no_class_list(tmp_path):
    """Cityscapes files without --class-names: eval, its rows and compare score the same classes."""
    truth = np.full((20, 40), 7, np.uint8)
    truth[:5], truth[15:] = 23, 3
    guess = truth.copy()
    guess[15:], guess[5:7] = 7, 4
    for folder, name, values in (
        ("gt", "ulm_000000_000001_gtFine_labelIds.png", truth),
        ("pred", "ulm_000000_000001_leftImg8bit.png", guess),
    ):
        (tmp_path / folder).mkdir()
        Image.fromarray(values).save(tmp_path / folder / name)
    pred, gt, rows = tmp_path / "pred", tmp_path / "gt", tmp_path / "rows.ndjson"
    result = scores(pred, gt, "--per-image", rows)
    assert result["metrics"]["miou"]["pooled"] == (8 / 10 + 1) / 2
    assert result["params"]["classes_ignored"]
    for words in ((pred, pred, "--gt", gt), (rows, rows)):
        compared = json.loads(segcli("compare", *words, "--json").stdout)
        assert compared["metrics"]["miou"]["pooled"]["a"] == (8 / 10 + 1) / 2


def test_a_reduced_class_list_reads_the_files_as_they_are(tmp_path):
    """Colours and void of a class list hold for the files, before the zero label is reduced."""
    classes = tmp_path / "classes.toml"
    table = '[[class]]\nid = {}\nname = "{}"\ncolor = [{}, 0, 0]\n{}\n'
    classes.write_text(
        table.format(0, "void", 0, "")
        + table.format(1, "sky", 10, "")
        + table.format(2, "sign", 20, "ignored = true")
        + table.format(3, "sea", 30, "")
    )
    truth = np.repeat(np.array([[0, 1, 2, 3]], np.uint8), 8, axis=0).repeat(4, axis=1)
    colours = np.zeros((*truth.shape, 3), np.uint8)
    colours[..., 0] = truth * 10
    predicted = np.where(truth > 0, truth - 1, 0).astype(np.uint8)
    for folder, values in (("pred", predicted), ("gt", colours), ("ids", truth)):
        (tmp_path / folder).mkdir()
        Image.fromarray(values).save(tmp_path / folder / "a.png")
    words = ("--kind", "semantic", "--class-names", classes, "--reduce-zero-label")
    for gt in ("gt", "ids"):
        result = scores(tmp_path / "pred", tmp_path / gt, *words)
        rows = {row["name"]: row["iou"]["pooled"] for row in result["per_class"]}
        assert rows == {"sky": 1, "sea": 1}
