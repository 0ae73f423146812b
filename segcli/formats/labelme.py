"""LabelMe: one JSON per image with shapes and their labels in words."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from segcli.errors import InputError, MaskError
from segcli.formats.base import Format, ReadOptions, Source, WriteOptions, located, replacing
from segcli.formats.coco import dump
from segcli.formats.labelme_shapes import Shape, mask_shape, shapes_of
from segcli.formats.sniff import holds_json, load_json, one_an_image
from segcli.masks.labels import segments_of
from segcli.masks.rle import decode, merge, segment_from_rle
from segcli.records import ImageRef, LabelKind, Segment, Segmentation

__all__ = ["FORMAT"]

_IGNORE, _BACKGROUND = "__ignore__", "_background_"
_NO_MASKS = frozenset({"point", "points", "line", "linestrip"})
_FIX = "a LabelMe file has shapes, imagePath, imageHeight and imageWidth"
_LABEL = re.compile(rb'"label"\s*:\s*("(?:[^"\\]|\\.)*")')


class _Images(Source):
    """One JSON for each image."""

    format = "labelme"
    kind: LabelKind = "instance"

    def __init__(self, path: Path, names: Sequence[str], options: ReadOptions) -> None:
        self._root = path if path.is_dir() else path.parent
        self._names = names
        self.single = path.is_file()
        if options.class_names is not None:
            self.categories, origin = options.class_names, "of the class list"
        else:
            self.categories = _numbered(self._root / name for name in names)
            origin = "numbered by name from 1"
        self._ids = {name: number for number, name in self.categories.items()}
        self.description = (
            f"{path}: LabelMe, {len(names)} images, {len(self._ids)} classes {origin}; points and "
            "lines are no masks and left out"
        )

    def keys(self) -> Sequence[str]:
        """The JSON files, relative."""
        return self._names

    def read(self, key: str) -> Segmentation:
        """One image's shapes, rasterised as COCO does; shapes of one group and label are one.

        The image's path is the `imagePath` stated, in the JSON's folder. What is labelled
        `__ignore__` does not count, `_background_` is nothing.
        """
        path = self._root / key
        try:
            parsed = load_json(path)
            height, width = _size(parsed)
            name = re.split(r"[\\/]", str(parsed.get("imagePath") or key))[-1]
            shapes = [
                Shape(index, shape, (height, width))
                for index, shape in enumerate(parsed["shapes"])
                if shape.get("shape_type") not in _NO_MASKS
            ]
            segments = self._segments([s for s in shapes if s.label not in (_IGNORE, _BACKGROUND)])
        except InputError as error:
            raise MaskError(error.message, why=error.why, fix=error.fix) from error
        except MaskError as error:
            raise located(str(path), error, _FIX) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise MaskError(
                f"{path}: malformed",
                why=repr(error),
                fix=_FIX,
            ) from error
        void = [s.mask for s in shapes if s.label == _IGNORE]
        below = key.rpartition("/")[0]
        image_path = f"{below}/{name}" if below else name
        return Segmentation(
            image=ImageRef(path=image_path, height=height, width=width, source=str(path)),
            segments=segments,
            ignore=merge(void) if void else None,
            categories=dict(self.categories),
        )

    def _segments(self, shapes: Sequence[Shape]) -> tuple[Segment, ...]:
        objects: dict[object, list[Shape]] = {}
        for shape in shapes:
            alone = shape.group is None
            objects.setdefault((shape.index,) if alone else (shape.label, shape.group), []).append(
                shape
            )
        return tuple(
            self._segment(number, parts) for number, parts in enumerate(objects.values(), 1)
        )

    def _segment(self, number: int, parts: Sequence[Shape]) -> Segment:
        label = parts[0].label
        if label not in self._ids:
            raise MaskError(
                f"shape {parts[0].index}: the label {label!r} is not in the class list",
                why=f"it lists {', '.join(list(self._ids)[:10])}",
                fix="add it to --class-names, or correct the label",
            )
        masks = [part.mask for part in parts]
        return segment_from_rle(
            masks[0] if len(masks) == 1 else merge(masks),
            category=self._ids[label],
            category_name=label,
            id=number,
            iscrowd=any(part.crowd for part in parts),
        )


def _size(parsed: Mapping[str, Any]) -> tuple[int, int]:
    height, width, data = (parsed.get(n) for n in ("imageHeight", "imageWidth", "imageData"))
    if height and width:
        if min(int(height), int(width)) < 1:
            raise MaskError(f"its image has the size {width}x{height}", why="it has no pixels")
        return int(height), int(width)
    if not data:
        raise MaskError(
            "the size of its image is unknown",
            why="it has no imageHeight and imageWidth, and the image is not in it",
            fix="save it again with LabelMe",
        )
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return picture.height, picture.width


def _numbered(files: Iterable[Path]) -> dict[int, str]:
    """Classes of all files by name, without parsing the pictures that they may hold."""
    found: set[str] = set().union(*map(_labels_in, files))
    return dict(enumerate(sorted(found - {_IGNORE, _BACKGROUND}), start=1))


def _labels_in(path: Path) -> set[str]:
    try:
        return {str(json.loads(word)) for word in set(_LABEL.findall(path.read_bytes()))}
    except (OSError, ValueError):
        # Reading the file will say what is wrong with it.
        return set()


def _write(result: Segmentation, folder: Path, stem: str, options: WriteOptions) -> list[Path]:
    del options
    image = result.image
    shapes: list[dict[str, Any]] = []
    for number, segment in enumerate(segments_of(result)):
        name = segment.category_name or result.categories.get(segment.category or 0)
        label = name or ("object" if segment.category is None else str(segment.category))
        shapes += shapes_of(segment, label, number)
    if result.ignore is not None:
        shapes.append(mask_shape(decode(result.ignore), _IGNORE, {}))
    record: dict[str, Any] = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image.path.rpartition("/")[2],
        "imageData": None,
        "imageHeight": image.height,
        "imageWidth": image.width,
    }
    path = folder / f"{stem}.json"
    with replacing(path) as file:
        file.write(dump(record) + b"\n")
    return [path]


def _recognise(path: Path) -> str | None:
    return "LabelMe images" if holds_json(path, "labelme") else None


def _open(path: Path, options: ReadOptions) -> Source:
    names = one_an_image(path, "labelme")
    if not names:
        raise InputError(f"{path}: holds no LabelMe JSON", fix="leave the format out")
    return _Images(path, names, options)


FORMAT = Format(
    name="labelme",
    summary="one JSON per image as LabelMe saves it: polygons, and a mask where there are holes",
    loses="scores and provenance; areas other than those of the masks; classes keep their names, "
    "not their ids",
    write_image=_write,
    recognise=_recognise,
    open=_open,
    holds_void=True,
)
