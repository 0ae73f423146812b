"""Panoptic quality against the published golden case, hotcoco and the definition written out."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hotcoco.panoptic import pq_compute
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from segcli.errors import PairError
from segcli.evaluate import Side, open_sides
from segcli.masks.rle import encode, segment_from_mask
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.panoptic import Panoptic
from segcli.records import ImageRef, LabelMap, Segmentation

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "data" / "panoptic_team"
NAMES = {1: "cat", 2: "dog", 3: "sky", 4: "sea"}
THINGS = frozenset({1, 2})
IDS = [0, 1, 2, 3, 260, 70_000]
HEIGHT, WIDTH = 6, 8


def side(values, classes, crowds=(), **fields) -> Segmentation:
    """A panoptic map whose ids have those categories; ids that do not occur are not listed."""
    height, width = values.shape
    segments = tuple(
        segment_from_mask(values == i, id=i, category=classes[i], iscrowd=i in crowds)
        for i in np.unique(values).tolist()
        if i
    )
    fields = {"categories": NAMES, "things": THINGS, **fields}
    image = ImageRef("a.png", height, width, source="gt/a.png")
    return Segmentation(image, segments, LabelMap(values, "panoptic"), **fields)


@st.composite
def pairs(draw, index=0):
    """A pair of maps, near each other, with void, crowds and wrong classes."""
    cells = hnp.arrays(np.int32, (HEIGHT // 2, WIDTH // 2), elements=st.sampled_from(IDS))
    gt = np.kron(draw(cells), np.ones((2, 2), np.int32))
    other = draw(hnp.arrays(np.int32, gt.shape, elements=st.sampled_from(IDS)))
    pred = np.where(draw(hnp.arrays(bool, gt.shape)), gt, other)
    classes = st.fixed_dictionaries({i: st.sampled_from(sorted(NAMES)) for i in IDS})
    true = draw(classes)
    guess = true if draw(st.booleans()) else draw(classes)
    # COCO has one crowd of a class at most; panopticapi looks at one.
    crowds = {true[i]: i for i in draw(st.sets(st.sampled_from(IDS[1:]), max_size=2))}
    return Pair("a", index, side(pred, guess), side(gt, true, set(crowds.values())))


def plain_tallies(pair: Pair) -> dict[int, list[float]]:
    """tp, fp, fn and the sum of IoU by category, from boolean masks and the paper's words."""
    tallies = {c: [0, 0, 0, 0.0] for c in NAMES}
    void = pair.gt.labels.values == 0
    if pair.counted is not None:
        void |= ~pair.counted

    def masks(seg, cut=None):
        found = [(s, seg.labels.values == s.id) for s in seg.segments]
        return found if cut is None else [(s, m & ~cut) for s, m in found if (m & ~cut).any()]

    truths = masks(pair.gt, void)
    missed = {s.id for s, _ in truths if not s.iscrowd}
    for p, guess in masks(pair.pred):
        partner = None
        for g, truth in truths:
            iou = (guess & truth).sum() / ((guess & ~void) | truth).sum()
            if not g.iscrowd and g.category == p.category and iou > 0.5:
                assert partner is None
                partner = g
                tallies[p.category][0] += 1
                tallies[p.category][3] += iou
                missed.remove(g.id)
        forgiven = void.copy()
        for g, truth in truths:
            if g.iscrowd and g.category == p.category:
                forgiven |= truth
        if partner is None and (guess & forgiven).sum() / guess.sum() <= 0.5:
            tallies[p.category][1] += 1
    for g, _ in truths:
        tallies[g.category][2] += g.id in missed
    return tallies


