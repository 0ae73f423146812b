"""Traps of names: what is no pair is never scored as one, and the fix that is named works.

As `test_traps.py`, by real processes.
"""

from __future__ import annotations

import json
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image
from trap_cases import both, box, coco, maps, run, save, squares

COCO_FLAWS = {
    "two images of one name": ("images", {"id": 8, "file_name": "x.jpg"}, "x.jpg"),
    "two images of one id": ("images", {"id": 7, "file_name": "y.jpg"}, "id 7"),
}


@pytest.mark.parametrize("case", COCO_FLAWS)
def test_duplicates_in_a_dataset_are_refused(tmp_path, case):
    """Which of two images is meant cannot be known: exit code 2."""
    key, entry, word = COCO_FLAWS[case]
    pred, gt = coco(tmp_path, squares(), squares())
    dataset = json.loads(gt.read_text())
    dataset[key].append({"height": 40, "width": 40, **entry})
    gt.write_text(json.dumps(dataset))
    for refused in both(pred, gt):
        assert refused.code == 2
        assert word in refused.stderr


def test_results_of_other_images_are_refused(tmp_path):
    """An image id that the ground truth does not have is an error, not an extra false positive."""
    for refused in both(*coco(tmp_path, squares(), squares(), image_id=99)):
        assert refused.code == 2
        assert "image id 99 is not in the ground truth" in refused.stderr


def test_scoring_a_side_against_itself_is_said(tmp_path):
    """One folder twice, or a copy of the ground truth: the perfect score is explained."""
    gt = save(tmp_path / "g", **maps())
    assert "one and the same file" in run(gt, gt, "--check").finding("same-files")["what"]
    copy = save(tmp_path / "p", **maps())
    scored, looked = both(copy, gt)
    assert scored.score("miou.pooled") == 1
    assert "equals its ground truth" in looked.finding("same-files")["what"]


def test_several_versions_of_the_ground_truth_are_not_mixed(tmp_path):
    """Train ids and label ids in one folder: nothing is scored by accident, and it is said."""
    both_ids = {f"{n}_labelIds": v for n, v in maps().items()}
    both_ids |= {f"{n}_labelTrainIds": v + 7 for n, v in maps().items()}
    words = (save(tmp_path / "p", **maps()), save(tmp_path / "g", **both_ids))
    looked = run(*words, "--kind", "semantic", "--gt-format", "labels", "--check")
    if looked.code == 2:
        assert "--match" in looked.stderr
        words = (*words, "--match", r"^(\w)(?:_labelIds)?\.png$")
        looked = run(*words, "--kind", "semantic", "--gt-format", "labels", "--check")
    assert looked.code == 3
    assert "_labelTrainIds (2)" in looked.finding("versions-mixed")["what"]


def test_files_are_never_paired_by_position(tmp_path):
    """{a, b} against {b, c}: only b is scored, the others are named, exit code 3."""
    one, other = box(slice(0, 20), slice(0, 10)), box(slice(0, 20), slice(10, 30))
    words = (save(tmp_path / "p", a=one, b=one), save(tmp_path / "g", b=one, c=other))
    scored, looked = both(*words)
    assert (scored.code, looked.code) == (3, 3)
    assert scored.score("iou.pooled") == 1
    assert "a.png" in looked.finding("unmatched")["what"]


ODD_NAMES = {
    "a suffix on one side, not on all": (["a", "b", "c"], ["a", "b_gt", "c_gt"], 3),
    "leading zeros": (["x/1", "x/2", "x/10"], ["mask_01", "mask_02", "mask_10"], 3),
    "a prefix": (["pred_1", "pred_2"], ["1", "2"], 2),
    "numbers among words": (["img 7 final", "img 8 final"], ["7-cells", "8-cells"], 2),
}


