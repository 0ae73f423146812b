"""The sliding window: it covers everything, shows no seams, and keeps memory bounded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segcli.masks.tiles import window_starts
from segcli.models.classes.pixels import classes_of_pixels
from segcli.models.classes.windows import classes_by_windows


@pytest.mark.parametrize("length", [10, 64, 65, 100, 1000, 12345])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
def test_windows_cover_everything(length, overlap):
    """No pixel is left out, the last window ends at the end, and the overlap is kept."""
    starts = window_starts(length, 64, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - 64)
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert not len(steps) or steps.max() <= round(64 * (1 - overlap)) + 1


def pointwise(part: np.ndarray) -> torch.Tensor:
    """Logits of three classes that depend on a pixel's own colour only."""
    return torch.from_numpy(part.astype(np.float32)).permute(2, 0, 1)


@pytest.mark.parametrize("shape", [(50, 60), (64, 200), (200, 64), (150, 171)])
def test_a_model_of_single_pixels_gives_the_same_through_any_window(shape):
    """Where windows cannot differ, the blend equals one look at the whole picture."""
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3)).astype(np.uint8)
    whole = classes_of_pixels(pointwise(image), *shape)
    for window, overlap in ((64, 0.5), (33, 0.25), (64, 0.0)):
        found = classes_by_windows(pointwise, image, window, overlap)
        assert (found == whole).all()


def test_low_resolution_logits_are_enlarged_within_their_window():
    """A model that answers at half the resolution still gives a class to each pixel."""

    def halved(part: np.ndarray) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(pointwise(part)[None], 2, ceil_mode=True)[0]

    image = np.zeros((90, 130, 3), np.uint8)
    image[:, :60, 0] = 255
    image[:, 60:, 2] = 255
    found = classes_by_windows(halved, image, 40, 0.5)
    assert (found[:, :58] == 0).all()
    assert (found[:, 62:] == 2).all()


def test_the_middle_of_a_window_counts_most():
    """Where two windows disagree, the one whose middle is nearer wins: no seam at its border."""
    calls = []

    def alternating(part: np.ndarray) -> torch.Tensor:
        logits = torch.zeros(2, *part.shape[:2])
        logits[len(calls) % 2] = 1
        calls.append(part.shape)
        return logits

    image = np.zeros((32, 48, 3), np.uint8)
    found = classes_by_windows(alternating, image, 32, 0.5)
    assert len(calls) == 2
    assert (found[:, :23] == 0).all()
    assert (found[:, 25:] == 1).all()


def test_one_class_is_foreground():
    """A model with one channel gives label 1 where its probability reaches the threshold."""
    logits = torch.tensor([[[-2.0, 0.1], [3.0, -0.1]]])
    assert classes_of_pixels(logits, 2, 2).tolist() == [[0, 1], [1, 0]]
    assert classes_of_pixels(logits, 2, 2, 0.9).tolist() == [[0, 0], [1, 0]]


def test_memory_is_that_of_a_row_of_windows(monkeypatch):
    """A tall picture: what is blended never has more rows than a window."""
    from segcli.models.classes import windows

    rows = []
    original = windows.classes_of_pixels

    def watched(logits, height, width, threshold):
        rows.append(logits.shape[1])
        return original(logits, height, width, threshold)

    monkeypatch.setattr(windows, "classes_of_pixels", watched)
    image = np.zeros((1000, 70, 3), np.uint8)
    classes_by_windows(pointwise, image, 64, 0.5)
    assert sum(rows) == 1000
    assert max(rows) <= 64
