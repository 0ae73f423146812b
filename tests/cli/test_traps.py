"""Traps by which other tools score wrongly without a word: the number is right, or refused.

Each case runs `segcli eval` and `segcli eval --check` as real processes on files made by hand, and
states the true number, the exit code and the finding.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    code: int
    result: dict[str, Any]
    stderr: str

    def score(self, name: str) -> float:
        value: Any = self.result["metrics"]
        for part in name.split("."):
            value = value[part]
        return value

    @property
    def codes(self) -> set[str]:
        return {finding["code"] for finding in self.result["findings"]}

    def finding(self, code: str) -> dict[str, str]:
        return next(f for f in self.result["findings"] if f["code"] == code)


def run(*words: object) -> Run:
    command = [sys.executable, "-m", "segcli", "eval", *map(str, words), "--json"]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, check=False, text=True)
    assert "Traceback" not in done.stderr
    assert done.returncode != 1, done.stderr
    return Run(done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr)


def both(*words: object) -> tuple[Run, Run]:
    """The evaluation, and the dry look."""
    return run(*words), run(*words, "--check")


def save(folder: Path, **maps: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, values in maps.items():
        Image.fromarray(values).save(folder / f"{stem}.png")
    return folder


def box(rows: slice, columns: slice, shape=(20, 30), value: int = 255, dtype=np.uint8):
    values = np.zeros(shape, dtype)
    values[rows, columns] = value
    return values


def maps(shift: int = 0) -> dict[str, np.ndarray]:
    """Two class maps of the classes 0 to 3."""
    one = np.zeros((20, 30), np.uint8)
    one[:10, :10], one[:10, 20:], one[12:, 5:25] = 1, 2, 3
    two = one[::-1].copy()
    return {"a": np.roll(one, shift, axis=1), "b": np.roll(two, shift, axis=1)}


def objects(count: int, size: int = 60) -> np.ndarray:
    """`count` objects of 2x2 pixels that do not touch: (size, size) int32."""
    values = np.zeros((size, size), np.int32)
    across = size // 3
    assert count <= across * across
    for number in range(count):
        y, x = 3 * (number // across), 3 * (number % across)
        values[y : y + 2, x : x + 2] = number + 1
    return values


def coco(
    tmp_path: Path, truths: list[np.ndarray], guesses: list[np.ndarray], **fields: Any
) -> tuple[Path, Path]:
    """Results and a dataset of one image; `fields` change every result."""
    from segcli.masks.rle import encode, to_coco

    height, width = truths[0].shape
    dataset = {
        "images": [{"id": 7, "file_name": "x.jpg", "height": height, "width": width}],
        "annotations": [
            {
                "id": number,
                "image_id": 7,
                "category_id": 1 + number % 2,
                "iscrowd": 0,
                "area": int(np.count_nonzero(mask)),
                "bbox": [0, 0, 1, 1],
                "segmentation": to_coco(encode(mask)),
            }
            for number, mask in enumerate(truths, start=1)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    results = [
        {
            "image_id": 7,
            "category_id": 1 + number % 2,
            "score": 1 - number / 1000,
            "segmentation": to_coco(encode(mask)),
            **{k: v(number) if callable(v) else v for k, v in fields.items()},
        }
        for number, mask in enumerate(guesses, start=1)
    ]
    paths = tmp_path / "results.json", tmp_path / "dataset.json"
    paths[0].write_text(json.dumps(results))
    paths[1].write_text(json.dumps(dataset))
    return paths


def squares(count: int = 4, size: int = 40) -> list[np.ndarray]:
    """Masks of 6x6 pixels side by side."""
    found = []
    for number in range(count):
        y, x = 8 * (number // 5), 8 * (number % 5)
        found.append(box(slice(y, y + 6), slice(x, x + 6), (size, size), 1).astype(bool))
    return found


def test_white_masks_are_binary(tmp_path):
    """{0, 255}: IoU 0.6, where hotcoco, vernier and torchmetrics say 1.0 with 255 ignored."""
    pred = save(tmp_path / "p", a=box(slice(0, 20), slice(0, 12)))
    gt = save(tmp_path / "g", a=box(slice(0, 20), slice(0, 20)))
    scored, looked = both(pred, gt)
    assert scored.score("iou.pooled") == 0.6
    assert looked.code == 0
    assert "255 is inside" in looked.finding("white-masks")["what"]
    for refused in both(pred, gt, "--ignore-index", 255):
        assert refused.code == 2
        assert "ignore index 255 would ignore every mask" in refused.stderr


def test_ignoring_the_background_of_two_classes_is_recall(tmp_path):
    """With 0 ignored and one class left mIoU is recall: warned about, and named."""
    pred = save(tmp_path / "p", a=box(slice(0, 20), slice(0, 30), value=1))
    gt = save(tmp_path / "g", a=box(slice(0, 20), slice(0, 10), value=1))
    words = (pred, gt, "--kind", "semantic", "--ignore-index", 0)
    scored, looked = both(*words)
    assert scored.score("miou.pooled") == 1.0
    assert any("IoU is then recall" in warning for warning in scored.result["warnings"])
    assert "ignore-background" in looked.codes
    assert run(pred, gt, "--kind", "semantic").score("miou.pooled") == pytest.approx(1 / 6)


def test_an_ignore_index_without_effect_is_said(tmp_path):
    """254 instead of 255: the void counts as a class, and both say so."""
    gt = maps()
    gt["a"][0, :] = 255
    words = (save(tmp_path / "p", **maps()), save(tmp_path / "g", **gt))
    scored, looked = both(*words, "--ignore-index", 254)
    assert any("no pixel has the ignore index 254" in w for w in scored.result["warnings"])
    assert "ignore-unused" in looked.codes
    scored, looked = both(*words)
    assert scored.score("miou.pooled") < 0.85
    assert any("--ignore-index 255" in warning for warning in scored.result["warnings"])
    assert "--ignore-index 255" in looked.finding("void-unnamed")["fix"]
    scored, looked = both(*words, "--ignore-index", 255)
    assert scored.score("miou.pooled") == 1.0
    assert not {"ignore-unused", "void-unnamed"} & looked.codes


@pytest.mark.parametrize("name", ["labels", "coco"])
def test_masks_at_model_resolution_are_refused(tmp_path, name):
    """Half the size: pycocotools and its kin score 0 without a word; here both sizes are named."""
    if name == "labels":
        gt = save(tmp_path / "g", **maps())
        pred = save(tmp_path / "p", **{k: v[::2, ::2] for k, v in maps().items()})
        sizes = ("15x10", "30x20")
    else:
        small = [mask[::2, ::2] for mask in squares()]
        pred, gt = coco(tmp_path, squares(), small)
        sizes = ("20x20", "40x40")
    scored, looked = both(pred, gt)
    assert (scored.code, looked.code) == (3, 3)
    for said in (scored.stderr, json.dumps(looked.result)):
        assert all(size in said for size in sizes)
    if name == "labels":
        fixed = run(pred, gt, "--resize-pred", "nearest")
        assert fixed.score("miou.pooled") > 0.9
        assert any("2 predictions were resized" in w for w in fixed.result["warnings"])


def test_height_and_width_exchanged_are_told_from_another_size(tmp_path):
    """An array written as (W, H): refused, and recognised as exchanged."""
    pred = save(tmp_path / "p", **{k: np.ascontiguousarray(v.T) for k, v in maps().items()})
    scored, looked = both(pred, save(tmp_path / "g", **maps()))
    assert (scored.code, looked.code) == (3, 3)
    assert scored.result["counts"]["images"] == 0
    assert "mask.T" in looked.finding("sizes-swapped")["fix"]
    assert "sizes-differ" not in looked.codes


def test_turned_and_inverted_masks_are_recognised(tmp_path):
    """Square masks turned over the diagonal, and 0 for inside: the low score is explained."""
    own = {
        name: box(slice(2, 8), slice(3 + i, 38), (40, 40)) for i, name in enumerate(("a", "b", "c"))
    }
    gt = save(tmp_path / "g", **own)
    turned = save(tmp_path / "t", **{k: np.ascontiguousarray(v.T) for k, v in own.items()})
    assert "rows and columns exchanged" in run(turned, gt, "--check").finding("turned")["what"]
    inverse = save(tmp_path / "i", **{k: 255 - v for k, v in own.items()})
    scored, looked = both(inverse, gt)
    assert scored.score("iou.pooled") == 0.0
    assert any("inverted" in warning for warning in scored.result["warnings"])
    assert "inverted" in looked.codes


def test_annotation_id_zero_counts(tmp_path):
    """A perfect prediction scores AP 1, where pycocotools says 0.25 with one id 0 of two."""
    pred, gt = coco(tmp_path, squares(2), squares(2))
    dataset = json.loads(gt.read_text())
    dataset["annotations"][0]["id"] = 0
    gt.write_text(json.dumps(dataset))
    scored, looked = both(pred, gt)
    assert scored.score("ap") == pytest.approx(1)
    assert "id 0" in looked.finding("annotation-id-zero")["what"]


def test_ap_and_ap50_use_the_same_hundred_detections(tmp_path):
    """150 objects, all found: AP = AP50 = recall 100/150; F1 counts all and is 1."""
    values = objects(150).astype(np.uint16)
    pred, gt = save(tmp_path / "p", a=values), save(tmp_path / "g", a=values.copy())
    scored, looked = both(pred, gt)
    assert scored.score("ar100") == pytest.approx(100 / 150)
    # 67 of the 101 recall points lie below 2/3.
    assert scored.score("ap") == scored.score("ap50") == pytest.approx(67 / 101)
    assert scored.score("f1_50.pooled") == 1
    assert {"many-objects-pred", "many-objects-gt"} <= looked.codes


def test_a_box_in_results_does_not_move_areas(tmp_path):
    """The area of a detection is its mask's: a wrong `bbox` changes no score."""
    plain = run(*coco(tmp_path, squares(), squares(3)))
    boxed = run(*coco(tmp_path, squares(), squares(3), bbox=[0, 0, 500, 500], area=250_000))
    assert plain.result["metrics"] == boxed.result["metrics"]
    assert plain.score("ap_small") == plain.score("ap")


