"""Cityscapes' label files: a suffix of the name says what their values are.

Values as in cityscapesScripts: ``labelIds`` are classes; ``instanceIds`` are classes too, and
class * 1000 + object for each object of a thing; a thing without object is a group, which stands
for several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import InputError, MaskError
from segcli.formats.base import Format, ReadOptions, Source
from segcli.formats.classes import ClassList, read_class_list
from segcli.formats.files import read_raster
from segcli.formats.folders import cityscapes_files
from segcli.masks.panoptic import PanopticCode
from segcli.masks.rle import encode
from segcli.records import RLE, ImageRef, LabelKind, LabelMap, Segmentation

__all__ = ["FORMAT"]

_DIVISOR = 1000
_CLASSES = ("labelIds", "labelTrainIds", "instanceIds", "instanceTrainIds")
_OBJECTS = ("instanceIds", "instanceTrainIds")


class _Cityscapes(Source):
    """One kind of label file, by its name without the suffix."""

    format = "cityscapes"

    def __init__(
        self,
        path: Path,
        files: Mapping[str, str],
        classes: ClassList,
        kind: LabelKind,
        description: str,
    ) -> None:
        self.kind = kind
        self.description = description
        self.single = path.is_file()
        self.categories = classes.names
        self.things = classes.things
        self.ignored = classes.ignored
        self._root = path if path.is_dir() else path.parent
        self._files = files
        self._classes = classes

    def keys(self) -> Sequence[str]:
        """Paths without the suffix that says what the values are: ``ulm/ulm_000000_000019.png``."""
        return sorted(self._files)

    def read(self, key: str) -> Segmentation:
        """One image: a class map; or, of the kind panoptic, segments too; or the objects alone.

        Classes that the class list ignores are void: left out of objects and panoptic maps, and
        `ignore` in class maps and beside objects. Groups are crowds.
        """
        path = self._root / self._files[key]
        values = read_raster(path).values
        height, width = values.shape
        image = ImageRef(path=key, height=height, width=width, source=str(path))
        bare = Segmentation(image=image, categories=dict(self.categories), things=self.things)
        if self.kind == "semantic":
            classes = _classes_in(values)
            labels = LabelMap(classes, "semantic")
            return replace(bare, labels=labels, ignore=self._void(classes))
        code = PanopticCode(
            divisor=_DIVISOR,
            things=self.things or frozenset(),
            void=self._classes.ignored,
            zero_is_class=0 in self._classes.evaluated,
        )
        try:
            ids, segments = code.read(values)
        except MaskError as error:
            raise MaskError(f"{path}: {error.message}", why=error.why, fix=error.fix) from error
        if self.kind == "panoptic":
            return replace(bare, segments=segments, labels=LabelMap(ids, "panoptic"))
        objects = tuple(s for s in segments if s.category in code.things)
        return replace(bare, segments=objects, ignore=self._void(_classes_in(values)))

    def _void(self, classes: npt.NDArray[Any]) -> RLE | None:
        void = np.isin(classes, sorted(self._classes.ignored))
        return encode(void) if void.any() else None


def _classes_in(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if int(values.max()) < _DIVISOR:
        return values
    return np.where(values >= _DIVISOR, values // _DIVISOR, values).astype(np.uint8)


def _recognise(path: Path) -> str | None:
    found = cityscapes_files(path)
    return f"Cityscapes files ({', '.join(sorted(found))})" if found else None


def _open(path: Path, options: ReadOptions) -> Source:
    found = cityscapes_files(path)
    if not found:
        raise InputError(
            f"{path}: holds no Cityscapes label files",
            why=f"their names end in {', '.join(f'_{name}.png' for name in _CLASSES)}",
            fix="leave the format out to tell by content",
        )
    kind, suffix = _choice(path, found, options)
    classes = _classes(options, "cityscapes-trainids" if "Train" in suffix else "cityscapes")
    others = sorted(set(found) - {suffix})
    beside = f", {', '.join(others)} beside them left out" if others else ""
    why = options.kind_why if options.kind else "--kind overrides"
    return _Cityscapes(
        path,
        found[suffix],
        classes,
        kind,
        f"{path}: {len(found[suffix])} Cityscapes files {suffix}, {kind} ({why}), "
        f"{len(classes.evaluated)} classes count and {len(classes.ignored)} do not{beside}",
    )


def _choice(path: Path, found: Mapping[str, Any], options: ReadOptions) -> tuple[LabelKind, str]:
    """The kind, and the suffix of the files that hold it."""
    kind = options.kind or (
        "semantic" if {"labelIds", "labelTrainIds"} & set(found) else "panoptic"
    )
    wanted: tuple[str, ...] = _CLASSES if kind == "semantic" else _OBJECTS
    # Where both numberings lie together, a class list that numbers road 0 says which is meant.
    if (options.class_names or {}).get(0) == "road":
        wanted = tuple(sorted(wanted, key=lambda suffix: "Train" not in suffix))
    suffix = next((name for name in wanted if name in found), None)
    if suffix is None or kind == "binary":
        raise InputError(
            f"{path}: Cityscapes files {', '.join(sorted(found))} cannot be {kind}",
            why="objects are in instanceIds" if kind != "binary" else "they hold classes",
            fix=f"give the folder with *_{_OBJECTS[0]}.png, or --kind semantic",
        )
    return kind, suffix


def _classes(options: ReadOptions, preset: str) -> ClassList:
    own = read_class_list(preset)
    if options.class_names is None or dict(options.class_names) == own.names:
        return own
    things = own.things if options.things is None else options.things
    return ClassList(options.class_names, things=things, ignored=options.ignored)


FORMAT = Format(
    name="cityscapes",
    summary="Cityscapes' *_labelIds.png, *_labelTrainIds.png, *_instanceIds.png",
    recognise=_recognise,
    open=_open,
)
