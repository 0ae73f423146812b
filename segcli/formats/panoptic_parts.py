"""The JSON of COCO panoptic: its parts, checked, and where its PNGs are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segcli.errors import InputError, MaskError
from segcli.formats.coco import image_id
from segcli.formats.sniff import load_json

__all__ = [
    "FIX",
    "Categories",
    "SegmentInfo",
    "categories_of",
    "check_same_segments",
    "checked_annotation",
    "images_of",
    "load_panoptic",
    "png_folder",
    "segments_info_of",
]

FIX = (
    "a COCO panoptic file is an object with annotations, each with image_id, file_name and "
    "segments_info"
)


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """What the JSON says of one segment.

    Attributes:
        category: its category id.
        iscrowd: whether it stands for many objects.
        area: pixels, or None where the JSON does not say.
    """

    category: int
    iscrowd: bool
    area: float | None


@dataclass(frozen=True, slots=True)
class Categories:
    """What the JSON says of its categories.

    Attributes:
        names: name by id.
        things: ids of countable things, or None where one does not say whether it is.
    """

    names: dict[int, str]
    things: frozenset[int] | None


def load_panoptic(path: Path) -> dict[str, Any]:
    """Parse a file that has annotations.

    Raises:
        InputError: it cannot be read or has none.
    """
    parsed = load_json(path)
    if not isinstance(parsed, dict) or not isinstance(parsed.get("annotations"), list):
        raise InputError(f"{path}: is no COCO panoptic file: it has no annotations", fix=FIX)
    return parsed


def checked_annotation(path: Path, index: int, annotation: Any) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    """One annotation with all that it must have.

    Raises:
        InputError: something is missing or of another type.
    """
    held: dict[str, Any] = annotation if isinstance(annotation, dict) else {}
    wanted: dict[str, tuple[type, ...]] = {
        "image_id": (int, str, float),
        "file_name": (str,),
        "segments_info": (list,),
    }
    wrong = [name for name, kind in wanted.items() if not isinstance(held.get(name), kind)]
    if wrong:
        raise InputError(
            f"{path}: annotation {index} has no {' and no '.join(wrong)}, or of another type",
            fix=FIX,
        )
    return held


def categories_of(path: Path, parsed: dict[str, Any]) -> Categories:
    """The categories that a file lists.

    Raises:
        InputError: one is malformed.
    """
    names: dict[int, str] = {}
    things: list[int] = []
    listed = parsed.get("categories") or []
    try:
        for category in listed:
            number = int(category["id"])
            names[number] = str(category["name"])
            things += [number] if int(category.get("isthing") or 0) else []
        said = bool(listed) and all("isthing" in category for category in listed)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: a malformed category",
            why=repr(error),
            fix="each category has an id, a name and isthing",
        ) from error
    return Categories(names, frozenset(things) if said else None)


def images_of(path: Path, parsed: dict[str, Any]) -> dict[int, tuple[str, tuple[int, int] | None]]:
    """File name and (height, width) by image id; empty where the file lists no images."""
    images: dict[int, tuple[str, tuple[int, int] | None]] = {}
    listed = parsed.get("images") or []
    try:
        for image in listed:
            number = image_id(image["id"], f"{path}: an image")
            sized = "height" in image and "width" in image
            size = (int(image["height"]), int(image["width"])) if sized else None
            images[number] = str(image["file_name"]), size
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: a malformed image",
            why=repr(error),
            fix="each image has an id, a file_name, a height and a width",
        ) from error
    if len(images) != len(listed) or len({name for name, _ in images.values()}) != len(images):
        raise InputError(f"{path}: two images have one id or one file name", fix="make them unique")
    return images


def segments_info_of(path: Path, key: str, listed: Sequence[Any]) -> dict[int, SegmentInfo]:
    """What the JSON says of an image's segments, by their ids.

    Raises:
        MaskError: one is malformed, or two have one id.
    """
    infos = dict(_segment_info(path, key, info) for info in listed)
    if len(infos) != len(listed):
        raise MaskError(
            f"{path}: {key}: two segments have one id", fix="give each segment its own id"
        )
    return infos


def _segment_info(path: Path, key: str, info: Any) -> tuple[int, SegmentInfo]:  # noqa: ANN401 (JSON)
    try:
        number, area = int(info["id"]), info.get("area")
        area = None if area is None else float(area)
        found = SegmentInfo(int(info["category_id"]), bool(int(info.get("iscrowd") or 0)), area)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MaskError(
            f"{path}: {key}: a malformed segment: {info}"[:300],
            why=repr(error),
            fix="each segment has an id and a category_id",
        ) from error
    return number, found


def check_same_segments(png: Path, json: Path, drawn: set[int | None], stated: set[int]) -> None:
    """As panopticapi: each id but 0 is in the PNG and in the JSON."""
    if unstated := sorted(n for n in drawn - stated if n is not None):
        raise MaskError(
            f"{png}: segment {unstated[0]} is not among the segments_info of {json}"
            + _others(unstated),
            why="an id is R + 256 G + 65536 B of the PNG, and each has an entry in the JSON",
            fix="export PNG and JSON together again",
        )
    if undrawn := sorted(stated - drawn):
        raise MaskError(
            f"{json}: segment {undrawn[0]} has no pixel in {png}" + _others(undrawn),
            why="each entry of segments_info is drawn in the PNG",
            fix="export PNG and JSON together again",
        )


def _others(ids: Sequence[int]) -> str:
    return f" (and {len(ids) - 1} more)" if len(ids) > 1 else ""


def png_folder(path: Path, annotations: Iterable[dict[str, Any]]) -> Path:
    """The folder beside the JSON that has its name, or holds the first PNG it names."""
    own = path.with_suffix("")
    named = [own, own.with_name(own.name.removesuffix("_annotations")), path.parent]
    first = next((a["file_name"] for a in annotations), None)
    for folder in named:
        if folder.is_dir() and (first is None or (folder / first).is_file()):
            return folder
    if first is None or own.is_dir():
        return own
    raise InputError(
        f"{path}: the PNGs of its segments are not beside it",
        why=f"{first} is looked for in {own} and in {path.parent}",
        fix=f"put the PNGs into {own}",
    )
