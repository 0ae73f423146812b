"""One point an object: which mask counts, what it scores, and what is left out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.errors import PairError
from segcli.masks.rle import decode, encode, segment_from_mask
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.points import Points, targets
from segcli.records import ImageRef, LabelMap, Segmentation

HEIGHT, WIDTH = 6, 7
IMAGE = ImageRef("a.png", HEIGHT, WIDTH)
PLANES = hnp.arrays(bool, (HEIGHT, WIDTH))
PREDICTED = st.floats(0, 1, width=32)
CANDIDATES = st.lists(st.tuples(PLANES, PREDICTED), min_size=3, max_size=3)
OBJECTS = st.lists(st.tuples(PLANES.filter(np.any), CANDIDATES), min_size=0, max_size=4)


def truth_of(masks, **fields) -> Segmentation:
    segments = tuple(segment_from_mask(m, id=10 + i) for i, m in enumerate(masks))
    return Segmentation(IMAGE, segments, **fields)


def answers_of(candidates) -> Segmentation:
    segments = [
        segment_from_mask(mask, id=10 + i, predicted_iou=predicted)
        for i, three in enumerate(candidates)
        for mask, predicted in three
    ]
    return Segmentation(IMAGE, tuple(segments))


def measure(pred, gt):
    return Points(MetricOptions()).measure(Pair("a", 0, pred, gt))


def plain(objects, counted):
    """The scores written out over booleans."""
    single, best, error = [], [], []
    for truth, three in objects:
        if not (truth & counted).any():
            continue
        ious = [(m & truth & counted).sum() / ((m | truth) & counted).sum() for m, _ in three]
        predicted = [p for _, p in three]
        chosen = int(np.argmax(predicted))
        single.append(ious[chosen])
        best.append(max(ious))
        error.append(abs(predicted[chosen] - ious[chosen]))
    if not single:
        return dict.fromkeys(Points.undefined, math.nan)
    return {
        "single_point_miou": np.mean(single),
        "best_of_3_miou": np.mean(best),
        "single_point_recall_50": np.mean(np.array(single) >= 0.5),
        "iou_error": np.mean(error),
    }


@settings(max_examples=80, deadline=None)
@given(OBJECTS, PLANES, st.booleans())
def test_scores_equal_plain_counts(objects, void, with_void):
    """Runs give what booleans give, overlapping objects, empty masks and void among them."""
    counted = ~void if with_void else np.ones_like(void)
    # An object of void alone is asked for by nobody.
    asked = [(truth, three if (truth & counted).any() else []) for truth, three in objects]
    gt = truth_of([truth for truth, _ in objects], ignore=encode(void) if with_void else None)
    scores = measure(answers_of([three for _, three in asked]), gt).compute()
    assert scores == pytest.approx(plain(objects, counted), nan_ok=True, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(OBJECTS)
def test_scores_are_bounded_and_the_oracle_is_best(objects):
    """All lie in 0..1, and no choice beats the best of three."""
    scores = measure(
        answers_of([three for _, three in objects]), truth_of([truth for truth, _ in objects])
    ).compute()
    if objects:
        assert all(0 <= value <= 1 for value in scores.values())
        assert scores["single_point_miou"] <= scores["best_of_3_miou"]


@settings(max_examples=40, deadline=None)
@given(OBJECTS, st.randoms(use_true_random=False))
def test_order_and_ids_change_nothing(objects, random):
    """Neither which id an object has, nor the order of objects on either side, matters."""
    pred = answers_of([three for _, three in objects])
    gt = truth_of([truth for truth, _ in objects])
    ids = [s.id for s in gt.segments]
    other = dict(zip(ids, random.sample(range(1, 99), len(ids)), strict=True))
    threes = [pred.segments[i : i + 3] for i in range(0, len(pred.segments), 3)]
    random.shuffle(threes)
    truths = [replace(s, id=other[s.id]) for s in gt.segments]
    random.shuffle(truths)
    shuffled = tuple(replace(s, id=other[s.id]) for three in threes for s in three)
    assert measure(replace(pred, segments=shuffled), replace(gt, segments=tuple(truths))) == (
        measure(pred, gt)
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(OBJECTS, max_size=4))
def test_shards_add_up(images):
    """Sums of images in any grouping are the sums of the whole."""
    metric = Points(MetricOptions())
    one, left, right = metric.zero(), metric.zero(), metric.zero()
    for i, objects in enumerate(images):
        sums = [
            measure(answers_of([t for _, t in objects]), truth_of([t for t, _ in objects]))
            for _ in range(2)
        ]
        one.add(sums[0])
        (left, right)[i % 2].add(sums[1])
    right.add(left)
    assert right == one
    assert right.counts() == one.counts()


def columns(*xs) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:, list(xs)] = True
    return mask


def test_a_hand_made_case():
    """Highest predicted IoU decides for one score, the oracle for the other."""
    gt = truth_of([columns(0, 1), columns(3, 4, 5)])
    pred = answers_of(
        [
            [(columns(0), 0.9), (columns(0, 1), 0.8), (columns(0, 1, 2), 0.1)],
            [(columns(6), 0.2), (columns(3, 4, 5), 0.7), (columns(3), 0.6)],
        ]
    )
    sums = measure(pred, gt)
    assert sums.compute() == pytest.approx(
        {
            "single_point_miou": (0.5 + 1) / 2,
            "best_of_3_miou": 1.0,
            "single_point_recall_50": 1.0,
            "iou_error": (0.4 + 0.3) / 2,
        }
    )
    assert sums.counts() == {"gt_objects": 2, "unanswered": 0}
    assert not sums.notes()


def test_perfect_answers_score_one():
    """A perfect answer, known to be perfect, scores 1 with no error."""
    truths = [columns(0, 1), columns(3)]
    sums = measure(answers_of([[(m, 1.0)] * 3 for m in truths]), truth_of(truths))
    assert list(sums.compute().values()) == [1.0, 1.0, 1.0, 0.0]


def test_the_first_of_equals_is_chosen():
    """Masks of one predicted IoU: the model's first counts, as argmax has it."""
    gt = truth_of([columns(0, 1)])
    three = [(columns(0), 0.5), (columns(0, 1), 0.5), (columns(5), 0.5)]
    assert measure(answers_of([three]), gt).compute()["single_point_miou"] == 0.5
    assert measure(answers_of([three[1:]]), gt).compute()["single_point_miou"] == 1.0