def test_boxes_alone_are_no_masks(tmp_path):
    """Results of a detector without masks are refused, not rasterised as rectangles."""
    pred, gt = coco(tmp_path, squares(), squares(), bbox=[0, 0, 6, 6])
    bare = [
        {k: v for k, v in r.items() if k != "segmentation"} for r in json.loads(pred.read_text())
    ]
    pred.write_text(json.dumps(bare))
    for refused in both(pred, gt):
        assert refused.code == 2
        assert "no segmentation" in refused.stderr


def test_areas_of_many_masks_do_not_overflow(tmp_path):
    """300 masks of one image: pycocotools' areas overflow from 256 on under numpy 2."""
    values = objects(300)
    masks = [values == v for v in range(1, 301)]
    scored, looked = both(*coco(tmp_path, masks, masks))
    assert scored.score("f1_75.pooled") == 1
    areas = looked.result["pred"]["areas"]
    assert (areas["least"], areas["most"], areas["count"]) == (4, 4, 300)


def test_mean_accuracy_is_called_recall(tmp_path):
    """The mAcc of mmseg is recall, that of BDD100K precision: ours says which."""
    pred = save(tmp_path / "p", a=box(slice(0, 20), slice(0, 15), value=1))
    gt = save(tmp_path / "g", a=box(slice(0, 20), slice(0, 10), value=1))
    scored = run(pred, gt, "--kind", "semantic")
    assert scored.score("mrecall.pooled") == pytest.approx((1 + 15 / 20) / 2)
    assert "mAcc" in json.dumps(scored.result["params"]["conventions"])


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


