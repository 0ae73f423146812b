"""Hausdorff distance, HD95 in both definitions, ASSD and NSD."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import binary_erosion

from segcli.masks.rle import encode
from segcli.metrics.base import ExactSum, MetricOptions, Pair
from segcli.metrics.distance import Distance, measure_distances
from segcli.records import ImageRef, LabelMap, Segmentation

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14)
SPACINGS = st.sampled_from([(1.0, 1.0), (0.5, 2.0), (0.3, 0.7), (2.5, 0.4)])
TOLERANCES = (0.5, 1.0, 1.5, 3.0)
DISTANCES = ("hd", "hd95", "hd95_pooled_percentile", "assd")


@st.composite
def mask_pairs(draw, least=1):
    """Two masks of one shape, of single pixels or of blocks."""
    height, width = draw(SHAPES)
    block = draw(st.sampled_from([1, 3]))
    coarse = hnp.arrays(bool, (height // block + 1, width // block + 1))
    masks = [
        draw(coarse).repeat(block, axis=0).repeat(block, axis=1)[:height, :width] for _ in range(2)
    ]
    for mask in masks:
        if least and not mask.any():
            mask[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    return masks


def pair_of(pred, gt, **fields) -> Pair:
    image = ImageRef("a.png", *gt.shape)
    p, g = (LabelMap(m.astype(np.uint8), "binary") for m in (pred, gt))
    return Pair("a", 0, Segmentation(image, labels=p), Segmentation(image, labels=g, **fields))


def least(ones, others, spacing):
    """The least distance of each point of one list to any of the other."""
    steps = (np.array(ones)[:, None] - np.array(others)[None]) * spacing
    return np.sqrt((steps**2).sum(axis=2)).min(axis=1)


def pieces(mask, spacing):
    """Corners on the contour and the length of contour there, by the 2x2 pixels around each."""
    rows, columns = spacing
    diagonal = 0.5 * math.hypot(rows, columns)
    padded, points, lengths = np.pad(mask, 1).astype(int), [], []
    for y, x in itertools.product(range(mask.shape[0] + 1), range(mask.shape[1] + 1)):
        square = padded[y : y + 2, x : x + 2]
        if square.sum() in (0, 4):
            continue
        points.append((y, x))
        if square.sum() in (1, 3):
            lengths.append(diagonal)
        elif square[0, 0] == square[1, 1]:
            lengths.append(2 * diagonal)
        else:
            lengths.append(rows if square[0, 0] == square[1, 0] else columns)
    return points, np.array(lengths)


def written_out(pred, gt, spacing):
    """The definitions of medpy and surface-distance, over all pairs of points."""
    borders = [np.argwhere(m & ~binary_erosion(m)) for m in (pred, gt)]
    both = np.concatenate([least(borders[i], borders[1 - i], spacing) for i in (0, 1)])
    contours = [pieces(m, spacing) for m in (pred, gt)]
    directed, found, total = [], dict.fromkeys(TOLERANCES, 0.0), 0.0
    for i in (0, 1):
        distances = least(contours[i][0], contours[1 - i][0], spacing)
        lengths = contours[i][1]
        order = np.lexsort((lengths, distances))
        reached = np.cumsum(lengths[order]) / lengths.sum()
        # As in the metric, a share of exactly 95 % is enough, however its sum was rounded.
        at = min(int(np.searchsorted(reached, 0.95 - 1e-12)), len(order) - 1)
        directed.append(distances[order][at])
        total += lengths.sum()
        for tolerance in TOLERANCES:
            found[tolerance] += lengths[distances <= tolerance].sum()
    scores = {
        "hd": both.max(),
        "hd95": max(directed),
        "hd95_pooled_percentile": np.percentile(both, 95),
        "assd": both.mean(),
    }
    names = ("nsd_0_5", "nsd_1", "nsd_1_5", "nsd_3")
    return {**scores, **dict(zip(names, (f / total for f in found.values()), strict=True))}


def mask_of(*pixels, shape):
    """A mask of single pixels."""
    mask = np.zeros(shape, bool)
    mask[tuple(np.transpose(pixels))] = True
    return mask


# Of this contour's length 19/20 lie within 12; surface-distance, by rounding, takes 12.01.
TIE = [
    mask_of((0, 0), shape=(2, 7)),
    mask_of((0, 0), (0, 2), (0, 4), (1, 1), (1, 6), shape=(2, 7)),
]


@settings(max_examples=150, deadline=None)
@example(TIE, (0.5, 2.0))
@given(mask_pairs(), SPACINGS)
def test_scores_equal_the_definitions_over_all_pairs(masks, spacing):
    """Every score equals its definition with every point compared with every other."""
    found = measure_distances(*masks, spacing, TOLERANCES).compute()
    assert found == pytest.approx(written_out(*masks, spacing), rel=1e-12)


def drawn_shapes():
    """A disc, a disc moved beside a spot, a disc cut in two beside a strip, a slanted band."""
    y, x = np.mgrid[:120, :160]
    disc = (y - 60) ** 2 + (x - 70) ** 2 < 40**2
    spot = (y - 20) ** 2 + (x - 150) ** 2 < 9**2
    moved = ((y - 57) ** 2 + (x - 74) ** 2 < 36**2) | spot
    cut = (disc | (x < 12)) & ~((y > 50) & (y < 54))
    return {"disc": disc, "moved": moved, "cut": cut, "band": abs(y - 0.5 * x - 10) < 14}


# hd95, nsd_1, nsd_2_5 by surface-distance 0.1; hd, hd95_pooled_percentile, assd by medpy 0.5.2.
OF_THE_TOOLS = {
    ("moved", "disc", (1.0, 1.0)): (
        *(55.154328932550705, 0.3051591071719177, 0.37813804537921825),
        *(58.59180830116101, 49.95247121148348, 8.815073095426563),
    ),
    ("moved", "disc", (0.5, 2.0)): (
        *(92.08827286902496, 0.3167210500729297, 0.4975850025895925),
        *(99.6393496566492, 83.56207470403798, 11.91073282487084),
    ),
    ("cut", "disc", (1.0, 1.0)): (
        *(46.22769732530488, 0.5482454852114512, 0.5539194809942045),
        *(52.40229002629561, 44.84366858696181, 13.83181209278011),
    ),
    ("cut", "disc", (0.5, 2.0)): (
        *(62.57994886543133, 0.5801878801359187, 0.5899652357541875),
        *(67.23094525588644, 63.908137197073735, 18.830863760000565),
    ),
    ("disc", "band", (1.0, 1.0)): (
        *(53.225933528685054, 0.043731583646904264, 0.08233126758347505),
        *(59.033888572581766, 51.69718095329463, 22.10055091386725),
    ),
    ("disc", "band", (0.5, 2.0)): (
        *(91.41115905621152, 0.05667717553771361, 0.11790139285083613),
        *(101.51970252123476, 97.75819364992914, 25.350840311158702),
    ),
}


@pytest.mark.parametrize("case", OF_THE_TOOLS, ids=str)
def test_scores_equal_those_of_the_tools(case):
    """Numbers of the reference tools on drawn shapes, to the last digits."""
    pred, gt, spacing = case
    shapes = drawn_shapes()
    found = measure_distances(shapes[pred], shapes[gt], spacing, (1.0, 2.5)).compute()
    names = ("hd95", "nsd_1", "nsd_2_5", "hd", "hd95_pooled_percentile", "assd")
    assert [found[name] for name in names] == pytest.approx(OF_THE_TOOLS[case], rel=1e-14)


@settings(max_examples=60, deadline=None)
@given(mask_pairs(), SPACINGS)
def test_scores_equal_medpy(masks, spacing):
    """Where medpy is installed: its three distances on random masks."""
    medpy = pytest.importorskip("medpy.metric.binary")
    found = measure_distances(*masks, spacing).compute()
    for name, function in (
        ("hd", medpy.hd),
        ("hd95_pooled_percentile", medpy.hd95),
        ("assd", medpy.assd),
    ):
        assert found[name] == pytest.approx(function(*masks, voxelspacing=spacing), rel=1e-12)


def test_hd95_at_exactly_95_percent_of_the_length():
    """The percentile is the first distance within which 19 of 20 parts lie, to the last bit."""
    assert measure_distances(*TIE, (0.5, 2.0)).compute()["hd95"] == 12.0
    # One of 20 equal objects is missed; divided, the lengths of the others are just below 0.95.
    gt = np.tile(np.pad(np.ones((2, 1), bool), 1), 20)
    pred = gt.copy()
    pred[:, -3:] = False
    assert measure_distances(pred, gt, (0.3, 0.7)).compute()["hd95"] == 0.0


def test_two_definitions_of_hd95_differ_and_neither_passes_for_the_other():
    """A small far-off blob: the larger directed percentile sees it, the pooled one does not."""
    gt = np.zeros((100, 100), bool)
    gt[10:60, 10:60] = True
    pred = gt.copy()
    pred[80:84, 80:84] = True
    found = measure_distances(pred, gt).compute()
    assert found["hd95_pooled_percentile"] == 0.0
    assert found["hd95"] > 28
    said = Distance(MetricOptions()).conventions()["distance"]
    assert "surface-distance" in said
    assert "medpy" in said


def test_a_square_moved_by_one_pixel():
    """Distances are 1 or less, and NSD at 1 is full: numbers that can be checked by hand."""
    gt, pred = np.zeros((12, 12), bool), np.zeros((12, 12), bool)
    gt[3:7, 3:7], pred[3:7, 4:8] = True, True
    found = measure_distances(pred, gt, tolerances=(0.5, 1.0)).compute()
    assert (found["hd"], found["hd95"], found["nsd_1"]) == (1.0, 1.0, 1.0)
    # Of 12 border pixels a side, 4 + 2 have a partner in the other border.
    assert found["assd"] == pytest.approx(6 / 12)
    # Of the contour, top and bottom agree except for one corner and one whole piece at each end.
    diagonal = math.sqrt(0.5)
    assert found["nsd_0_5"] == pytest.approx((6 + 2 * diagonal) / (12 + 4 * diagonal))


@settings(deadline=None)
@given(mask_pairs(least=0), SPACINGS)
def test_scores_are_bounded_and_symmetric(masks, spacing):
    """No distance exceeds the diagonal, NSD is in 0..1, and the sides may be swapped."""
    there = measure_distances(*masks, spacing, TOLERANCES).compute()
    back = measure_distances(*masks[::-1], spacing, TOLERANCES).compute()
    assert back == pytest.approx(there, nan_ok=True, rel=1e-12)
    diagonal = math.hypot(*(n * s for n, s in zip(masks[0].shape, spacing, strict=True)))
    limit = diagonal * (1 + 1e-12)
    for name, value in there.items():
        assert math.isnan(value) or 0 <= value <= (1 if "nsd" in name else limit)
    if masks[0].any() or masks[1].any():
        shares = [v for name, v in there.items() if "nsd" in name]
        assert shares == sorted(shares)
        assert there["hd"] >= there["hd95_pooled_percentile"]
        assert there["hd"] >= there["assd"] * (1 - 1e-12)


@given(hnp.arrays(bool, SHAPES).filter(np.any), SPACINGS)
def test_a_perfect_prediction_is_at_no_distance(mask, spacing):
    """A mask compared with itself has distance 0 and NSD 1."""
    found = measure_distances(mask, mask, spacing, TOLERANCES).compute()
    assert all(value == (1 if "nsd" in name else 0) for name, value in found.items())


@settings(deadline=None)
@given(mask_pairs(), st.sampled_from([0.25, 2.0, 16.0]))
def test_distances_carry_the_unit_of_the_spacing(masks, factor):
    """Twice the spacing is twice every distance, and NSD at twice the tolerance is the same."""
    plain = measure_distances(*masks, (1.0, 1.0), (1.0, 2.0)).compute()
    spacing, tolerances = (factor, factor), (factor, 2 * factor)
    scaled = list(measure_distances(*masks, spacing, tolerances).compute().values())
    assert scaled[:4] == pytest.approx([plain[name] * factor for name in DISTANCES], rel=1e-12)
    assert scaled[4:] == pytest.approx([plain["nsd_1"], plain["nsd_2"]], rel=1e-12)


@settings(deadline=None)
@given(mask_pairs(), st.integers(0, 9), st.integers(0, 9))
def test_moving_both_masks_changes_nothing(masks, down, right):
    """Empty space around both, or a window cut to fit, does not change a number."""
    wider = [np.pad(m, ((down, 3), (right, 2))) for m in masks]
    assert measure_distances(*wider).compute() == measure_distances(*masks).compute()


EMPTY = np.zeros((30, 40), bool)
DOT = EMPTY.copy()
DOT[10:20, 10:20] = True


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 0.5)])
def test_one_empty_side_is_as_far_as_can_be(spacing):
    """A missed or invented object is at the image's diagonal, has NSD 0, and is counted."""
    diagonal = math.hypot(30 * spacing[0], 40 * spacing[1])
    for masks in ((EMPTY, DOT), (DOT, EMPTY)):
        sums = measure_distances(*masks, spacing)
        found = sums.compute()
        assert [found[name] for name in DISTANCES] == pytest.approx([diagonal] * 4)
        assert (found["nsd_1"], found["nsd_2"]) == (0, 0)
        assert sums.counts() == {"one_side_empty": 1}
        assert "image's diagonal" in sums.notes()[0]


