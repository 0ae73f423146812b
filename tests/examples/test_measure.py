"""What the report counts, on cases made by hand."""

from __future__ import annotations

import numpy as np
import pytest


def square(size: int, top: int, left: int, side: int) -> np.ndarray:
    """A mask with one filled square."""
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_disc_overlaps_equal_discs_that_are_drawn() -> None:
    """Counting rings once gives the IoU of every disc drawn out in full."""
    pytest.importorskip("skimage", reason="the controls use scikit-image")
    from controls import RADII, disc, disc_ious
    from measure import iou

    mask = np.random.default_rng(0).random((40, 50)) > 0.5
    drawn = [iou(disc(mask.shape, (12, 30), r), mask) for r in RADII]
    np.testing.assert_allclose(disc_ious(mask, (12, 30)), drawn)


def test_central_point_of_a_square_touching_the_border() -> None:
    """The picture's own border counts as a border: the point lies in the middle."""
    from data import central_point

    assert central_point(square(9, 0, 0, 5)) == (2, 2)


def test_everything_counts_matches_once() -> None:
    """Two masks on one object are one match and one false positive; a missed object lowers F1."""
    from measure import Everything, truths

    labels = np.zeros((32, 32), np.uint16)
    labels[2:8, 2:8], labels[20:28, 20:28] = 1, 2
    objects = truths(labels, np.random.default_rng(0))
    counts = Everything()
    counts.add([square(32, 2, 2, 6), square(32, 2, 2, 5)], objects)
    assert counts.ratios()["f1"] == pytest.approx(2 * 1 / (2 + 2))
    assert counts.ratios()["overlap"] == pytest.approx(0.5)
    assert np.isnan(Everything().ratios()["f1"])


def test_suppression_prefers_the_better_mask() -> None:
    """Of two nested masks the one with higher predicted IoU stays, others by their own overlap."""
    from measure import Candidates, Generate, suppress

    masks = np.stack([square(32, 2, 2, 6), square(32, 3, 3, 4), square(32, 20, 20, 6)])
    scores = np.array([0.7, 0.9, 0.6], np.float32)
    found = Candidates(masks, scores, np.ones(3, np.float32))
    assert suppress(found, Generate()) == [1, 2]
    assert suppress(found, Generate(mask_nms_thresh=1.0)) == [1, 0, 2]
    assert suppress(found, Generate(pred_iou_thresh=0.65)) == [1]


def test_ellipse_touches_its_box() -> None:
    """The control for boxes fills its box from side to side, and pi quarters of it."""
    pytest.importorskip("skimage", reason="the controls use scikit-image")
    from controls import ellipse

    mask = ellipse((60, 80), (10, 20, 70, 50))
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (10, 20, 70, 50)
    assert abs(mask.sum() / (60 * 30) - np.pi / 4) < 0.01
