"""What a mask file holds, in brief: enough to judge a folder by a sample of its files."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import MaskError
from segcli.formats.counted_ahead import counted_side
from segcli.formats.files import PhotographError, Raster, look_at
from segcli.formats.runs import Runs, pieces, runs_of
from segcli.images import page_count

__all__ = ["Survey", "survey"]

_MOST_HELD = 1 << 16
_NO_PIXELS = np.zeros((0, 0), np.uint8)


class _OnePiece:
    """Share of the values of a map that are one connected component, counted when asked for.

    Few files of a folder are asked; a map with so many stretches that holding them would cost more
    than the answer is counted at once.
    """

    def __init__(self, runs: Runs | Path | None) -> None:
        """Stretches of the map, the file to read them from, or None where none are counted."""
        self._runs = runs
        self._share = 1.0
        if isinstance(runs, Runs) and len(runs.starts) > _MOST_HELD:
            self.share()

    def share(self) -> float:
        """From 0 to 1; 1 where there is nothing to count."""
        runs, self._runs = self._runs, None
        if isinstance(runs, Path):
            runs = _runs_in(runs)
        if runs is not None:
            counts = pieces(runs)[1:255]
            present = np.count_nonzero(counts)
            self._share = np.count_nonzero(counts == 1) / present if present else 1.0
        return self._share


def _runs_in(path: Path) -> Runs | None:
    try:
        return runs_of(look_at(path).values)
    except MaskError:
        # Whoever reads the file for its pixels will say so.
        return None


@dataclass(frozen=True, slots=True)
class Survey:
    """What one mask file holds, without its pixels.

    Attributes:
        mode: see `Raster`.
        values: the distinct values, ascending.
        shaded: the in-between greys of an antialiased or lossily compressed mask.
    """

    mode: str
    values: tuple[int, ...]
    shaded: bool
    _one_piece: _OnePiece = field(repr=False, compare=False)

    @property
    def one_piece(self) -> float:
        """Share of the values (0 and 255 aside) whose pixels are one connected component."""
        return self._one_piece.share()


def survey(path: Path) -> Survey:
    """What one mask file, or its first page, holds; remembered until the file changes.

    Raises:
        MaskError: as `read_raster`.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise MaskError(
            f"{path}: cannot be read", why=str(error), fix="restore it, or take it out"
        ) from error
    return _survey(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=512)
def _survey(path: Path, _modified: int, _size: int) -> Survey:
    counted = counted_side(str(path))
    if counted is not None:
        pairs, side = counted
        return _judged(path, Raster(_NO_PIXELS, pairs.modes[side]), *pairs.histogram(side), path)
    raster = look_at(path, 0 if page_count(path) > 1 else None)
    runs = runs_of(raster.values)
    return _judged(path, raster, *runs.histogram(), runs)


def _judged(
    path: Path,
    raster: Raster,
    values: npt.NDArray[Any],
    pixels: npt.NDArray[np.intp],
    runs: Runs | Path,
) -> Survey:
    """The survey of a map with those values, of which the raster itself may have no pixels."""
    shaded = _is_shaded(raster, values, pixels)
    small = values.size > 0 and 0 <= int(values[0]) <= int(values[-1]) <= 255
    pieced = raster.mode in ("8-bit grey", "array") and small
    one_piece = _OnePiece(runs if pieced else None)
    many = raster.mode == "8-bit grey" and len(values) > 64 and not shaded
    if many and one_piece.share() < 0.5:
        raise PhotographError(
            f"{path}: looks like a photograph",
            why=f"it has {len(values)} grey values in scattered pieces",
            fix="give the folder of masks; --kind says what label values mean",
        )
    return Survey(raster.mode, tuple(values.tolist()), shaded, one_piece)


def _is_shaded(raster: Raster, values: npt.NDArray[Any], counts: npt.NDArray[np.intp]) -> bool:
    if raster.lossy:
        return len(values) > 2
    if raster.values.dtype != np.uint8 or len(values) <= 10 or values[-1] != 255:
        return False
    ends = (values == 0) | (values == 255)
    mid_grey = bool(((values > 20) & (values < 235)).any())
    # White is the inside of an antialiased mask; of 255 objects it is but one.
    white = int(counts[-1]) * 8 >= int(counts[~ends].sum())
    return mid_grey and white and int(counts[ends].sum()) * 2 >= int(counts.sum())