def test_both_empty_is_undefined():
    """Nothing to measure: NaN throughout, also for no image at all, and nothing to be told."""
    for sums in (measure_distances(EMPTY, EMPTY), Distance(MetricOptions()).zero()):
        found = sums.compute()
        assert list(found) == [*DISTANCES, *list(found)[4:]]
        assert all(math.isnan(v) for v in found.values())
        assert not sums.notes()


@settings(deadline=None)
@given(mask_pairs())
def test_missing_an_object_is_never_better_than_any_prediction(masks):
    """An empty prediction has the largest distances and the least NSD."""
    pred, gt = masks
    tried = measure_distances(pred, gt).compute()
    missed = measure_distances(np.zeros_like(gt), gt).compute()
    assert all(missed[name] >= tried[name] * (1 - 1e-12) for name in DISTANCES)
    assert all(missed[name] == 0 for name in ("nsd_1", "nsd_2"))


def test_a_missed_object_weighs_as_much_as_one_found_pooled():
    """Pooled, an empty side is no smaller share of the points than a drawn one."""
    shifted = np.roll(DOT, 20, axis=1)
    tried, missed = (measure_distances(pred, DOT) for pred in (shifted, EMPTY))
    for sums in (tried, missed):
        sums.add(measure_distances(DOT, DOT))
    assert missed.compute()["assd"] == 50 / 2
    assert tried.compute()["assd"] < missed.compute()["assd"]
    assert missed.compute()["nsd_1"] == tried.compute()["nsd_1"] == 0.5


