"""COCO results: one list of detections, as COCOeval's ``loadRes`` takes it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
from segcli.formats.coco_entries import TOO_MANY_PIXELS, Detection, WholeMasks, are_usual, plain
from segcli.formats.sniff import load_json, only_json
from segcli.masks.coded import CodedSegments
from segcli.masks.labels import rank_score, segments_of
from segcli.masks.rle import from_coco, to_coco
from segcli.records import ImageRef, LabelKind, Segment, Segmentation

__all__ = [
    "CLASS_AGNOSTIC",
    "FORMAT",
    "IMAGE",
    "ImageIds",
    "finite",
    "image_id",
    "images_file",
    "listed_image",
]

CLASS_AGNOSTIC = 1
"""The category of a proposal: COCO has no way to say none."""
IMAGE = "each image has an id, a file_name, a height and a width"
"""What COCO files say of an image."""
_ENTRY = "each result has image_id, category_id, segmentation (an RLE or polygons) and score"
_PROPOSALS = [{"id": CLASS_AGNOSTIC, "name": "object"}]


class ImageIds:
    """COCO image ids: taken from the ground truth, or counted from 1.

    Args:
        known: id by file name, or None to count.
    """

    def __init__(self, known: Mapping[str, int] | None) -> None:
        self._known = known
        self._by_name: dict[str, list[int]] = {}
        for path, number in (known or {}).items():
            self._by_name.setdefault(_file_name(path), []).append(number)
        self._taken: dict[int, str] = {}

    def find(self, path: str) -> int:
        """The id of an image, by its path, or else by its file name alone.

        Raises:
            InputError: the ground truth does not have it, or has its name more than once.
        """
        if self._known is None:
            return len(self._taken) + 1
        path = path.partition("#page=")[0]
        if path in self._known:
            return self._known[path]
        found = self._by_name.get(_file_name(path), [])
        if len(found) != 1:
            many = f"ids {', '.join(str(n) for n in sorted(found)[:5])}"
            raise InputError(
                f"{path}: has no image id in the ground truth",
                why=f"its file name stands for {many}" if found else "no image there has its name",
                fix="give the images the ground truth's file_name, or leave --gt out",
            )
        return found[0]

    def assign(self, path: str) -> int:
        """The id of the next image to be written, each used once.

        Raises:
            InputError: as `find`, or another image already has the id.
        """
        number = self.find(path)
        if number in self._taken:
            raise InputError(
                f"{path} and {self._taken[number]} both have image id {number}",
                why="two pictures stand for one image of the ground truth",
                fix="keep one of them, or leave --gt out",
            )
        self._taken[number] = path
        return number


def images_file(path: Path) -> Path:
    """The companion of a results file that says which image each id is: `x.images.json`."""
    return path.with_name(f"{path.stem}.images.json")


def _write(results: Iterable[Segmentation], file: Path, options: WriteOptions) -> list[Path]:
    ids = ImageIds(options.image_ids)
    images: list[dict[str, Any]] = []
    categories = {entry["id"]: entry["name"] for entry in _PROPOSALS}
    with replacing(file) as out:
        separator = b"[\n"
        for result in results:
            number = ids.assign(result.image.key)
            images.append(image_record(result.image, number))
            for segment in segments_of(result):
                record = _detection(segment, number)
                category = record["category_id"]
                name = segment.category_name or result.categories.get(category)
                categories[category] = name or categories.get(category, "")
                out.write(separator + dump(record))
                separator = b",\n"
        out.write(b"[]\n" if separator == b"[\n" else b"\n]\n")
    companion = images_file(file)
    with replacing(companion) as out:
        listed = [{"id": n, "name": name} for n, name in sorted(categories.items())]
        out.write(dump({"images": images, "annotations": [], "categories": listed}) + b"\n")
    return [file, companion]


def image_record(image: ImageRef, number: int) -> dict[str, Any]:
    """An entry of a COCO dataset's `images`."""
    name = image.key.removesuffix("/")
    return {"id": number, "file_name": name, "width": image.width, "height": image.height}


def dump(value: Any) -> bytes:  # noqa: ANN401 (JSON)
    """Compact JSON; NaN is refused."""
    return json_text(value, separators=(",", ":")).encode("utf-8")


