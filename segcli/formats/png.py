"""PNG pixels decoded straight into an array."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["pixels"]

_STORED: dict[str, np.dtype[Any]] = {
    "L": np.dtype(np.uint8),
    "P": np.dtype(np.uint8),
    "I;16": np.dtype(np.uint16),
}


def pixels(picture: Image.Image) -> npt.NDArray[Any]:
    """What `numpy.asarray(picture)` gives, without the two copies that it makes of a PNG.

    Args:
        picture: an opened picture, not yet loaded.

    Returns:
        (H, W) or (H, W, channels) values as Pillow stores them.

    Raises:
        OSError: the file is damaged (Pillow raises others as well).
    """
    dtype = _STORED.get(picture.mode)
    if picture.format != "PNG" or dtype is None:
        return np.asarray(picture)
    # Rows that a damaged file lacks must be what they are in Pillow: 0.
    values = np.zeros((picture.height, picture.width), dtype)
    memory = Image.frombuffer(picture.mode, picture.size, values, "raw", picture.mode, 0, 1).im
    picture.im = memory
    picture.load()
    return values if picture.im is memory else np.asarray(picture)