def test_missing_an_object_improves_no_mean():
    """In means over images a missed object counts, and worsens each of them."""
    poor = np.roll(DOT, 9, axis=1)
    for name in ("hd", "hd95", "hd95_pooled_percentile", "assd"):
        means = {"poor": ExactSum(), "missed": ExactSum()}
        for kind, pred in (("poor", poor), ("missed", EMPTY)):
            means[kind].push(measure_distances(pred, DOT).compute()[name])
            means[kind].push(measure_distances(DOT, DOT).compute()[name])
        assert means["missed"].mean > means["poor"].mean
        assert means["missed"].count == 2


@settings(deadline=None)
@given(st.lists(mask_pairs(least=0), min_size=1, max_size=5), SPACINGS, st.randoms())
def test_shards_add_up_in_any_order(images, spacing, random):
    """Sums over images give the same numbers to the last bit in any order and grouping."""
    metric = Distance(MetricOptions(spacing=spacing))
    pairs = [pair_of(*masks) for masks in images]
    whole = metric.zero()
    for pair in pairs:
        whole.add(metric.measure(pair))
    random.shuffle(pairs)
    left, right = metric.zero(), metric.zero()
    for i, pair in enumerate(pairs):
        (left if i % 2 else right).add(metric.measure(pair))
        right.compute()
    left.add(right)
    assert left.compute() == pytest.approx(whole.compute(), rel=0, abs=0, nan_ok=True)


