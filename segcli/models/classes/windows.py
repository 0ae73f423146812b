"""A sliding window over pictures that are too large for a model, blended where it overlaps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segcli.masks.tiles import window_starts
from segcli.models.classes.pixels import classes_of_pixels
from segcli.models.classes.resample import resized_rows

__all__ = ["classes_by_windows"]

# The border of a window has little weight, and never none: a picture's border has no other window.
_LEAST_WEIGHT = 1e-3


def classes_by_windows(
    run: Callable[[npt.NDArray[np.uint8]], Tensor],
    image: npt.NDArray[np.uint8],
    window: int,
    overlap: float,
    mask_threshold: float = 0.5,
) -> npt.NDArray[np.int32]:
    """The label of each pixel of a picture that is looked at through a sliding window.

    Logits are averaged with Hann weights, so that no border of a window shows. Only the rows that
    a row of windows reaches are in memory: (C, window, W) floats.

    Args:
        run: (h, w, 3) uint8 RGB → (C, h', w') float32 logits over exactly those pixels.
        image: (H, W, 3) uint8 RGB.
        window: side of the window in pixels; smaller pictures are looked at as a whole.
        overlap: see `window_starts`.
        mask_threshold: see `classes_of_pixels`.

    Returns:
        (H, W) labels.
    """
    height, width = image.shape[:2]
    rows, columns = min(window, height), min(window, width)
    if (rows, columns) == (height, width):
        return classes_of_pixels(run(image), height, width, mask_threshold)
    weights = _hann(rows)[:, None] * _hann(columns)[None]
    tops = window_starts(height, window, overlap)
    found = np.empty((height, width), np.int32)
    total = count = torch.zeros(0)
    for number, top in enumerate(tops):
        behind = tops[number + 1] if number + 1 < len(tops) else height
        for left in window_starts(width, window, overlap):
            logits = run(image[top : top + rows, left : left + columns])
            if not len(total):
                total = logits.new_zeros((logits.shape[0], rows, width))
                count = logits.new_zeros((rows, width))
                weights = weights.to(logits.device)
            grown = resized_rows(logits, rows, columns, 0, rows)
            total[:, :, left : left + columns] += grown * weights
            count[:, left : left + columns] += weights
        done = behind - top
        mean = total[:, :done] / count[:done]
        found[top:behind] = classes_of_pixels(mean, done, width, mask_threshold)
        total, count = _moved(total, done), _moved(count[None], done)[0]
    return found


def _moved(rows: Tensor, done: int) -> Tensor:
    """(C, rows, W) without its first rows, and as many new ones of 0 behind."""
    kept = rows[:, done:]
    return torch.cat([kept, rows.new_zeros((rows.shape[0], done, rows.shape[2]))], 1)


def _hann(length: int) -> Tensor:
    place = (torch.arange(length, dtype=torch.float32) + 0.5) / length
    return torch.sin(torch.pi * place).square().clamp(min=_LEAST_WEIGHT)
