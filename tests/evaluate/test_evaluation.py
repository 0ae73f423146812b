"""The one call that scores predictions against ground truth."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from segcli.errors import InputError, UsageError
from segcli.evaluate import Accumulator, EvalSettings, evaluate
from segcli.evaluate.accumulate import measure
from segcli.formats.ndjson import StreamSource
from segcli.masks.rle import encode
from segcli.metrics import MetricOptions, Pair, metrics_for

PROTOCOLS = ("binary", "semantic", "instance")


def sides(memory, disc_maps, kind, count=5):
    maps = [disc_maps(count), disc_maps(count, shift=1)]
    if kind == "binary":
        maps = [{k: (v > 0).astype(np.uint8) for k, v in side.items()} for side in maps]
    return [memory(kind, side) for side in maps]


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_the_protocol_is_what_the_ground_truth_holds(memory, disc_maps, kind):
    """Binary, semantic and instance sides are told apart, and it is said."""
    found = evaluate(*sides(memory, disc_maps, kind))
    assert found.protocol == kind
    assert f"protocol: {kind} (the ground truth is {kind})" in found.notes
    assert found.complete
    assert found.counts["images"] == 5
    assert all(0 < v < 1 for name, v in found.metrics.items() if name.endswith("iou.pooled"))


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_json_is_the_same_however_many_files_are_read_at_once(memory, disc_maps, kind):
    """The same input gives the same bytes, with one worker or several, and no NaN in them."""
    texts = {
        json.dumps(
            evaluate(*sides(memory, disc_maps, kind), EvalSettings(workers=n)).to_json(),
            allow_nan=False,
        )
        for n in (1, 1, 4)
    }
    assert len(texts) == 1


@pytest.mark.parametrize("kind", PROTOCOLS)
def test_shards_add_up_to_one_run(memory, disc_maps, kind):
    """Two accumulators over half the images each, merged, equal one over all, to the last bit."""
    pred, gt = sides(memory, disc_maps, kind)
    metrics = metrics_for(kind, MetricOptions())
    whole, left, right = (Accumulator(metrics) for _ in range(3))
    for i, key in enumerate(gt.keys()):
        pair = Pair(key, i, pred.read(key), gt.read(key))
        for total in (whole, left if i % 2 else right):
            total.add(measure(metrics, pair))
    right.merge(left)
    assert right.scores() == pytest.approx(whole.scores(), rel=0, abs=0, nan_ok=True)
    assert right.counts() == whole.counts()
    assert right.tables() == whole.tables()
    assert (right.images, right.pixels) == (whole.images, whole.pixels)


def test_pooled_and_mean_of_images_are_both_given(memory):
    """A small and a large object: pooled weighs pixels, the mean weighs images."""
    large, small = np.ones((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    small[0, :2] = 1
    half = small.copy()
    half[0, 1] = 0
    found = evaluate(
        memory("binary", {"a.png": large, "b.png": half}),
        memory("binary", {"a.png": large, "b.png": small}),
    )
    assert found.metrics["iou.pooled"] == 101 / 102
    assert found.metrics["iou.mean_of_images"] == 0.75


def test_images_empty_on_both_sides_are_left_out_and_counted(memory):
    """0/0 is never part of a mean: it is counted as undefined."""
    empty, full = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
    maps = {"a.png": empty, "b.png": full}
    found = evaluate(memory("binary", maps), memory("binary", maps))
    assert found.metrics["iou.mean_of_images"] == 1.0
    assert found.params["undefined_images"]["iou"] == 1
    nothing = evaluate(memory("binary", {"a.png": empty}), memory("binary", {"a.png": empty}))
    assert math.isnan(nothing.metrics["iou.pooled"])
    assert "foreground" in nothing.undefined["iou.pooled"]
    assert nothing.to_json()["metrics"]["iou"]["pooled"] is None


def test_a_damaged_or_misfit_item_fails_alone(memory, disc_maps):
    """One unreadable file and one of another size are listed; the others are scored."""
    maps = disc_maps(4)
    bad = {**maps, "01.png": None, "02.png": maps["02.png"][:16]}
    found = evaluate(memory("instance", bad), memory("instance", maps))
    assert not found.complete
    assert found.counts["images"] == 2
    errors = {failure.name: failure.error for failure in found.failures}
    assert errors["01"] == "01.png: cannot be decoded"
    assert errors["02"] == "folder/02.png is 32x16, but folder/02.png is 32x32"
    assert found.metrics["f1_50.pooled"] == 1.0


def test_predictions_of_another_size_can_be_resized(memory):
    """`nearest` takes the pixel whose centre is nearest, and the count of them is reported."""
    small = np.array([[1, 0], [0, 2]], np.uint8)
    large = np.kron(small, np.ones((3, 5), np.uint8))
    settings = EvalSettings(resize_pred="nearest")
    found = evaluate(
        memory("semantic", {"a.png": small}), memory("semantic", {"a.png": large}), settings
    )
    assert found.metrics["miou.pooled"] == 1.0
    assert found.params["sizes"] == {"mismatch": "nearest", "predictions_resized": 1}
    assert any("resized" in warning for warning in found.warnings)


POLICIES = {
    "error": (False, 2, 0, 1.0),
    "skip": (True, 0, 2, 1.0),
    "empty": (True, 0, 1, 2 / 3),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_unmatched_files_are_never_silent(memory, policy):
    """Listed as failures, left out with a warning, or a missing prediction taken as empty."""
    one = np.ones((2, 2), np.uint8)
    complete, failures, left_out, recall = POLICIES[policy]
    found = evaluate(
        memory("binary", {"a.png": one, "b.png": one, "x.png": one}),
        memory("binary", {"a.png": one, "b.png": one, "c.png": one}),
        EvalSettings(missing=policy),
    )
    assert found.complete == complete
    assert (len(found.failures), len(found.left_out)) == (failures, left_out)
    assert found.metrics["recall.pooled"] == pytest.approx(recall)
    pairing = found.params["pairing"]
    assert pairing["predictions_without_ground_truth"] == 1
    assert pairing["ground_truth_without_prediction"] == 1
    assert bool(found.warnings) == bool(left_out)


@pytest.mark.parametrize("ignore", [None, 0, 255])
@pytest.mark.parametrize("metrics", [("classes",), ("classes", "boundary")])
def test_a_missing_class_map_is_right_nowhere(memory, ignore, metrics):
    """Not even where 0 is a class: without the file recall falls by its share, no class is new."""
    lowest = int(ignore == 0)
    one, two = (np.array([row], np.uint8) + lowest for row in ([0, 1, 1, 2], [1, 0, 2, 1]))
    settings = EvalSettings(missing="empty", ignore_index=ignore, families=metrics)
    gt = memory("semantic", {"a": one, "b": two})
    found = evaluate(memory("semantic", {"a": one}), gt, settings)
    assert found.complete
    assert found.metrics["pixel_accuracy.pooled"] == 0.5
    assert found.metrics["pixel_accuracy.mean_of_images"] == 0.5
    assert {row["class"] for row in found.tables["per_class"]} == {lowest + i for i in range(3)}
    assert not any("IoU 0" in note for note in found.notes)


def test_a_missing_class_map_has_no_foreground(memory):
    """Scored as binary, a class map that is not there predicts nothing."""
    maps = {"a": np.array([[0, 1, 2]], np.uint8), "b": np.array([[0, 1, 1]], np.uint8)}
    settings = EvalSettings(protocol="binary", missing="empty")
    found = evaluate(memory("semantic", {"a": maps["a"]}), memory("semantic", maps), settings)
    assert found.counts["tp"] == found.counts["fn"] == 2
    assert found.counts["fp"] == 0


def test_no_pair_at_all_is_an_error(memory):
    """Two sides without a common name are refused, with samples of both."""
    one = np.ones((2, 2), np.uint8)
    with pytest.raises(InputError, match="none of 1 predictions and 1 ground truths") as caught:
        evaluate(memory("binary", {"cat.png": one}), memory("binary", {"dog.png": one}))
    assert "cat.png" in caught.value.why
    assert "--match" in caught.value.fix


def test_a_coco_result_may_leave_images_out(memory, disc_maps):
    """COCO results list detections: an image without any counts as an empty prediction."""
    gt = disc_maps(2)
    pred = memory("instance", {"00.png": gt["00.png"]}, format_name="coco")
    found = evaluate(pred, memory("instance", gt))
    assert found.complete
    assert found.counts["images"] == 2
    assert found.params["pairing"]["taken_as_empty"] == 1
    assert found.metrics["recall_50.pooled"] < 1


def test_a_stream_scores_like_files(memory, disc_maps, stream):
    """Records down a pipe, in any order, give the scores of the same objects in files."""
    pred, gt = disc_maps(4, shift=1), memory("instance", disc_maps(4))
    files = evaluate(memory("instance", pred), gt)
    piped = evaluate(stream(dict(reversed(list(pred.items())))), gt)
    drop = {"ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"}  # these rank by score
    for name, value in files.metrics.items():
        if name not in drop:
            assert piped.metrics[name] == pytest.approx(value, nan_ok=True, rel=0, abs=0), name
    assert piped.params["pairing"]["sha256"] == files.params["pairing"]["sha256"]


def test_a_stream_learns_a_suffix_from_its_first_image(memory, disc_maps, stream):
    """When all ground truth has one suffix, a stream pairs as files do."""
    gt = disc_maps(3, suffix="_mask.png")
    found = evaluate(stream(disc_maps(3, suffix=".jpg")), memory("instance", gt))
    assert found.complete
    assert "'_mask'" in found.params["pairing"]["rule"]


def test_images_that_were_not_segmented_fail(memory, disc_maps, stream):
    """An error record is a failed item, named once, not an unmatched ground truth as well."""
    maps = disc_maps(3)
    rest = {k: v for k, v in maps.items() if k != "01.png"}
    found = evaluate(stream(rest, errors=["01.png"]), memory("instance", maps))
    assert [(f.name, f.gt, f.unmatched) for f in found.failures] == [("01", "01.png", False)]
    assert found.counts["images"] == 2


def test_a_stream_that_ends_early_is_not_complete(memory, disc_maps, stream):
    """Ground truth that no record came for is listed."""
    maps = disc_maps(3)
    found = evaluate(stream({"00.png": maps["00.png"]}), memory("instance", maps))
    assert [f.gt for f in found.failures] == ["01.png", "02.png"]
    assert all(f.unmatched for f in found.failures)


def test_an_empty_stream_leaves_everything_unmatched(memory, disc_maps, stream):
    """No record at all: every ground truth is listed, no score is defined."""
    found = evaluate(stream({}), memory("instance", disc_maps(2)))
    assert len(found.failures) == 2
    assert all(math.isnan(v) for v in found.metrics.values())


def test_a_name_twice_in_a_stream_is_an_error(memory, disc_maps, stream):
    """x.jpg and x.png down one pipe are refused as they are in files."""
    maps = disc_maps(1)
    twice = {"00.jpg": maps["00.png"], "00.png": maps["00.png"]}
    with pytest.raises(InputError, match=r"twice: 00\.jpg and 00\.png"):
        evaluate(stream(twice), memory("instance", maps))


def test_a_stream_without_any_pair_is_an_error(memory, disc_maps, stream):
    """Records of other pictures are refused, not scored as nothing."""
    with pytest.raises(InputError, match="none of 2 predictions"):
        evaluate(
            stream(disc_maps(2)),
            memory("instance", {"other.png": disc_maps(1)["00.png"], "b.png": None}),
        )


def test_a_damaged_record_fails_alone(memory, disc_maps, stream):
    """A record whose mask does not fit its image is a failure; what came before counts."""
    maps = disc_maps(2)
    lines = list(stream(maps)._lines)
    record = json.loads(lines[1])
    record["width"] = 7
    lines[1] = json.dumps(record).encode()
    found = evaluate(StreamSource(lines, "standard input"), memory("instance", maps))
    assert not found.complete
    assert found.counts["images"] == 1


def test_a_stream_holds_one_image_in_memory(memory, disc_maps, stream):
    """However long the stream, one ground truth is alive at a time."""
    maps = disc_maps(12)
    gt = memory("instance", maps)
    evaluate(stream(maps), gt, EvalSettings(workers=8))
    assert gt.most == 1
    assert gt.alive == 0


def test_predictions_of_a_stream_are_let_go(memory, disc_maps):
    """The prediction of one image is freed before the next one is made."""
    maps = disc_maps(12)
    made = memory("instance", maps)

    class Generated(StreamSource):
        def __iter__(self):
            for key in maps:
                yield key, made.read(key)

    evaluate(Generated([], "generated"), memory("instance", maps))
    assert made.most == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_files_in_memory_are_bounded_by_the_workers(memory, disc_maps, workers):
    """Of many files, at most two a worker are alive at once."""
    maps = disc_maps(40)
    pred, gt = memory("instance", maps), memory("instance", maps)
    evaluate(pred, gt, EvalSettings(workers=workers))
    assert max(pred.most, gt.most) <= 2 * workers + 1
    assert pred.alive == gt.alive == 0


def test_each_image_is_reported_as_it_is_scored(memory, disc_maps):
    """Rows come in the order of the ground truth, with the scores of one image each."""
    rows = []
    maps = disc_maps(3)
    evaluate(memory("instance", maps), memory("instance", maps), on_image=rows.append)
    assert [row.name for row in rows] == ["00", "01", "02"]
    assert all(row.scores["f1_50"] == 1.0 for row in rows)
    assert rows[0].to_record()["metrics"]["foreground"]["iou"] == 1.0


KINDS = [
    ("binary", "instance", "binary", "the predictions are binary, not objects"),
    ("instance", "binary", "binary", "the ground truth is binary"),
    ("instance", "semantic", "binary", "objects without classes"),
    ("semantic", "instance", "binary", "not objects"),
    ("binary", "semantic", "semantic", "the ground truth is semantic"),
]


@pytest.mark.parametrize(("pred_kind", "gt_kind", "protocol", "why"), KINDS)
def test_sides_of_different_kinds_meet_where_they_can(
    memory, disc_maps, pred_kind, gt_kind, protocol, why
):
    """Where one side cannot tell objects or classes apart, what both hold is compared, and said."""
    ones = {k: (v > 0).astype(np.uint8) for k, v in disc_maps(2).items()}
    found = evaluate(memory(pred_kind, ones), memory(gt_kind, ones))
    assert found.protocol == protocol
    assert why in found.params["protocol_why"]


@pytest.mark.parametrize("wanted", ["instance", "semantic"])
def test_a_protocol_needs_what_it_compares(memory, disc_maps, wanted):
    """Objects are not made from binary masks, nor classes from objects, behind the user's back."""
    kinds = ("binary", "binary") if wanted == "instance" else ("semantic", "instance")
    with pytest.raises(UsageError, match=f"--protocol {wanted} needs"):
        evaluate(*(memory(kind, disc_maps(1)) for kind in kinds), EvalSettings(protocol=wanted))