def test_category_ids_off_by_one_are_recognised(tmp_path):
    """Predictions numbered from 0 against categories from 1: AP is 0, and the reason is said."""
    pred, gt = coco(tmp_path, squares(), squares(), category_id=lambda number: number % 2)
    scored, looked = both(pred, gt)
    assert scored.score("ap") == 0
    assert "off by one" in looked.finding("unknown-categories")["what"]
    agnostic = run(pred, gt, "--class-agnostic")
    assert agnostic.score("ap") == pytest.approx(1)


SCORES = {
    "constant": (0.5, "scores-constant", 0),
    "percent": (lambda number: 100 - number, "scores-range", 0),
    "logits": (lambda number: 2 - number, "scores-range", 0),
    "not a number": (float("nan"), "scores-strange", 3),
}


@pytest.mark.parametrize("case", SCORES)
def test_strange_scores_are_said(tmp_path, case):
    """Constant, beyond 0..1, or no number at all."""
    value, code, status = SCORES[case]
    scored, looked = both(*coco(tmp_path, squares(), squares(), score=value))
    assert code in looked.codes
    assert (scored.code, looked.code) == (status, status)
    if not status:
        assert scored.score("ap") == pytest.approx(1)


def test_values_outside_the_class_list_fail_their_image(tmp_path):
    """A stray 7 is neither right nor wrong: that image fails, named, with the value."""
    pred = maps()
    pred["b"][0, 0] = 7
    names = tmp_path / "names.txt"
    names.write_text("background\ncat\ndog\ncow\n")
    words = (save(tmp_path / "p", **pred), save(tmp_path / "g", **maps()))
    scored, looked = both(*words, "--class-names", names)
    assert (scored.code, looked.code) == (3, 3)
    assert scored.result["counts"]["images"] == 1
    assert looked.finding("outside-class-list")["what"].endswith("7 (1 pixels, first in b.png)")
    plain, looked = both(*words)
    assert plain.score("miou.pooled") == pytest.approx(0.8, abs=0.01)
    assert "classes-only-predicted" in looked.codes


