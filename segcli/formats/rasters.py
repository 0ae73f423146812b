"""Folders with one label map or binary mask per image: judged by a sample, read one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import InputError, MaskError
from segcli.formats.base import ReadOptions, Source
from segcli.formats.files import (
    LOSSY,
    PhotographError,
    photographs_beside,
    raster_files,
    read_raster,
    spread,
)
from segcli.formats.folders import owns_folder
from segcli.formats.judge import judge
from segcli.formats.survey import Survey, survey
from segcli.masks.rle import encode
from segcli.records import RLE, ImageRef, LabelKind, LabelMap, Segmentation

__all__ = ["RasterSource", "colour_only", "open_rasters", "sample_of"]

SAMPLE = 50


def sample_of(path: Path) -> list[Survey]:
    """Surveys of up to 50 mask files below a path; files that cannot be read are left out.

    Empty when the path holds none, or when its files belong to a layout of folders per image.
    """
    if path.is_dir() and owns_folder(path):
        return []
    return [s for s in _surveys(path) if isinstance(s, Survey)]


def colour_only(path: Path) -> str:
    """Why the pictures below a path are no masks: the first one's error, or "" if some are."""
    found = _surveys(path)
    errors = [f"{e.message}: {e.why}" for e in found if isinstance(e, MaskError)]
    return errors[0] if errors and len(errors) == len(found) else ""


def _surveys(path: Path) -> list[Survey | MaskError]:
    root = path if path.is_dir() else path.parent
    return [_survey_or_error(root / name) for name in spread(raster_files(path), SAMPLE)]


def _survey_or_error(path: Path) -> Survey | MaskError:
    try:
        return survey(path)
    except MaskError as error:
        return error


def open_rasters(path: Path, options: ReadOptions, format_name: str) -> RasterSource:
    """Open a folder of label maps or binary masks, or one such file.

    Raises:
        InputError: there is no mask file; or everything but background would be ignored.
    """
    names = raster_files(path)
    if not names:
        raise InputError(f"{path}: holds no mask pictures or arrays", fix="give a folder of masks")
    found = _surveys(path)
    _refuse_mixture(path, found)
    surveys = [s for s in found if isinstance(s, Survey)]
    verdict = judge(surveys, options.ignore_index)
    union: set[int] = set().union(*(s.values for s in surveys))
    _refuse_all_ignored(path, union, options)
    kind = options.kind or verdict.kind
    why = options.kind_why if options.kind else f"{verdict.why}; --kind overrides"
    noun = {"binary": "binary masks", "semantic": "semantic label maps"}.get(
        kind, "instance label maps"
    )
    modes = ", ".join(sorted({s.mode for s in surveys})) or "unreadable"
    beside = photographs_beside(path)
    left_out = f", {beside} JPEG photographs beside them left out" if beside else ""
    return RasterSource(
        path if path.is_dir() else path.parent,
        names,
        options,
        format_name=format_name,
        judged=_Judged(
            kind,
            certain=options.kind is not None or verdict.certain,
            white=union <= {0, 255},
            border=kind != "binary" and 255 in union and 254 not in union,
            single=path.is_file(),
        ),
        description=f"{path}: {len(names)} {noun} ({modes}; {why}){left_out}",
    )


def _refuse_all_ignored(path: Path, union: set[int], options: ReadOptions) -> None:
    ignore = options.ignore_index
    if ignore is not None and ignore != 0 and union <= {0, ignore} and ignore in union:
        raise InputError(
            f"{path}: ignore index {ignore} would ignore every mask",
            why=f"the only values are 0 and {ignore}, so these are binary masks with {ignore} for "
            "inside; ignoring it leaves nothing but background, and any prediction scores 1.0",
            fix="leave the ignore index out",
        )


def _refuse_mixture(path: Path, found: Sequence[Survey | MaskError]) -> None:
    photographs = [e for e in found if isinstance(e, PhotographError)]
    if len(photographs) * 10 > len(found) > len(photographs):
        raise InputError(
            f"{path}: holds masks and pictures that are none "
            f"({len(photographs)} of {len(found)} files looked at)",
            why=f"{photographs[0].message}",
            fix="give the folder that holds the masks alone",
        )


