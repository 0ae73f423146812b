"""Class maps, one per image, and the names of the classes beside them in classes.json."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import InputError, MaskError
from segcli.formats.base import (
    Format,
    ReadOptions,
    Source,
    WriteOptions,
    check_inside,
    free_stem,
    json_text,
    replacing,
)
from segcli.formats.classes import Color, read_class_list, with_classes
from segcli.formats.files import raster_files
from segcli.formats.folders import CLASSES, CLASSES_SCHEMA, holds_class_list
from segcli.formats.labels import save_label_map
from segcli.formats.rasters import open_rasters
from segcli.masks.classes import no_class
from segcli.masks.labels import Overlap
from segcli.masks.panoptic import panoptic_of
from segcli.records import Segmentation

__all__ = ["FORMAT"]

_BYTE = 255


def _write(results: Iterable[Segmentation], file: Path, options: WriteOptions) -> list[Path]:
    paths: list[Path] = []
    taken: set[str] = set()
    names: dict[int, str] = {}
    things: set[int] = set()
    void: set[int] = set()
    for result in results:
        values, found = _class_map(result, options.overlap)
        names.update(result.categories)
        if (unlisted := no_class(result)) and unlisted in found:
            del found[unlisted]
            void.add(unlisted)
        names.update({c: name for c, name in found.items() if c not in names})
        things |= result.things or frozenset()
        # All maps of one list of classes have one type, whichever classes occur.
        most = max([int(values.max()), *result.categories])
        values = values.astype(np.uint8 if most <= _BYTE else np.promote_types(values.dtype, "u2"))
        paths.append(save_label_map(values, file.parent, free_stem(result.image.key, taken)))
    with replacing(file) as out:
        tables = _tables(names, things, options.colors)
        tables += [{"id": n, "name": "void", "ignored": True} for n in sorted(void - names.keys())]
        content = {"schema": CLASSES_SCHEMA, "classes": tables}
        out.write(json_text(content, indent=1).encode() + b"\n")
    return [*paths, file]


def _check(result: Segmentation) -> None:
    check_inside(result.image.key)
    listed = result.labels is not None and result.labels.kind == "semantic"
    zero = any(segment.category == 0 for segment in result.segments)
    if zero and not listed and _void(result) == 0:
        raise MaskError(
            f"{result.image.key}: has segments of the class 0",
            why="class maps have 0 for pixels without a class",
            fix="number the classes from 1, or convert to coco-panoptic",
        )


def _tables(
    names: Mapping[int, str], things: Collection[int], colors: Mapping[int, Color]
) -> list[dict[str, Any]]:
    """The class list; where nothing is known to be a thing, nothing is said of things."""
    tables: list[dict[str, Any]] = [
        {"id": n, "name": name} | ({"color": list(colors[n])} if n in colors else {})
        for n, name in sorted(names.items())
    ]
    return [{**t, "thing": t["id"] in things} for t in tables] if things else tables


def _class_map(
    result: Segmentation, overlap: Overlap
) -> tuple[npt.NDArray[np.integer[Any]], dict[int, str]]:
    """(H, W) class ids, and the names of the classes that occur, or their number for a name."""
    if result.labels is not None and result.labels.kind in ("semantic", "binary"):
        values = result.labels.values
        return values, {v: str(v) if v else "background" for v in np.unique(values).tolist()}
    drawn = panoptic_of(result, overlap)
    ids = np.array([0, *(segment.id or 0 for segment in drawn.segments)])
    void = _void(result)
    classes = np.array([void, *(segment.category or 0 for segment in drawn.segments)])
    order = np.argsort(ids)
    values = classes[order][np.searchsorted(ids[order], drawn.values)]
    named = {void: "void" if void else "background", **drawn.names}
    return values.astype(np.min_scalar_type(int(classes.max()))), named


def _void(result: Segmentation) -> int:
    """The value of pixels without a class: 0; where 0 is a class, 255 or what is none."""
    if result.labels is not None and result.labels.kind == "panoptic":
        return 255 if 0 in result.categories else 0
    return no_class(result)


def _recognise(path: Path) -> str | None:
    listed = path.is_dir() and holds_class_list(path) and bool(raster_files(path))
    return f"class maps with {CLASSES}" if listed else None


def _open(path: Path, options: ReadOptions) -> Source:
    listed = path / CLASSES
    if not listed.is_file():
        raise InputError(
            f"{path}: holds no {CLASSES}",
            why="it names the classes of the class maps beside it",
            fix="leave the format out, and give --kind semantic",
        )
    found = read_class_list(listed)
    kind = options.kind or "semantic"
    why = options.kind_why if options.kind else f"{CLASSES} lists {len(found.names)} classes"
    opened = options if options.class_names is not None else with_classes(options, found)
    return open_rasters(path, replace(opened, kind=kind, kind_why=why), FORMAT.name)


FORMAT = Format(
    name="semantic",
    summary="class map, 8-bit or 16-bit PNG: pixel value = class id, and classes.json names them",
    loses="which pixel belongs to which segment of a class; scores; crowd marks",
    write_dataset=_write,
    recognise=_recognise,
    open=_open,
    file_name=f"semantic/{CLASSES}",
    check=_check,
)
