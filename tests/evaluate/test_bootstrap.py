"""Confidence intervals against scipy's bootstrap and by their properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from segcli.evaluate import bootstrap
from segcli.evaluate.bootstrap import Sample, draws, interval_of, intervals
from segcli.evaluate.result import ImageRow
from segcli.metrics.base import MetricOptions
from segcli.metrics.matching import Matching
from segcli.metrics.overlap import Overlap, OverlapSums
from segcli.metrics.semantic import ConfusionSums, Semantic


def sample_of(images: list[OverlapSums]) -> Sample:
    sample = Sample((Overlap(),))
    for i, sums in enumerate(images):
        sample.add(ImageRow(str(i), f"{i}.png", f"{i}.tif", sums.compute(), (sums,)))
    return sample


def random_images(count: int, seed: int = 0) -> list[OverlapSums]:
    random = np.random.default_rng(seed)
    return [OverlapSums(*random.integers(1, 100, 4).tolist()) for _ in range(count)]


def drawn(images: int, resamples: int, seed: int) -> np.ndarray:
    return np.concatenate(list(draws(images, resamples, seed)))


def test_draws_are_of_all_images_and_seeded():
    """Each draw takes as many images as there are; the seed decides which."""
    weights = drawn(7, 50, 3)
    assert weights.shape == (50, 7)
    assert set(weights.sum(axis=1).tolist()) == {7}
    np.testing.assert_array_equal(weights, drawn(7, 50, 3))
    assert not np.array_equal(weights, drawn(7, 50, 4))


@pytest.mark.parametrize("cells", [1, 40, 10**6])
def test_many_resamples_are_drawn_in_parts(cells, monkeypatch):
    """However many fit in memory at once, the draws and the intervals are the same."""
    monkeypatch.setattr(bootstrap, "_CELLS_AT_ONCE", cells)
    random = np.random.default_rng(3)
    np.testing.assert_array_equal(drawn(7, 50, 3), random.multinomial(7, [1 / 7] * 7, size=50))
    assert max(len(some) for some in draws(7, 50, 3)) == min(50, max(1, cells // 7))
    found = intervals(sample_of(random_images(7)), resamples=50, seed=3)
    monkeypatch.undo()
    assert found == intervals(sample_of(random_images(7)), resamples=50, seed=3)


def test_intervals_agree_with_scipy():
    """Pooled IoU (a ratio of sums) and the mean of images: scipy's percentile intervals."""
    images = random_images(60)
    found = intervals(sample_of(images), resamples=9999)
    tp, union = np.array([(s.tp, s.tp + s.fp + s.fn) for s in images], float).T
    cases = {
        "iou.pooled": lambda tp, union, axis: tp.sum(axis=axis) / union.sum(axis=axis),
        "iou.mean_of_images": lambda tp, union, axis: (tp / union).mean(axis=axis),
    }
    for name, statistic in cases.items():
        expected = stats.bootstrap(
            (tp, union), statistic, n_resamples=9999, method="percentile", paired=True,
            vectorized=True, rng=np.random.default_rng(1),
        ).confidence_interval  # fmt: skip
        width = expected.high - expected.low
        # Two sets of 9999 draws: the ends differ by a few hundredths of the width.
        assert found[name].low == pytest.approx(expected.low, abs=0.06 * width)
        assert found[name].high == pytest.approx(expected.high, abs=0.06 * width)


def test_the_interval_of_a_constant_is_a_point():
    """Equal images leave nothing to chance, and no rounding shows."""
    found = intervals(sample_of([OverlapSums(7, 2, 1, 5)] * 49))
    assert {(i.low, i.high) for n, i in found.items() if n.startswith("iou")} == {(0.7, 0.7)}


def test_seeded_intervals_repeat():
    """The same seed gives the same intervals, another seed others."""
    one, two, other = (intervals(sample_of(random_images(9)), seed=s) for s in (1, 1, 2))
    assert one == two
    assert one != other


def test_points_do_not_depend_on_the_order():
    """Each image once gives the same scores in any order."""
    images = random_images(9)
    ones = np.ones((1, 9), np.int64)
    one = sample_of(images).resample(ones).scores
    assert one == sample_of(images[::-1]).resample(ones).scores


def test_undefined_resamples_are_counted_and_left_out():
    """A score that few images define is undefined in some draws; never as 0."""
    empty = OverlapSums(0, 0, 0, 10)
    found = intervals(sample_of([OverlapSums(1, 0, 0, 9), empty, empty]), resamples=1000)
    iou = found["iou.pooled"]
    assert (iou.low, iou.high) == (1, 1)
    # The one image that counts is missed by (2/3)^3 of the draws.
    assert iou.undefined == pytest.approx(1000 * (2 / 3) ** 3, abs=60)
    assert iou.to_json() == {"low": 1.0, "high": 1.0, "undefined_resamples": iou.undefined}
    assert found["pixel_accuracy.pooled"].undefined == 0


def test_a_score_that_is_never_defined_has_no_interval():
    """Nothing is made up where no image defines a score."""
    found = intervals(sample_of([OverlapSums(0, 0, 0, 10)] * 3))
    assert "iou.pooled" not in found
    assert found["pixel_accuracy.pooled"].low == 1
    nothing = interval_of(np.full(5, math.nan))
    assert nothing.to_json() == {"low": None, "high": None, "undefined_resamples": 5}


def test_no_images_have_no_intervals():
    """An empty sample is no error."""
    assert intervals(Sample((Matching(MetricOptions()),))) == {}


def test_the_level_sets_the_share_inside():
    """A level of 0.5 is the middle half."""
    found = interval_of(np.arange(101.0), level=0.5)
    assert (found.low, found.high) == (25, 75)


def test_classes_of_several_metrics_are_one_row():
    """Columns that two metrics have of one class stand together, under its name."""
    named = Semantic(MetricOptions(class_names={0: "sky", 1: "sea"}))
    sample = Sample((named, Semantic(MetricOptions())))
    sums = ConfusionSums.of_image((0, 1), np.array([[3, 1], [0, 4]]), {0: "sky", 1: "sea"})
    sample.add(ImageRow("a", "a", "a", sums.compute(), (sums, sums)))
    found = sample.resample(np.ones((2, 1), np.int64)).classes
    assert sorted(found) == [(0, "sky"), (1, "sea")]
    assert found[0, "sky"]["iou.pooled"].tolist() == [0.75, 0.75]
    assert found[0, "sky"]["iou.mean_of_images"].tolist() == [0.75, 0.75]
