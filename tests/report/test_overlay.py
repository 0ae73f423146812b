"""Overlays show every segment and leave the rest of the picture visible."""

from __future__ import annotations

import io

import numpy as np
from helpers import blobs
from PIL import Image

from segcli.masks.rle import segment_from_mask
from segcli.records import ImageRef, Segmentation
from segcli.report.overlay import draw_overlay, overlay_png, segment_colors


def result_of(*masks: np.ndarray) -> Segmentation:
    height, width = masks[0].shape
    return Segmentation(
        ImageRef("x.png", height, width), tuple(segment_from_mask(m) for m in masks)
    )


def test_outline_and_tint():
    """The outline has the segment's colour, its inside shows the picture, outside is untouched."""
    picture = blobs(0)
    mask = np.zeros(picture.shape[:2], dtype=bool)
    mask[10:30, 10:40] = True
    drawn = draw_overlay(picture, result_of(mask))
    color = segment_colors(1)[0]
    assert (drawn[10, 10:40] == color).all()
    assert (drawn[~mask] == picture[~mask]).all()
    inside = drawn[15:25, 15:35].astype(float)
    assert np.corrcoef(inside.ravel(), picture[15:25, 15:35].ravel())[0, 1] > 0.7


def test_small_segments_lie_on_top():
    """A small segment inside a large one keeps its outline, whatever their order."""
    large, small = np.ones((20, 20), bool), np.zeros((20, 20), bool)
    small[5:9, 5:9] = True
    drawn = draw_overlay(np.zeros((20, 20, 3), np.uint8), result_of(small, large))
    assert (drawn[5, 5] == segment_colors(2)[0]).all()


def test_colours_are_distinct():
    """Fifty segments have fifty colours."""
    assert len({tuple(c) for c in segment_colors(50)}) == 50


def test_empty_masks_and_png():
    """A segment without pixels is no crash, and the PNG has the picture's size."""
    png = overlay_png(np.zeros((6, 9, 3), np.uint8), result_of(np.zeros((6, 9), bool)))
    assert Image.open(io.BytesIO(png)).size == (9, 6)
