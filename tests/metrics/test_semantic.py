"""Scores of class maps."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import contingency_table

from segcli.errors import PairError
from segcli.masks.rle import encode, segment_from_mask
from segcli.metrics import semantic as semantic_module
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.confusion import RATIOS, confusion, semantic_scores
from segcli.metrics.semantic import Semantic, class_map
from segcli.metrics.semantic_boundary import SemanticBoundary
from segcli.records import ImageRef, LabelMap, Segmentation

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8)


@st.composite
def map_pairs(draw, top=5):
    """Two class maps of one shape."""
    shape = draw(SHAPES)
    return tuple(draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, top))) for _ in range(2))


def semantic(values: np.ndarray, **fields) -> Segmentation:
    image = ImageRef("a.png", *values.shape, source="gt/a.png")
    return Segmentation(image, labels=LabelMap(values, "semantic"), **fields)


def measured(pred: np.ndarray, gt: np.ndarray, options: MetricOptions | None = None, **fields):
    pair = Pair("a", 0, semantic(pred), semantic(gt, **fields))
    return Semantic(options or MetricOptions()).measure(pair)


def one_class_after_the_other(pred, gt):
    """mIoU, mDice, mean precision and recall by a loop over classes and boolean masks."""
    found = {"miou": [], "mdice": [], "mprecision": [], "mrecall": []}
    for c in sorted(set(pred.ravel().tolist()) | set(gt.ravel().tolist())):
        p, g = pred == c, gt == c
        both, either = (p & g).sum(), (p | g).sum()
        found["miou"].append(both / either)
        found["mdice"].append(2 * both / (p.sum() + g.sum()))
        found["mprecision"].append(both / p.sum() if p.any() else 0)
        if g.any():
            found["mrecall"].append(both / g.sum())
    means = {name: float(np.mean(values)) for name, values in found.items()}
    share = {c: (gt == c).mean() for c in np.unique(gt)}
    iou = {c: ((pred == c) & (gt == c)).sum() / ((pred == c) | (gt == c)).sum() for c in share}
    means["fwiou"] = float(sum(share[c] * iou[c] for c in share))
    return {**means, "pixel_accuracy": float((pred == gt).mean())}


@given(map_pairs())
def test_scores_equal_a_loop_over_classes(maps):
    """All means equal an independent loop over classes."""
    _, matrix = confusion(*maps)
    assert semantic_scores(matrix) == pytest.approx(one_class_after_the_other(*maps), rel=1e-12)


@given(
    map_pairs(), st.sampled_from([np.uint8, np.int16, np.uint16, np.int64]), st.integers(0, 3000)
)
def test_counts_equal_scikit_image_for_any_ids(maps, dtype, shift):
    """The matrix is scikit-image's contingency table, for ids of any size and integer type."""
    if dtype is np.uint8:
        shift %= 200
    pred, gt = (values.astype(dtype) + dtype(shift) for values in maps)
    classes, matrix = confusion(pred, gt)
    table = contingency_table(gt.astype(int), pred.astype(int)).toarray()
    for i, true in enumerate(classes):
        for j, guess in enumerate(classes):
            inside = true < table.shape[0] and guess < table.shape[1]
            assert matrix[i, j] == (table[true, guess] if inside else 0)
    assert matrix.sum() == gt.size


