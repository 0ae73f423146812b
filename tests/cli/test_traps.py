"""Traps by which other tools score wrongly without a word: the number is right, or refused.

Each case runs `segcli eval` and `segcli eval --check` as real processes on files made by hand, and
states the true number, the exit code and the finding.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import segcli
from PIL import Image
from trap_cases import both, box, coco, maps, objects, run, save, squares


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
    "not a number": (float("nan"), "unreadable", 3),
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
    assert looked.finding("outside-class-list")["what"].endswith("7 (1 pixel, first in b.png)")
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


def test_a_missed_object_does_not_improve_distances(tmp_path):
    """An empty prediction is as far off as the image is large: MONAI leaves it out of the mean."""
    mask, poor = box(slice(2, 8), slice(2, 8)), box(slice(10, 18), slice(20, 28))
    gt = save(tmp_path / "g", a=mask, b=mask)
    far = run(save(tmp_path / "p", a=mask, b=poor), gt, "--metrics", "all")
    none = run(save(tmp_path / "n", a=mask, b=poor * 0), gt, "--metrics", "all")
    for name in ("hd", "hd95", "hd95_pooled_percentile", "assd"):
        assert none.score(f"{name}.mean_of_images") > far.score(f"{name}.mean_of_images") > 0
    for name in ("iou", "boundary_iou", "davis_f", "nsd_1"):
        assert none.score(f"{name}.mean_of_images") <= 0.5


def test_a_split_without_stuff_is_null(tmp_path):
    """Things only: panopticapi divides by zero; here stuff is undefined, with a reason."""
    gt = save(tmp_path / "g", a=objects(9).astype(np.uint16))
    assert segcli("convert", gt, tmp_path / "p", "--to", "coco-panoptic").returncode == 0
    scored, looked = both(tmp_path / "p", tmp_path / "p")
    assert (scored.code, scored.score("pq.pooled"), scored.score("pq_stuff.pooled")) == (0, 1, None)
    assert "no stuff class" in scored.result["undefined"]["pq_stuff.pooled"]
    assert (looked.code, looked.result["protocol"]) == (0, "panoptic")
