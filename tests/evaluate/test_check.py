"""A dry look at both sides: what it counts, what it finds, and what it leaves alone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from segcli.errors import InputError, UsageError
from segcli.evaluate import EvalSettings, Side, evaluate, open_sides
from segcli.evaluate.check import check
from segcli.evaluate.looks import SideLooks, look_at
from segcli.evaluate.pair_list import ListedPair, PairList
from segcli.evaluate.pair_looks import compare
from segcli.formats.classes import ClassList
from segcli.masks.rle import encode, segment_from_mask
from segcli.records import ImageRef, LabelMap, Segmentation


def codes(report, level=None):
    return {f.code for f in report.findings if level in (None, f.level)}


def finding(report, code):
    return next(f for f in report.findings if f.code == code)


def of_map(values, kind="semantic", ignore=None):
    image = ImageRef("a.png", *values.shape)
    void = None if ignore is None else encode(values == ignore)
    return Segmentation(image, labels=LabelMap(values, kind), ignore=void)


def classes(seed: int = 0, size: int = 24) -> np.ndarray:
    """A class map of 0 to 3: (size, size) uint8."""
    values = np.zeros((size, size), np.uint8)
    values[2:9, 2:9], values[12:20, 3:12], values[4:18, 14:22] = 1, 2, 3
    return np.roll(values, seed, axis=1)


def scored(scores, size: int = 48, category=1):
    """Segments of one image, one of each score."""
    segments = []
    for number, score in enumerate(scores):
        mask = np.zeros((size, size), bool)
        mask[6 * (number // 8) : 6 * (number // 8) + 4, 6 * (number % 8) : 6 * (number % 8) + 4] = 1
        segments.append(segment_from_mask(mask, score=score, category=category))
    return tuple(segments)


def segmented(memory, segments, format_name="coco"):
    """A side whose images hold these segments."""

    class Segmented(memory):
        def read(self, key):
            return Segmentation(ImageRef(key, 48, 48), segments=self.maps[key])

    return Segmented("instance", segments, format_name)


def test_sides_are_counted(memory):
    """Images, sizes, values, void, empty images and areas, against plain numpy."""
    maps = {"a.png": classes(), "b.png": classes(1), "c.png": classes()[:12] * 0}
    counted = []
    sides = memory("semantic", maps), memory("semantic", maps)
    report = check(*sides, on_item=lambda: counted.append(1))
    side = report.gt.to_record()
    assert side["files"] == len(counted) == 3
    assert side["sizes"] == [
        {"width": 24, "height": 24, "images": 2},
        {"width": 24, "height": 12, "images": 1},
    ]
    pixels = np.concatenate([m.ravel() for m in maps.values()])
    counted = {row["value"]: row["pixels"] for row in side["values"]["by_value"]}
    assert counted == {v: int((pixels == v).sum()) for v in range(4)}
    assert (side["values"]["least"], side["values"]["most"]) == (0, 3)
    assert side["empty_images"] == 1
    assert report.pairing.looks.pairs == 3


def test_objects_areas_and_scores_are_counted(memory):
    """Of segments: how many, how large, how sure, of which categories."""
    segments = {"a": scored([0.9, 0.8, 0.7]), "b": scored([None] * 5, category=2)}
    pred = segmented(memory, segments)
    side = check(pred, segmented(memory, segments, "coco-dataset")).pred.to_record()
    assert side["objects"] == {"least": 3, "mean": 4, "most": 5, "most_in": "b", "count": 2}
    assert side["areas"]["mean"] == 16
    assert side["scores"]["missing"] == 5
    assert (side["scores"]["least"], side["scores"]["most"]) == (0.7, 0.9)
    assert side["categories"] == [
        {"id": 1, "name": None, "objects": 3},
        {"id": 2, "name": None, "objects": 5},
    ]


def test_void_is_measured(memory):
    """The share of the pixels that do not count."""

    class Voided(memory):
        def read(self, key):
            side = super().read(key)
            return replace(side, ignore=encode(self.maps[key] == 3))

    maps = {"a.png": classes()}
    report = check(memory("semantic", maps), Voided("semantic", maps), EvalSettings(ignore_index=3))
    share = 100 * float((classes() == 3).mean())
    assert report.gt.to_record()["void_percent"] == pytest.approx(share)
    assert not codes(report) & {"ignore-unused", "ignore-all"}


def test_pieces_are_those_of_scipy():
    """Connected pieces of label values, counted as scipy.ndimage.label counts them."""
    values = np.random.default_rng(3).integers(0, 5, (40, 40)).astype(np.uint16) * 300
    near = np.ones((3, 3))
    wanted = sum(ndimage.label(values == v, near)[1] for v in (300, 600, 900, 1200))
    assert look_at("a", of_map(values, "instance"), whole=True).pieces == (wanted, 4)


def test_a_look_counts_as_numpy_does():
    """Values of any type, also negative and of 32 bits."""
    for dtype in (np.uint8, np.uint16, np.int32, np.int64):
        values = np.random.default_rng(1).integers(0, 90, (31, 17)).astype(dtype)
        if values.dtype.kind == "i":
            values -= 5
        present, counts = np.unique(values, return_counts=True)
        look = look_at("a", of_map(values))
        assert look.values == dict(zip(present.tolist(), counts.tolist(), strict=True))


def test_pairs_are_compared_as_plain_masks_are():
    """tp, fp, fn, tn without void, against plain numpy; turned masks too."""
    random = np.random.default_rng(0)
    pred, gt = (random.integers(0, 4, (20, 20)).astype(np.uint8) for _ in range(2))
    look = compare(("p", "g"), of_map(pred), of_map(gt, ignore=3), turned=True)
    on = gt != 3
    inside, true = (pred > 0) & on, (gt > 0) & on
    wanted = ((inside & true).sum(), (inside & ~true).sum(), (~inside & true & on).sum())
    assert (look.tp, look.fp, look.fn) == tuple(int(n) for n in wanted)
    assert look.tp + look.fp + look.fn + look.tn == int(on.sum())
    turned = (pred.T > 0) & on
    iou = (turned & true).sum() / (turned | true).sum()
    assert look.views["turned over its diagonal (rows and columns exchanged)"] == pytest.approx(iou)
    signed = gt.astype(int)
    hits = [((pred == signed + k) & true).sum() for k in (-1, 0, 1)]
    assert list(look.shifts) == [int(n) for n in hits]


def test_nothing_is_found_where_nothing_is_wrong(memory):
    """Good predictions of all three kinds raise no warning."""
    for kind in ("semantic", "instance", "binary"):
        gt = {f"{i}.png": np.minimum(classes(i), 1 if kind == "binary" else 3) for i in range(3)}
        pred = {key: np.roll(values, 1, axis=0) for key, values in gt.items()}
        report = check(memory(kind, pred), memory(kind, gt))
        assert not codes(report, "error") | codes(report, "warning"), kind
        assert report.exit_code == 0


@pytest.mark.parametrize("workers", [1, 4])
def test_memory_is_bounded_and_the_outcome_is_the_same(memory, disc_maps, workers):
    """At most two images a worker are alive; the same files give the same bytes."""
    maps = disc_maps(30, shift=1)
    pred, gt = memory("instance", maps), memory("instance", disc_maps(30))
    report = check(pred, gt, EvalSettings(workers=workers))
    alone = check(pred, gt, EvalSettings(workers=1))
    texts = [json.dumps(r.to_json(), allow_nan=False) for r in (report, alone)]
    assert texts[0] == texts[1]
    assert max(pred.most, gt.most) <= 2 * workers + 1
    assert pred.alive == gt.alive == 0


def test_what_eval_leaves_out_is_exit_code_3(memory, disc_maps):
    """Unreadable, unmatched and misfit files: the code that an evaluation would have."""
    maps = disc_maps(4)
    cases = {
        "unreadable": ({**maps, "01.png": None}, EvalSettings()),
        "unmatched": ({k: v for k, v in maps.items() if k != "01.png"}, EvalSettings()),
        "sizes-differ": ({**maps, "01.png": maps["01.png"][:16]}, EvalSettings()),
    }
    for code, (changed, chosen) in cases.items():
        sides = memory("instance", changed), memory("instance", maps)
        report = check(*sides, chosen)
        assert code in codes(report, "error"), code
        assert report.exit_code == 3
        assert not evaluate(*sides, chosen).complete
    skipped = check(
        memory("instance", cases["unmatched"][0]),
        memory("instance", maps),
        EvalSettings(missing="skip"),
    )
    assert "unmatched" in codes(skipped, "warning")
    assert skipped.exit_code == 0
    resized = check(
        memory("instance", cases["sizes-differ"][0]),
        memory("instance", maps),
        EvalSettings(resize_pred="nearest"),
    )
    assert "sizes-differ" in codes(resized, "warning")


def test_an_unreadable_file_of_one_side_does_not_hide_the_other(memory, disc_maps):
    """Both sides of a damaged pair are looked at."""
    maps = disc_maps(2)
    bad = {**maps, "00.png": None}
    report = check(memory("instance", bad), memory("instance", maps))
    assert (report.pred.looks.images, report.gt.looks.images) == (1, 2)
    assert (report.pred.unreadable, report.pred.files) == (1, 2)
    assert [f.pred for f in report.failures] == ["00.png"]


def test_sizes_that_are_exchanged_are_told_from_others(memory):
    """(W, H) for (H, W) is an error of its own; a resize would hide it."""
    gt = {f"{i}.png": classes()[:16] for i in range(3)}
    pred = {**{k: v.T for k, v in gt.items()}, "2.png": gt["2.png"][::2, ::2]}
    report = check(memory("semantic", pred), memory("semantic", gt))
    assert {"sizes-swapped", "sizes-differ"} <= codes(report, "error")
    assert "2 pairs of 3" in finding(report, "sizes-swapped").what
    only = {k: v.T for k, v in gt.items()}
    resized = EvalSettings(resize_pred="nearest")
    swapped = check(memory("semantic", only), memory("semantic", gt), resized)
    assert "sizes-swapped" in codes(swapped, "error")


def test_one_size_of_all_predictions_is_the_models(memory):
    """Predictions of one size against pictures of many."""
    gt = {f"{i}.png": np.kron(classes(), np.ones((i + 2, 2), np.uint8)) for i in range(3)}
    pred = {key: classes() for key in gt}
    report = check(memory("semantic", pred), memory("semantic", gt))
    assert "model's resolution" in finding(report, "sizes-differ").what


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda v: (v == 0).astype(np.uint8), "inverted"),
        (lambda v: v[:, ::-1], "turned"),
        (lambda v: v[::-1], "turned"),
        (lambda v: np.roll(v, 24, axis=0), "apart"),
        (lambda v: v, "same-files"),
        (lambda v: v * 0, "all-empty"),
    ],
)
def test_how_sides_lie_is_recognised(memory, change, code):
    """Inverted, mirrored, apart, equal and empty masks, each by its own finding."""
    gt = {}
    for i in range(4):
        gt[f"{i}.png"] = np.zeros((48, 48), np.uint8)
        gt[f"{i}.png"][2:9, 3 : 12 + i] = 1
    pred = {key: np.ascontiguousarray(change(values)) for key, values in gt.items()}
    report = check(memory("binary", pred), memory("binary", gt))
    lying = {"inverted", "turned", "apart", "same-files", "all-empty"}
    assert codes(report) & lying == {code}


@pytest.mark.parametrize("step", [-1, 1])
def test_shifted_classes_are_recognised(memory, step):
    """Off by one in either way; the right ids are not."""
    gt = {"a.png": classes() + 1}
    shifted = memory("semantic", {"a.png": np.array(classes() + (1 + step), np.uint8)})
    report = check(shifted, memory("semantic", gt))
    assert ("less" if step < 0 else "more") in finding(report, "classes-shifted").what
    assert "classes-shifted" not in codes(check(memory("semantic", gt), memory("semantic", gt)))


def test_ignoring_leaves_something_to_score(memory):
    """One class left, background ignored, all ignored, and none of it."""

    class Voided(memory):
        void = 0

        def read(self, key):
            side = super().read(key)
            return replace(side, ignore=encode(self.maps[key] == self.void))

    one = {"a.png": np.minimum(classes(), 1)}
    sides = memory("semantic", one), Voided("semantic", one)
    assert "ignore-background" in codes(check(*sides, EvalSettings(ignore_index=0)))
    sides[1].void = 1
    assert "ignore-all" in codes(check(*sides, EvalSettings(ignore_index=1)))
    sides[1].void = 9
    assert "ignore-unused" in codes(check(*sides, EvalSettings(ignore_index=9)))


def test_categories_and_scores_are_judged(memory):
    """Unknown categories, one category for all, constant, missing and strange scores."""
    true = {"a": scored([None] * 3) + scored([None], category=2)}
    gt = segmented(memory, true, "coco-dataset")
    cases = {
        "unknown-categories": scored([0, 0.1, 0.2], category=0),
        "one-category": scored([0, 0.1, 0.2]),
        "scores-constant": scored([0.5] * 3),
        "scores-missing": scored([None] * 3),
        "scores-range": scored([0, 30, 60]),
    }
    for code, segments in cases.items():
        report = check(segmented(memory, {"a": segments}), gt)
        assert code in codes(report, "warning"), code
    strange = check(segmented(memory, {"a": scored([float("nan")])}), gt)
    assert (strange.exit_code, "scores-strange" in codes(strange, "error")) == (3, True)
    agnostic = EvalSettings(class_agnostic=True)
    report = check(segmented(memory, {"a": cases["unknown-categories"]}), gt, agnostic)
    assert "unknown-categories" not in codes(report)


def test_values_outside_the_class_list_are_named(memory):
    """With the first file, the value and how many pixels; the ignored value may stay."""
    names = {0: "background", 1: "a", 2: "b"}
    maps = {"a.png": np.minimum(classes(), 2), "b.png": classes()}
    chosen = EvalSettings(classes=ClassList(names))
    report = check(memory("semantic", maps), memory("semantic", maps), chosen)
    said = finding(report, "outside-class-list").what
    assert said.endswith(f"3 ({int((classes() == 3).sum())} pixels, first in b.png)")
    assert report.exit_code == 3

    class Voided(memory):
        def read(self, key):
            return replace(super().read(key), ignore=encode(self.maps[key] == 3))

    void = Voided("semantic", maps)
    ignored = check(memory("semantic", maps), void, replace(chosen, ignore_index=3))
    assert "outside-class-list" not in codes(ignored)


def test_predicting_the_ignored_value_is_no_error(memory):
    """It is wrong where pixels count, and may be predicted in void: eval scores both."""

    class Voided(memory):
        def read(self, key):
            return replace(super().read(key), ignore=encode(self.maps[key] == 3))

    gt = Voided("semantic", {"a.png": classes()})
    wanted = EvalSettings(ignore_index=3)
    inside = memory("semantic", {"a.png": classes()})
    outside = memory("semantic", {"a.png": classes(1)})
    for pred, perfect in ((inside, True), (outside, False)):
        report = check(pred, gt, wanted)
        assert report.exit_code == 0
        scored = evaluate(pred, gt, wanted)
        assert scored.complete
        assert (scored.metrics["miou.pooled"] == 1) == perfect


def test_a_list_of_pairs_is_followed(memory):
    """Files that it does not name are left aside, not unmatched."""
    maps = {f"{n}.png": classes(i) for i, n in enumerate("abc")}
    listed = PairList("pairs.csv", (ListedPair(1, "a.png", "c.png"),))
    report = check(memory("semantic", maps), memory("semantic", maps), EvalSettings(listed=listed))
    assert report.pairing.examples == (("a.png", "c.png"),)
    assert report.exit_code == 0


def test_images_without_detections_are_noted(memory):
    """COCO results hold no empty image: said, and no error."""
    gt = segmented(memory, {"a": scored([None] * 2), "b": scored([None] * 1)})
    report = check(segmented(memory, {"a": scored([0, 0.5])}), gt)
    assert "taken-as-empty" in codes(report, "note")
    assert report.exit_code == 0


def test_a_stream_is_looked_at_as_it_comes(memory, disc_maps, stream):
    """One image at a time; failed records and missing images are found."""
    maps = disc_maps(4)
    gt = memory("instance", maps)
    kept = {k: v for k, v in maps.items() if k not in ("01.png", "03.png")}
    report = check(stream(kept, errors=["01.png"]), gt)
    assert report.pairing.looks.pairs == 2
    assert report.pairing.gt_only == ("03.png",)
    assert [f.error for f in report.failures] == ["01.png: could not be segmented"]
    assert gt.most == 1


def test_sides_that_cannot_be_scored_are_refused(memory, disc_maps):
    """No pair at all, and a protocol that a side cannot have, as in an evaluation."""
    maps = disc_maps(2)
    with pytest.raises(InputError, match="none of 2 predictions"):
        check(
            memory("instance", maps), memory("instance", {"x.png": maps["00.png"], "y.png": None})
        )
    ones = {k: (v > 0).astype(np.uint8) for k, v in maps.items()}
    with pytest.raises(UsageError, match="--protocol instance needs"):
        check(*[memory("binary", ones)] * 2, EvalSettings(protocol="instance"))


def test_files_are_seen_as_they_are_stored(tmp_path):
    """Palette, 16 bits, alpha and arrays by their words; {0, 255} though it is read as 0 and 1."""
    values = (classes() > 0).astype(np.uint8) * 255
    for name in ("p", "g"):
        (tmp_path / name).mkdir()
        Image.fromarray(values).save(tmp_path / name / "a.png")
    Image.fromarray(values).convert("1").save(tmp_path / "p" / "b.tif")
    np.save(tmp_path / "g" / "b.npy", values > 0)
    sides = open_sides(Side(str(tmp_path / "p")), Side(str(tmp_path / "g")))
    report = check(*sides)
    assert report.pred.to_record()["storage"] == {"1-bit TIFF": 1, "8-bit grey PNG": 1}
    assert report.gt.to_record()["storage"] == {"8-bit grey PNG": 1, "npy array": 1}
    assert report.gt.to_record()["stored_values"] == [0, 1, 255]
    assert report.gt.to_record()["values"]["most"] == 1


def test_ids_beyond_what_is_listed_cost_no_memory():
    """Thousands of object ids are a range, not a list."""
    looks = SideLooks()
    for number in range(20):
        values = np.arange(1, 1001, dtype=np.uint32).reshape(20, 50) + 1000 * number
        looks.add(look_at(f"{number}.png", of_map(values, "instance")))
    assert len(looks.values) < 1100
    assert (min(looks.values), max(looks.values)) == (1, 20_000)
    assert looks.objects.total == 20_000


SMALL = st.sampled_from([np.zeros((2, 3), np.uint8), np.eye(3, dtype=np.uint8), classes(), None])
SIDES = st.dictionaries(st.sampled_from(["a.png", "b.png", "c.png"]), SMALL, min_size=1)


@given(
    SIDES,
    SIDES,
    st.sampled_from(["binary", "semantic", "instance"]),
    st.sampled_from(["error", "skip", "empty"]),
    st.sampled_from([None, "nearest"]),
    st.sampled_from([None, 0, 3]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_the_exit_code_is_that_of_an_evaluation(memory, pred, gt, kind, missing, resize, ignore):
    """Whatever is missing, damaged, of another size or void: what eval leaves out is an error."""

    class Voided(memory):
        def read(self, key):
            side = super().read(key)
            return (
                side if ignore is None else replace(side, ignore=encode(self.maps[key] == ignore))
            )

    flat = kind == "binary"
    maps = [
        {k: v if v is None or not flat else np.minimum(v, 1) for k, v in side.items()}
        for side in (pred, gt)
    ]
    wanted = EvalSettings(missing=missing, resize_pred=resize, ignore_index=ignore)
    sides = memory(kind, maps[0]), Voided(kind, maps[1])
    try:
        complete = evaluate(*sides, wanted).complete
    except InputError:
        with pytest.raises(InputError):
            check(*sides, wanted)
        return
    assert check(*sides, wanted).exit_code == (0 if complete else 3)
