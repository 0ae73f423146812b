"""SA-1B: one JSON per image with every mask as a compressed RLE."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segcli.errors import InputError, MaskError
from segcli.formats.base import (
    Format,
    ReadOptions,
    Source,
    WriteOptions,
    located,
    replacing,
    stem_of,
)
from segcli.formats.coco import ImageIds, dump
from segcli.formats.sniff import holds_json, load_json, one_an_image
from segcli.masks.labels import segments_of
from segcli.masks.rle import from_coco, segment_from_rle, to_coco
from segcli.records import ImageRef, LabelKind, Segment, Segmentation

__all__ = ["FORMAT"]

_FIX = "an SA-1B file has an image with height and width, and annotations, each with a segmentation"


def _write(result: Segmentation, folder: Path, stem: str, options: WriteOptions) -> list[Path]:
    image = result.image
    record = {
        "image": {
            "image_id": _image_id(image, options),
            "width": image.width,
            "height": image.height,
            "file_name": image.path.rpartition("/")[2],
        },
        "annotations": [
            _annotation(segment, number) for number, segment in enumerate(segments_of(result), 1)
        ],
    }
    path = folder / f"{stem}.json"
    with replacing(path) as file:
        file.write(dump(record) + b"\n")
    return [path]


def _image_id(image: ImageRef, options: WriteOptions) -> int:
    """The ground truth's id; else the number at the end of the name; else a hash of the path."""
    if options.image_ids is not None:
        return ImageIds(options.image_ids).find(image.key)
    digits = re.search(r"\d{1,18}$", stem_of(image.path), re.ASCII)
    return int(digits[0]) if digits else zlib.crc32(image.key.encode())


def _annotation(segment: Segment, number: int) -> dict[str, Any]:
    iou = segment.score if segment.predicted_iou is None else segment.predicted_iou
    points = [[x, y] for x, y, label in segment.prompt_points if label]
    if segment.point_xy and not points:
        points = [list(segment.point_xy)]
    return {
        "id": number,
        "segmentation": to_coco(segment.mask),
        "bbox": list(segment.box_xywh),
        "area": segment.area,
        "predicted_iou": iou,
        "stability_score": segment.stability_score,
        "crop_box": list(segment.crop_box_xywh) if segment.crop_box_xywh else None,
        "point_coords": points or None,
    }


class _Images(Source):
    """One JSON for each image."""

    format = "sa1b"
    kind: LabelKind = "instance"

    def __init__(self, path: Path) -> None:
        self._root = path if path.is_dir() else path.parent
        self._names = one_an_image(path, "sa1b")
        self.single = path.is_file()
        self.description = f"{path}: SA-1B, {len(self._names)} images, one JSON each"

    def keys(self) -> Sequence[str]:
        """The JSON files, relative."""
        return self._names

    def read(self, key: str) -> Segmentation:
        """One image's masks; its path is the `file_name` stated, in the JSON's folder."""
        path = self._root / key
        try:
            parsed = load_json(path)
            stated = parsed["image"]
            height, width = int(stated["height"]), int(stated["width"])
            name = str(stated.get("file_name") or key).rpartition("/")[2]
            segments = tuple(_segment(a, height, width) for a in parsed["annotations"])
        except InputError as error:
            raise MaskError(error.message, why=error.why, fix=error.fix) from error
        except MaskError as error:
            raise located(str(path), error, _FIX) from error
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise MaskError(f"{path}: malformed", why=repr(error), fix=_FIX) from error
        below = key.rpartition("/")[0]
        image_path = f"{below}/{name}" if below else name
        image = ImageRef(path=image_path, height=height, width=width, source=str(path))
        return Segmentation(image=image, segments=segments)


def _segment(annotation: dict[str, Any], height: int, width: int) -> Segment:
    points, crop = annotation.get("point_coords"), annotation.get("crop_box")
    iou, number = _number(annotation, "predicted_iou"), annotation.get("id")
    return segment_from_rle(
        from_coco(annotation["segmentation"], height, width),
        score=iou,
        predicted_iou=iou,
        stability_score=_number(annotation, "stability_score"),
        point_xy=(float(points[0][0]), float(points[0][1])) if points else None,
        crop_box_xywh=(crop[0], crop[1], crop[2], crop[3]) if crop else None,
        id=number if isinstance(number, int) else None,
    )


def _number(annotation: dict[str, Any], name: str) -> float | None:
    return None if annotation.get(name) is None else float(annotation[name])


def _recognise(path: Path) -> str | None:
    return "SA-1B images" if holds_json(path, "sa1b") else None


def _open(path: Path, options: ReadOptions) -> Source:
    del options
    if not one_an_image(path, "sa1b"):
        raise InputError(f"{path}: holds no SA-1B JSON", fix="leave the format out")
    return _Images(path)


FORMAT = Format(
    name="sa1b",
    summary="one JSON per image as in SA-1B, masks as compressed RLE",
    loses="a score other than the predicted IoU; categories and crowd marks",
    write_image=_write,
    recognise=_recognise,
    open=_open,
)
