"""Boundary IoU and DAVIS' J, F and J&F of two masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_dilation, binary_erosion
from skimage.morphology import disk

from segcli.masks.rle import encode
from segcli.metrics.base import ExactSum, MetricOptions, Pair
from segcli.metrics.boundary import Boundary, count_boundaries
from segcli.records import ImageRef, LabelMap, Segmentation

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)
RATIOS = st.sampled_from([0.02, 0.05, 0.1])


@st.composite
def mask_pairs(draw, shapes=SHAPES):
    """Two masks of one shape made of blocks, often near each other, sometimes empty or full."""
    height, width = draw(shapes)
    coarse = hnp.arrays(bool, (height // 4 + 1, width // 4 + 1))
    first, second = (
        draw(coarse).repeat(4, axis=0).repeat(4, axis=1)[:height, :width] for _ in range(2)
    )
    if draw(st.booleans()):
        second = np.roll(first, draw(st.integers(-3, 3)), axis=draw(st.integers(0, 1)))
    fill = draw(st.sampled_from([None, None, None, None, False, True]))
    return (first if fill is None else np.full_like(first, fill)), second


def pair_of(pred, gt, **fields) -> Pair:
    image = ImageRef("a.png", *gt.shape)
    p, g = (LabelMap(m.astype(np.uint8), "binary") for m in (pred, gt))
    return Pair("a", 0, Segmentation(image, labels=p), Segmentation(image, labels=g, **fields))


def written_out(pred, gt, ratio):
    """Each score by scipy's morphology, one step after the other, as its paper words it."""
    diagonal = np.hypot(*gt.shape)
    times = max(1, round(ratio * diagonal))
    rims = [
        m & ~binary_erosion(m, np.ones((3, 3)), iterations=times, border_value=0)
        for m in (pred, gt)
    ]
    either = np.count_nonzero(rims[0] | rims[1])
    edges = []
    for mask in (pred, gt):
        padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
        others = padded[:-1, 1:], padded[1:, :-1]
        corner = padded[1:, 1:] ^ mask
        corner[-1], corner[:, -1] = False, False
        edges.append((others[0] ^ mask) | (others[1] ^ mask) | corner)
    near = [binary_dilation(e, disk(math.ceil(0.008 * diagonal))) for e in edges]
    if edges[0].any() and edges[1].any():
        precision = (edges[0] & near[1]).sum() / edges[0].sum()
        recall = (edges[1] & near[0]).sum() / edges[1].sum()
        f = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    else:
        f = float(edges[0].any() == edges[1].any() and pred.any() == gt.any())
    union = np.count_nonzero(pred | gt)
    j = np.count_nonzero(pred & gt) / union if union else 1.0
    return {
        "boundary_iou": np.count_nonzero(rims[0] & rims[1]) / either if either else math.nan,
        "davis_j": j,
        "davis_f": f,
        "davis_j_and_f": (j + f) / 2,
    }


@settings(max_examples=150, deadline=None)
@given(mask_pairs(), RATIOS)
def test_scores_equal_the_definitions_written_out(masks, ratio):
    """Separable windows and nearest edges give what repeated erosion and dilation by a disk do."""
    found = count_boundaries(*masks, ratio).compute()
    assert found == pytest.approx(written_out(*masks, ratio), rel=1e-12, nan_ok=True)


def drawn_shapes():
    """A disc, a disc moved beside a spot, a disc cut in two beside a strip, a slanted band."""
    y, x = np.mgrid[:120, :160]
    disc = (y - 60) ** 2 + (x - 70) ** 2 < 40**2
    spot = (y - 20) ** 2 + (x - 150) ** 2 < 9**2
    moved = ((y - 57) ** 2 + (x - 74) ** 2 < 36**2) | spot
    cut = (disc | (x < 12)) & ~((y > 50) & (y < 54))
    return {"disc": disc, "moved": moved, "cut": cut, "band": abs(y - 0.5 * x - 10) < 14}


# From boundary-iou-api's mask_to_boundary (OpenCV 5.0) and davis2017-evaluation's metrics.py.
OF_THE_TOOLKITS = {
    ("moved", "disc"): (0.2091662603607996, 0.7601134215500945, 0.3444467597416128),
    ("cut", "disc"): (0.4263848396501458, 0.7445846968988624, 0.6898047722342733),
    ("disc", "band"): (0.041237113402061855, 0.2387666359204111, 0.07836514102347576),
}


@pytest.mark.parametrize("names", OF_THE_TOOLKITS, ids="/".join)
def test_scores_equal_those_of_the_toolkits(names):
    """Numbers of the reference tools on drawn shapes, to the last digits."""
    shapes = drawn_shapes()
    found = count_boundaries(shapes[names[0]], shapes[names[1]]).compute()
    values = [found[name] for name in ("boundary_iou", "davis_j", "davis_f")]
    assert values == pytest.approx(OF_THE_TOOLKITS[names], rel=1e-14)