def test_pooled_scores_take_all_points_together():
    """Pooled, the numbers are those of both images laid side by side, far from each other."""
    first, second = (DOT, np.roll(DOT, 2, axis=0)), (DOT, np.roll(DOT, 5, axis=1))
    sums = measure_distances(*first)
    sums.add(measure_distances(*second))
    gap = np.zeros((30, 200), bool)
    beside = [np.hstack((a, gap, b)) for a, b in zip(first, second, strict=True)]
    assert sums.compute() == pytest.approx(measure_distances(*beside).compute(), rel=1e-12)


def test_many_images_do_not_grow_the_state():
    """Distances that occur again are counted, not kept."""
    total = Distance(MetricOptions()).zero()
    image = measure_distances(DOT, np.roll(DOT, 2, axis=0))
    for _ in range(40_000):
        total.add(image)
    assert sum(len(distances) for distances, _ in total.border.parts) < 1 << 17
    assert total.compute() == pytest.approx(image.compute(), rel=1e-12)


def test_pixels_that_do_not_count_are_background_on_both_sides():
    """Errors under void cost nothing."""
    pred, void = DOT.copy(), np.zeros_like(DOT)
    void[:, 15:] = True
    pred[:, 15:] = True
    found = Distance(MetricOptions()).measure(pair_of(pred, DOT, ignore=encode(void))).compute()
    assert (found["hd"], found["hd95"], found["nsd_1"]) == (0.0, 0.0, 1.0)


def test_tolerances_and_unit_are_named():
    """Each tolerance is a score with its own name, and the unit is said."""
    metric = Distance(MetricOptions(spacing=(0.5, 0.25), tolerances=(1.0, 2.5)))
    assert [name for name in metric.undefined if "nsd" in name] == ["nsd_1", "nsd_2_5"]
    assert list(metric.zero().compute()) == list(metric.undefined)
    said = metric.conventions()["distance"]
    assert said.startswith("in units of --spacing 0.5 x 0.25 (rows x columns); ")
    said = Distance(MetricOptions()).conventions()["distance"]
    assert said.startswith("in pixels; ")
    assert next(iter(metric.conventions())) == "distance"


def test_shapes_must_agree():
    """Masks of different shapes are refused."""
    with pytest.raises(ValueError, match="cannot be compared"):
        measure_distances(EMPTY, EMPTY[:5])
