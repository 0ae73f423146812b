"""Two runs on the same images, by hand-made cases and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from segcli.errors import InputError, UsageError
from segcli.evaluate.bootstrap import Sample
from segcli.evaluate.compare import compare
from segcli.evaluate.comparison import Change, most_changed
from segcli.evaluate.result import Failure, ImageRow
from segcli.evaluate.runs import Run
from segcli.metrics.base import MetricOptions
from segcli.metrics.overlap import Overlap, OverlapSums
from segcli.metrics.semantic import ConfusionSums, Semantic


def run_of(images: dict[str, OverlapSums], label: str = "run", **about) -> Run:
    sample = Sample((Overlap(),))
    for key, sums in images.items():
        sample.add(ImageRow(key, f"{key}.png", f"{key}.tif", sums.compute(), (sums,)))
    return Run(label, "binary", sample, **about)


def random_images(count: int, seed: int) -> dict[str, OverlapSums]:
    random = np.random.default_rng(seed)
    rows = random.integers(1, 100, (count, 4)).tolist()
    return {f"{i:03d}": OverlapSums(*row) for i, row in enumerate(rows)}


def test_identical_runs_do_not_differ():
    """Every delta is exactly 0, with the interval [0, 0], and no image changed."""
    found = compare(run_of(random_images(30, 0)), run_of(random_images(30, 0)))
    for delta in found.scores.values():
        assert (delta.delta, delta.interval.low, delta.interval.high) == (0, 0, 0)
        assert (delta.b_higher, delta.a_higher, delta.tails) == (0, 0, 1)
    assert found.changes == ()
    assert found.unchanged == 30
    assert found.complete


def test_the_points_are_those_of_each_run():
    """A and B are the pooled ratios and means of images, B - A their difference."""
    a = run_of({"x": OverlapSums(1, 1, 0, 8), "y": OverlapSums(4, 0, 0, 6)})
    b = run_of({"x": OverlapSums(1, 0, 0, 9), "y": OverlapSums(3, 0, 1, 6)})
    found = compare(a, b).scores
    assert (found["iou.pooled"].a, found["iou.pooled"].b) == (5 / 6, 4 / 5)
    assert (found["iou.mean_of_images"].a, found["iou.mean_of_images"].b) == (0.75, 0.875)
    assert found["iou.mean_of_images"].delta == 0.125


def test_the_interval_is_that_of_a_paired_bootstrap():
    """The paired percentile bootstrap of scipy agrees on the same difference."""
    one, two = random_images(50, 1), random_images(50, 2)
    found = compare(run_of(one), run_of(two), resamples=9999).scores["iou.pooled"]
    columns = [
        np.array([v for s in images.values() for v in (s.tp, s.tp + s.fp + s.fn)], float)
        for images in (one, two)
    ]
    tp_a, union_a, tp_b, union_b = (c[start::2] for c in columns for start in (0, 1))

    def difference(tp_a, union_a, tp_b, union_b, axis):
        b = tp_b.sum(axis=axis) / union_b.sum(axis=axis)
        return b - tp_a.sum(axis=axis) / union_a.sum(axis=axis)

    expected = stats.bootstrap(
        (tp_a, union_a, tp_b, union_b), difference, n_resamples=9999, method="percentile",
        paired=True, vectorized=True, rng=np.random.default_rng(1),
    )  # fmt: skip
    ends = expected.confidence_interval
    width = ends.high - ends.low
    assert found.interval.low == pytest.approx(ends.low, abs=0.06 * width)
    assert found.interval.high == pytest.approx(ends.high, abs=0.06 * width)
    share = (expected.bootstrap_distribution > 0).mean()
    assert found.b_higher == pytest.approx(share, abs=0.03)
    assert found.tails == 2 * (1 - max(found.b_higher, found.a_higher))


def test_swapping_the_runs_turns_the_signs():
    """The comparison of B with A is that of A with B, turned round."""
    one, two = random_images(20, 1), random_images(20, 2)
    there, back = compare(run_of(one), run_of(two)), compare(run_of(two), run_of(one))
    for name, delta in there.scores.items():
        other = back.scores[name]
        assert other.delta == -delta.delta
        assert other.interval.low == pytest.approx(-delta.interval.high, abs=1e-12)
        assert (other.b_higher, other.a_higher, other.tails) == (
            delta.a_higher,
            delta.b_higher,
            delta.tails,
        )


def test_the_order_of_images_changes_nothing():
    """Images are drawn in the order of their paths, whatever order they were scored in."""
    one, two = random_images(12, 1), random_images(12, 2)
    turned = dict(reversed(two.items()))
    assert compare(run_of(one), run_of(two)) == compare(run_of(one), run_of(turned))


def test_only_common_images_are_compared():
    """What one run lacks counts in neither, and is named with its reason."""
    two = random_images(4, 2)
    del two["001"]
    lost = Failure("001", None, "001.tif", "001.tif: has no prediction", unmatched=True)
    stray = Failure("s", "s.png", None, "s.png: has no ground truth", unmatched=True)
    found = compare(run_of(random_images(4, 1)), run_of(two, failures=(lost, stray)))
    same = {k: v for k, v in random_images(4, 1).items() if k != "001"}
    assert found.images == 3
    assert found.alone == (("001.tif",), ())
    assert not found.complete
    assert [(gap.error, gap.why) for gap in found.gaps()] == [
        ("001.tif: scored in A only", "B: 001.tif: has no prediction"),
        ("B: s.png: has no ground truth", ""),
    ]
    assert found.scores == compare(run_of(same), run_of(two)).scores


def test_runs_without_common_images_are_refused():
    """Nothing to compare is an error, not an empty table."""
    one, two = random_images(1, 1), {"other": OverlapSums(1, 1, 1, 1)}
    with pytest.raises(InputError, match="no image in common"):
        compare(run_of(one), run_of(two))


def test_runs_of_two_protocols_are_refused():
    """Scores of another kind are no change."""
    other = Run("b", "semantic", Sample((Semantic(MetricOptions()),)))
    with pytest.raises(UsageError, match="scored as binary and b as semantic"):
        compare(run_of(random_images(2, 1)), other)


def test_an_undefined_score_has_a_reason_and_no_delta():
    """Both sides empty: no IoU in either run, and images that cannot be ranked are counted."""
    empty = {"x": OverlapSums(0, 0, 0, 9)}
    found = compare(run_of(empty), run_of(empty))
    assert math.isnan(found.scores["iou.pooled"].delta)
    assert found.undefined["iou.pooled"] == "neither side has foreground (0/0)"
    assert (found.unchanged, found.incomparable) == (0, 1)
    assert found.to_json()["metrics"]["iou"]["pooled"]["delta"] is None


def test_images_are_ranked_by_how_much_they_changed():
    """The largest rise and the largest fall come first, ties by name."""
    changes = [
        Change("a", 0.1, 0.9),
        Change("b", 0.5, 0.6),
        Change("c", 0.6, 0.5),
        Change("d", 1, 0),
    ]
    up, down = most_changed(changes, 1)
    assert ([c.image for c in up], [c.image for c in down]) == (["a"], ["d"])
    one = {"x": OverlapSums(1, 1, 0, 0), "y": OverlapSums(1, 0, 0, 0), "z": OverlapSums(1, 1, 0, 0)}
    two = {"x": OverlapSums(1, 0, 0, 0), "y": OverlapSums(1, 1, 0, 0), "z": OverlapSums(1, 0, 0, 0)}
    found = compare(run_of(one), run_of(two))
    assert [c.image for c in found.changes] == ["x.tif", "z.tif", "y.tif"]
    images = found.to_json(most=1)["images"]
    assert [c["image"] for c in images["rose_most"]] == ["x.tif"]
    assert [c["image"] for c in images["fell_most"]] == ["y.tif"]


def test_every_class_has_its_delta():
    """Classes are compared one by one, under their names; the interval is of the same draws."""
    names = {0: "sky", 1: "sea"}
    runs = []
    for matrix in ([[3, 1], [0, 4]], [[4, 0], [0, 4]]):
        sample = Sample((Semantic(MetricOptions(class_names=names)),))
        sums = ConfusionSums.of_image((0, 1), np.array(matrix), names)
        sample.add(ImageRow("x", "x", "x", sums.compute(), (sums,)))
        runs.append(Run("run", "semantic", sample))
    found = compare(*runs).classes
    assert [(row.id, row.name) for row in found] == [(0, "sky"), (1, "sea")]
    iou = found[0].scores["iou.pooled"]
    assert (iou.a, iou.b, iou.interval.low) == (0.75, 1, 0.25)
    assert "iou.mean_of_images" in found[0].scores