def test_scores_equal_torchmetrics():
    """IoU, Dice, recall and accuracy, by class and as means, with ignored pixels, as torchmetrics.

    The prediction never holds class 4 and the ground truth never class 5; 6 is absent from both.
    """
    classification = pytest.importorskip("torchmetrics.functional.classification")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    gt = rng.integers(0, 5, (3, 40, 50)).astype(np.uint8)
    pred = np.where(rng.random(gt.shape) < 0.6, gt, rng.integers(0, 6, gt.shape)).astype(np.uint8)
    pred[pred == 4] = 5
    gt[:, :5] = 255
    total = Semantic(MetricOptions()).zero()
    for p, g in zip(pred, gt, strict=True):
        total.add(measured(p, g, ignore=encode(g == 255)))
    sides = [torch.from_numpy(m.astype(np.int64)) for m in (pred, gt)]
    theirs = {"num_classes": 7, "ignore_index": 255}
    ours, rows = total.compute(), total.tables()["per_class"]
    judges = {
        "iou": classification.multiclass_jaccard_index,
        "dice": classification.multiclass_f1_score,
        "recall": classification.multiclass_accuracy,
    }
    for name, judge in judges.items():
        each = judge(*sides, average="none", **theirs).tolist()
        for row in rows:
            if not math.isnan(row[f"{name}.pooled"]):
                assert row[f"{name}.pooled"] == pytest.approx(each[row["class"]], rel=1e-6)
    for name in ("iou", "dice"):
        mean = float(judges[name](*sides, average="macro", **theirs))
        assert ours[f"m{name}"] == pytest.approx(mean, rel=1e-6)
    weighed = classification.multiclass_jaccard_index(*sides, average="weighted", **theirs)
    assert ours["fwiou"] == pytest.approx(float(weighed), rel=1e-6)
    right = classification.multiclass_accuracy(*sides, average="micro", **theirs)
    assert ours["pixel_accuracy"] == pytest.approx(float(right), rel=1e-6)


def test_mean_of_classes_is_that_of_hugging_face():
    """Hugging Face `mean_iou`: areas pooled over images, then the mean over classes that occur."""
    rng = np.random.default_rng(6)
    images = rng.integers(0, 4, (5, 2, 12, 13))
    total = Semantic(MetricOptions()).zero()
    areas = {name: np.zeros(6) for name in ("both", "pred", "gt")}
    for pred, gt in images:
        total.add(measured(pred, gt))
        for name, values in (("both", pred[pred == gt]), ("pred", pred), ("gt", gt)):
            areas[name] += np.histogram(values, bins=6, range=(0, 5))[0]
    with np.errstate(invalid="ignore"):
        iou = areas["both"] / (areas["pred"] + areas["gt"] - areas["both"])
        accuracy = areas["both"] / areas["gt"]
    scores = total.compute()
    assert scores["miou"] == pytest.approx(np.nanmean(iou), rel=1e-12)
    assert scores["mrecall"] == pytest.approx(np.nanmean(accuracy), rel=1e-12)
    wanted = areas["both"].sum() / areas["gt"].sum()
    assert scores["pixel_accuracy"] == pytest.approx(wanted, rel=1e-12)


def test_negative_ids_are_classes_too():
    """An id below 0 is counted like any other, not taken as an index from the end."""
    classes, matrix = confusion(np.array([[-1, 2]]), np.array([[-1, -1]]))
    assert classes == (-1, 2)
    assert matrix.tolist() == [[1, 1], [0, 0]]


@given(st.lists(map_pairs(), min_size=1, max_size=4))
def test_shards_add_up(images):
    """Images added one by one give the matrix of all pixels at once, whatever classes each has."""
    total = Semantic(MetricOptions()).zero()
    for pred, gt in images:
        total.add(measured(pred, gt))
    flat = [np.concatenate([m[i].ravel() for m in images])[None] for i in (0, 1)]
    classes, matrix = confusion(*flat)
    assert total.classes == classes
    assert (total.matrix == matrix).all()
    assert total.images == len(images)


@given(map_pairs(), st.permutations(range(6)))
def test_renaming_classes_changes_nothing(maps, names):
    """Scores do not depend on which number stands for which class."""
    renamed = [np.array(names)[values] for values in maps]
    plain = semantic_scores(confusion(*maps)[1])
    assert semantic_scores(confusion(*renamed)[1]) == pytest.approx(plain, rel=1e-12)


