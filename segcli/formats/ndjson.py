"""segcli's own format: one JSON record a line, one line an image.

The same record goes to ``segments.ndjson`` and down a pipe. It holds no time and no machine, so
the same input and settings give the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Literal

from segcli.errors import InputError, MaskError
from segcli.formats.base import (
    Format,
    ReadOptions,
    Source,
    WriteOptions,
    json_text,
    located,
    replacing,
)
from segcli.masks.classes import class_map, no_class, segments_of_classes
from segcli.masks.labels import segments_of
from segcli.masks.rle import from_coco, segment_from_rle, to_coco
from segcli.records import ImageRef, LabelKind, LabelMap, Segment, Segmentation

__all__ = [
    "FILE_NAME",
    "FORMAT",
    "SCHEMA",
    "StreamSource",
    "from_record",
    "holds_records",
    "parse_line",
    "to_line",
    "to_record",
]

SCHEMA = "segcli.image/1"
FILE_NAME = "segments.ndjson"
_CUT = "the line may be cut off: take it out, or run the same segcli predict command again"
_HEAD = b'{"schema":"segcli.'
_SEMANTIC: Literal["semantic"] = "semantic"
_SEGMENT_OPTIONAL = ("category", "category_name", "id")


def to_record(result: Segmentation) -> dict[str, Any]:
    """The JSON record of one image that was segmented."""
    image = result.image
    return {
        "schema": SCHEMA,
        "status": "ok",
        "path": image.path,
        "page": image.page,
        "source": image.source,
        "bytes": image.size_bytes,
        "sha256": image.sha256,
        "width": image.width,
        "height": image.height,
        "exif_orientation": image.exif_orientation,
        "conversion": image.conversion,
        "model": result.model,
        **_classes_record(result),
        "segments": [_segment_record(s) for s in result.segments],
    }


def _classes_record(result: Segmentation) -> dict[str, Any]:
    """What class-aware results have besides: their kind and their list of classes."""
    record: dict[str, Any] = {}
    if result.labels is not None and result.labels.kind == _SEMANTIC and result.segments:
        record["kind"] = _SEMANTIC
    if result.categories:
        record["categories"] = {str(n): name for n, name in sorted(result.categories.items())}
    if result.things is not None:
        record["things"] = sorted(result.things)
    return record


def to_line(record: dict[str, Any]) -> str:
    """One line of NDJSON, with its newline.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return json_text(record, separators=(",", ":")) + "\n"


def parse_line(line: str | bytes, where: str) -> dict[str, Any]:
    """Parse one line.

    Raises:
        InputError: it is not a record of ours.
    """
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON", why=str(error), fix=_CUT) from error
    if not isinstance(record, dict) or not str(record.get("schema", "")).startswith("segcli."):
        raise InputError(
            f"{where}: not a segcli record",
            why="each line is a JSON object whose schema starts with 'segcli.'",
            fix="segcli predict IMAGES -o - | segcli eval - GT",
        )
    return record


def _write(results: Iterable[Segmentation], file: Path, options: WriteOptions) -> list[Path]:
    del options
    with replacing(file) as out:
        for result in results:
            record = to_record(replace(result, segments=_segments(result)))
            out.write(to_line(record).encode("utf-8"))
    return [file]


def _segments(result: Segmentation) -> Sequence[Segment]:
    """The segments of a result; of a class map one for each class, 0 too where it is one."""
    labels = result.labels
    if result.segments or labels is None or labels.kind != _SEMANTIC:
        return segments_of(result)
    void = no_class(result)
    return tuple(
        replace(s, category_name=result.categories.get(s.category or 0))
        for s in segments_of_classes(labels.values)
        if s.category != void
    )