def test_class_ids_off_by_one_are_recognised(tmp_path):
    """Predictions 0.. against ground truth 1..: the suggested option scores 1."""
    gt = {name: values + 1 for name, values in maps().items()}
    words = (save(tmp_path / "p", **maps()), save(tmp_path / "g", **gt), "--kind", "semantic")
    scored, looked = both(*words)
    assert scored.score("miou.pooled") == 0
    assert "--reduce-zero-label" in looked.finding("classes-shifted")["fix"]
    assert any("--reduce-zero-label" in warning for warning in scored.result["warnings"])
    fixed, looked = both(*words, "--reduce-zero-label")
    assert fixed.score("miou.pooled") == 1
    assert "classes-shifted" not in looked.codes


def test_a_palette_is_read_as_indices(tmp_path):
    """Palette indices are classes, whatever colours they stand for: equal to the grey map."""
    gt = save(tmp_path / "g", **maps())
    pred = tmp_path / "p"
    pred.mkdir()
    for name, values in maps().items():
        picture = Image.fromarray(values)
        picture.putpalette([9, 9, 9, 9, 9, 9, 200, 0, 0, 0, 200, 0])
        picture.save(pred / f"{name}.png")
    scored, looked = both(pred, gt, "--gt-kind", "semantic")
    assert (scored.score("miou.pooled"), scored.code) == (1, 0)
    assert looked.result["pred"]["storage"] == {"palette PNG": 2}


def test_colours_without_a_class_list_are_refused(tmp_path):
    """Which class a colour stands for is nowhere stated: exit code 2 or 3, and no number."""
    colours = np.array([[0, 0, 0], [220, 20, 60], [0, 0, 142], [128, 64, 128]], np.uint8)
    pred = save(tmp_path / "p", **{k: colours[v] for k, v in maps().items()})
    for refused in both(pred, save(tmp_path / "g", **maps()), "--gt-kind", "semantic"):
        assert refused.code in (2, 3)
        assert "colour" in refused.stderr + json.dumps(refused.result)


