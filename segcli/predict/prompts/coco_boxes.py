"""The boxes of a COCO dataset as prompts, with their categories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segcli.errors import InputError
from segcli.formats.coco import image_id, listed_image
from segcli.predict.prompts.asked import Asked, Row, a_number, checked

__all__ = ["read_coco_boxes"]

_FIX = "each annotation has image_id, bbox [x, y, width, height] and category_id"


def read_coco_boxes(parsed: Mapping[str, Any], path: Path) -> list[Row]:
    """Rows of a COCO dataset: a box for each annotation that is no crowd, its id the annotation's.

    Images without annotations ask for nothing and are no rows.

    Raises:
        InputError: an entry is malformed.
    """
    images = {}
    for image in _entries(parsed, "images", path):
        number, name, _ = listed_image(path, image)
        images[number] = name
    names = {entry.get("id"): entry.get("name") for entry in _entries(parsed, "categories", path)}
    objects: dict[int, list[Asked]] = {number: [] for number in images}
    for position, entry in enumerate(_entries(parsed, "annotations", path)):
        where = f"{path}: annotation {entry.get('id', f'at position {position}')}"
        number = image_id(entry.get("image_id"), where)
        if number not in images:
            raise InputError(f"{where} names the unknown image id {number}")
        if entry.get("iscrowd") not in (1, "1"):
            objects[number].append(_asked(entry, names, where))
    return [
        Row(name, f"{path}: image {number}", tuple(objects[number]))
        for number, name in images.items()
        if objects[number]
    ]


def _asked(entry: Mapping[str, Any], names: Mapping[Any, Any], where: str) -> Asked:
    box, category, number = entry.get("bbox"), entry.get("category_id"), entry.get("id")
    if not isinstance(box, list) or len(box) != 4:
        raise InputError(f"{where}: has no bbox", fix=_FIX)
    x, y, width, height = (a_number(value, where, "the bbox's") for value in box)
    name = names.get(category)
    return checked(
        Asked(
            where,
            box_xyxy=(x, y, x + width, y + height),
            category=category if isinstance(category, int) else None,
            category_name=None if name is None else str(name),
            id=number if isinstance(number, int) else None,
        )
    )


def _entries(parsed: Mapping[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    found = parsed.get(key, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise InputError(f"{path}: {key} is not a list of JSON objects", fix=_FIX)
    return found
