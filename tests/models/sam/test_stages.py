"""The stages of segment-everything, each against an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import nms
from transformers.models.sam import image_processing_sam as stock

from segcli.masks.rle import encode, segment_from_mask
from segcli.models.sam import filtering
from segcli.models.sam.grid import crop_boxes, grid_stages, point_grid


@pytest.mark.parametrize("side", [1, 2, 7, 32])
def test_grid_is_the_reference_grid(side):
    """The same points in the same order as the reference grid."""
    assert np.allclose(point_grid(side), stock._build_point_grid(side).numpy(), atol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 3, 8, 9])
def test_stages_are_the_grid_in_another_order(side):
    """Each point is asked in one stage; without coarse to fine there is one, in grid order."""
    everything = list(range(side**2))
    (one,) = grid_stages(side, coarse_to_fine=False)
    assert one.tolist() == everything
    coarse, fine = grid_stages(side, coarse_to_fine=True)
    assert sorted([*coarse.tolist(), *fine.tolist()]) == everything
    assert len(coarse) == max(1, (side // 2) ** 2)


def test_coarse_points_are_spread():
    """Every second point of every second row comes first, so each other has one beside it."""
    coarse, fine = (point_grid(8)[s] for s in grid_stages(8, coarse_to_fine=True))
    gaps = np.abs(fine[:, None] - coarse).max(2).min(1)
    assert np.allclose(gaps, 1 / 8)


@pytest.mark.parametrize("size", [(480, 640), (333, 101), (64, 64)])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_crops_are_the_reference_crops(size, layers):
    """The same crops in the same order as the reference."""
    boxes, indices = stock._generate_per_layer_crops(layers, 512 / 1500, size)
    ours = crop_boxes(*size, layers, 512 / 1500)
    assert [list(box) for box, _ in ours] == boxes
    assert [layer for _, layer in ours] == indices


def test_crops_of_a_tiny_picture_are_not_empty():
    """Crops of a picture smaller than the number of crops still have an area."""
    boxes = [box for box, _ in crop_boxes(1, 3, 2, 0.34)]
    assert all(right > left and bottom > top for left, top, right, bottom in boxes)


@pytest.fixture
def logits() -> torch.Tensor:
    torch.manual_seed(0)
    smooth = torch.nn.functional.avg_pool2d(torch.randn(40, 30, 50), 7, 1, 3) * 8
    smooth[0] = -9
    return smooth


def test_boxes(logits):
    """Inclusive boxes equal the reference's, zeros for an empty mask."""
    masks = logits > 1.0
    found = [filtering.inclusive_box(mask) for mask in masks.numpy()]
    assert {box.dtype for box in found} == {np.dtype(np.float32)}
    assert np.array_equal(found, stock._batched_mask_to_box(masks).numpy())


@pytest.mark.parametrize("crop", [(0, 0, 100, 80), (40, 0, 90, 60), (10, 20, 60, 80)])
def test_crop_edges(logits, crop):
    """Masks cut off by a crop are found as the reference finds them, which counts in the crop."""
    boxes = stock._batched_mask_to_box(logits > 1.0)
    theirs = stock._is_box_near_crop_edge(boxes, list(crop), [0, 0, 100, 80])
    corner = np.array([*crop[:2], *crop[:2]], np.float32)
    ours = [filtering.near_crop_edge(box + corner, crop, 80, 100) for box in boxes.numpy()]
    assert ours == theirs.tolist()


def square(x: int, y: int, side: int) -> np.ndarray:
    mask = np.zeros((40, 40), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return mask


def test_mask_smaller_drops_parts_and_doubles():
    """A part of a better mask goes, a neighbour and a mask that barely overlaps stay."""
    masks = [square(0, 0, 20), square(2, 2, 6), square(20, 0, 10), square(18, 18, 10)]
    segments = [segment_from_mask(m) for m in masks]
    kept = filtering.mask_smaller_nms(
        [s.mask for s in segments], [s.box_xywh for s in segments], 0.3
    )
    assert kept == [0, 2, 3]


def test_mask_smaller_equals_brute_force():
    """The box-restricted comparison decides like whole-mask comparison, on random masks."""
    random = np.random.default_rng(3)
    masks = [
        square(*(int(v) for v in random.integers(0, 30, 2)), int(random.integers(1, 12)))
        & (random.random((40, 40)) < 0.8)
        for _ in range(60)
    ]
    masks = [m for m in masks if m.any()]
    kept: list[int] = []
    for i, mask in enumerate(masks):
        shares = [(mask & masks[k]).sum() / min(mask.sum(), masks[k].sum()) for k in kept]
        if not any(share > 0.3 for share in shares):
            kept.append(i)
    boxes = [segment_from_mask(m).box_xywh for m in masks]
    assert filtering.mask_smaller_nms([encode(m) for m in masks], boxes, 0.3) == kept


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([0, 0.3, 1 / 3, 0.5, 0.7, 1]))
def test_box_nms_is_torchvisions(seed, count, threshold):
    """Boxes on a coarse grid, so with ties in score and overlap, some without area."""
    random = np.random.default_rng(seed)
    corners, sides = random.integers(0, 12, (2, count, 2))
    boxes = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    scores = (random.integers(0, 6, count) / 5).astype(np.float32)
    expected = nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold)
    assert filtering.box_nms(boxes, scores, threshold) == expected.tolist()


def test_nms_of_nothing():
    """No boxes, no survivors."""
    nothing = np.zeros((0, 4), np.float32)
    assert filtering.box_nms(nothing, np.zeros(0, np.float32), 0.7) == []
