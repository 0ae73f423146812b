"""Procedural scenes: drawn twice alike, and labelled as drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("seed", range(6))
def test_a_scene_depends_on_its_seed_only(seed: int) -> None:
    """The same seed gives the same pixels, another seed others: training can be repeated."""
    from scenes import make_scene

    first, again, other = (make_scene(s, size=(64, 80)) for s in (seed, seed, seed + 6))
    assert first.image.shape == (64, 80, 3)
    for name in ("image", "objects", "parts"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", range(12))
def test_every_part_lies_within_one_object(seed: int) -> None:
    """Parts refine objects: no part crosses an object's border or lies on background."""
    from scenes import make_scene

    scene = make_scene(seed, size=(96, 96))
    assert np.array_equal(scene.parts > 0, scene.objects > 0)
    for part in np.unique(scene.parts[scene.parts > 0]):
        assert len(np.unique(scene.objects[scene.parts == part])) == 1


def test_labels_are_the_painted_pixels() -> None:
    """A region painted in one flat colour has exactly the pixels its label says."""
    from scenes import Painter, blob

    rng = np.random.default_rng(0)
    painter = Painter(rng, 64, 64, np.zeros((64, 64, 3), np.float32))
    for value, centre in ((0.4, (24, 30)), (0.9, (36, 34))):
        shape = blob(rng, 12) + np.array(centre)
        painter.add(shape, lambda h, w, v=value: np.full((h, w, 3), v, np.float32))
    front = painter.objects == 2
    assert (painter.canvas[front] > 0.4).all()
    back = painter.objects == 1
    assert front.any()
    assert back.any()
    # An edge pixel more than half covered is labelled, and shows more than half of the colour.
    assert (painter.canvas[back][:, 0] > 0.2).all()
    assert (painter.canvas[painter.objects == 0][:, 0] <= 0.5 * 0.9 + 1e-6).all()


def test_the_example_pictures_can_be_drawn_again() -> None:
    """The shipped scene and its label map are what the documented command writes."""
    pytest.importorskip("skimage", reason="textures of the shipped scenes come from scikit-image")
    from scenes import make_scene

    scene = make_scene(2, "cells", (256, 320))
    image = np.asarray(Image.open(EXAMPLES / "images" / "cells_000002.png"))
    labels = np.asarray(Image.open(EXAMPLES / "ground_truth" / "cells_000002.png"))
    assert np.array_equal(labels, scene.objects)
    assert np.abs(image.astype(int) - scene.image).max() <= 1


def test_every_example_picture_has_a_label_map_of_its_size() -> None:
    """Images and ground truth pair by name, 16-bit, with at least one object."""
    images = sorted((EXAMPLES / "images").iterdir())
    assert len(images) == 8
    for path in images:
        with Image.open(path) as image, Image.open(EXAMPLES / "ground_truth" / path.name) as labels:
            assert labels.mode.startswith("I")
            assert labels.size == image.size
            assert np.asarray(labels).max() > 0