def test_an_object_without_an_answer_is_a_zero():
    """A missed object lowers the means, is counted and said, and has no predicted IoU to judge."""
    gt = truth_of([columns(0, 1), columns(3)])
    pred = Segmentation(IMAGE, (segment_from_mask(columns(0, 1), id=10, predicted_iou=0.75),))
    sums = measure(pred, gt)
    assert sums.compute() == {
        "single_point_miou": 0.5,
        "best_of_3_miou": 0.5,
        "single_point_recall_50": 0.5,
        "iou_error": 0.25,
    }
    assert sums.counts() == {"gt_objects": 2, "unanswered": 1}
    assert sums.notes() == ["1 of 2 objects have no answer and count as IoU 0"]
    nothing = measure(Segmentation(IMAGE), gt).compute()
    assert nothing["single_point_miou"] == 0
    assert math.isnan(nothing["iou_error"])


def test_an_image_without_objects_is_undefined():
    """No object, no score: NaN, never 0 or 1."""
    assert all(math.isnan(v) for v in measure(Segmentation(IMAGE), truth_of([])).compute().values())


def test_crowds_are_not_asked_for():
    """A crowd is no object."""
    crowd = segment_from_mask(columns(5, 6), id=3, iscrowd=True)
    gt = Segmentation(IMAGE, (segment_from_mask(columns(0), id=4), crowd))
    assert [s.id for s in targets(gt)] == [4]


def test_void_is_cut_away():
    """Objects lose their void pixels, and go where none is left; an id stays what it was."""
    gt = truth_of([columns(0, 1), columns(5), columns(3)], ignore=encode(columns(1, 5)))
    found = targets(gt)
    assert [s.id for s in found] == [10, 12]
    assert (decode(found[0].mask) == columns(0)).all()
    pred = Segmentation(IMAGE, (segment_from_mask(columns(0, 1, 5), id=10, predicted_iou=1.0),))
    assert measure(pred, gt).compute()["single_point_miou"] == 0.5


def test_label_maps_and_masks_are_the_same_objects():
    """A label map's objects are its values; their ids are the values."""
    values = np.where(columns(0, 1), 7, 0) + np.where(columns(4), 300, 0)
    gt = Segmentation(IMAGE, labels=LabelMap(values, "instance"))
    assert [(s.id, s.area) for s in targets(gt)] == [(7, 12), (300, 6)]


@pytest.mark.parametrize("ids", [(None, None), (4, 4), (1, None)])
def test_objects_without_distinct_ids_are_numbered(ids):
    """Where ids are missing or shared, positions from 1 stand for them."""
    segments = tuple(segment_from_mask(columns(i), id=number) for i, number in enumerate(ids))
    assert [s.id for s in targets(Segmentation(IMAGE, segments))] == [1, 2]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"id": 99, "predicted_iou": 0.5}, "id 99 answers no object"),
        ({"predicted_iou": 0.5}, "id None answers no object"),
        ({"id": 10}, "id 10 has no predicted IoU"),
    ],
)
def test_masks_that_are_no_answers_are_refused(fields, said):
    """Ordinary predictions are not scored as answers to prompts."""
    pred = Segmentation(IMAGE, (segment_from_mask(columns(0), **fields),))
    with pytest.raises(PairError, match=said) as caught:
        measure(pred, truth_of([columns(0)]))
    assert "--model" in caught.value.fix


def test_more_than_three_answers_are_refused():
    """The best of four is not the best of three."""
    pred = answers_of([[(columns(0), 0.5)] * 4])
    with pytest.raises(PairError, match="object 10 has 4 answers"):
        measure(pred, truth_of([columns(0)]))