def test_any_labels_can_be_scored_as_binary(memory, disc_maps):
    """The foreground of instances can be asked for alone."""
    maps = disc_maps(2)
    found = evaluate(
        memory("instance", maps), memory("instance", maps), EvalSettings(protocol="binary")
    )
    assert next(iter(found.metrics)) == "iou.pooled"


class VoidedMixin:
    """A side whose pixels of one value do not count."""

    void = 0

    def read(self, key):
        return replace(super().read(key), ignore=encode(self.maps[key] == self.void))


@pytest.mark.parametrize("kind", ["binary", "semantic"])
def test_ignoring_the_background_of_one_class_is_warned_about(memory, kind):
    """With background ignored and one class left, mIoU is recall."""
    voided = type("Voided", (VoidedMixin, memory), {})
    found = evaluate(
        memory(kind, {"a.png": np.array([[1, 1]], np.uint8)}),
        voided(kind, {"a.png": np.array([[0, 1]], np.uint8)}),
        EvalSettings(ignore_index=0),
    )
    assert any("IoU is then recall" in warning for warning in found.warnings)
    assert found.params["ignored_percent"] == 50.0


@pytest.mark.parametrize("kind", ["binary", "semantic", "instance"])
def test_ignoring_everything_but_the_background_is_warned_about(memory, kind):
    """{0, 255} with 255 ignored scores nothing but background, and that is said."""
    voided = type("Voided", (VoidedMixin, memory), {"void": 255})
    truth = voided(kind, {"a.png": np.array([[0, 255]], np.uint8)})
    if kind != "semantic":
        truth.maps["a.png"][0, 1] = 0
        truth.void = 0
    found = evaluate(
        memory(kind, {"a.png": np.array([[0, 0]], np.uint8)}), truth, EvalSettings(ignore_index=255)
    )
    assert any("nothing but background" in warning for warning in found.warnings)


