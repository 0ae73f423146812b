"""What a JSON file is, from its first bytes: files of gigabytes are not parsed to find out."""

from __future__ import annotations

import json
import mmap
import os
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from segcli.errors import InputError
from segcli.formats.files import files_below, spread

__all__ = [
    "JsonShape",
    "holds_json",
    "json_files",
    "json_shape",
    "load_json",
    "only_json",
    "panoptic_json",
]

_SAMPLE = 20

JsonShape = Literal["results", "dataset", "panoptic", "sa1b", "labelme"]
_HEADS = (1 << 12, 1 << 16)
_MANY = 100
_FIRST_KEY = re.compile(rb'\s*(?:\xef\xbb\xbf)?\s*\{\s*"(\w+)"')
_RESULT = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*\[\s*(\]|\{)")
_DATASET_KEYS = frozenset({b"info", b"licenses", b"images", b"categories", b"annotations", b"type"})
_LABELME_KEYS = frozenset({b"version", b"flags", b"shapes", b"imagePath", b"imageData"})
_LABELME_LATER = re.compile(rb'"(shapes|imagePath)"')
# What an annotation holds, far behind the head where the images of a dataset come first.
_ANNOTATED = re.compile(rb'"(segments_info|segmentation|bbox|keypoints|caption)"')


def json_shape(path: Path) -> JsonShape | None:
    """COCO results, a COCO dataset, COCO panoptic, an SA-1B or LabelMe image, or None."""
    try:
        state = path.stat()
        return _json_shape(path, state.st_mtime_ns, state.st_size)
    except OSError:
        return None


@lru_cache(maxsize=16384)
def _json_shape(path: Path, _modified: int, size: int) -> JsonShape | None:
    for length in _HEADS:
        with path.open("rb") as file:
            shape = _shape_of_head(file.read(length))
        if shape is not None or size <= length:
            break
    if shape == "dataset" and _first_annotated(path) == b"segments_info":
        return "panoptic"
    return shape


def _shape_of_head(head: bytes) -> JsonShape | None:
    if match := _RESULT.match(head):
        empty = match[1] == b"]"
        return "results" if empty or (b'"image_id"' in head and b'"category_id"' in head) else None
    match = _FIRST_KEY.match(head)
    first = match[1] if match else b""
    if first == b"image":
        return "sa1b" if b'"annotations"' in head or b'"height"' in head else None
    if first in _LABELME_KEYS and (first == b"imageData" or _LABELME_LATER.search(head)):
        return "labelme"
    return "dataset" if first in _DATASET_KEYS else None


def _first_annotated(path: Path) -> bytes:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = _ANNOTATED.search(content)
        return found[1] if found else b""


def load_json(path: Path, kind: Any = Any) -> Any:  # noqa: ANN401 (parsed JSON)
    """Parse a file.

    msgspec takes less than half the time of Python's parser. That one takes what msgspec refuses
    (NaN, a byte order mark, half a surrogate), or says what is wrong, and where.

    Args:
        path: the file.
        kind: what msgspec is to make of a file that fits it; of others, plain JSON is made.

    Raises:
        InputError: it cannot be read or is not JSON.
    """
    try:
        content = path.read_bytes()
        for one in (kind, Any):
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return msgspec.json.decode(content, type=one)
        return json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read as JSON",
            why=str(error),
            fix="the file may be cut off: export or copy it again",
        ) from error


def json_files(folder: Path, shape: JsonShape) -> list[Path]:
    """The JSON files of that shape directly in a folder.

    Among very many files that are one an image, those that are one a data set are not searched for.
    """
    # Names, because paths of thousands of pictures beside them take long to make.
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith(".json"))  # noqa: PTH208
    names = [n for n in names if not n.startswith(".") and not n.endswith(".images.json")]
    files = [folder / name for name in names]
    if len(files) > _MANY and not any(json_shape(p) == shape for p in files[:: len(files) // 20]):
        return []
    return [p for p in files if json_shape(p) == shape]


def only_json(path: Path, shape: JsonShape) -> Path | None:
    """The file itself, or the only JSON file of that shape directly in a folder."""
    if path.is_file():
        return path if json_shape(path) == shape else None
    found = json_files(path, shape) if path.is_dir() else []
    return found[0] if len(found) == 1 else None


def panoptic_json(path: Path) -> list[Path]:
    """The panoptic JSON files that a path stands for.

    It is one itself, holds some, or is the folder of PNGs beside one of the same name.
    """
    if path.is_file():
        return [path] if json_shape(path) == "panoptic" else []
    beside = path.parent / f"{path.resolve().name}.json"
    if beside.is_file() and json_shape(beside) == "panoptic":
        return [beside]
    return json_files(path, "panoptic")


def one_an_image(path: Path, shape: JsonShape) -> list[str]:
    """The JSON files of a shape below a folder, one an image, or the one file itself."""
    if path.is_file():
        return [path.name]
    return sorted(name for name in _json_names(path) if json_shape(path / name) == shape)


def holds_json(path: Path, shape: JsonShape) -> bool:
    """Whether a file, or one of a sample of those below a folder, has a shape."""
    if path.is_file():
        return json_shape(path) == shape
    return any(json_shape(path / name) == shape for name in spread(_json_names(path), _SAMPLE))


def _json_names(path: Path) -> list[str]:
    return [name for name in files_below(path) if name.lower().endswith(".json")]