def test_absent_classes_are_dropped_and_counted():
    """A listed class that neither side has is no 0 in the mean, but a row and a count."""
    gt = np.array([[0, 0, 1, 1]])
    sums = measured(gt, gt, MetricOptions({0: "background", 1: "cell", 2: "ghost"}))
    assert sums.compute()["miou"] == 1.0
    assert sums.counts() == {"classes": 2, "classes_absent": 1, "classes_only_predicted": 0}
    ghost = sums.tables()["per_class"][2]
    assert (ghost["name"], ghost["gt_pixels"]) == ("ghost", 0)
    assert math.isnan(ghost["iou.pooled"])
    assert math.isnan(ghost["iou.mean_of_images"])


def test_a_class_only_predicted_scores_zero_and_is_said():
    """A class the ground truth never holds costs the mean, and the reader is told."""
    sums = measured(np.array([[0, 7]]), np.array([[0, 0]]))
    assert sums.compute()["miou"] == 0.25
    assert "7" in sums.notes()[0]


def test_each_class_is_given_pooled_and_as_mean_of_images():
    """A class found in one image and missed in another: pooled weighs pixels, the mean images."""
    total = Semantic(MetricOptions()).zero()
    total.add(measured(np.array([[1] * 9]), np.array([[1] * 9])))
    total.add(measured(np.array([[0]]), np.array([[1]])))
    total.add(measured(np.array([[0]]), np.array([[0]])))
    one = total.tables()["per_class"][1]
    assert one["recall.pooled"] == 0.9
    assert one["recall.mean_of_images"] == one["iou.mean_of_images"] == 0.5
    assert one["precision.mean_of_images"] == 0.5