@pytest.mark.parametrize("case", ODD_NAMES)
def test_the_match_that_is_suggested_works(tmp_path, case):
    """What names cannot tell is refused, and the fix that is named pairs all files."""
    preds, gts, count = ODD_NAMES[case]
    for folder, names in (("p", preds), ("g", gts)):
        for name in names:
            save((tmp_path / folder / name).parent, **{Path(name).name: box(slice(3), slice(4))})
    words = (tmp_path / "p", tmp_path / "g")
    looked = run(*words, "--check")
    said = looked.finding("unmatched")["fix"] if looked.code == 3 else looked.stderr
    match = said.split("--match '")[-1].split("'")[0]
    scored = run(*words, "--match", match)
    assert (scored.code, scored.result["params"]["pairing"]["pairs"]) == (0, count)


def test_names_that_look_the_same_pair(tmp_path):
    """Accents composed in either way, suffixes in capitals, blanks, links, and junk beside."""
    mask = box(slice(3, 9), slice(4, 20))
    gt, pred = tmp_path / "g", tmp_path / "p"
    save(gt, **{normalize("NFC", "caf\u00e9 1"): mask, "B": mask, "c": mask})
    save(pred, **{normalize("NFD", "caf\u00e9 1"): mask})
    Image.fromarray(mask).save(pred / "B.PNG")
    (pred / "c.png").symlink_to(gt / "c.png")
    for folder in (gt, pred):
        (folder / "Thumbs.db").write_bytes(b"junk")
        (folder / ".hidden.png").write_bytes(b"junk")
        (folder / "__MACOSX").mkdir()
        (folder / "__MACOSX" / "._B.png").write_bytes(b"junk")
    scored, looked = both(pred, gt)
    assert (scored.code, scored.result["params"]["pairing"]["pairs"]) == (0, 3)
    assert "1 pair of 3" in looked.finding("same-files")["what"]


def test_names_that_differ_in_case_are_said(tmp_path):
    """IMG_1 and img_1 are two names, and the finding says what differs."""
    mask = box(slice(3, 9), slice(4, 20))
    words = (save(tmp_path / "p", IMG_1=mask, b=mask), save(tmp_path / "g", img_1=mask, b=mask))
    assert "differ in case only" in run(*words, "--check").finding("unmatched")["fix"]


def test_a_list_pairs_what_names_cannot(tmp_path):
    """`--pairs`: exactly what it says is scored; a wrong row is named and nothing is scored."""
    near, far = box(slice(0, 20), slice(0, 12)), box(slice(0, 20), slice(0, 20))
    pred = save(tmp_path / "p", first=near, second=far, third=near)
    gt = save(tmp_path / "g", x=far, y=far, z=near)
    listed = tmp_path / "pairs.csv"
    listed.write_text("pred,gt\nfirst.png,x.png\nsecond.png,y.png\n")
    scored, looked = both(pred, gt, "--pairs", listed)
    assert (scored.code, looked.code) == (0, 0)
    assert scored.score("iou.mean_of_images") == 0.8
    assert "left aside" in scored.result["params"]["pairing"]["rule"]
    listed.write_text("pred,gt\nfirst.png,x.png\nfourth.png,y.png\n")
    for refused in both(pred, gt, "--pairs", listed):
        assert refused.code == 2
        assert "pairs.csv row 3: there is no prediction fourth.png" in refused.stderr
        assert refused.result == {}


def test_a_dry_look_at_a_stream(tmp_path):
    """Records down a pipe are looked at as well: scores, objects and unmatched images."""
    from segcli.formats.ndjson import to_line, to_record
    from segcli.masks.rle import segment_from_mask
    from segcli.records import ImageRef, Segmentation

    masks = squares(3)
    gt = tmp_path / "g"
    values = sum((mask * np.uint16(i) for i, mask in enumerate(masks, 1)), np.uint16(0))
    save(gt, x=values, y=values)
    segments = tuple(segment_from_mask(mask, score=0.5) for mask in masks)
    line = to_line(to_record(Segmentation(ImageRef("x.jpg", 40, 40), segments)))
    looked = run("-", gt, "--check", stdin=line)
    assert looked.code == 3
    assert {"scores-constant", "unmatched"} <= looked.codes
    assert looked.result["pairing"]["ground_truth_without_prediction"] == ["y.png"]
