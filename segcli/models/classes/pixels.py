"""From a score of each class for each pixel to the class of each pixel, at full resolution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segcli.models.classes.resample import bands, resized_rows

__all__ = ["classes_of_pixels"]


def classes_of_pixels(
    logits: Tensor, height: int, width: int, mask_threshold: float = 0.5
) -> npt.NDArray[np.int32]:
    """The label of each pixel.

    Args:
        logits: (C, h, w) float32 over exactly the picture, at any resolution. With one class only
            it is the foreground, whose label is 1.
        height: rows of the picture.
        width: columns of the picture.
        mask_threshold: with one class only, probability from which a pixel is foreground.

    Returns:
        (height, width) labels.
    """
    found = np.empty((height, width), np.int32)
    for start, stop in bands(logits.shape[0], height, width):
        band = resized_rows(logits, height, width, start, stop)
        best = band[0].sigmoid() >= mask_threshold if len(band) == 1 else band.argmax(0)
        found[start:stop] = best.to(torch.int32).cpu().numpy()
    return found
