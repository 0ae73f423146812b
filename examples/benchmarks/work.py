"""The synthetic work that every tool is given: the same files, smooth shapes, fixed seeds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segcli.masks.rle import encode

CLASSES = 19
THINGS = range(11, CLASSES)
COCO_SIZE = (480, 640)

_PER_IMAGE = 8
_COARSE = 12
_FINE = 48
_OBJECTS = 20
_DETECTIONS = 26
_POINTS = 40

Field = NDArray[np.float32]
Outline = NDArray[np.float64]


@dataclass(frozen=True)
class Files:
    """Where the two sides of one comparison lie.

    Attributes:
        gt: ground truth, a folder or a JSON file.
        pred: predictions, the same.
        pairs: images on each side.
    """

    gt: Path
    pred: Path
    pairs: int

    def both(self) -> Iterator[tuple[Path, Path]]:
        """(ground truth, prediction) of every picture, for sides that are folders."""
        return ((path, self.pred / path.name) for path in sorted(self.gt.iterdir()))


def class_maps(root: Path, pairs: int, size: int) -> Files:
    """Folders of 8-bit grey PNGs, (size, size) class ids below CLASSES.

    An image holds eight classes in blobs with ragged edges; the prediction has the same blobs with
    their edges moved.
    """
    files = _folders(root, pairs)
    for number in range(pairs):
        truth, guess = _blobs(np.random.default_rng(number), (size, size))
        Image.fromarray(truth).save(files.gt / f"{number:05d}.png")
        Image.fromarray(guess).save(files.pred / f"{number:05d}.png")
    return files


def binary_masks(root: Path, pairs: int, size: int) -> Files:
    """Folders of 8-bit PNGs of 0 and 255, (size, size), about a fifth of the pixels inside."""
    files = _folders(root, pairs)
    for number in range(pairs):
        random = np.random.default_rng(number)
        field = _smooth(random, _COARSE // 2, (size, size)) + 0.1 * _smooth(
            random, _FINE, (size, size)
        )
        moved = field + 0.15 * _smooth(random, _FINE // 2, (size, size))
        for folder, scores in ((files.gt, field), (files.pred, moved)):
            inside = (scores > 0.5).astype(np.uint8) * np.uint8(255)
            Image.fromarray(inside).save(folder / f"{number:05d}.png")
    return files


def coco_objects(root: Path, images: int) -> Files:
    """A COCO data set with 20 objects an image, and results with 26 detections an image."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        outlines = [_outline(random) for _ in range(_OBJECTS)]
        classes = random.integers(1, CLASSES, _OBJECTS).tolist()
        for outline, category in zip(outlines, classes, strict=True):
            annotation = _object(image, category, _drawn(outline))
            annotations.append({**annotation, "id": len(annotations) + 1, "iscrowd": 0})
        for index in range(_DETECTIONS):
            found = index < _OBJECTS - 2
            outline = _moved(random, outlines[index]) if found else _outline(random)
            category = classes[index] if found else int(random.integers(1, CLASSES))
            score = float(random.uniform(0.3 if found else 0.05, 1.0 if found else 0.6))
            detection = _object(image, category, _drawn(outline))
            # pycocotools would take areas from boxes, where results have any.
            del detection["bbox"], detection["area"]
            results.append({**detection, "score": score})
    height, width = COCO_SIZE
    dataset = {
        "images": [
            {"id": i, "file_name": f"{i:05d}.jpg", "height": height, "width": width}
            for i in range(1, images + 1)
        ],
        "categories": [{"id": c, "name": f"class {c}"} for c in range(1, CLASSES)],
        "annotations": annotations,
    }
    files = Files(root / "instances.json", root / "results.json", images)
    files.gt.write_text(json.dumps(dataset), encoding="utf-8")
    files.pred.write_text(json.dumps(results), encoding="utf-8")
    return files


