"""What a mask file holds, in brief: enough to judge a folder by a sample of its files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import InputError
from segcli.formats.files import PhotographError, Raster, read_raster

__all__ = ["Survey", "survey"]


@dataclass(frozen=True, slots=True)
class Survey:
    """What one mask file holds, without its pixels.

    Attributes:
        mode: see `Raster`.
        values: the distinct values, ascending.
        shaded: the in-between greys of an antialiased or lossily compressed mask.
        one_piece: share of the values (0 and 255 aside) whose pixels are one connected component.
    """

    mode: str
    values: tuple[int, ...]
    shaded: bool
    one_piece: float


def survey(path: Path) -> Survey:
    """What one mask file holds; remembered until the file changes.

    Raises:
        MaskError: as `read_raster`.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read", why=str(error)) from error
    return _survey(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=512)
def _survey(path: Path, _modified: int, _size: int) -> Survey:
    raster = read_raster(path)
    values, counts = _histogram(raster.values)
    shaded = _is_shaded(raster, values, counts)
    small = values.size > 0 and 0 <= int(values[0]) <= int(values[-1]) <= 255
    counted = raster.mode in ("8-bit grey", "array") and small
    one_piece = _one_piece(raster.values.astype(np.uint8, copy=False)) if counted else 1.0
    if raster.mode == "8-bit grey" and len(values) > 64 and one_piece < 0.5 and not shaded:
        raise PhotographError(
            f"{path}: looks like a photograph",
            why=f"it has {len(values)} grey values in scattered pieces",
            fix="give the folder of masks; --kind says what label values mean",
        )
    return Survey(raster.mode, tuple(values.tolist()), shaded, one_piece)


def _histogram(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    if values.dtype in (np.dtype(bool), np.dtype(np.uint8), np.dtype(np.uint16)):
        counts = np.bincount(values.ravel())
        present = np.flatnonzero(counts)
        return present, counts[present]
    return np.unique(values, return_counts=True)


def _is_shaded(raster: Raster, values: npt.NDArray[Any], counts: npt.NDArray[np.intp]) -> bool:
    if raster.lossy:
        return len(values) > 2
    if raster.values.dtype != np.uint8 or len(values) <= 10 or values[-1] != 255:
        return False
    ends = (values == 0) | (values == 255)
    mid_grey = bool(((values > 20) & (values < 235)).any())
    # White is the inside of an antialiased mask; of 255 objects it is but one.
    white = int(counts[-1]) * 8 >= int(counts[~ends].sum())
    return mid_grey and white and int(counts[ends].sum()) * 2 >= raster.values.size


def _one_piece(values: npt.NDArray[Any]) -> float:
    # scipy is loaded only by who needs it: its import takes longer than most commands.
    from scipy import ndimage  # noqa: PLC0415

    pieces = [
        ndimage.label(values[where] == index, np.ones((3, 3)))[1]
        for index, where in enumerate(ndimage.find_objects(values), start=1)
        if where is not None and index != 255
    ]
    return sum(n == 1 for n in pieces) / len(pieces) if pieces else 1.0