@given(st.lists(map_pairs(top=3), min_size=1, max_size=9), st.integers(1, 4))
def test_means_of_many_images_are_exact(images, at_once):
    """However many images are summed together, and wherever shards are cut."""
    sums = [measured(*maps) for maps in images]
    single: dict[tuple[int, str], list[Fraction]] = {}
    for one in sums:
        for number, scores in zip(one.classes, one.latest[0][1].tolist(), strict=True):
            for name, score in zip(RATIOS, scores, strict=True):
                listed = single.setdefault((number, name), [])
                listed += [] if math.isnan(score) else [Fraction(score)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(semantic_module, "_AT_ONCE", at_once)
        first, second = (Semantic(MetricOptions()).zero() for _ in range(2))
        for i, one in enumerate(sums):
            (second if i % 3 else first).add(one)
        first.add(second)
        rows = first.tables()["per_class"]
    for row in rows:
        for name in RATIOS:
            exact = single[row["class"], name]
            mean = float(sum(exact) / len(exact)) if exact else math.nan
            assert row[f"{name}.mean_of_images"] == pytest.approx(mean, rel=0, abs=0, nan_ok=True)


def test_no_pixels_are_undefined():
    """When everything is void, every score is NaN."""
    gt = np.zeros((2, 2), np.uint8)
    sums = measured(gt, gt, ignore=encode(np.ones((2, 2), bool)))
    assert all(math.isnan(v) for v in sums.compute().values())


def test_void_pixels_do_not_count():
    """Pixels of the ground truth's void neither help nor cost."""
    gt = np.array([[0, 1, 255, 255]], np.uint8)
    pred = np.array([[0, 1, 1, 0]], np.uint8)
    sums = measured(pred, gt, MetricOptions(ignore_index=255), ignore=encode(gt == 255))
    assert sums.compute()["miou"] == 1.0
    assert sums.classes == (0, 1)


@pytest.mark.parametrize("side", ["prediction", "ground truth"])
def test_a_value_outside_the_class_list_is_an_error(side):
    """A stray value is refused on either side, and named with its file."""
    good, bad = np.array([[0, 1]]), np.array([[0, 9]])
    pred, gt = (bad, good) if side == "prediction" else (good, bad)
    with pytest.raises(PairError, match=f"a.png: the {side} .* class list: 9"):
        measured(pred, gt, MetricOptions({0: "background", 1: "cell"}))


@pytest.mark.parametrize("void", [255, 0])
def test_predicting_the_ignore_index_is_wrong(void):
    """A prediction cannot take pixels out of the score; what it calls void is missed, and said."""
    pred, gt = np.array([[1, void, 2, 2]]), np.array([[1, 1, 2, 2]])
    sums = measured(pred, gt, MetricOptions(ignore_index=void))
    assert sums.compute()["miou"] == (1 / 2 + 1) / 2
    assert sums.counts()["pixels_predicted_as_ignored_classes"] == 1


def test_segments_with_categories_are_painted_best_on_top():
    """Objects with classes make a class map, the higher score on top, 0 elsewhere."""
    low, high = np.zeros((2, 3), bool), np.zeros((2, 3), bool)
    low[:, :2], high[:, 1] = True, True
    segments = (
        segment_from_mask(high, category=4, score=0.9),
        segment_from_mask(low, category=3, score=0.2),
    )
    painted = class_map(Segmentation(ImageRef("a.png", 2, 3), segments))
    assert painted.tolist() == [[3, 4, 0]] * 2


@pytest.mark.parametrize(
    "options", [MetricOptions(ignore_index=0), MetricOptions({4: "cat"})], ids=["void", "list"]
)
def test_pixels_without_an_object_are_of_no_class_where_0_is_none(options):
    """Segments leave pixels over: where 0 does not count or is not listed, they are just wrong."""
    gt = np.array([[4, 4, 4, 4]])
    found = segment_from_mask(gt == np.array([[4, 4, 4, 0]]), category=4, score=0.9)
    for segments, iou in (((found,), 0.75), ((), 0.0)):
        pred = Segmentation(ImageRef("a.png", 1, 4), segments)
        pair = Pair("a", 0, pred, semantic(gt))
        sums = Semantic(options).measure(pair)
        assert sums.compute()["miou"] == iou
        assert sums.tables()["per_class"][0]["gt_pixels"] == 4
        assert not sums.notes()
        assert SemanticBoundary(options).measure(pair).compute()["boundary_miou"] == iou


def test_objects_without_classes_have_no_class_map():
    """A proposal cannot be scored by class, and the error names a protocol that can."""
    segments = (segment_from_mask(np.ones((2, 2), bool)),)
    with pytest.raises(PairError, match="without classes") as caught:
        class_map(Segmentation(ImageRef("a.png", 2, 2), segments))
    assert "--protocol" in caught.value.fix


def test_object_ids_are_not_taken_for_classes():
    """Thousands of values would make a matrix of gigabytes: refused, with a way out."""
    ids = np.arange(5000, dtype=np.int32).reshape(50, 100)
    with pytest.raises(PairError, match="5000 different values") as caught:
        measured(ids, ids)
    assert "--kind instance" in caught.value.fix


def test_shapes_must_agree():
    """Class maps of different shapes are refused."""
    with pytest.raises(ValueError, match="cannot be compared"):
        confusion(np.zeros((2, 2), int), np.zeros((2, 3), int))


def test_the_class_0_cannot_be_painted():
    """An object of class 0 would vanish in the background: an error, not a score."""
    image = ImageRef("a.png", 4, 4)
    inside = segment_from_mask(np.eye(4), category=0, score=0.5)
    with pytest.raises(PairError, match="objects of the class 0"):
        class_map(Segmentation(image, (inside,)))
    assert class_map(Segmentation(image, (replace(inside, category=2),))).sum() == 8


def test_ignored_classes_are_in_no_mean():
    """A listed class that does not count is wrong where it is predicted, and lowers no mean."""
    options = MetricOptions(class_names={0: "a", 1: "b", 9: "other"}, ignored=frozenset({9}))
    truth, guess = np.array([[0, 0, 1, 1]]), np.array([[0, 9, 1, 1]])
    sums = measured(guess, truth, options)
    assert sums.compute()["miou"] == (1 / 2 + 1) / 2
    assert sums.counts() == {
        "classes": 2,
        "classes_absent": 0,
        "classes_only_predicted": 0,
        "pixels_predicted_as_ignored_classes": 1,
    }
    assert [row["class"] for row in sums.tables()["per_class"]] == [0, 1]
    total = Semantic(options).zero()
    total.add(sums)
    assert total.compute() == sums.compute()