def test_an_ignore_index_that_never_occurs_is_warned_about(memory):
    """A mistyped ignore index is said, not silently without effect."""
    gt = np.array([[0, 1]], np.uint8)
    found = evaluate(
        memory("semantic", {"a.png": gt}),
        memory("semantic", {"a.png": gt}),
        EvalSettings(ignore_index=254),
    )
    assert any("no pixel has the ignore index 254" in warning for warning in found.warnings)


def test_params_state_every_convention(memory, disc_maps):
    """Averaging, classes, void, pairing, sizes, empty cases, matching, versions and a hash."""
    maps = disc_maps(2)
    params = evaluate(memory("instance", maps), memory("instance", maps)).params
    assert {"averaging", "pairing", "sizes", "undefined", "ignored_percent"} <= params.keys()
    assert {"matching", "coco", "coco_area", "coco_score"} <= params["conventions"].keys()
    assert {"segcli", "numpy", "hotcoco", "scipy"} <= params["versions"].keys()
    assert len(params["pairing"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("missing", "failed", "left_out", "empty"),
    [("error", 1, 0, 0), ("skip", 0, 1, 0), ("empty", 0, 0, 1)],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_ground_truth_that_the_rule_misses_is_not_lost(
    memory, stream, disc_maps, missing, failed, left_out, empty, streamed
):
    """A path in which --match finds nothing has no name, and still counts as unmatched."""
    maps = disc_maps(2)
    gt = memory("instance", {**maps, "x.png": maps["00.png"]})
    pred = stream(maps) if streamed else memory("instance", maps)
    found = evaluate(pred, gt, EvalSettings(match=r"(\d+)", missing=missing))
    assert (len(found.failures), len(found.left_out)) == (failed, left_out)
    assert found.params["pairing"]["taken_as_empty"] == empty
    assert found.params["pairing"]["ground_truth_without_prediction"] == 1
    assert found.counts["images"] == 2 + empty


@pytest.mark.parametrize(("missing", "images", "empty"), [("error", 3, 1), ("skip", 2, 0)])
def test_images_without_detections_are_counted(memory, disc_maps, missing, images, empty):
    """COCO results hold no empty image: it is taken as empty and counted, or left out if asked."""
    pred = memory("instance", disc_maps(2), "coco")
    gt = memory("instance", disc_maps(3))
    found = evaluate(pred, gt, EvalSettings(missing=missing))
    assert (found.counts["images"], found.failures) == (images, ())
    assert found.params["pairing"]["taken_as_empty"] == empty
    assert len(found.left_out) == 1 - empty


def test_leaving_a_poor_prediction_out_improves_no_mean(memory):
    """Precision of an image with nothing predicted is 0: deleting a bad mask does not pay."""
    mask, poor = np.zeros((2, 8, 8), np.uint8)
    mask[2:5, 2:5], poor[:, :4] = 1, 1
    gt = memory("binary", {"a": mask, "b": mask})
    bad = evaluate(memory("binary", {"a": mask, "b": poor}), gt).metrics
    none = evaluate(memory("binary", {"a": mask, "b": mask * 0}), gt)
    assert none.metrics["precision.mean_of_images"] == 0.5 < bad["precision.mean_of_images"]
    assert "precision 0" in none.params["conventions"]["empty_masks"]