def plain_scores(tallies) -> dict[str, float]:
    """The nine means by the definition, NaN for a group without classes."""
    scores = {}
    for group, wanted in (("", set(NAMES)), ("_things", THINGS), ("_stuff", set(NAMES) - THINGS)):
        rows = [t for c, t in tallies.items() if c in wanted and sum(t[:3])]
        pq = [iou / (tp + fp / 2 + fn / 2) for tp, fp, fn, iou in rows]
        sq = [iou / tp if tp else 0 for tp, _, _, iou in rows]
        rq = [tp / (tp + fp / 2 + fn / 2) for tp, fp, fn, _ in rows]
        for name, values in (("pq", pq), ("sq", sq), ("rq", rq)):
            scores[name + group] = float(np.mean(values)) if values else math.nan
    return scores


def measured(pair: Pair, **options):
    return Panoptic(MetricOptions(**options)).measure(pair)


@settings(deadline=None)
@given(st.lists(pairs(), min_size=1, max_size=3))
def test_scores_equal_the_definition(images):
    """All nine numbers of a small data set equal those of plain masks, void and crowds included."""
    total = Panoptic(MetricOptions()).zero()
    plain = {c: [0, 0, 0, 0.0] for c in NAMES}
    for pair in images:
        total.add(measured(pair))
        for category, tally in plain_tallies(pair).items():
            plain[category] = [a + b for a, b in zip(plain[category], tally, strict=True)]
    assert total.compute() == pytest.approx(plain_scores(plain), nan_ok=True, abs=1e-12)


@settings(deadline=None)
@given(pairs(), hnp.arrays(bool, (HEIGHT, WIDTH)))
def test_pixels_that_do_not_count_are_void(pair, ignored):
    """Ignored pixels are void, whatever id the ground truth has there."""
    pair = replace(pair, gt=replace(pair.gt, ignore=encode(ignored)))
    wanted = plain_scores(plain_tallies(pair))
    assert measured(pair).compute() == pytest.approx(wanted, nan_ok=True, abs=1e-12)


def write_panoptic(folder: Path, name: str, sides: list[Segmentation]) -> Path:
    """A COCO panoptic json with its folder of PNG files."""
    (folder / name).mkdir()
    annotations = []
    for i, seg in enumerate(sides):
        values = seg.labels.values
        rgb = np.stack([values >> shift & 255 for shift in (0, 8, 16)], axis=-1)
        Image.fromarray(rgb.astype(np.uint8)).save(folder / name / f"{i}.png")
        listed = [
            {"id": s.id, "category_id": s.category, "iscrowd": int(s.iscrowd), "area": int(s.area)}
            for s in seg.segments
        ]
        annotations.append({"image_id": i, "file_name": f"{i}.png", "segments_info": listed})
    categories = [{"id": c, "name": n, "isthing": int(c in THINGS)} for c, n in NAMES.items()]
    images = [{"id": i, "height": 24, "width": 32} for i in range(len(sides))]
    path = folder / f"{name}.json"
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return path


def random_pair(seed: int) -> Pair:
    """Blocks of ids; the prediction moves some and renames others."""
    rng = np.random.default_rng(seed)
    ids = np.array([0, *range(1, 9), 300, 70_001])
    gt = np.kron(ids[rng.integers(0, len(ids), (4, 4))], np.ones((6, 8), int))
    pred = np.roll(gt, rng.integers(0, 3), axis=1)
    pred = np.where(rng.random(gt.shape) < 0.15, ids[rng.integers(0, len(ids), gt.shape)], pred)
    true = {i: int(rng.integers(1, 5)) for i in ids.tolist()}
    guess = {i: c if rng.random() < 0.8 else int(rng.integers(1, 5)) for i, c in true.items()}
    crowds = {true[i]: i for i in rng.choice(ids[1:], 2).tolist()}
    return Pair("a", seed, side(pred, guess), side(gt, true, set(crowds.values())))


