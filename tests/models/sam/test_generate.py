"""Segment-everything against the stock transformers pipeline, on the same model."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs

from segcli.masks.rle import decode
from segcli.models.catalog import find
from segcli.models.sam.encoder import encode, to_input_points
from segcli.models.segmenter import load
from segcli.models.settings import generate_settings

# Thresholds that a random model passes about half the time, and no suppression of its full boxes.
LOOSE = {
    "points_per_side": 6,
    "points_per_batch": 16,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.3391,
    "stability_score_offset": 0.05,
    "box_nms_thresh": 1.0,
}


def loaded(directory, backend="segcli", dtype="float32", **settings):
    ref = find(str(directory))
    return load(
        ref,
        generate_settings({**LOOSE, **settings}),
        device="cpu",
        dtype=dtype,
        backend=backend,
    )


def assert_same_masks(ours, theirs) -> None:
    """As many masks, each with a twin of the same score; float32 rounding may move a pixel."""
    assert len(ours) == len(theirs)
    left = [(s.score, decode(s.mask)) for s in theirs]
    for segment in ours:
        mask = decode(segment.mask)
        twin = next(
            (
                i
                for i, (score, other) in enumerate(left)
                if abs(score - segment.score) < 1e-4
                and (mask & other).sum() >= 0.999 * (mask | other).sum()
            ),
            None,
        )
        assert twin is not None, segment
        del left[twin]


@pytest.mark.parametrize("size", [(48, 64), (64, 40), (64, 64), (130, 90), (1, 1), (3, 50)])
def test_sam_equals_the_stock_pipeline(sam_dir, size):
    """SAM: the same masks with the same scores as the stock pipeline, on pictures of any shape."""
    picture = blobs(7, *size) if min(size) > 8 else np.full((*size, 3), 90, np.uint8)
    ours = loaded(sam_dir).segment(picture)
    theirs = loaded(sam_dir, "transformers").segment(picture)
    assert_same_masks(ours, theirs)
    if min(size) > 8:
        assert len(ours) > 3


def test_sam_with_suppression_equals_the_stock_pipeline(sam_dir):
    """Thresholds and box suppression decide alike."""
    picture = blobs(8)
    for settings in ({"box_nms_thresh": 0.7}, {"pred_iou_thresh": 0.05}):
        ours = loaded(sam_dir, **settings).segment(picture)
        theirs = loaded(sam_dir, "transformers", **settings).segment(picture)
        assert_same_masks(ours, theirs)


def test_bundled_model_equals_the_stock_pipeline():
    """The SAM2 family: the same masks as the stock pipeline on a square picture."""
    picture = blobs(9, 96, 96)
    settings = {"pred_iou_thresh": 0.1, "stability_score_thresh": 0.2, "box_nms_thresh": 0.7}
    ours = loaded(find("tiny").directory, **settings).segment(picture)
    theirs = loaded(find("tiny").directory, "transformers", **settings).segment(picture)
    assert_same_masks(ours, theirs)
    assert ours


def test_grid_covers_a_picture_that_is_squashed():
    """The SAM2 family's points reach all four borders of a picture that is not square."""
    model = loaded(find("tiny").directory)
    for height, width in ((48, 96), (96, 48)):
        encoded = encode(model.runtime, blobs(1, height, width))
        corner = to_input_points(encoded, np.array([[width, height]], dtype=float))
        assert tuple(corner[0].tolist()) == model.runtime.input_size[::-1]


def test_points_per_batch_changes_nothing(sam_dir):
    """How many points are decoded at once decides memory, not masks."""
    picture = blobs(2)
    few = loaded(sam_dir, points_per_batch=5).segment(picture)
    many = loaded(sam_dir, points_per_batch=64).segment(picture)
    assert [s.mask for s in few] == [s.mask for s in many]


def test_segments_are_whole(sam_dir):
    """Every segment carries its provenance, is measured from its mask, and comes best first."""
    segments = loaded(sam_dir).segment(blobs(3))
    assert segments
    scores = [s.score for s in segments]
    assert scores == sorted(scores, reverse=True)
    for segment in segments:
        mask = decode(segment.mask)
        assert mask.shape == (48, 64)
        assert segment.area == mask.sum()
        ys, xs = np.nonzero(mask)
        left, top = xs.min(), ys.min()
        assert segment.box_xywh == (left, top, xs.max() + 1 - left, ys.max() + 1 - top)
        assert segment.crop_box_xywh == (0, 0, 64, 48)
        assert 0 <= segment.stability_score <= 1
        assert segment.score == segment.predicted_iou


def test_crops(sam_dir):
    """Crop layers add masks whose crop box says where they were made, in the whole picture."""
    segments = loaded(sam_dir, crop_n_layers=1, crop_n_points_downscale_factor=2).segment(blobs(4))
    crops = {s.crop_box_xywh for s in segments}
    assert all(s.mask.height == 48 and s.mask.width == 64 for s in segments)
    assert len(crops) >= 1


def test_max_masks_keeps_the_best(sam_dir):
    """--max-masks keeps the best of the same masks."""
    everything = loaded(sam_dir).segment(blobs(5))
    assert loaded(sam_dir, max_masks=2).segment(blobs(5)) == everything[:2]


def test_small_regions_are_removed(sam_dir):
    """--min-mask-region-area leaves no smaller island."""
    from scipy import ndimage

    segments = loaded(sam_dir, min_mask_region_area=6).segment(blobs(6))
    assert segments
    for segment in segments:
        labels, count = ndimage.label(decode(segment.mask), np.ones((3, 3)))
        areas = np.bincount(labels.ravel())[1:]
        assert count == 1 or areas.min() >= 6


def test_single_mask(sam_dir):
    """--single-mask gives at most one mask a point."""
    segments = loaded(sam_dir, multimask=False).segment(blobs(5))
    points = [s.point_xy for s in segments]
    assert len(points) == len(set(points))


def test_half_precision_runs(sam_dir):
    """bfloat16 runs through suppression and gives masks."""
    assert loaded(sam_dir, dtype="bfloat16", box_nms_thresh=0.7).segment(blobs(5))
