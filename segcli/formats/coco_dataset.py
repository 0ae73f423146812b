"""A COCO dataset: images, annotations and categories in one JSON file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from segcli.errors import InputError, MaskError
from segcli.formats.base import Format, ReadOptions, Source, WriteOptions, located, replacing
from segcli.formats.coco import (
    CLASS_AGNOSTIC,
    ImageIds,
    dump,
    finite,
    image_id,
    image_record,
    listed_image,
)
from segcli.formats.coco_entries import Dataset, Said, WholeMasks, are_usual, plain
from segcli.formats.sniff import load_json, only_json
from segcli.masks.coded import CodedSegments
from segcli.masks.labels import segments_of
from segcli.masks.rle import from_coco, to_coco
from segcli.records import ImageRef, LabelKind, Segment, Segmentation

__all__ = ["FORMAT", "CocoDataset", "image_ids"]

_ANNOTATION = "each annotation has image_id, category_id and segmentation (an RLE or polygons)"


def image_ids(path: str | Path) -> dict[str, int]:
    """Image id by file name, for results that COCOeval is to match with this ground truth.

    Raises:
        InputError: the file is missing or no COCO dataset, or two images have one file name.
    """
    images = _images(Path(path), _load(Path(path)))
    return {name: image["id"] for name, image in images.items()}


def _write(results: Iterable[Segmentation], file: Path, options: WriteOptions) -> list[Path]:
    ids = ImageIds(options.image_ids)
    images: list[dict[str, Any]] = []
    categories: dict[int, str] = {}
    count = 0
    with replacing(file) as out:
        out.write(b'{"info":{"description":"segcli"},"licenses":[],"annotations":[')
        for result in results:
            number = ids.assign(result.image.key)
            images.append(image_record(result.image, number))
            categories.update(result.categories)
            for segment in segments_of(result):
                record = _annotation(segment, number, count + 1)
                out.write((b",\n" if count else b"\n") + dump(record))
                count += 1
                name = segment.category_name or categories.get(record["category_id"])
                categories[record["category_id"]] = name or _default_name(segment)
        listed = [{"id": n, "name": name} for n, name in sorted(categories.items())]
        out.write(b'\n],"images":' + dump(images) + b',"categories":' + dump(listed) + b"}\n")
    return [file]


def _default_name(segment: Segment) -> str:
    return "object" if segment.category is None else str(segment.category)


def _annotation(segment: Segment, image_id: int, number: int) -> dict[str, Any]:
    record = {
        "id": number,
        "image_id": image_id,
        "category_id": CLASS_AGNOSTIC if segment.category is None else segment.category,
        "segmentation": to_coco(segment.mask),
        "area": segment.area,
        "bbox": list(segment.box_xywh),
        "iscrowd": int(segment.iscrowd),
    }
    if segment.score is not None:
        record["score"] = segment.score
    return record


class CocoDataset(Source):
    """Annotations grouped by image.

    Attributes:
        names: file name by image id, for results that refer to this dataset (`ReadOptions`).
        sizes: (height, width) by file name, for formats that store no size (`ReadOptions`).
        categories: category name by id.
    """

    format = "coco-dataset"
    kind: LabelKind = "instance"
    parsed = True

    def __init__(self, path: Path) -> None:
        parsed = _load(path)
        self._path = path
        self._images = _images(path, parsed)
        self.names = {image["id"]: name for name, image in self._images.items()}
        self.sizes = {n: (i["height"], i["width"]) for n, i in self._images.items()}
        self.categories = _categories(path, parsed)
        annotations = parsed["annotations"]
        self._by_id: dict[int, list[Any]] = defaultdict(list)
        for number, annotation in zip(self._numbers(annotations), annotations, strict=True):
            self._by_id[number].append(annotation)
        self._masks = WholeMasks(annotations)
        crowd = _crowds(annotations)
        self.description = (
            f"{path}: COCO dataset, {len(annotations)} annotations ({crowd} crowd) of "
            f"{len(self.categories)} categories in {len(self._images)} images"
        )

    def _numbers(self, annotations: Sequence[Any]) -> list[int]:
        """The image of each annotation."""
        if are_usual(annotations):
            numbers = [annotation.image_id for annotation in annotations]
            if self.names.keys() >= set(numbers):
                return numbers
        return [self._image_of(annotation) for annotation in plain(annotations)]

    def _image_of(self, annotation: Any) -> int:  # noqa: ANN401 (parsed JSON)
        where = f"{self._path}: an annotation"
        if not isinstance(annotation, dict):
            raise InputError(
                f"{where} is no object", why=f"it is {annotation!r}"[:200], fix=_ANNOTATION
            )
        number = image_id(annotation.get("image_id"), where)
        if number not in self.names:
            raise InputError(
                f"{where} names the unknown image id {number}",
                fix="list the image, or take the annotation out",
            )
        return number

    def keys(self) -> Sequence[str]:
        """File names of all images, those without annotations too, in the order of their ids.

        pycocotools goes through images in this order, which decides between equal scores.
        """
        return [self.names[number] for number in sorted(self.names)]

    def read(self, key: str) -> Segmentation:
        """One image's annotations in the file's order.

        A segment's `id` is the annotation's id, and its `area` the area that is annotated (COCO
        sorts objects into small, medium and large by it), which polygons make fractional.
        """
        height, width = self.sizes[key]
        annotations = self._by_id.get(self._images[key]["id"], [])
        counts = self._masks.counts(annotations, (height, width))
        said: Sequence[Said] = annotations
        if counts is None or any(own.area is not None and own.area < 0 for own in said):
            others = plain(annotations)
            counts = [self._mask(key, annotation, height, width) for annotation in others]
            said = [self._said(key, annotation) for annotation in others]
        segments = CodedSegments(
            height,
            width,
            counts,
            categories=[own.category_id for own in said],
            scores=[own.score for own in said],
            areas=[own.area for own in said],
            crowds=[own.iscrowd != 0 for own in said],
            ids=[own.id for own in said],
            names=self.categories,
        )
        return Segmentation(
            image=ImageRef(path=key, height=height, width=width, source=str(self._path)),
            segments=segments,
            categories=dict(self.categories),
        )

    def _where(self, key: str, annotation: dict[str, Any]) -> str:
        return f"{self._path}: {key}: annotation {annotation.get('id')}"

    def _mask(self, key: str, annotation: dict[str, Any], height: int, width: int) -> str:
        try:
            return from_coco(annotation["segmentation"], height, width).counts
        except MaskError as error:
            raise located(self._where(key, annotation), error, _ANNOTATION) from error
        except KeyError as error:
            where = self._where(key, annotation)
            raise MaskError(f"{where}: malformed", why=repr(error), fix=_ANNOTATION) from error

    def _said(self, key: str, annotation: dict[str, Any]) -> Said:
        try:
            score, number = annotation.get("score"), annotation.get("id")
            area = annotation.get("area")
            said = Said(
                category_id=int(annotation["category_id"]),
                score=None if score is None else finite(score),
                area=None if area is None else finite(area),
                # Text is true whatever it says: "0" must not be a crowd.
                iscrowd=int(annotation.get("iscrowd") or 0),
                id=number if isinstance(number, int) else None,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            where = self._where(key, annotation)
            raise MaskError(f"{where}: malformed", why=repr(error), fix=_ANNOTATION) from error
        if said.area is not None and said.area < 0:
            raise MaskError(
                f"{self._where(key, annotation)}: has the area {said.area:g}",
                why="COCO leaves objects of a negative area out in silence",
                fix="correct it; without an area it is counted from the mask",
            )
        return said


def _crowds(annotations: Sequence[Any]) -> int:
    """How many say that they are crowds."""
    if are_usual(annotations):
        return [annotation.iscrowd for annotation in annotations].count(1)
    return sum(annotation.get("iscrowd") in (1, "1") for annotation in annotations)


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path}: no such file", fix="give the JSON file itself")
    parsed = load_json(path, Dataset)
    if isinstance(parsed, Dataset):
        return {name: getattr(parsed, name) for name in parsed.__struct_fields__}
    held: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
    missing = [k for k in ("images", "annotations") if not isinstance(held.get(k), list)]
    if missing:
        raise InputError(
            f"{path}: is no COCO dataset",
            why=f"it has no list of {' and no list of '.join(missing)}",
            fix="a COCO dataset is an object with images, annotations and categories",
        )
    if any(isinstance(a, dict) and "segments_info" in a for a in held["annotations"][:1]):
        raise InputError(
            f"{path}: is a COCO panoptic file",
            why="its masks are in PNGs beside it",
            fix="leave the format out, or say coco-panoptic",
        )
    return held


def _images(path: Path, parsed: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Images by file name, with their id, height and width as whole numbers."""
    images: dict[str, dict[str, Any]] = {}
    seen: set[int] = set()
    for image in parsed["images"]:
        number, name, (height, width) = listed_image(path, image)
        if name in images:
            raise InputError(
                f"{path}: two images have the file name {name}", fix="make them unique"
            )
        if number in seen:
            raise InputError(f"{path}: two images have the id {number}", fix="make them unique")
        seen.add(number)
        images[name] = {"id": number, "height": height, "width": width}
    return images


def _categories(path: Path, parsed: dict[str, Any]) -> dict[int, str]:
    try:
        return {int(c["id"]): str(c["name"]) for c in parsed.get("categories") or []}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: a malformed category", why=repr(error), fix="each has an id and a name"
        ) from error


def _recognise(path: Path) -> str | None:
    file = only_json(path, "dataset")
    return f"a COCO dataset ({file.name})" if file else None


def _open(path: Path, options: ReadOptions) -> Source:
    del options
    return CocoDataset(only_json(path, "dataset") or path)


FORMAT = Format(
    name="coco-dataset",
    summary="COCO dataset, one JSON of images, annotations and categories",
    loses="predicted IoU, stability, point and crop of each segment",
    write_dataset=_write,
    recognise=_recognise,
    open=_open,
    file_name="coco-dataset.json",
)