def test_scores_equal_hotcoco_on_files(tmp_path):
    """Pooled numbers and the table of classes equal those of another implementation."""
    images = [random_pair(seed) for seed in range(30)]
    files = [
        write_panoptic(tmp_path, name, [getattr(p, name) for p in images])
        for name in ("gt", "pred")
    ]
    theirs = pq_compute(*files)
    total = Panoptic(MetricOptions()).zero()
    for pair in images:
        total.add(measured(pair))
    ours = total.compute()
    for group, suffix in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
        for name in ("pq", "sq", "rq"):
            assert ours[name + suffix] == pytest.approx(theirs[group][name], abs=1e-12)
    assert ours["pq"] > 0.1
    for row in total.tables()["per_class"]:
        wanted = theirs["per_class"][row["class"]]
        ours = {**row, "iou": row["iou_sum"]}
        assert {name: ours[name] for name in wanted} == pytest.approx(wanted, abs=1e-12)


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the shared data is not here")
def test_golden_case():
    """The published numbers of an image with things only: stuff is undefined, and no crash."""
    sides = open_sides(*(Side(str(GOLDEN / f"{name}.json")) for name in ("pred", "gt")))
    (pred, gt), (key,) = sides, sides[1].keys()
    sums = measured(Pair("team", 0, pred.read(key), gt.read(key)))
    scores = sums.compute()
    # The published means are single precision; the sums they come from are exact.
    assert scores["pq"] == scores["pq_things"] == pytest.approx(0.62156284, abs=5e-8)
    assert scores["sq"] == pytest.approx(0.64664984, abs=5e-8)
    assert scores["rq"] == pytest.approx(0.9666667, abs=5e-8)
    exact = (5.268270584676179 / 7.5 + 0.5406896551724137) / 2
    assert scores["pq"] == pytest.approx(exact, abs=1e-12)
    assert math.isnan(scores["pq_stuff"])
    person, bear = sums.tables()["per_class"]
    assert (person["name"], person["tp"], person["fp"], person["fn"]) == ("person", 7, 0, 1)
    assert person["iou_sum"] == pytest.approx(5.268270584676179, abs=1e-12)
    assert (bear["tp"], bear["pq"]) == (1, pytest.approx(0.5406896551724137, abs=1e-12))


@settings(deadline=None)
@given(st.lists(pairs(), min_size=1, max_size=4), st.randoms())
def test_shards_add_up_in_any_order(images, random):
    """Sums over images are the same, to the last bit, in any order."""
    totals = []
    for _ in range(2):
        total = Panoptic(MetricOptions()).zero()
        for pair in images:
            total.add(measured(pair))
        totals.append((total.compute(), total.tables()))
        random.shuffle(images)
    assert repr(totals[0]) == repr(totals[1])


@settings(deadline=None)
@given(pairs(), st.permutations(IDS[1:]))
def test_renaming_segments_changes_nothing(pair, names):
    """Scores do not depend on the ids of segments."""
    table = np.zeros(max(IDS) + 1, np.int32)
    table[IDS[1:]] = names
    new = tuple(replace(s, id=int(table[s.id])) for s in pair.pred.segments)
    renamed = replace(
        pair.pred, segments=new, labels=LabelMap(table[pair.pred.labels.values], "panoptic")
    )
    assert repr(measured(replace(pair, pred=renamed)).compute()) == repr(measured(pair).compute())


@settings(deadline=None)
@given(pairs())
def test_scores_are_bounded_and_the_truth_is_best(pair):
    """Scores lie in 0..1, PQ is at most SQ and RQ, and the truth itself scores 1."""
    scores = measured(pair).compute()
    assert all(0 <= v <= 1 for v in scores.values() if not math.isnan(v))
    assert math.isnan(scores["pq"]) or scores["pq"] <= min(scores["sq"], scores["rq"]) + 1e-12
    truth = replace(pair.gt, segments=tuple(replace(s, iscrowd=False) for s in pair.gt.segments))
    best = measured(replace(pair, gt=truth, pred=truth)).compute()
    assert all(v == 1 for v in best.values() if not math.isnan(v))


@settings(deadline=None)
@given(pairs())
def test_segments_without_a_map_give_the_same(pair):
    """Segments that do not overlap are a panoptic map, written another way."""
    sides = [replace(s, labels=None) for s in (pair.pred, pair.gt)]
    assert repr(measured(Pair("a", 0, *sides)).compute()) == repr(measured(pair).compute())


