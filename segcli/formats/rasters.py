"""Folders with one label map or binary mask per image: judged by a sample, read one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from segcli.errors import InputError, MaskError
from segcli.formats.base import ReadOptions
from segcli.formats.counted_ahead import count_ahead
from segcli.formats.files import (
    PhotographError,
    of_listing,
    photographs_beside,
    raster_files,
    spread,
)
from segcli.formats.folders import owns_folder
from segcli.formats.judge import Verdict, judge
from segcli.formats.raster_source import Colors, Judged, RasterSource
from segcli.formats.survey import Survey, survey
from segcli.images import page_count

__all__ = [
    "RasterSource",
    "can_read_colors",
    "common_fault",
    "count_folders",
    "open_rasters",
    "sample_of",
]

SAMPLE = 50
_MOST_THREADS = 8
_TIFF = (".tif", ".tiff")
_NOUNS = {
    "binary": "binary masks",
    "semantic": "semantic label maps",
    "instance": "instance label maps",
    "panoptic": "panoptic label maps",
}


def sample_of(path: Path) -> list[Survey]:
    """Surveys of up to 50 mask files below a path; files that cannot be read are left out.

    Empty when the path holds none, or when its files belong to another layout.
    """
    if owns_folder(path):
        return []
    return [s for s in _surveys(path) if isinstance(s, Survey)]


def common_fault(path: Path) -> MaskError | None:
    """Why the pictures below a path are no masks: the first one's error; None if some are."""
    found = _surveys(path)
    errors = [e for e in found if isinstance(e, MaskError)]
    return errors[0] if errors and len(errors) == len(found) else None


def can_read_colors(path: Path, options: ReadOptions) -> bool:
    """Whether all pictures below a path have colours, and it is said what these stand for."""
    found = [] if _colors_said(options) == "refused" or owns_folder(path) else _surveys(path)
    return bool(found) and all(isinstance(e, PhotographError) for e in found)


def _colors_said(options: ReadOptions) -> Colors:
    if options.kind in ("instance", "panoptic"):
        return "ids"
    return "classes" if options.class_colors and options.kind in (None, "semantic") else "refused"


@of_listing
def _surveys(path: Path) -> list[Survey | MaskError]:
    root = path if path.is_dir() else path.parent
    files = [root / name for name in spread(raster_files(path), SAMPLE)]
    # Warnings cannot be silenced by several threads at once, and TIFF needs that.
    if len(files) == 1 or any(file.suffix.lower() in _TIFF for file in files):
        return [_survey_or_error(file) for file in files]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, _MOST_THREADS)) as pool:
        return list(pool.map(_survey_or_error, files))


def count_folders(first: Path, second: Path, threads: int) -> None:
    """Start counting the files of two folders that have the same names, the samples first.

    A look at these then decodes none of them, nor do scores that rest on their values.
    """
    if not (first.is_dir() and second.is_dir()) or owns_folder(first) or owns_folder(second):
        return
    sides = raster_files(first), raster_files(second)
    chosen = {name for names in sides for name in spread(names, SAMPLE)}
    shared = {n for n in set(sides[0]).intersection(sides[1]) if n.lower().endswith(".png")}
    # `False` comes first.
    names = sorted(shared, key=lambda name: (name not in chosen, name))
    pairs = [(str(first / name), str(second / name)) for name in names]
    # One more than can be at work: between two files each waits for its turn in Python.
    count_ahead(pairs, len(chosen & shared), threads + (threads > 1))


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
    surveys = [s for s in found if isinstance(s, Survey)]
    photographs = [e for e in found if isinstance(e, PhotographError)]
    colors = _colors_said(options) if photographs else "refused"
    if colors == "refused":
        _refuse_mixture(path, photographs, len(found))
    union: set[int] = set().union(*(s.values for s in surveys))
    _refuse_all_ignored(path, union, options)
    verdict = _verdict(surveys, colors, options)
    if format_name == "binary" and options.kind is None and verdict.kind != "binary":
        verdict = Verdict("binary", "the format says so")
    modes = sorted({s.mode for s in surveys} | ({"colour"} if colors != "refused" else set()))
    beside = photographs_beside(path)
    left_out = f", {beside} JPEG photographs beside them left out" if beside else ""
    root = path if path.is_dir() else path.parent
    keys = list(_with_pages(root, names))
    said, judged = _judged(path, verdict, union, colors, options)
    return RasterSource(
        root,
        keys,
        options,
        format_name=format_name,
        judged=replace(judged, single=path.is_file() and len(keys) == 1),
        description=f"{path}: {len(keys)} {_NOUNS[verdict.kind]} "
        f"({', '.join(modes) or 'unreadable'}; {verdict.why}{said}){left_out}",
    )