def from_record(record: dict[str, Any]) -> Segmentation:
    """The Segmentation of a record with status "ok".

    Raises:
        MaskError: a field is missing or a mask does not have the image's size.
    """
    try:
        height, width = int(record["height"]), int(record["width"])
        path, page = record["path"], record.get("page")
        if not isinstance(path, str) or not isinstance(page, int | None) or min(height, width) < 1:
            raise _no_image(path, page, (height, width))
        image = ImageRef(
            path=path,
            height=height,
            width=width,
            source=record.get("source") or "",
            page=page,
            size_bytes=record.get("bytes"),
            sha256=record.get("sha256"),
            exif_orientation=record.get("exif_orientation"),
            conversion=record.get("conversion"),
        )
        segments = tuple(_segment(s, height, width) for s in record["segments"])
        categories = {int(n): str(name) for n, name in record.get("categories", {}).items()}
        things = frozenset(int(n) for n in record["things"]) if "things" in record else None
    except MaskError as error:
        where = record.get("path", "a record")
        raise located(f"{where}", error, _CUT) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        where = record.get("path", "a record")
        raise MaskError(f"{where}: malformed", why=repr(error), fix=_CUT) from error
    result = Segmentation(
        image, segments, model=record.get("model") or "", categories=categories, things=things
    )
    if record.get("kind") != _SEMANTIC:
        return result
    return replace(result, labels=LabelMap(class_map(result), _SEMANTIC))


def _no_image(path: object, page: object, size: tuple[int, int]) -> MaskError:
    return MaskError(
        "its image is malformed",
        why=f"its path is {path!r}, its page {page!r} and its size {size[1]}x{size[0]}",
    )


def _segment_record(segment: Segment) -> dict[str, Any]:
    record: dict[str, Any] = {
        "segmentation": to_coco(segment.mask),
        "area": segment.area,
        "bbox": list(segment.box_xywh),
        "score": segment.score,
        "predicted_iou": segment.predicted_iou,
        "stability_score": segment.stability_score,
        "point": list(segment.point_xy) if segment.point_xy else None,
        "crop_box": list(segment.crop_box_xywh) if segment.crop_box_xywh else None,
    }
    for name in _SEGMENT_OPTIONAL:
        if (value := getattr(segment, name)) is not None:
            record[name] = value
    if segment.iscrowd:
        record["iscrowd"] = True
    if segment.prompt_points or segment.prompt_box_xyxy:
        record["prompt"] = {
            "points": [list(point) for point in segment.prompt_points],
            "box": list(segment.prompt_box_xyxy) if segment.prompt_box_xyxy else None,
        }
    return record


def _segment(record: dict[str, Any], height: int, width: int) -> Segment:
    point, crop = record.get("point"), record.get("crop_box")
    prompt = record.get("prompt") or {}
    box = prompt.get("box")
    return segment_from_rle(
        from_coco(record["segmentation"], height, width),
        score=_number(record, "score"),
        category=None if record.get("category") is None else int(record["category"]),
        category_name=record.get("category_name"),
        predicted_iou=_number(record, "predicted_iou"),
        stability_score=_number(record, "stability_score"),
        point_xy=(point[0], point[1]) if point else None,
        crop_box_xywh=tuple(crop) if crop else None,
        id=record.get("id"),
        iscrowd=bool(record.get("iscrowd", False)),
        prompt_points=tuple((x, y, int(label)) for x, y, label in prompt.get("points", ())),
        prompt_box_xyxy=(box[0], box[1], box[2], box[3]) if box else None,
    )


def _number(record: dict[str, Any], name: str) -> float | None:
    return None if record.get(name) is None else float(record[name])


class StreamSource(Source):
    """Records read once, in order, from a pipe or file: one image in memory at a time."""

    format = "ndjson"
    kind: LabelKind = "instance"
    failed: list[str]

    def __init__(self, lines: Iterable[bytes], name: str) -> None:
        self.description = f"{name}: segcli records (one JSON line an image), segments"
        self.failed = []
        self._lines = lines
        self._name = name

    def keys(self) -> Sequence[str]:
        """A stream cannot be listed.

        Raises:
            InputError: always.
        """
        raise InputError(f"{self._name}: a stream is read once and cannot be listed")

    def read(self, key: str) -> Segmentation:
        """A stream has no random access.

        Raises:
            InputError: always.
        """
        raise InputError(f"{self._name}: a stream cannot be searched for {key}")

    def __iter__(self) -> Iterator[tuple[str, Segmentation]]:
        """Every image that was segmented; paths of error records gather in `failed`.

        A damaged record raises MaskError; the iterator can be asked for the next one then.
        """
        return map(_keyed, self._records())

    def _records(self) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self._lines, start=1):
            if not line.strip():
                continue
            record = parse_line(line, f"{self._name} line {number}")
            if record.get("status") == "error":
                self.failed.append(_key(record))
            elif record["schema"] == SCHEMA:
                self._succeeded(_key(record))
                yield record
            # The next record must not be parsed while this one is held.
            del record

    def _succeeded(self, key: str) -> None:
        # A later record of an image takes the place of its error.
        if key in self.failed:
            self.failed.remove(key)