@settings(deadline=None)
@given(mask_pairs(), RATIOS)
def test_scores_are_bounded_and_symmetric(masks, ratio):
    """Scores lie in 0..1 and do not care which side is which, nor how the image is turned."""
    pred, gt = masks
    there = count_boundaries(pred, gt, ratio).compute()
    assert all(0 <= v <= 1 for v in there.values() if not math.isnan(v))
    assert count_boundaries(gt, pred, ratio).compute() == pytest.approx(there, nan_ok=True, abs=0)
    turned = count_boundaries(pred.T, gt.T, ratio).compute()
    assert turned == pytest.approx(there, nan_ok=True, rel=1e-12)


@given(hnp.arrays(bool, SHAPES).filter(np.any))
def test_a_perfect_prediction_scores_one(mask):
    """A mask compared with itself reaches the best of every score."""
    assert set(count_boundaries(mask, mask).compute().values()) == {1.0}


EMPTY, FULL = np.zeros((30, 40), bool), np.ones((30, 40), bool)
DOT = EMPTY.copy()
DOT[10:20, 10:20] = True


@pytest.mark.parametrize("other", [FULL, DOT], ids=["full", "dot"])
def test_one_empty_side_scores_zero(other):
    """A missed or invented object scores 0 throughout, even one that fills the image.

    The toolkit of DAVIS gives F = 1 in that last case, since neither mask has an edge.
    """
    for masks in ((EMPTY, other), (other, EMPTY)):
        assert set(count_boundaries(*masks).compute().values()) == {0.0}


def test_both_empty_is_undefined_or_davis_own_rule():
    """Boundary IoU is undefined; J and F are 1 as in DAVIS, and the reader is told how often."""
    sums = count_boundaries(EMPTY, EMPTY)
    scores = sums.compute()
    assert math.isnan(scores.pop("boundary_iou"))
    assert set(scores.values()) == {1.0}
    assert "1 image has foreground on neither side" in sums.notes()[0]
    assert not count_boundaries(DOT, DOT).notes()


def test_no_image_is_undefined():
    """Without images nothing is defined, DAVIS' scores neither."""
    assert all(math.isnan(v) for v in Boundary(MetricOptions()).zero().compute().values())


def test_a_hand_made_boundary():
    """10x10 against 10x12 with boundaries 1 deep: 36 pixels and 40, of which 28 in common."""
    pred, gt = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    pred[5:15, 5:15], gt[5:15, 5:17] = True, True
    sums = count_boundaries(pred, gt, 0.02)
    assert (sums.boundary_both, sums.boundary_either) == (28, 36 + 40 - 28)


@settings(deadline=None)
@given(st.lists(mask_pairs(), min_size=1, max_size=4), st.randoms())
def test_shards_add_up_in_any_order(images, random):
    """Sums over images are the same in any order, and pooled scores are ratios of sums."""
    metric = Boundary(MetricOptions())
    parts = [metric.measure(pair_of(*masks)) for masks in images]
    whole = metric.zero()
    for part in parts:
        whole.add(part)
    random.shuffle(parts)
    left, right = metric.zero(), metric.zero()
    for i, part in enumerate(parts):
        (left if i % 2 else right).add(part)
    left.add(right)
    assert left == whole
    assert whole.images == len(images)
    both, either = (sum(getattr(p, f"boundary_{n}") for p in parts) for n in ("both", "either"))
    assert whole.compute()["boundary_iou"] == pytest.approx(
        both / either if either else math.nan, nan_ok=True
    )


def test_missing_an_object_improves_no_mean():
    """An image whose prediction is left out lowers the mean of images of every score."""
    poor = np.roll(DOT, 9, axis=1)
    means = {}
    for name, pred in (("poor", poor), ("missed", EMPTY)):
        images = [count_boundaries(pred, DOT), count_boundaries(DOT, DOT)]
        for score in ("boundary_iou", "davis_j", "davis_f"):
            mean = means.setdefault(score, {}).setdefault(name, ExactSum())
            for image in images:
                mean.push(image.compute()[score])
    assert all(m["missed"].mean < m["poor"].mean for m in means.values())
    assert all(m["missed"].count == 2 for m in means.values())


def test_pixels_that_do_not_count_are_background_on_both_sides():
    """Errors under void cost nothing; the edge of void is a boundary of both."""
    gt, pred, void = DOT.copy(), DOT.copy(), np.zeros_like(DOT)
    void[:, 15:] = True
    pred[:, 15:] = True
    scores = Boundary(MetricOptions()).measure(pair_of(pred, gt, ignore=encode(void))).compute()
    assert set(scores.values()) == {1.0}


def test_the_depth_follows_the_option():
    """A deeper boundary holds more of the mask, in the score and in the words about it."""
    metric = Boundary(MetricOptions(boundary_ratio=0.1))
    assert "0.1 of the image's diagonal" in metric.conventions()["boundary"]
    deep = metric.measure(pair_of(DOT, DOT))
    assert deep.boundary_both == 100 > count_boundaries(DOT, DOT).boundary_both


def test_shapes_must_agree():
    """Masks of different shapes are refused."""
    with pytest.raises(ValueError, match="cannot be compared"):
        count_boundaries(EMPTY, EMPTY[:5])