def coco_panoptic(root: Path, images: int) -> Files:
    """COCO panoptic JSON and PNGs: blobs of stuff, and 20 things over them, in every image."""
    files = Files(root / "gt.json", root / "pred.json", images)
    found: dict[Path, list[dict[str, Any]]] = {files.gt: [], files.pred: []}
    for number in range(images):
        random = np.random.default_rng(number)
        sides = _blobs(random, COCO_SIZE, classes=THINGS.start)
        outlines = [_outline(random) for _ in range(_OBJECTS)]
        classes = random.choice(THINGS, _OBJECTS).tolist()
        moved = [_moved(random, outline) for outline in outlines]
        for path, stuff, drawn in zip(found, sides, (outlines, moved), strict=True):
            name = f"{number:05d}.png"
            ids = stuff.astype(np.int32) + 1
            for index, outline in enumerate(drawn):
                ids[_drawn(outline)] = CLASSES + 1 + index
            path.with_suffix("").mkdir(parents=True, exist_ok=True)
            _save_ids(ids, path.with_suffix("") / name)
            segments = [
                {"id": i, "category_id": i if i <= CLASSES else classes[i - CLASSES - 1] + 1}
                for i in np.unique(ids).tolist()
            ]
            found[path].append({"image_id": number, "file_name": name, "segments_info": segments})
    for path, listed in found.items():
        path.write_text(json.dumps(_panoptic(listed)), encoding="utf-8")
    return files


def _panoptic(annotations: list[dict[str, Any]]) -> dict[str, Any]:
    height, width = COCO_SIZE
    for annotation in annotations:
        for segment in annotation["segments_info"]:
            segment.update(iscrowd=0)
    return {
        "images": [
            {"id": a["image_id"], "file_name": a["file_name"], "height": height, "width": width}
            for a in annotations
        ],
        "annotations": annotations,
        "categories": [
            {"id": c + 1, "name": f"class {c}", "isthing": int(c in THINGS)} for c in range(CLASSES)
        ],
    }


def _folders(root: Path, pairs: int) -> Files:
    files = Files(root / "gt", root / "pred", pairs)
    for folder in (files.gt, files.pred):
        folder.mkdir(parents=True, exist_ok=True)
    return files


def _smooth(random: np.random.Generator, cells: int, shape: tuple[int, int]) -> Field:
    """A field without edges: noise on a coarse grid, interpolated."""
    coarse = Image.fromarray(random.standard_normal((cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def _blobs(
    random: np.random.Generator, shape: tuple[int, int], classes: int = CLASSES
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    chosen = random.choice(classes, _PER_IMAGE, replace=False)
    best = [np.full(shape, -np.inf, np.float32) for _ in range(2)]
    labels = [np.zeros(shape, np.uint8) for _ in range(2)]
    for value in chosen:
        field = _smooth(random, _COARSE, shape) + 0.15 * _smooth(random, _FINE, shape)
        moved = field + 0.25 * _smooth(random, _FINE // 2, shape)
        for side, scores in enumerate((field, moved)):
            higher = scores > best[side]
            best[side][higher] = scores[higher]
            labels[side][higher] = value
    return labels[0], labels[1]


def _outline(random: np.random.Generator) -> Outline:
    """Corners (x, y) of a rounded body that lies in the picture."""
    height, width = COCO_SIZE
    centre = random.uniform(0.1, 0.9, 2) * (width, height)
    angle = np.linspace(0, 2 * np.pi, _POINTS, endpoint=False)
    radius = random.uniform(10, 60) * (
        1 + 0.25 * np.sin(2 * angle + random.uniform(0, 6)) + 0.1 * np.sin(5 * angle)
    )
    return centre + radius[:, None] * np.stack((np.cos(angle), np.sin(angle)), axis=1)


def _moved(random: np.random.Generator, outline: Outline) -> Outline:
    centre = outline.mean(axis=0)
    scale = random.uniform(0.85, 1.15)
    return centre + (outline - centre) * scale + random.normal(0, 2.5, 2)


def _drawn(outline: Outline) -> NDArray[np.bool_]:
    picture = Image.new("1", (COCO_SIZE[1], COCO_SIZE[0]))
    ImageDraw.Draw(picture).polygon([(float(x), float(y)) for x, y in outline], fill=1)
    return np.array(picture)


def _object(image: int, category: int, mask: NDArray[np.bool_]) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = COCO_SIZE
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": {"size": [height, width], "counts": encode(mask).counts},
        "area": int(np.count_nonzero(mask)),
        "bbox": [
            int(columns[0]),
            int(rows[0]),
            int(columns[-1] - columns[0] + 1),
            int(rows[-1] - rows[0] + 1),
        ],
    }


def _save_ids(ids: NDArray[np.int32], path: Path) -> None:
    channels = np.stack((ids & 255, ids >> 8 & 255, ids >> 16), axis=-1)
    Image.fromarray(channels.astype(np.uint8)).save(path)