@dataclass(frozen=True, slots=True)
class _Judged:
    """What a set of files was taken for.

    Attributes:
        kind: see `Source`.
        certain: see `Source`.
        border: see `Source`.
        white: True when 0 and 255 are the only values of all files looked at.
        single: see `Source`.
    """

    kind: LabelKind
    certain: bool
    white: bool
    border: bool
    single: bool


class RasterSource(Source):
    """One label map or binary mask per image."""

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        options: ReadOptions,
        *,
        format_name: str,
        judged: _Judged,
        description: str,
    ) -> None:
        self.format = format_name
        self.kind = judged.kind
        self.certain = judged.certain
        self.border = judged.border
        self.single = judged.single
        self._white = judged.white
        self.description = description
        self._root = root
        self._names = names
        self._options = options

    def keys(self) -> Sequence[str]:
        """Paths of the mask files, relative to the folder."""
        return self._names

    def read(self, key: str) -> Segmentation:
        """Decode one mask file into a LabelMap; `segments` stays empty."""
        path = self._root / key
        raster = read_raster(path)
        if raster.lossy and self.kind != "binary":
            raise _lossy(path)
        values = raster.values
        ignore, void = self._ignored(values)
        if self.kind == "binary":
            values = _inside(path, values, void, strict=self._options.kind is None)
        elif self.kind == "instance" and void is not None:
            values = np.where(void, 0, values)
        elif values.dtype == bool or (self._white and _is_white(values)):
            values = (values != 0).view(np.uint8)
        height, width = values.shape
        return Segmentation(
            image=ImageRef(path=key, height=height, width=width, source=str(path)),
            labels=LabelMap(values, self.kind),
            ignore=ignore,
        )

    def _ignored(self, values: npt.NDArray[Any]) -> tuple[RLE | None, npt.NDArray[np.bool_] | None]:
        index = self._options.ignore_index
        if index is None:
            return None, None
        void = values == index
        return (encode(void), void) if void.any() else (None, None)


def _is_white(values: npt.NDArray[Any]) -> bool:
    """{0, 255}: a binary mask, whatever it is taken for, where all files beside it are the same."""
    if values.dtype != np.uint8 or int(values.max()) != 255:
        return False
    counts = np.bincount(values.ravel(), minlength=256)
    return int(counts[0] + counts[255]) == values.size


def _inside(
    path: Path,
    values: npt.NDArray[Any],
    void: npt.NDArray[np.bool_] | None,
    *,
    strict: bool,
) -> npt.NDArray[np.uint8]:
    inside: npt.NDArray[np.bool_] = values != 0
    if void is not None:
        inside &= ~void
    mask: npt.NDArray[np.uint8] = inside.view(np.uint8)
    if values.dtype == bool:
        return mask
    top = int(values.max(where=inside, initial=0))
    one_value = np.count_nonzero(values == top) == np.count_nonzero(inside)
    if not (one_value if top else not inside.any()):
        antialiased = values.dtype == np.uint8 and top == 255
        if strict or antialiased or path.suffix.lower() in LOSSY:
            raise _not_binary(path, values)
    elif strict and top not in (0, 1, 255, 65535):
        raise _not_binary(path, values)
    return mask


def _not_binary(path: Path, values: npt.NDArray[Any]) -> MaskError:
    present = np.unique(values)
    some = ", ".join(str(v) for v in present[:6].tolist())
    more = f", … {present[-1]} ({len(present)} values)" if len(present) > 6 else ""
    return MaskError(
        f"{path}: is not a binary mask: its values are {some}{more}",
        why="a binary mask has two values, 0 and one other; in-between greys come from JPEG, "
        "antialiasing or smooth resizing, and where to cut them is a guess",
        fix="threshold the masks (128 of 255 is usual) and save them as PNG; "
        "for label maps give --kind semantic or --kind instance",
    )


def _lossy(path: Path) -> MaskError:
    return MaskError(
        f"{path}: a label map saved as JPEG",
        why="JPEG changes pixel values, so its labels are not those that were saved",
        fix="export the label maps again as PNG",
    )