def _detection(segment: Segment, image_id: int) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "category_id": CLASS_AGNOSTIC if segment.category is None else segment.category,
        "segmentation": to_coco(segment.mask),
        "score": rank_score(segment, 1.0),
        "bbox": list(segment.box_xywh),
    }


class _Results(Source):
    """Detections grouped by image."""

    format = "coco"
    kind: LabelKind = "instance"
    parsed = True

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self._path = path
        detections = _load(path)
        self._by_id = _by_image(path, detections)
        self._masks = WholeMasks(detections)
        self._sizes: dict[str, tuple[int, int]] = dict(options.image_sizes)
        self._proposals = False
        self._segmented: set[int] = set()
        names, origin = self._choose_names(options.coco_names)
        self._ids = self._name(names)
        self.description = (
            f"{path}: COCO results, {len(detections)} detections in {len(self._by_id)} images, "
            f"named by {origin}"
        )

    def _choose_names(self, from_truth: Mapping[int, str]) -> tuple[Mapping[int, str], str]:
        """File name by image id, and where from.

        The companion file tells the images that were segmented. Where it disagrees with the ground
        truth, ids were counted and are not the ground truth's: its names count, not the ids.
        """
        companion = images_file(self._path)
        if not companion.is_file():
            return from_truth, "the ground truth's file names" if from_truth else "id"
        own: dict[int, str] = {}
        dataset = load_json(companion)
        # Our own class-agnostic results: category 1 there is not the ground truth's category 1.
        known = isinstance(dataset, dict)
        self._proposals = known and dataset.get("categories") == _PROPOSALS
        for number, name, size in _listed(companion, dataset):
            own[number] = name
            self._sizes[name] = size
            self._segmented.add(number)
        if all(_file_name(from_truth.get(n, "")) == _file_name(name) for n, name in own.items()):
            for number, name in own.items():
                self._sizes.setdefault(from_truth[number], self._sizes[name])
            return {number: from_truth[number] for number in own}, "the ground truth's file names"
        return own, companion.name

    def _name(self, names: Mapping[int, str]) -> dict[str, int]:
        if not names:
            return {str(number): number for number in self._by_id}
        unknown = sorted(set(self._by_id) - set(names))
        if unknown:
            raise InputError(
                f"{self._path}: image id {unknown[0]} is not in the ground truth "
                f"({len(unknown)} such ids)",
                why="results and ground truth must come from the same COCO file",
                fix="segcli predict IMAGES --format coco --gt INSTANCES.json",
            )
        return {
            name: number
            for number, name in names.items()
            if number in self._by_id or number in self._segmented
        }

    def keys(self) -> Sequence[str]:
        """File names where they are known, else image ids."""
        return sorted(self._ids)

    def read(self, key: str) -> Segmentation:
        """One image's detections, best first."""
        detections = self._by_id.get(self._ids[key], [])
        size = self._sizes.get(key) or _size(f"{self._path}: {key}", plain(detections))
        counts = self._masks.counts(detections, size)
        said: Sequence[_Said] = detections
        if counts is None:
            others = plain(detections)
            counts = [self._mask(key, detection, size) for detection in others]
            said = [self._said(key, detection) for detection in others]
        scores = [own.score for own in said]
        ranked = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
        segments = CodedSegments(
            *size,
            counts=[counts[i] for i in ranked],
            categories=[None if self._proposals else said[i].category_id for i in ranked],
            scores=[scores[i] for i in ranked],
        )
        image = ImageRef(path=key, height=size[0], width=size[1], source=str(self._path))
        return Segmentation(image=image, segments=segments)

    def _mask(self, key: str, detection: dict[str, Any], size: tuple[int, int]) -> str:
        try:
            return from_coco(detection["segmentation"], *size).counts
        except MaskError as error:
            raise located(f"{self._path}: {key}", error, _ENTRY) from error

    def _said(self, key: str, detection: dict[str, Any]) -> _Said:
        try:
            return _Said(finite(detection["score"]), int(detection["category_id"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise MaskError(
                f"{self._path}: {key}: malformed", why=repr(error), fix=_ENTRY
            ) from error


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


class _Said(NamedTuple):
    """What a detection says beside its image and its mask."""

    score: float
    category_id: int


def _load(path: Path) -> list[Any]:
    parsed = load_json(path, list[Detection])
    if not isinstance(parsed, list):
        raise InputError(
            f"{path}: is no COCO results file", why="results are a JSON list", fix=_ENTRY
        )
    return parsed


def _by_image(path: Path, detections: list[Any]) -> dict[int, Sequence[Any]]:
    """The detections of each image, by its id."""
    if are_usual(detections):
        numbers = [detection.image_id for detection in detections]
    else:
        numbers = [_image_of(entry, path, index) for index, entry in enumerate(detections)]
    by_id: dict[int, list[Any]] = defaultdict(list)
    for number, detection in zip(numbers, detections, strict=True):
        by_id[number].append(detection)
    return dict(by_id)


def _image_of(detection: Any, path: Path, index: int) -> int:  # noqa: ANN401 (parsed JSON)
    if not isinstance(detection, dict) or "image_id" not in detection:
        raise InputError(f"{path}: entry {index} has no image_id", fix=_ENTRY)
    if "segmentation" not in detection:
        raise InputError(
            f"{path}: entry {index} has no segmentation",
            why="boxes or keypoints alone are no masks",
            fix=_ENTRY,
        )
    return image_id(detection["image_id"], f"{path}: entry {index}")


def image_id(value: Any, where: str) -> int:  # noqa: ANN401 (parsed JSON)
    """An image id as a whole number: tools write ``1``, ``1.0`` and ``"1"``.

    Raises:
        InputError: it is none.
    """
    whole = not isinstance(value, bool) and isinstance(value, (int, float, str))
    try:
        number = int(value) if whole else None
    except (ValueError, OverflowError):
        number = None
    if number is None or (isinstance(value, float) and number != value):
        raise InputError(
            f"{where}: the image id {value!r} is not a whole number",
            why="detections and images of a COCO file are matched by whole numbers",
            fix="number the images, and name these numbers in image_id",
        )
    return number


def _listed(path: Path, dataset: Any) -> Iterator[tuple[int, str, tuple[int, int]]]:  # noqa: ANN401
    """Id, name and (height, width) of each image of a companion file."""
    images = dataset.get("images") if isinstance(dataset, dict) else None
    if not isinstance(images, list):
        raise InputError(
            f"{path}: lists no images",
            why="it should say which image each id of the results beside it is",
            fix="remove it, or write the results again",
        )
    for image in images:
        yield listed_image(path, image)


def listed_image(path: Path, image: Any) -> tuple[int, str, tuple[int, int]]:  # noqa: ANN401
    """Id, name and (height, width) of an entry of a COCO file's `images`.

    Raises:
        InputError: it does not say them all, or the image has no pixels.
    """
    try:
        number, name = image_id(image["id"], f"{path}: an image"), image["file_name"]
        height, width = int(image["height"]), int(image["width"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"{path}: a malformed image: {image}", why=repr(error), fix=IMAGE
        ) from error
    if not isinstance(name, str) or not name or min(height, width) < 1:
        raise InputError(
            f"{path}: a malformed image: {image}",
            why="its file_name is no text" if height > 0 < width else "it has no pixels",
            fix=IMAGE,
        )
    return number, name, (height, width)


def finite(value: Any) -> float:  # noqa: ANN401 (parsed JSON)
    """A number.

    Raises:
        TypeError: it is none.
        ValueError: it is text that is none, NaN or infinite.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


def _size(where: str, detections: Sequence[dict[str, Any]]) -> tuple[int, int]:
    for detection in detections:
        coded = detection["segmentation"]
        try:
            height, width = map(int, coded["size"])
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if min(height, width) > 0 and height * width < TOO_MANY_PIXELS:
            return height, width
    raise MaskError(
        f"{where}: the image size is unknown",
        why="its detections are polygons, which do not say it, or state a size that no image has",
        fix="evaluate against a COCO dataset, which has the sizes",
    )


def _recognise(path: Path) -> str | None:
    file = only_json(path, "results")
    return f"COCO results ({file.name})" if file else None


def _open(path: Path, options: ReadOptions) -> Source:
    file = only_json(path, "results") or path
    if not file.is_file():
        raise InputError(
            f"{path}: holds no COCO results file, or several", fix="give the JSON file itself"
        )
    return _Results(file, options)


FORMAT = Format(
    name="coco",
    summary="COCO results, one JSON that COCOeval loads, and which image each id is beside it",
    loses="all but mask, box, category and score",
    write_dataset=_write,
    recognise=_recognise,
    open=_open,
    file_name="coco.json",
)