ZERO, ONE = np.zeros((HEIGHT, WIDTH), int), np.ones((HEIGHT, WIDTH), int)
CASES = {
    "both empty": (ZERO, ZERO, None, None),
    "missed": (ZERO, ONE, 0, 0),
    "all void": (ONE, ZERO, None, None),
}


@pytest.mark.parametrize("case", CASES)
def test_empty_sides_are_undefined_or_zero(case):
    """Nothing to find is undefined; a missed object is 0 in SQ too, so that it improves no mean."""
    pred, gt, pq, sq = CASES[case]
    scores = measured(Pair("a", 0, side(pred, {1: 1}), side(gt, {1: 1}))).compute()
    for name, value in (("pq", pq), ("sq", sq), ("pq_stuff", None)):
        assert math.isnan(scores[name]) if value is None else scores[name] == value


def test_half_is_no_match_and_half_in_void_is_not_forgiven():
    """IoU of exactly 0.5 does not match, and a prediction half in void is a false positive."""
    gt, pred = np.array([[1, 1, 0, 0]]), np.array([[1, 2, 2, 2]])
    sums = measured(Pair("a", 0, side(pred, {1: 1, 2: 2}), side(gt, {1: 1})))
    assert [sums.counts()[n] for n in ("tp", "fp", "fn")] == [0, 1, 1]
    pred = np.array([[0, 2, 2, 0]])
    sums = measured(Pair("a", 0, side(pred, {2: 2}), side(gt, {1: 1})))
    assert [sums.counts()[n] for n in ("tp", "fp", "fn")] == [0, 1, 1]


def test_things_may_be_left_unsaid():
    """Without a word on things, PQ is over all classes and the split is undefined, with a note."""
    gt = side(ONE, {1: 3}, things=None)
    sums = measured(Pair("a", 0, gt, gt))
    assert sums.compute()["pq"] == 1
    assert math.isnan(sums.compute()["pq_things"])
    assert "which classes are things" in sums.notes()[0]
    assert measured(Pair("a", 0, gt, gt), things=THINGS).compute()["pq_stuff"] == 1


def test_objects_without_classes_need_to_be_asked_for():
    """An instance map is refused, and scored as one class of things when that is wanted."""
    image = ImageRef("a.png", HEIGHT, WIDTH)
    objects = Segmentation(image, labels=LabelMap(ONE, "instance"))
    with pytest.raises(PairError, match="objects without classes") as caught:
        measured(Pair("a", 0, objects, objects))
    assert "--protocol" in caught.value.fix
    scores = measured(Pair("a", 0, objects, objects), class_agnostic=True).compute()
    assert scores["pq"] == scores["pq_things"] == 1


def masks_of(*masks) -> Segmentation:
    found = tuple(segment_from_mask(m, category=1) for m in masks)
    return Segmentation(ImageRef("a.png", HEIGHT, WIDTH), found)


BAD = {
    "overlap": (masks_of(ONE, ONE), "overlap"),
    "unlisted": (replace(side(ONE, {1: 1}), segments=side(2 * ONE, {2: 1}).segments), "id 1,"),
    "void listed": (
        replace(side(ONE, {1: 1}), segments=(segment_from_mask(ONE, category=1),)),
        "has the id None",
    ),
    "unknown class": (side(ONE, {1: 9}), "outside the class list: 9"),
    "class map": (
        Segmentation(ImageRef("a.png", HEIGHT, WIDTH), labels=LabelMap(ONE, "semantic")),
        "holds a semantic map",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_panoptic_map_is_an_error(case):
    """Overlap, unlisted ids, unknown classes and class maps are refused with a way out."""
    pred, said = BAD[case]
    with pytest.raises(PairError, match=said) as caught:
        measured(Pair("a", 0, pred, side(ONE, {1: 1})))
    assert caught.value.fix
    assert caught.value.why
