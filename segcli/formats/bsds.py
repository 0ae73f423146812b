"""BSDS500: one .mat per image with the label map of each of several annotators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import InputError, MaskError
from segcli.formats.base import Format, ReadOptions, Source
from segcli.formats.files import files_below, spread
from segcli.records import ImageRef, LabelKind, LabelMap, Segmentation

__all__ = ["FORMAT"]

_VARIABLE, _FIELD = "groundTruth", "Segmentation"
_SAMPLE = 3


class _Annotated(Source):
    """One .mat for each image."""

    format = "bsds"
    annotated = True
    kind: LabelKind = "instance"

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._root = path if path.is_dir() else path.parent
        self._names = names
        self.single = path.is_file()
        self.description = (
            f"{path}: BSDS, {len(names)} images, regions by several annotators (convert takes the "
            "first one's)"
        )

    def keys(self) -> Sequence[str]:
        """The .mat files, relative."""
        return self._names

    def read(self, key: str) -> Segmentation:
        """The first annotator's regions."""
        return self.read_all(key)[0]

    def read_all(self, key: str) -> tuple[Segmentation, ...]:
        """Each annotator's regions, as numbered label maps of one size."""
        path = self._root / key
        maps = _label_maps(path)
        height, width = maps[0].shape
        image = ImageRef(path=key, height=height, width=width, source=str(path))
        for index, values in enumerate(maps):
            if values.shape != maps[0].shape:
                raise MaskError(
                    f"{path}: annotator {index} has {values.shape[1]}x{values.shape[0]} pixels, "
                    f"the first one {width}x{height}",
                    fix="download the file again",
                )
        return tuple(Segmentation(image=image, labels=LabelMap(v, "instance")) for v in maps)


def _label_maps(path: Path) -> list[npt.NDArray[np.integer[Any]]]:
    # scipy is loaded only by who needs it: its import takes longer than most commands.
    from scipy.io import loadmat  # noqa: PLC0415

    try:
        cells = np.ravel(loadmat(path, variable_names=[_VARIABLE])[_VARIABLE])
        maps = [np.asarray(cell[_FIELD][0, 0]) for cell in cells]
    except Exception as error:  # scipy raises whatever it likes on damaged files
        raise MaskError(
            f"{path}: cannot be read as BSDS ground truth",
            why=repr(error),
            fix=f"it holds {_VARIABLE}, a cell for each annotator, each with {_FIELD}; files of "
            "MATLAB 7.3 are to be saved with -v7",
        ) from error
    if not maps or any(m.ndim != 2 or m.size == 0 or m.dtype.kind not in "ui" for m in maps):
        raise MaskError(
            f"{path}: {_FIELD} is no (H, W) map of whole numbers, or there is none",
            fix="download the file again",
        )
    return maps


def _mat_files(path: Path) -> list[str]:
    names = files_below(path) if path.is_dir() else [path.name]
    return [name for name in names if name.lower().endswith(".mat")]


def _recognise(path: Path) -> str | None:
    root = path if path.is_dir() else path.parent
    names = spread(_mat_files(path), _SAMPLE)
    return "BSDS ground truth" if any(_is_bsds(root / name) for name in names) else None


def _is_bsds(path: Path) -> bool:
    from scipy.io import whosmat  # noqa: PLC0415 (as above)

    try:
        return any(name == _VARIABLE for name, *_ in whosmat(path))
    except Exception:  # noqa: BLE001 (as above)
        return False


def _open(path: Path, options: ReadOptions) -> Source:
    del options
    names = _mat_files(path)
    if not names:
        raise InputError(f"{path}: holds no .mat files")
    return _Annotated(path, names)


FORMAT = Format(
    name="bsds",
    summary="BSDS500 ground truth, one .mat per image with regions by several annotators",
    recognise=_recognise,
    open=_open,
)