def _judged(
    path: Path, verdict: Verdict, union: set[int], colors: Colors, options: ReadOptions
) -> tuple[str, Judged]:
    """What the files were taken for, and what is to be said of it beside the verdict."""
    kind, things, said = verdict.kind, options.things, ""
    if kind == "panoptic":
        things, said = _things(path, union, options)
    return said, Judged(
        kind,
        certain=verdict.certain,
        white=union <= {0, 255} and colors == "refused",
        border=kind not in ("binary", "panoptic") and 255 in union and 254 not in union,
        colors=colors,
        categories=dict(options.class_names or {}) if kind in ("semantic", "panoptic") else {},
        things=things,
    )


def _verdict(surveys: Sequence[Survey], colors: Colors, options: ReadOptions) -> Verdict:
    if options.kind is not None:
        means = {"ids": ": ids are R + 256 G + 65536 B", "classes": ", colours the class list"}
        return Verdict(options.kind, options.kind_why + means.get(colors, ""))
    if colors == "classes":
        return Verdict("semantic", "the class list says what colours stand for")
    verdict = judge(surveys, options.ignore_index)
    return Verdict(verdict.kind, f"{verdict.why}; --kind overrides", verdict.certain)


def _things(path: Path, values: set[int], options: ReadOptions) -> tuple[frozenset[int], str]:
    """The thing classes of panoptic label maps, and in words where they come from."""
    divisor = options.label_divisor
    rule = f"; class * {divisor} + object"
    if options.things is not None:
        return options.things, f"{rule}, things as the class list says"
    if not values:
        raise InputError(
            f"{path}: which classes are things is not stated",
            why="label values alone show it only where classes are small numbers",
            fix="--class-names FILE.toml that says thing = true of each thing",
        )
    # Stuff has no objects: it is the class itself, or (DeepLab) the class's object 0.
    bare = any(0 < value < divisor for value in values)
    found = {v // divisor for v in values if v >= divisor and (bare or v % divisor)}
    named = ", ".join(str(c) for c in sorted(found)) or "none"
    return frozenset(found), f"{rule}; things not stated, taken from numbered objects: {named}"


def _with_pages(root: Path, names: Sequence[str]) -> Iterator[str]:
    for name in names:
        tiff = name.lower().endswith(_TIFF)
        pages = page_count(root / name) if tiff else 1
        yield from [name] if pages == 1 else [f"{name}#page={page}" for page in range(pages)]


def _refuse_all_ignored(path: Path, union: set[int], options: ReadOptions) -> None:
    ignore = options.ignore_index
    if ignore is not None and ignore != 0 and union <= {0, ignore} and ignore in union:
        raise InputError(
            f"{path}: ignore index {ignore} would ignore every mask",
            why=f"the only values are 0 and {ignore}, so these are binary masks with {ignore} for "
            "inside; ignoring it leaves nothing but background, and any prediction scores 1.0",
            fix="leave the ignore index out",
        )


def _refuse_mixture(path: Path, photographs: Sequence[PhotographError], looked_at: int) -> None:
    if len(photographs) * 10 > looked_at > len(photographs):
        raise InputError(
            f"{path}: holds masks and pictures that are none "
            f"({len(photographs)} of {looked_at} files looked at): {photographs[0].message}",
            why=photographs[0].why,
            fix="give the folder that holds the masks alone",
        )
