"""Prompt a model from the ground truth: one point an object, and its masks as predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from segcli.errors import ImageError, InputError, ItemError, PairError, UsageError
from segcli.evaluate.pairing import index_names, rule_of
from segcli.evaluate.sides import Side
from segcli.formats import ReadOptions, Source, open_source
from segcli.images import Picture, decode_image
from segcli.inputs import InputImage, find_images
from segcli.masks.rle import BoolMask, decode
from segcli.metrics.points import targets
from segcli.models.catalog import ModelRef, find, weights_hash
from segcli.models.settings import generate_settings
from segcli.records import ImageRef, LabelKind, Segment, Segmentation

if TYPE_CHECKING:
    from segcli.models.segmenter import Loaded

__all__ = ["PromptSettings", "PromptedSource", "central_point", "open_prompted"]

_FIX = "segcli eval PICTURES GT --protocol points --model MODEL"


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """The model that is prompted, and how.

    Attributes:
        model: short name, local directory or Hub id.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        exif: turn pictures upright as their EXIF orientation says.
    """

    model: str = "tiny"
    device: str = "auto"
    dtype: str = "auto"
    exif: bool = True


def central_point(mask: BoolMask) -> tuple[int, int]:
    """The pixel of an object that is farthest from its border.

    Distances are Euclidean, from pixel centre to the nearest pixel centre outside the object;
    everything beyond the image's border is outside. Of equally far pixels it is the first in
    row-major order. An object of several parts has one point, in the part that holds the farthest
    pixel.

    Args:
        mask: (H, W) bool, not empty.

    Returns:
        x, y (column, row).

    Raises:
        ValueError: the mask is empty.
    """
    from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 (slow to import)

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise ValueError("an empty mask has no central point")
    top, left = int(rows[0]), int(columns[0])
    box = np.pad(mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1], 1)
    depth = distance_transform_edt(box)
    y, x = divmod(int(depth.argmax()), box.shape[1])
    return x - 1 + left, y - 1 + top


class PromptedSource(Source):
    """Pictures whose masks a model makes when they are read, prompted from the ground truth.

    The segments of an image are the three masks of each object, object by object, in the model's
    order: `id` is the object's (see `segcli.metrics.points.targets`), `predicted_iou` the model's
    own estimate, `point_xy` the prompt.

    Images may be read by several threads: they are decoded at once, and the model takes one at a
    time. It is loaded by `load`, or by the first image.

    Args:
        images: the pictures.
        gt: the ground truth, with random access, of objects.
        model: the model, as `segcli.models.catalog.find` finds it.
        settings: how it is run.
        match: see `EvalSettings`; pairs are made as `evaluate` makes them.

    Raises:
        InputError: two ground truths have one name.
        UsageError: `match` is no such expression.
    """

    format = "model"
    kind: LabelKind = "instance"

    def __init__(
        self,
        images: Sequence[InputImage],
        gt: Source,
        model: ModelRef,
        settings: PromptSettings,
        match: str | None = None,
    ) -> None:
        self.description = (
            f"{len(images)} pictures, on which the model {model.name} is prompted with one point "
            "for each object of the ground truth"
        )
        self._images = {image.key: image for image in images}
        self._gt = gt
        self._model = model
        self._settings = settings
        self._lock = Lock()
        self._loaded: Loaded | None = None
        rule = rule_of(self, gt, match)
        self._name_of = rule.pred
        self._truths = index_names(gt.keys(), rule.gt, "ground truth")

    def keys(self) -> Sequence[str]:
        """Paths of the pictures."""
        return list(self._images)

    def load(self) -> Loaded:
        """Load the model, once.

        Raises:
            ConfigError: device or dtype are unknown or impossible here.
            ModelError: the model cannot be loaded.
        """
        if self._loaded is None:
            from segcli.models.segmenter import load  # noqa: PLC0415 (loads torch)

            self._loaded = load(
                self._model,
                generate_settings(self._model.generate_defaults),
                device=self._settings.device,
                dtype=self._settings.dtype,
                backend="segcli",
            )
        return self._loaded

    def facts(self) -> Mapping[str, Any]:
        """Which model was prompted and how, for the `params` block."""
        model, loaded = self._model, self.load()
        return {
            "model": model.name,
            "type": model.model_type,
            "revision": model.revision,
            "weights": weights_hash(model),
            "mask_threshold": loaded.settings.mask_threshold,
            "exif": self._settings.exif,
            **loaded.facts(),
        }

    def read(self, key: str) -> Segmentation:
        """Prompt the model with every object of one picture's ground truth.

        Raises:
            ConfigError: the model cannot run where it was asked to.
            ModelError: the model cannot be loaded.
            ItemError: picture or ground truth cannot be read, their sizes differ, or the model
                failed on them.
        """
        gt_key = self._truths.get(self._name_of(key) or "")
        if gt_key is None:
            raise PairError(f"{key}: has no ground truth to take points from")
        image = self._images[key]
        picture = self._decode(image)
        gt = self._gt.read(gt_key)
        height, width = picture.pixels.shape[:2]
        if (gt.image.height, gt.image.width) != (height, width):
            raise PairError(
                f"{image.source} is {width}x{height}, but {gt.image.source or gt.image.key} is "
                f"{gt.image.width}x{gt.image.height}",
                why="points are taken from the ground truth's pixels and put to the picture's",
                fix="give the pictures that the ground truth was drawn on",
            )
        reference = ImageRef(
            image.path,
            height,
            width,
            source=image.source,
            page=image.page,
            exif_orientation=picture.exif_orientation,
            conversion=picture.conversion,
        )
        return Segmentation(reference, self._answers(picture, gt, image), model=self._model.name)

    def size_of(self, key: str) -> tuple[int, int] | None:
        """(height, width) of the picture of one ground truth, or None where there is none.

        Args:
            key: path of the ground truth.
        """
        for name, truth in self._truths.items():
            if truth == key:
                return self._sizes_by_name().get(name)
        return None

    def _decode(self, image: InputImage) -> Picture:
        try:
            data = image.read()
        except OSError as error:
            raise ImageError(f"{image.source}: cannot be read", why=str(error)) from error
        page, exif = image.page or 0, self._settings.exif
        return decode_image(data, image.source, page=page, apply_exif=exif)

    def _answers(
        self, picture: Picture, gt: Segmentation, image: InputImage
    ) -> tuple[Segment, ...]:
        raise NotImplementedError
