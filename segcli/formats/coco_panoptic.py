"""COCO panoptic: one JSON of segments, and a PNG of segment ids for each image.

The layout and its rules are those of Kirillov et al., Panoptic Segmentation (CVPR 2019), as
panopticapi reads it: id = R + 256 G + 256² B, and 0 is void.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcli.errors import InputError, MaskError
from segcli.formats.base import (
    Format,
    ReadOptions,
    Source,
    WriteOptions,
    check_inside,
    free_stem,
    replacing,
)
from segcli.formats.coco import ImageIds, dump, image_id, image_record
from segcli.formats.colors import read_color_ids
from segcli.formats.panoptic_parts import (
    FIX,
    SegmentInfo,
    categories_of,
    check_same_segments,
    checked_annotation,
    images_of,
    load_panoptic,
    png_folder,
    segments_info_of,
)
from segcli.formats.runs import runs_of
from segcli.formats.sniff import panoptic_json
from segcli.masks.painted import Columns, PaintedSegments
from segcli.masks.panoptic import panoptic_of
from segcli.records import ImageRef, LabelKind, LabelMap, Segment, Segmentation

__all__ = ["FORMAT", "CocoPanoptic"]

_BACKGROUND = "background"


class CocoPanoptic(Source):
    """Annotations by image; a PNG is decoded only when its image is read.

    Attributes:
        names: file name by image id, for results that refer to this data set (`ReadOptions`).
        sizes: (height, width) by file name, where the file lists its images (`ReadOptions`).
    """

    format = "coco-panoptic"
    kind: LabelKind = "panoptic"

    def __init__(self, path: Path, options: ReadOptions) -> None:
        parsed = load_panoptic(path)
        self._path = path
        stated = categories_of(path, parsed)
        self.categories = stated.names or dict(options.class_names or {})
        self.things = stated.things if stated.things is not None else options.things
        images = images_of(path, parsed)
        self.names = {number: name for number, (name, _) in images.items()}
        self.sizes = {name: size for name, size in images.values() if size is not None}
        self._by_key: dict[str, dict[str, Any]] = {}
        for index, annotation in enumerate(parsed["annotations"]):
            self._add(checked_annotation(path, index, annotation), options.coco_names)
        self._folder = png_folder(path, self._by_key.values())
        segments = sum(len(a["segments_info"]) for a in self._by_key.values())
        self.description = (
            f"{path}: COCO panoptic, {segments} segments of {len(self.categories)} categories in "
            f"{len(self._by_key)} images (PNGs in {self._folder})"
        )

    def _add(self, annotation: dict[str, Any], from_truth: Mapping[int, str]) -> None:
        number = image_id(annotation["image_id"], f"{self._path}: an annotation")
        if self.names and number not in self.names:
            raise InputError(
                f"{self._path}: an annotation names the unknown image id {number}",
                fix="its images must list every image that is annotated, or be left out",
            )
        key = self.names.get(number) or from_truth.get(number) or annotation["file_name"]
        if key in self._by_key:
            raise InputError(
                f"{self._path}: {key} (image id {number}) is annotated twice",
                why="which of the two is meant cannot be known",
                fix="leave one of them out",
            )
        self._by_key[key] = annotation

    def keys(self) -> Sequence[str]:
        """File names of the images, in the order of the annotations."""
        return list(self._by_key)

    def read(self, key: str) -> Segmentation:
        """One image's segments, as a map of their ids and as a mask each.

        The area of a segment is the one that is stated; where none is, the one that is counted.

        Raises:
            MaskError: the PNG is damaged or of another size; or PNG and JSON do not hold the same
                segments; or a category is unknown.
        """
        annotation = self._by_key[key]
        path = self._folder / annotation["file_name"]
        ids = read_color_ids(path)
        height, width = ids.shape
        if (size := self.sizes.get(key)) is not None and size != (height, width):
            raise MaskError(
                f"{path}: is {width}x{height}, but {self._path} says {size[1]}x{size[0]} for {key}",
                fix="save the PNG at the size of the image",
            )
        drawn, _ = runs_of(ids).histogram()
        stated = segments_info_of(self._path, key, annotation["segments_info"])
        check_same_segments(path, self._path, set(drawn.tolist()) - {0}, set(stated))
        self._check_categories(key, stated)
        return Segmentation(
            image=ImageRef(path=key, height=height, width=width, source=str(path)),
            segments=PaintedSegments(
                ids,
                Columns(
                    list(stated),
                    [info.category for info in stated.values()],
                    [info.iscrowd for info in stated.values()],
                ),
                [info.area for info in stated.values()],
                self.categories,
            ),
            labels=LabelMap(ids, "panoptic"),
            categories=dict(self.categories),
            things=self.things,
        )

    def _check_categories(self, key: str, stated: Mapping[int, SegmentInfo]) -> None:
        for number, info in stated.items():
            if self.categories and info.category not in self.categories:
                raise MaskError(
                    f"{self._path}: {key}: segment {number} has the unknown category "
                    f"{info.category}",
                    why=f"the {len(self.categories)} categories listed do not include it",
                    fix="list it among the categories, or correct category_id",
                )


def _write(results: Iterable[Segmentation], file: Path, options: WriteOptions) -> list[Path]:
    ids = ImageIds(options.image_ids)
    images, annotations, paths = list[dict[str, Any]](), list[dict[str, Any]](), list[Path]()
    names: dict[int, str] = {}
    things: set[int] = set()
    taken: set[str] = set()
    for result in results:
        number = ids.assign(result.image.key)
        drawn = panoptic_of(result, options.overlap)
        png = file.with_suffix("") / f"{free_stem(result.image.key, taken)}.png"
        _save_ids(drawn.values, png)
        paths.append(png)
        images.append(image_record(result.image, number))
        annotations.append(
            {
                "image_id": number,
                "file_name": png.relative_to(file.with_suffix("")).as_posix(),
                "segments_info": [_segment_info(s) for s in drawn.segments],
            }
        )
        # A background that is listed and never drawn is void.
        listed_names = result.categories.items()
        names.update({n: name for n, name in listed_names if n != 0 or name != _BACKGROUND})
        names.update(drawn.names)
        things |= drawn.things | (result.things or frozenset())
    listed = [
        {"id": n, "name": name, "isthing": int(n in things)}
        | ({"color": list(options.colors[n])} if n in options.colors else {})
        for n, name in sorted(names.items())
    ]
    with replacing(file) as out:
        content = {"images": images, "annotations": annotations, "categories": listed}
        out.write(dump(content) + b"\n")
    return [*paths, file]


def _save_ids(values: npt.NDArray[np.integer[Any]], path: Path) -> None:
    wide = values.astype(np.uint32)
    colors = np.stack([wide & 255, wide >> 8 & 255, wide >> 16 & 255], axis=-1)
    with replacing(path) as file:
        Image.fromarray(colors.astype(np.uint8)).save(file, "PNG")


def _segment_info(segment: Segment) -> dict[str, Any]:
    return {
        "id": segment.id,
        "category_id": segment.category,
        "area": segment.area,
        "bbox": list(segment.box_xywh),
        "iscrowd": int(segment.iscrowd),
    }


def _recognise(path: Path) -> str | None:
    found = panoptic_json(path)
    return f"COCO panoptic ({', '.join(p.name for p in found[:3])})" if found else None


def _open(path: Path, options: ReadOptions) -> Source:
    found = panoptic_json(path) or ([path] if path.is_file() else [])
    if len(found) != 1:
        some = f"several: {', '.join(p.name for p in found)}" if found else "none"
        raise InputError(
            f"{path}: needs one COCO panoptic JSON, and there are {some}"
            if found
            else f"{path}: holds no COCO panoptic JSON",
            fix=f"give the file: {found[0]}" if found else FIX,
        )
    return CocoPanoptic(found[0], options)


FORMAT = Format(
    name="coco-panoptic",
    summary="COCO panoptic, one JSON of segments and a PNG of segment ids for each image",
    loses="where segments overlap, only the one on top; scores and provenance",
    write_dataset=_write,
    recognise=_recognise,
    open=_open,
    holds_void=True,
    file_name="panoptic.json",
    check=lambda result: check_inside(result.image.key),
)
