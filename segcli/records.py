"""The one record that crosses every border between rooms: the result for one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # numpy would triple the time that `segcli --version` takes
    import numpy as np
    import numpy.typing as npt

__all__ = ["RLE", "ImageRef", "LabelKind", "LabelMap", "Prompt", "Segment", "Segmentation"]

LabelKind = Literal["binary", "semantic", "instance", "panoptic"]


@dataclass(frozen=True, slots=True)
class RLE:
    """A mask as COCO's compressed run-length encoding.

    Attributes:
        height: rows of the mask.
        width: columns of the mask.
        counts: COCO's compressed string: column-major run lengths, background first.
    """

    height: int
    width: int
    counts: str


@dataclass(frozen=True, slots=True)
class Segment:
    """One mask with its score, category, box and provenance.

    Attributes:
        mask: the mask, of the size of the image.
        area: pixels in the mask; in ground truth from COCO files, the area stated there.
        box_xywh: tight box in half-open pixels (COCO: width = x1 - x0); (0, 0, 0, 0) if empty.
        score: confidence by which segments are ranked, or None when the source states none.
        category: category id, or None for a proposal.
        category_name: its name, when known.
        predicted_iou: the model's own estimate of the mask's IoU, 0..1.
        stability_score: IoU of the masks at a raised and a lowered threshold, 0..1.
        point_xy: the prompt point in pixels of the upright image; of several the first inside.
        crop_box_xywh: the crop of the image the mask was made from.
        id: identity in the source (label value, annotation id), or None.
        iscrowd: True for a region that stands for many objects.
        prompt_points: x, y and label (1 inside, 0 outside) of every point that a user gave.
        prompt_box_xyxy: the half-open box that a user or a detector gave.
    """

    mask: RLE
    area: float
    box_xywh: tuple[float, float, float, float]
    score: float | None = None
    category: int | None = None
    category_name: str | None = None
    predicted_iou: float | None = None
    stability_score: float | None = None
    point_xy: tuple[float, float] | None = None
    crop_box_xywh: tuple[float, float, float, float] | None = None
    id: int | None = None
    iscrowd: bool = False
    prompt_points: tuple[tuple[float, float, int], ...] = ()
    prompt_box_xyxy: tuple[float, float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one object of an image is asked for with; a part of it or all.

    Attributes:
        points: x, y in pixels of the upright image, and the label: 1 inside the object, 0 outside.
            A pixel is named by its column and row.
        box_xyxy: a box around the object, in half-open pixels of the upright image.
        mask: a rough mask of the object, of the size of the image.
        category: category id of the object, or None.
        category_name: its name, when known.
        id: identity in the source of the prompts, or None.
    """

    points: tuple[tuple[float, float, int], ...] = ()
    box_xyxy: tuple[float, float, float, float] | None = None
    mask: RLE | None = None
    category: int | None = None
    category_name: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class LabelMap:
    """A dense map of integers over the image.

    Attributes:
        values: (H, W) integers. binary: 0 or 1; semantic: class ids; instance: object ids, 0 =
            background; panoptic: segment ids, 0 = void, each the `id` of one segment.
        kind: what the values mean.
    """

    values: npt.NDArray[np.integer]
    kind: LabelKind


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Which image a result belongs to.

    Attributes:
        path: the image's path relative to the input's root, with "/" and its suffix: its identity.
        height: rows of the upright image as it was segmented.
        width: columns of the same.
        source: the path as it was given, or "" when unknown.
        page: page of a multi-page file, from 0, or None when the file has one page.
        size_bytes: size of the image file, or None when unknown.
        sha256: hash of the image file in hexadecimal, or None when unknown.
        exif_orientation: the EXIF orientation tag that was applied (1 = upright), or None when
            orientation was left alone.
        conversion: how the file became 8-bit RGB when it was something else, or None.
    """

    path: str
    height: int
    width: int
    source: str = ""
    page: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    exif_orientation: int | None = None
    conversion: str | None = None

    @property
    def key(self) -> str:
        """The identity of one picture: the path, and the page where there are several."""
        return self.path if self.page is None else f"{self.path}#page={self.page}"


@dataclass(frozen=True, slots=True)
class Segmentation:
    """The result for one image: segments, or one dense label map, or both views of the same.

    Attributes:
        image: which image.
        segments: its segments, in the order of the prompts where a user gave them, else best first
            where scores exist; empty when `labels` is given alone.
        labels: a dense label map, or None.
        model: the model that made it, or "" for ground truth.
        ignore: pixels that must not count (void), as an RLE, or None.
        categories: name by category id, when the source lists its categories.
        things: the category ids of countable things, the others being stuff; None: not stated.
    """

    image: ImageRef
    segments: Sequence[Segment] = ()
    labels: LabelMap | None = None
    model: str = ""
    ignore: RLE | None = None
    categories: dict[int, str] = field(default_factory=dict)
    things: frozenset[int] | None = None
