"""Warnings after an evaluation: what the sums alone show."""

from __future__ import annotations

import json
from dataclasses import replace
from shutil import copy

import numpy as np
import pytest
from PIL import Image

from segcli.evaluate import EvalSettings, Side, evaluate, open_sides
from segcli.evaluate.check import check
from segcli.evaluate.traps import about_ignored, inverted, numbers, plural, shifted
from segcli.formats import open_source
from segcli.formats.base import ReadOptions
from segcli.formats.classes import read_class_list
from segcli.masks.rle import encode


def disc(size: int = 24) -> np.ndarray:
    """A class map of 0 to 3: (size, size) uint8."""
    values = np.zeros((size, size), np.uint8)
    values[2:9, 2:9], values[12:20, 3:12], values[4:18, 14:22] = 1, 2, 3
    return values


def said(pred, gt, memory, kind, **settings):
    sides = memory(kind, {"a.png": pred}), memory(kind, {"a.png": gt})
    return " | ".join(evaluate(*sides, EvalSettings(**settings)).warnings)


def test_good_predictions_raise_no_doubt(memory):
    """Nothing is said where nothing is wrong."""
    gt = disc()
    for kind, values in (("semantic", gt), ("instance", gt), ("binary", np.minimum(gt, 1))):
        assert said(np.roll(values, 1, 0), values, memory, kind) == ""


def test_inverted_masks_are_doubted(memory):
    """IoU 0, and near 1 when the background is taken for the object."""
    mask = (disc() > 0).astype(np.uint8)
    assert "look inverted" in said(1 - mask, mask, memory, "binary")
    assert "inverted" not in said(mask * 0, mask, memory, "binary")


@pytest.mark.parametrize("kind", ["binary", "instance"])
def test_an_empty_side_is_doubted(memory, kind):
    """All predictions empty, or all ground truth."""
    mask = (disc() > 0).astype(np.uint8)
    assert "all images of the predictions are empty" in said(mask * 0, mask, memory, kind)
    assert "all images of the ground truth are empty" in said(mask, mask * 0, memory, kind)
    assert said(mask * 0, mask * 0, memory, kind) == ""


def test_class_ids_off_by_one_are_doubted(memory):
    """No class is found, and areas agree one class further; the fix is an option that exists."""
    gt = disc() + 1
    assert "--reduce-zero-label" in said(disc(), gt, memory, "semantic")
    assert "one more" in said(gt + 1, gt, memory, "semantic")
    assert "ids" not in said(np.zeros_like(gt), gt, memory, "semantic")
    fixed = said(disc(), gt, memory, "semantic", protocol="semantic", reduce_zero_label=True)
    assert "ids" not in fixed


@pytest.mark.parametrize("kind", ["binary", "instance", "semantic"])
def test_files_scored_against_themselves_are_doubted(tmp_path, kind):
    """A folder given for both sides scores 1, and it is said; a copy elsewhere is another file."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.minimum(disc(), 1 if kind == "binary" else 3)).save(
            tmp_path / name / "a.png"
        )
    one, two = (open_source(tmp_path / name, ReadOptions(kind=kind)) for name in ("one", "two"))
    words = "one and the same file in 1 pair of 1"
    assert any(words in line for line in evaluate(one, one).warnings)
    assert not any(words in line for line in evaluate(one, two).warnings)
    copy(tmp_path / "one" / "a.png", tmp_path / "one" / "b.png")
    more = open_source(tmp_path / "one", ReadOptions(kind=kind))
    found = evaluate(two, more, EvalSettings(missing="empty"))
    assert found.params["pairing"]["taken_as_empty"] == 1
    assert not any("one and the same file" in line for line in found.warnings)


def test_ids_of_another_list_are_doubted(memory):
    """Train ids scored against Cityscapes' ids: most are classes that do not count."""
    classes = read_class_list("cityscapes")
    ids = sorted(classes.names.keys() - classes.ignored)
    gt = np.array(ids[:4], np.uint8)[disc()]
    settings = EvalSettings(protocol="semantic", classes=classes)
    for pred, doubted in ((disc(), True), (gt, False), (np.where(gt == ids[1], 4, gt), False)):
        sides = (
            memory("semantic", {"a.png": pred.astype(np.uint8)}),
            memory("semantic", {"a.png": gt}),
        )
        warnings = evaluate(*sides, settings).warnings
        assert any("cityscapes-trainids" in line for line in warnings) == doubted
        found = [finding.code for finding in check(*sides, settings).findings]
        assert ("ignored-predicted" in found) == doubted