def test_object_ids_in_eight_bits_are_doubted(tmp_path):
    """300 objects saved as 8 bits wrap around: the map cannot be right, and it is said."""
    values = objects(300)
    pred, gt = save(tmp_path / "p", a=values.astype(np.uint8)), tmp_path / "g"
    save(gt, a=values.astype(np.uint16))
    scored, looked = both(pred, gt, "--kind", "instance")
    assert scored.score("f1_50.pooled") < 0.95
    assert "16-bit PNG" in looked.finding("eight-bit-ids")["fix"]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_in_between_greys_are_refused(tmp_path, suffix):
    """An antialiased or JPEG mask has no edge: where to cut it is a guess, so it is an error."""
    gt = save(tmp_path / "g", a=box(slice(4, 16), slice(5, 25)))
    pred = tmp_path / "p"
    pred.mkdir()
    soft = Image.fromarray(box(slice(4, 16), slice(5, 25))).resize((60, 40)).resize((30, 20))
    assert len(np.unique(np.asarray(soft))) > 2
    soft.save(pred / f"a.{suffix}")
    scored, looked = both(pred, gt, "--pred-format", "binary")
    assert (scored.code, looked.code) == (3, 3)
    assert "threshold the masks" in scored.stderr
    assert "not a binary mask" in looked.finding("unreadable")["what"]


def test_a_mask_with_an_exif_orientation_is_refused(tmp_path):
    """Whether its pixels are upright already cannot be known, and no score would tell."""
    gt = tmp_path / "g"
    gt.mkdir()
    exif = Image.Exif()
    exif[274] = 6
    mask = Image.fromarray(box(slice(4, 16), slice(5, 25)))
    mask.save(gt / "a.png", exif=exif)
    mask.save(gt / "b.png")
    pred = save(tmp_path / "p", a=np.asarray(mask), b=np.asarray(mask))
    scored, looked = both(pred, gt)
    assert (scored.code, looked.code) == (3, 3)
    assert scored.score("iou.pooled") == 1
    assert "EXIF orientation 6" in looked.finding("unreadable")["what"]


@pytest.mark.parametrize("side", ["predictions", "ground truth"])
def test_an_empty_side_is_said(tmp_path, side):
    """Nothing predicted anywhere scores 0, nothing true anywhere scores 0 or nothing: both said."""
    full = {n: box(slice(4, 16), slice(5, 25)) for n in "ab"}
    none = {n: values * 0 for n, values in full.items()}
    pred, gt = (none, full) if side == "predictions" else (full, none)
    words = (save(tmp_path / "p", **pred), save(tmp_path / "g", **gt))
    scored, looked = both(*words, "--kind", "binary")
    assert scored.score("iou.pooled") == 0
    assert f"all images of the {side} are empty (2)" in looked.finding("all-empty")["what"]
    assert any("are empty" in warning for warning in scored.result["warnings"])


def test_kinds_that_values_contradict_are_doubted(tmp_path):
    """Class maps read as objects, and object ids read as classes."""
    scattered = {}
    for name in "abc":
        values = np.zeros((60, 60), np.uint8)
        for i, value in enumerate([1, 2, 3] * 5):
            values[4 * i : 4 * i + 2, ::8] = value
        scattered[name] = values
    gt = save(tmp_path / "g", **scattered)
    pred = save(tmp_path / "p", **{k: np.roll(v, 1, 1) for k, v in scattered.items()})
    assert "classes-as-objects" in run(pred, gt, "--kind", "instance", "--check").codes
    many = save(tmp_path / "m", a=objects(230).astype(np.uint16))
    assert "objects-as-classes" in run(many, many, "--kind", "semantic", "--check").codes


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
    command = [sys.executable, "-m", "segcli", "eval", "-", str(gt), "--check", "--json"]
    done = subprocess.run(
        command, input=line, capture_output=True, cwd=ROOT, check=False, text=True
    )
    looked = Run(done.returncode, json.loads(done.stdout), done.stderr)
    assert looked.code == 3
    assert {"scores-constant", "unmatched"} <= looked.codes
    assert looked.result["pairing"]["ground_truth_without_prediction"] == ["y.png"]
