"""What a JSON file is, from its first bytes: files of gigabytes are not parsed to find out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal

from segcli.errors import InputError

__all__ = ["JsonShape", "json_shape", "load_json", "only_json"]

JsonShape = Literal["results", "dataset", "sa1b"]
_HEAD = 1 << 16
_FIRST_KEY = re.compile(rb'\s*(?:\xef\xbb\xbf)?\s*\{\s*"(\w+)"')
_RESULT = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*\[\s*(\]|\{)")
_DATASET_KEYS = frozenset({b"info", b"licenses", b"images", b"categories", b"annotations", b"type"})


def json_shape(path: Path) -> JsonShape | None:
    """COCO results, a COCO dataset, an SA-1B image, or None."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    if match := _RESULT.match(head):
        empty = match[1] == b"]"
        return "results" if empty or (b'"image_id"' in head and b'"category_id"' in head) else None
    first = _FIRST_KEY.match(head)
    if first and first[1] == b"image":
        return "sa1b" if b'"annotations"' in head or b'"height"' in head else None
    return "dataset" if first and first[1] in _DATASET_KEYS else None


def load_json(path: Path) -> Any:  # noqa: ANN401 (parsed JSON)
    """Parse a file.

    Raises:
        InputError: it cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON", why=str(error)) from error


def only_json(path: Path, shape: JsonShape) -> Path | None:
    """The file itself, or the only JSON file of that shape directly in a folder."""
    if path.is_file():
        return path if json_shape(path) == shape else None
    if not path.is_dir():
        return None
    files = [p for p in sorted(path.glob("*.json")) if not p.name.startswith(".")]
    companions = {p for p in files if p.name.endswith(".images.json")}
    found = [p for p in files if p not in companions and json_shape(p) == shape]
    return found[0] if len(found) == 1 else None
