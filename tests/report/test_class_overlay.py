"""Overlays of class-aware results."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from segcli.masks.rle import segment_from_mask
from segcli.records import ImageRef, Segmentation
from segcli.report.class_overlay import ClassOverlay, draw_class_overlay


def result(height: int = 40, width: int = 60) -> Segmentation:
    left = np.zeros((height, width), bool)
    left[:, :20] = True
    middle = np.zeros_like(left)
    middle[:, 20:30] = True
    return Segmentation(
        ImageRef("a.png", height, width),
        (
            segment_from_mask(left, category=1, score=0.9),
            segment_from_mask(middle, category=0, score=0.8),
        ),
        categories={0: "sky", 1: "road", 2: "unseen"},
    )


def test_classes_have_their_colours_and_void_none():
    """Inside a segment the picture takes its class's colour; outside it stays as it is."""
    pixels = np.full((40, 60, 3), 100, np.uint8)
    drawn = draw_class_overlay(pixels, result(), {0: (0, 0, 255), 1: (255, 0, 0)})
    assert (drawn[5, 5] == np.round(np.array([100, 100, 100]) * 0.45 + [255 * 0.55, 0, 0])).all()
    assert drawn[5, 25, 2] > drawn[5, 25, 0]
    assert (drawn[5, 50] == 100).all()
    assert (drawn[5, 20] == 255).all()


def test_legend_names_what_is_there():
    """Below the picture stand the classes that occur; without any there is no legend."""
    pixels = np.zeros((40, 200, 3), np.uint8)
    colors = {0: (0, 0, 255), 1: (255, 0, 0), 2: (0, 255, 0)}
    drawn = draw_class_overlay(pixels, result(40, 200), colors)
    legend = drawn[40:]
    assert len(legend) > 10
    found = {tuple(c) for c in legend.reshape(-1, 3).tolist()}
    assert {(0, 0, 255), (255, 0, 0)} <= found
    assert (0, 255, 0) not in found
    empty = Segmentation(ImageRef("a.png", 40, 200), (), categories={0: "sky"})
    assert draw_class_overlay(pixels, empty, colors).shape == (40, 200, 3)


def test_results_without_classes_are_drawn_as_before():
    """Segments of a model without classes are outlined in colours of their own."""
    from dataclasses import replace

    from segcli.report.overlay import overlay_png

    pixels = np.zeros((40, 60, 3), np.uint8)
    plain = replace(result(), categories={})
    assert ClassOverlay()(pixels, plain) == overlay_png(pixels, plain)
    drawn = Image.open(io.BytesIO(ClassOverlay("cityscapes")(pixels, result())))
    assert drawn.width == 60
    assert drawn.height > 40