class _FileSource(Source):
    """``segments.ndjson`` with random access: a first pass notes where each record starts."""

    format = "ndjson"
    kind: LabelKind = "instance"
    failed: list[str]

    def __init__(self, path: Path) -> None:
        self._path = path
        self.failed = []
        self.categories: dict[int, str] = {}
        self._offsets = self._scan()
        what = "classes" if self.kind == _SEMANTIC else "segments"
        self.description = f"{path}: segcli records, {what} of {len(self._offsets)} images"

    def _scan(self) -> dict[str, int]:
        """Offset by image; the last record of an image counts, whether it says ok or error."""
        offsets: dict[str, int] = {}
        failed: dict[str, None] = {}
        with self._path.open("rb") as file:
            offset = 0
            for number, line in enumerate(file, start=1):
                if line.strip():
                    record = parse_line(line, f"{self._path} line {number}")
                    key = _key(record)
                    if record.get("status") == "error":
                        offsets.pop(key, None)
                        failed[key] = None
                    elif record["schema"] == SCHEMA:
                        if key in offsets:
                            raise _twice(f"{self._path} line {number}", key)
                        failed.pop(key, None)
                        offsets[key] = offset
                        self._learn(record)
                offset += len(line)
        self.failed += failed
        return offsets

    def _learn(self, record: dict[str, Any]) -> None:
        """Take what a record says of all classes; one run has one list of them."""
        if record.get("kind") == _SEMANTIC:
            self.kind = _SEMANTIC
        if "categories" in record and not self.categories:
            try:
                self.categories = {int(n): str(t) for n, t in record["categories"].items()}
                if "things" in record:
                    self.things = frozenset(int(n) for n in record["things"])
            except (AttributeError, TypeError, ValueError):
                # The record is refused by name when it is read.
                return

    def keys(self) -> Sequence[str]:
        return sorted(self._offsets)

    def read(self, key: str) -> Segmentation:
        with self._path.open("rb") as file:
            file.seek(self._offsets[key])
            try:
                return from_record(json.loads(file.readline()))
            except MaskError as error:
                raise located(str(self._path), error, _CUT) from error


def _twice(where: str, key: str) -> InputError:
    return InputError(
        f"{where}: a second result for {key}",
        why="an image has one result; which of the two is meant cannot be known",
        fix="finish the run with the same segcli predict command, or take one of the lines out",
    )


def _keyed(record: dict[str, Any]) -> tuple[str, Segmentation]:
    result = from_record(record)
    return result.image.key, result


def _key(record: dict[str, Any]) -> str:
    path, page = str(record.get("path", "")), record.get("page")
    return path if page is None else f"{path}#page={page}"


def _records_file(path: Path) -> Path | None:
    candidate = path / FILE_NAME if path.is_dir() else path
    if not candidate.is_file():
        return None
    with candidate.open("rb") as file:
        head = file.read(len(_HEAD))
    return candidate if head == _HEAD or candidate.suffix in (".ndjson", ".jsonl") else None


def holds_records(path: str) -> bool:
    """Whether a file or folder holds our records, as `segcli predict` writes them."""
    return _records_file(Path(path)) is not None


def _recognise(path: Path) -> str | None:
    return "segcli records" if _records_file(path) else None


def _open(path: Path, options: ReadOptions) -> Source:
    del options
    file = _records_file(path)
    if file is None:
        raise InputError(f"{path}: holds no {FILE_NAME}", fix="leave the format out")
    return _FileSource(file)


def stdin_source(stream: IO[bytes] | None = None) -> StreamSource:
    """Records from standard input, or from the binary stream given."""
    return StreamSource(stream or sys.stdin.buffer, "standard input")


FORMAT = Format(
    name="ndjson",
    summary="segcli's own records, one JSON line an image: everything, lossless",
    loses="the list of classes beyond those of the segments",
    write_dataset=_write,
    recognise=_recognise,
    open=_open,
    # predict keeps its journal in the folder above, under the same name.
    file_name=f"ndjson/{FILE_NAME}",
)
