"""What a user can choose, checked before anything is read; and both sides opened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.errors import ConfigError, InputError
from segcli.evaluate import EvalConfig, EvalSettings, Side, evaluate, open_sides, settings_from
from segcli.evaluate.resize import fit
from segcli.evaluate.settings import kind_from
from segcli.formats.classes import read_class_list
from segcli.masks.rle import decode, segment_from_mask, to_coco
from segcli.records import ImageRef, LabelMap, Segmentation


def test_defaults_are_the_built_in_settings():
    """Nothing said means: let the files decide, and every oddity is an error."""
    settings = settings_from(EvalConfig(workers=2))
    assert settings == EvalSettings()
    assert settings_from(EvalConfig()).workers >= 1


WRONG = [
    ("protocol", "instances", "--protocol instance"),
    ("missing", "ignore", "--missing"),
    ("resize_pred", "bilinear", "--resize-pred"),
    ("workers", -1, "--workers"),
    ("seed", -1, "--seed 0"),
    ("resamples", 10, "--resamples 1000"),
    ("label_divisor", 1, "--label-divisor 1000"),
    ("boundary_ratio", 1.5, "--boundary-ratio 0.02"),
    ("spacing", ("1", "2", "3"), "--spacing 0.5"),
    ("spacing", ("0",), "--spacing 1"),
    ("tolerance", ("-1",), "--tolerance 1"),
    ("tolerance", ("wide",), "--tolerance 1"),
]


@pytest.mark.parametrize(("name", "value", "fix"), WRONG)
def test_an_unknown_word_names_the_closest(name, value, fix):
    """A word or number that is no choice is an error with one that is."""
    with pytest.raises(ConfigError) as caught:
        settings_from(EvalConfig(**{name: value}))
    assert fix in caught.value.fix


def test_a_kind_of_one_side_wins_over_that_of_both():
    """`--kind` is for both sides, `--pred-kind` and `--gt-kind` for one."""
    config = EvalConfig(kind="semantic", gt_kind="binary")
    assert (kind_from(config, "pred"), kind_from(config, "gt")) == ("semantic", "binary")
    with pytest.raises(ConfigError, match="--gt-kind"):
        kind_from(EvalConfig(gt_kind="stuff"), "gt")


CLASS_FILES = {
    "names.txt": "background\ncell\n\n",
    "list.json": '["background", "cell"]',
    "object.json": '{"0": "background", "1": "cell"}',
}


@pytest.mark.parametrize("name", CLASS_FILES)
def test_class_names_come_from_a_file(tmp_path: Path, name):
    """A text file, a JSON list and a JSON object say the same."""
    (tmp_path / name).write_text(CLASS_FILES[name])
    assert read_class_list(tmp_path / name).names == {0: "background", 1: "cell"}


@pytest.mark.parametrize("content", [None, "", "7", "{", '{"a": "b"}', "[]"])
def test_a_file_without_class_names_is_an_error(tmp_path: Path, content):
    """Missing, empty, malformed and foreign files are refused by name."""
    path = tmp_path / "names.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"names\.json"):
        read_class_list(path)


def test_resizing_takes_the_nearest_centre():
    """Labels and segments are enlarged by whole pixels and shrunk to the middle ones."""
    values = np.array([[1, 2], [3, 4]], np.uint8)
    small = Segmentation(
        ImageRef("a", 2, 2), (segment_from_mask(values == 3),), LabelMap(values, "semantic")
    )
    large, resized = fit(small, Segmentation(ImageRef("a", 4, 6)), "nearest")
    assert resized
    assert large.labels is not None
    assert large.labels.values.tolist() == np.kron(values, np.ones((2, 3), int)).tolist()
    assert decode(large.segments[0].mask).tolist() == (large.labels.values == 3).tolist()
    assert large.segments[0].area == 6
    back, _ = fit(large, small, "nearest")
    assert back.labels is not None
    assert back.labels.values.tolist() == values.tolist()
    assert fit(small, small, None) == (small, False)


def test_ground_truth_cannot_be_a_stream():
    """Ground truth is looked up by name, so "-" is refused, with a pipeline that works."""
    with pytest.raises(InputError, match="standard input") as caught:
        open_sides(Side("masks"), Side("-"))
    assert "segcli eval - GT" in caught.value.fix


def test_sides_without_sizes_take_the_others(tmp_path: Path):
    """YOLO polygons are fractions of an image: its size comes from the other side, either way."""
    values = np.zeros((20, 30), np.uint16)
    values[5:15, 6:18] = 1
    (tmp_path / "labels").mkdir()
    (tmp_path / "texts").mkdir()
    Image.fromarray(values).save(tmp_path / "labels" / "a.png")
    (tmp_path / "texts" / "a.txt").write_text("0 0.2 0.25 0.6 0.25 0.6 0.75 0.2 0.75\n")
    labels = Side(str(tmp_path / "labels"), kind="instance")
    texts = Side(str(tmp_path / "texts"), format="yolo")
    for pair in ((labels, texts), (texts, labels)):
        found = evaluate(*open_sides(*pair))
        assert found.complete
        assert found.metrics["f1_75.pooled"] == 1.0


def test_coco_results_are_named_by_the_ground_truth(tmp_path: Path):
    """Image ids become the file names of a COCO ground truth, so results pair with it."""
    mask = np.eye(9, dtype=bool)
    coded = to_coco(segment_from_mask(mask).mask)
    images = [{"id": n, "file_name": f"{n}.jpg", "height": 9, "width": 9} for n in (7, 8)]
    truth = {"id": 1, "image_id": 7, "category_id": 1, "area": 9, "iscrowd": 0}
    dataset = {
        "images": images,
        "annotations": [{**truth, "segmentation": coded}],
        "categories": [{"id": 1, "name": "line"}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(dataset))
    result = {"image_id": 7, "category_id": 1, "score": 0.5, "segmentation": coded}
    (tmp_path / "pred.json").write_text(json.dumps([result]))
    found = evaluate(
        *open_sides(Side(str(tmp_path / "pred.json")), Side(str(tmp_path / "gt.json")))
    )
    assert found.counts["images"] == 2
    assert found.complete
    assert found.metrics["ap"] == pytest.approx(1.0)
