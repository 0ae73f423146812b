"""A result with everything in it, and pictures of masks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from segcli.masks.rle import segment_from_mask
from segcli.records import ImageRef, Segment, Segmentation

settings.register_profile("no-deadline", deadline=None, max_examples=60)
settings.load_profile("no-deadline")

HEIGHT, WIDTH = 12, 17


def disc(y: float, x: float, radius: float) -> np.ndarray:
    """A disc in a mask of 12 by 17 pixels."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def segments() -> tuple[Segment, ...]:
    """Two overlapping segments with all their provenance; the second has a hole."""
    common = {"crop_box_xywh": (0.0, 0.0, float(WIDTH), float(HEIGHT))}
    return (
        segment_from_mask(
            disc(4, 5, 4),
            predicted_iou=0.9321,
            stability_score=0.97,
            point_xy=(5.5, 4.25),
            score=0.9321,
            **common,
        ),
        segment_from_mask(
            disc(6, 8, 3.5) & ~disc(6, 8, 1.5),
            predicted_iou=0.8,
            stability_score=0.5,
            point_xy=(8.0, 3.0),
            score=0.8,
            **common,
        ),
    )


@pytest.fixture
def make_result() -> Callable[..., Segmentation]:
    """Makes a result for an image path: two overlapping segments, one with a hole."""

    def make(path: str = "a/x.jpg", **fields) -> Segmentation:
        fields.setdefault("segments", segments())
        return Segmentation(image=ImageRef(path, HEIGHT, WIDTH), model="m", **fields)

    return make


@pytest.fixture
def save() -> Callable[..., Path]:
    """Saves an array as the picture or array file that the suffix names."""

    def save_file(path: Path, values: np.ndarray, mode: str = "", **options) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, values)
            return path
        picture = Image.fromarray(values)
        if mode == "P":
            picture = Image.fromarray(values).convert("L")
            picture = Image.frombytes("P", picture.size, values.astype(np.uint8).tobytes())
            picture.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
        elif mode:
            picture = picture.convert(mode)
        picture.save(path, **options)
        return path

    return save_file
