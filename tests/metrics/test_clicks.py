"""Mean IoU after each click and clicks to an IoU, on masks made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcli.errors import PairError
from segcli.masks.rle import encode, segment_from_mask
from segcli.metrics import metrics_for
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.clicks import Clicks
from segcli.metrics.points import Points
from segcli.metrics.resample import Additive, Summing
from segcli.metrics.resampling import resampler_for
from segcli.metrics.stored import restore, store
from segcli.records import ImageRef, Segmentation

# One row of 20 pixels; the object is all of it, so N pixels are IoU N / 20.
IMAGE = ImageRef("a.png", 1, 20)


def first(pixels: int) -> np.ndarray:
    return np.arange(20)[None] < pixels


def truth_of(count: int, **fields) -> Segmentation:
    return Segmentation(IMAGE, tuple(segment_from_mask(first(20), id=i) for i in range(count)),
                        **fields)  # fmt: skip


def answers_of(sessions) -> Segmentation:
    segments = [
        segment_from_mask(first(pixels), id=i, predicted_iou=0.5)
        for i, session in enumerate(sessions)
        for pixels in session
    ]
    return Segmentation(IMAGE, tuple(segments))


def measure(sessions, clicks, gt=None):
    pair = Pair("a", 0, answers_of(sessions), gt or truth_of(len(sessions)))
    return Clicks(MetricOptions(clicks=clicks)).measure(pair)


def by_ritm(ious: np.ndarray, threshold: float) -> tuple[float, int]:
    """Clicks to an IoU as RITM's evaluation counts them, and how many never got there."""
    reached = ious >= threshold
    return float(np.where(reached.any(1), reached.argmax(1) + 1, ious.shape[1]).mean()), int(
        (~reached.any(1)).sum()
    )


def test_a_hand_made_case():
    """Reached at once, at the last click, never, and left again after it was reached."""
    sums = measure([[18, 18, 18], [4, 10, 17], [2, 3, 4], [16, 10, 10]], clicks=3)
    scores = sums.compute()
    assert scores["miou_at_1"] == pytest.approx((0.9 + 0.2 + 0.1 + 0.8) / 4)
    assert scores["miou_at_2"] == pytest.approx((0.9 + 0.5 + 0.15 + 0.5) / 4)
    assert scores["miou_at_3"] == pytest.approx((0.9 + 0.85 + 0.2 + 0.5) / 4)
    assert scores["noc_80"] == (1 + 3 + 3 + 1) / 4
    assert scores["noc_85"] == (1 + 3 + 3 + 3) / 4
    assert scores["noc_90"] == (1 + 3 + 3 + 3) / 4
    assert (scores["noc_failed_80"], scores["noc_failed_85"]) == (0.25, 0.5)
    assert sums.counts() == {
        "gt_objects": 4,
        "unanswered": 0,
        "failed_80": 1,
        "failed_85": 2,
        "failed_90": 3,
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 20), min_size=4, max_size=4), min_size=1, max_size=6))
def test_scores_equal_plain_counts(sessions):
    """Any session scores as numpy and RITM's counting of clicks have it."""
    scores = measure(sessions, clicks=4).compute()
    ious = np.array(sessions) / 20
    for k in range(4):
        assert scores[f"miou_at_{k + 1}"] == pytest.approx(ious[:, k].mean(), abs=1e-12)
    for percent in (80, 85, 90):
        noc, failed = by_ritm(ious, percent / 100)
        assert scores[f"noc_{percent}"] == pytest.approx(noc)
        assert scores[f"noc_failed_{percent}"] == pytest.approx(failed / len(sessions))


def test_who_stops_keeps_the_mask():
    """A session that ended early scores its last mask at every later click."""
    scores = measure([[10, 20]], clicks=4).compute()
    assert [scores[f"miou_at_{k}"] for k in (1, 2, 3, 4)] == [0.5, 1, 1, 1]
    assert scores["noc_90"] == 2


def test_an_object_without_an_answer_is_a_zero():
    """It has IoU 0 after every click, took all clicks, failed, and is said."""
    sums = measure([[20, 20], []], clicks=2)
    scores = sums.compute()
    assert scores["miou_at_2"] == 0.5
    assert (scores["noc_80"], scores["noc_failed_80"]) == (1.5, 0.5)
    assert sums.counts()["unanswered"] == 1
    assert sums.notes() == ["1 of 2 objects have no answer and count as IoU 0"]


def test_an_image_without_objects_is_undefined():
    """No object, no score: NaN, never 0."""
    assert all(math.isnan(v) for v in measure([], clicks=2).compute().values())


def test_void_does_not_count():
    """Ignored pixels are cut from object and mask."""
    void = encode(np.arange(20)[None] >= 10)
    scores = measure([[5, 20]], clicks=2, gt=truth_of(1, ignore=void)).compute()
    assert (scores["miou_at_1"], scores["miou_at_2"]) == (0.5, 1)


def test_images_add_up_and_can_be_stored():
    """Sums of two images are those of both together, also when they were written and read back."""
    metric = Clicks(MetricOptions(clicks=2))
    total, parts = metric.zero(), ([[3, 18]], [[20, 20], [1, 2]])
    for sessions in parts:
        data = store(measure(sessions, clicks=2), metric.zero())
        assert data is not None
        total.add(restore(data, metric.zero()))
    assert total == measure([s for sessions in parts for s in sessions], clicks=2)


def test_draws_of_images_are_those_of_their_sums():
    """Confidence intervals: a draw scores what the images in it score together."""
    metric = Clicks(MetricOptions(clicks=2))
    images = [measure(s, clicks=2) for s in ([[3, 18]], [[20, 20], [1, 2]], [[16, 17]])]
    resampler, plain = resampler_for(metric), Summing(metric)
    weights = np.array([[1, 1, 1], [0, 3, 0], [2, 0, 1]])
    for sums in images:
        resampler.keep(sums)
        plain.keep(sums)
    found, expected = (r.resample(weights).scores for r in (resampler, plain))
    assert isinstance(resampler, Additive)
    assert found.keys() == expected.keys() == metric.undefined.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-12)


def test_more_masks_than_clicks_are_refused():
    """Three masks of one point are no session of two clicks."""
    with pytest.raises(PairError, match="object 0 has 3 answers"):
        measure([[1, 2, 3]], clicks=2)


def test_one_click_is_the_other_metric():
    """The registry measures sessions only where there is more than one click."""
    (one,) = metrics_for("points", MetricOptions())
    (more,) = metrics_for("points", MetricOptions(clicks=2))
    assert (type(one), type(more)) == (Points, Clicks)
    assert more.lower_is_better == {n for n in more.undefined if n.startswith("noc")}
