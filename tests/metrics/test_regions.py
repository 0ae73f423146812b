"""Partitions against scikit-image, and against the definitions pixel by pixel."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import variation_of_information

from segcli.errors import PairError
from segcli.masks.rle import encode, segment_from_mask
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.contingency import Contingency
from segcli.metrics.regions import Partition, _against_one, compare_partitions
from segcli.records import ImageRef, LabelMap, Segmentation

SHAPE = (4, 5)
MAPS = hnp.arrays(np.int32, SHAPE, elements=st.sampled_from([0, 1, 2, 7, 70_000]))
SCORES = list(Partition.undefined)


def side(values, **fields) -> Segmentation:
    image = ImageRef("a.png", *values.shape)
    return Segmentation(image, labels=LabelMap(values, "instance"), **fields)


def measured(pred, *gts):
    first, *others = [side(gt) for gt in gts]
    pair = Pair("a", 0, side(pred), first, tuple(others))
    return Partition(MetricOptions()).measure(pair)


def scores_of(pred, *gts):
    return compare_partitions(pred, [(gt, None) for gt in gts]).compute()


def rand_by_pairs(a, b):
    """The share of pairs of pixels on which both partitions agree, one pair at a time."""
    pairs = list(itertools.combinations(zip(a.ravel(), b.ravel(), strict=True), 2))
    return sum((p[0] == q[0]) == (p[1] == q[1]) for p, q in pairs) / len(pairs)


def best_iou(region, *maps):
    return max(
        float((region & (m == v)).sum() / (region | (m == v)).sum())
        for m in maps
        for v in np.unique(m)
    )


def covering_by_masks(covered, *by):
    """Each region of the first, by its best region of any of the others."""
    regions = [covered == v for v in np.unique(covered)]
    return sum(float(r.sum()) * best_iou(r, *by) for r in regions) / covered.size


@given(MAPS, MAPS)
def test_variation_of_information_equals_scikit_image(pred, gt):
    """Both conditional entropies, in bits, are scikit-image's."""
    scores = scores_of(pred, gt)
    split, merge = variation_of_information(gt.astype(int), pred.astype(int))
    assert scores["voi_split"] == pytest.approx(split, abs=1e-12)
    assert scores["voi_merge"] == pytest.approx(merge, abs=1e-12)
    assert scores["voi"] == pytest.approx(split + merge, abs=1e-12)


@given(MAPS, MAPS)
def test_rand_and_covering_equal_their_definitions(pred, gt):
    """Rand by all pairs of pixels, and covering both ways by boolean masks."""
    scores = scores_of(pred, gt)
    assert scores["rand"] == pytest.approx(rand_by_pairs(pred, gt), abs=1e-15)
    assert scores["covering"] == pytest.approx(covering_by_masks(gt, pred), abs=1e-12)
    assert scores["covering_pred"] == pytest.approx(covering_by_masks(pred, gt), abs=1e-12)


@given(MAPS, st.lists(MAPS, min_size=2, max_size=4))
def test_annotators_are_averaged(pred, gts):
    """With several annotators each score is their mean; covering_pred takes the best of any."""
    scores = measured(pred, *gts).compute()
    alone = [scores_of(pred, gt) for gt in gts]
    for name in SCORES[:-1]:
        assert scores[name] == pytest.approx(np.mean([a[name] for a in alone]), abs=1e-12)
    assert scores["covering_pred"] == pytest.approx(covering_by_masks(pred, *gts), abs=1e-12)


@given(MAPS, MAPS)
def test_swapping_sides_swaps_split_and_merge(pred, gt):
    """VOI and Rand are symmetric; split and merge, and both coverings, change places."""
    there, back = scores_of(pred, gt), scores_of(gt, pred)
    assert there["voi"] == pytest.approx(back["voi"], abs=1e-12)
    assert there["rand"] == back["rand"]
    assert (there["voi_split"], there["covering"]) == (back["voi_merge"], back["covering_pred"])
    assert 0 <= there["voi"] <= 2 * math.log2(pred.size)
    assert all(0 <= there[name] <= 1 for name in ("rand", "covering", "covering_pred"))