def test_a_smaller_protocol_is_doubted_unless_asked_for(memory):
    """Objects scored as foreground because of the other side, and because the user said so."""
    one = {"a.png": (disc() > 0).astype(np.uint8)}
    sides = memory("binary", one), memory("instance", {"a.png": disc()})
    assert "scored as binary although" in " ".join(evaluate(*sides).warnings)
    asked = evaluate(*sides, EvalSettings(protocol="binary"))
    assert "scored as binary although" not in " ".join(asked.warnings)


def test_void_that_nobody_named_is_doubted(memory):
    """255 in the ground truth alone is a class of IoU 0, and it is said which option helps."""
    gt = disc()
    gt[0] = 255
    assert "--ignore-index 255" in said(disc(), gt, memory, "semantic")


def test_what_is_left_by_an_ignore_index_is_judged():
    """None, nothing, all, all but one class, or enough."""
    assert about_ignored(None, 0, [0, 1]) == []
    assert [f.code for f in about_ignored(9, 0, [0, 1])] == ["ignore-unused"]
    assert [f.code for f in about_ignored(255, 5, [0])] == ["ignore-all"]
    assert [f.code for f in about_ignored(255, 5, [3])] == ["ignore-all"]
    assert [f.code for f in about_ignored(0, 5, [])] == ["ignore-all"]
    assert [f.code for f in about_ignored(0, 5, [1])] == ["ignore-background"]
    assert about_ignored(255, 5, None) == []
    assert about_ignored(0, 5, [1, 2]) == about_ignored(255, 5, [0, 1]) == []
    assert "25 % of the pixels" in about_ignored(255, 5, [0], percent=25)[0].what


def test_thresholds_of_doubt():
    """A poor score alone is no inversion, and a poor class no shift."""
    assert inverted(0.05, 0.6) is None
    assert inverted(0.3, 0.9) is None
    assert inverted(0.05, 0.9) is not None
    assert inverted(float("nan"), float("nan")) is None
    assert shifted(0.4, 0.1, 0.1) is None
    assert shifted(0.6, 0.5, 0.0) is None
    assert shifted(0.9, 0.0, 0.1) is not None


def test_words_for_counts():
    """Numbers in order with their names, the first few of them; one has no plural."""
    assert numbers({3, 1}, {3: "cat"}) == "1, 3 (cat)"
    assert numbers(range(20)).endswith("7 and 12 more")
    assert (plural(1, "pair"), plural(2, "pair")) == ("1 pair", "2 pairs")


def test_ignored_predictions_do_not_hide_an_inversion(memory):
    """Void is left out of what is compared with the complement."""

    class Voided(memory):
        def read(self, key):
            return replace(super().read(key), ignore=encode(self.maps[key] == 3))

    gt = disc()
    pred = (gt == 0).astype(np.uint8)
    settings = EvalSettings(ignore_index=3)
    sides = memory("binary", {"a.png": pred}), Voided("binary", {"a.png": gt})
    assert "look inverted" in " ".join(evaluate(*sides, settings).warnings)


def test_scores_that_count_no_classes_raise_no_doubt(memory):
    """Where only boundaries are measured, nothing is known of the classes that are left."""

    class Voided(memory):
        def read(self, key):
            return replace(super().read(key), ignore=encode(self.maps[key] == 3))

    gt = {"a.png": disc()}
    sides = memory("semantic", gt), Voided("semantic", gt)
    settings = EvalSettings(ignore_index=3, families=("boundary",))
    assert not any("ignored" in warning for warning in evaluate(*sides, settings).warnings)


def test_swapped_coco_files_are_warned_of(tmp_path):
    """A data set as predictions and results as ground truth are likely the wrong way round."""
    square = [[0, 0, 2, 0, 2, 4, 0, 4]]
    result = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": square}
    truth = {"id": 1, "iscrowd": 0, "area": 8, "bbox": [0, 0, 2, 4], **result}
    dataset = {
        "images": [{"id": 1, "file_name": "1.png", "height": 4, "width": 4}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [truth],
    }
    for name, content in (("dataset", dataset), ("results", [result])):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    results, whole = (Side(str(tmp_path / f"{name}.json")) for name in ("results", "dataset"))
    said = "wrong way round"
    assert not [w for w in evaluate(*open_sides(results, whole)).warnings if said in w]
    settings = EvalSettings(missing="skip")
    sides = [
        open_source(side.path, ReadOptions(image_sizes={"1": (4, 4)})) for side in (whole, results)
    ]
    assert [w for w in evaluate(*sides, settings).warnings if said in w]