@given(MAPS, st.permutations([0, 1, 2, 3, 4]))
def test_names_of_regions_do_not_matter(gt, names):
    """The same partition under other names is perfect: VOI 0, Rand and covering 1."""
    _, codes = np.unique(gt, return_inverse=True)
    pred = np.array(names)[codes].reshape(gt.shape)
    assert list(scores_of(pred, gt).values()) == [0, 0, 0, 1, 1, 1]


@settings(deadline=None)
@given(st.lists(st.tuples(MAPS, MAPS), min_size=1, max_size=4), st.randoms())
def test_shards_add_up_in_any_order(images, random):
    """Sums over images are the same, to the last bit, in any order."""
    totals = []
    for _ in range(2):
        total = Partition(MetricOptions()).zero()
        for pred, gt in images:
            total.add(measured(pred, gt))
        totals.append(total.compute())
        random.shuffle(images)
    assert repr(totals[0]) == repr(totals[1])


def test_pooled_weighs_every_annotation_by_its_pixels():
    """Pooled covering is BSDS': covered pixels of all annotations over all of their pixels."""
    total = Partition(MetricOptions()).zero()
    small, large = np.array([[1, 2]]), np.ones((1, 6), int)
    total.add(measured(np.ones((1, 2), int), small, small))
    total.add(measured(large, large))
    # Two annotations of two pixels covered by half, one of six pixels covered wholly.
    assert total.compute()["covering"] == (2 * 2 * 0.5 + 6) / (2 * 2 + 6)
    assert total.counts() == {"annotations": 3, "pred_regions": 2, "gt_regions": 5}


@given(MAPS, MAPS, hnp.arrays(bool, SHAPE).filter(lambda void: not void.all()))
def test_pixels_that_do_not_count_are_left_out(pred, gt, void):
    """Void pixels change nothing: the scores are those of the pixels that are left."""
    pair = Pair("a", 0, side(pred), side(gt, ignore=encode(void)))
    found = Partition(MetricOptions()).measure(pair).compute()
    wanted = scores_of(pred[~void][None], gt[~void][None])
    assert repr(found) == repr(wanted)


def test_no_pixel_counts():
    """When everything is void every score is undefined, and of one pixel Rand is."""
    gt = np.ones(SHAPE, int)
    pair = Pair("a", 0, side(gt), side(gt, ignore=encode(gt)))
    assert all(math.isnan(v) for v in Partition(MetricOptions()).measure(pair).compute().values())
    one = scores_of(gt[:1, :1], gt[:1, :1])
    assert math.isnan(one["rand"])
    assert one["covering"] == 1


def test_counts_do_not_overflow():
    """Pairs of 10^10 pixels are counted in whole numbers, beyond float64 and int64."""
    n = 10**10
    table = Contingency(*(np.array(v) for v in ([0, 0], [0, 1], [n - 1, 1])))
    sums = _against_one(table, {})
    assert (sums.pairs, sums.agreed) == (n * (n - 1) // 2, (n - 1) * (n - 2) // 2)


def test_overlapping_segments_are_painted_best_on_top():
    """Segments become a partition: the better score on top, the rest of the image one region."""
    low, high = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    low[:, :3], high[:, 2:4] = True, True
    segments = tuple(segment_from_mask(m, score=s) for m, s in ((low, 0.2), (high, 0.9)))
    pred = Segmentation(ImageRef("a.png", *SHAPE), segments)
    gt = side(np.array([[1, 1, 2, 2, 0]] * 4))
    scores = Partition(MetricOptions()).measure(Pair("a", 0, pred, gt)).compute()
    assert scores["voi"] == 0


def test_annotators_divide_the_same_pixels():
    """Annotations of different sizes are refused, with both sizes."""
    with pytest.raises(PairError, match="is 5x4, but another annotation of it is 4x4"):
        measured(np.ones(SHAPE, int), np.ones(SHAPE, int), np.ones((4, 4), int))
