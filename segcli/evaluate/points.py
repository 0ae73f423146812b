"""Prompt a model from the ground truth, and take its masks as predictions.

A point an object, or several clicks of which each corrects the mask before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from segcli.errors import ImageError, InputError, ItemError, PairError, UsageError
from segcli.evaluate.clicks import Corrector
from segcli.evaluate.names import NameRule
from segcli.evaluate.pairing import index_names, rule_of
from segcli.evaluate.protocol import PROMPTED
from segcli.evaluate.settings import EvalSettings
from segcli.evaluate.sides import Side, read_options
from segcli.formats import ReadOptions, Source, open_source
from segcli.images import Picture, decode_image
from segcli.inputs import InputImage, find_images
from segcli.masks.points import central_point
from segcli.masks.rle import decode
from segcli.metrics.points import targets
from segcli.models.catalog import ModelRef, find, weights_hash
from segcli.models.settings import generate_settings
from segcli.records import RLE, ImageRef, LabelKind, Segment, Segmentation

if TYPE_CHECKING:
    from segcli.models.segmenter import Loaded

__all__ = ["PromptSettings", "PromptedSource", "open_prompted"]

_OBJECTS: tuple[LabelKind, ...] = ("instance", "panoptic")


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """The model that is prompted, and how.

    Attributes:
        model: short name, local directory or Hub id.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        exif: turn pictures upright as their EXIF orientation says.
        feed_mask: where there are several clicks, each pass is given the mask before.
    """

    model: str = "tiny"
    device: str = "auto"
    dtype: str = "auto"
    exif: bool = True
    feed_mask: bool = True


class PromptedSource(Source):
    """Pictures whose masks a model makes when they are read, prompted from the ground truth.

    The segments of an image are the three masks of each object, object by object, in the model's
    order: `id` is the object's (see `segcli.metrics.points.targets`), `predicted_iou` the model's
    own estimate, `point_xy` the prompt. With several clicks they are instead each object's masks
    click by click, `prompt_points` the clicks so far.

    Images may be read by several threads: they are decoded at once, and the model takes one at a
    time. It is loaded by `load`, or by the first image.

    Args:
        images: the pictures.
        gt: the ground truth, with random access, of objects.
        model: the model, as `segcli.models.catalog.find` finds it.
        settings: how it is run.
        pairing: finds the rule by which `evaluate` will pair them.
        single: the one picture is meant for the one ground truth, whatever their names.
        clicks: the most clicks of an object.

    Raises:
        InputError: two pictures or two ground truths have one name.
    """

    format = PROMPTED
    kind: LabelKind = "instance"

    def __init__(
        self,
        images: Sequence[InputImage],
        gt: Source,
        model: ModelRef,
        settings: PromptSettings,
        pairing: Callable[[Source, Source], NameRule] = rule_of,
        *,
        single: bool = False,
        clicks: int = 1,
    ) -> None:
        asked = "one point" if clicks == 1 else f"up to {clicks} clicks"
        self.description = (
            f"masks that the model {model.name} makes of {len(images)} pictures, prompted with "
            f"{asked} for each object of the ground truth"
        )
        if not model.takes_prompts:
            raise UsageError(
                f"model '{model.name}' cannot be prompted with points",
                why=f"{model.family.name} models find what has a name, not what a point is on",
                fix="--model tiny, or predict with it and evaluate the results",
            )
        self.single = single
        self._images = {image.key: image for image in images}
        self._gt = gt
        self._model = model
        self._settings = settings
        self._clicks = clicks
        self._lock = Lock()
        self._loaded: Loaded | None = None
        rule = pairing(self, gt)
        pictures = index_names(self.keys(), rule.pred, "pictures")
        truths = index_names(gt.keys(), rule.gt, "ground truth")
        both = pictures.keys() & truths.keys()
        self._truth_of = {pictures[name]: truths[name] for name in both}
        self._picture_of = {truths[name]: pictures[name] for name in both}

    def keys(self) -> Sequence[str]:
        """Paths of the pictures."""
        return list(self._images)

    def prepare(self) -> None:
        """Load the model; see `load`."""
        self.load()

    def load(self) -> Loaded:
        """Load the model, once.

        Raises:
            ConfigError: device or dtype are unknown or impossible here.
            ModelError: the model cannot be loaded.
        """
        with self._lock:
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

    def facts(self) -> dict[str, Any]:
        """Which model was prompted and how, for the `params` block; the model is loaded."""
        model, loaded = self._model, self.load()
        clicks = {"clicks": self._clicks, "mask_fed_back": self._settings.feed_mask}
        return {
            "name": model.name,
            "type": model.model_type,
            "revision": model.revision,
            "weights": weights_hash(model),
            "mask_threshold": loaded.settings.mask_threshold,
            "connected": loaded.settings.connected,
            "exif": self._settings.exif,
            **(clicks if self._clicks > 1 else {}),
            **loaded.facts(),
        }

    def read(self, key: str) -> Segmentation:
        """Prompt the model with every object of one picture's ground truth.

        Raises:
            ConfigError: device or dtype are unknown or impossible here.
            ModelError: the model cannot be loaded.
            ItemError: picture or ground truth cannot be read, their sizes differ, or the model
                failed on them.
        """
        if key not in self._truth_of:
            raise PairError(f"{key}: has no ground truth to take points from")
        image = self._images[key]
        picture = self._decode(image)
        height, width = picture.pixels.shape[:2]
        reference = ImageRef(
            image.path,
            height,
            width,
            source=image.source,
            page=image.page,
            exif_orientation=picture.exif_orientation,
            conversion=picture.conversion,
        )
        gt = self._gt.read(self._truth_of[key])
        if (gt.image.height, gt.image.width) != (height, width):
            raise PairError(
                f"{image.source} is {width}x{height}, but {gt.image.source or gt.image.key} is "
                f"{gt.image.width}x{gt.image.height}",
                why="points are found in the ground truth and put to the picture, pixel by pixel",
                fix="give the pictures that the ground truth was drawn on, at the same size",
            )
        segments = self._answers(picture, gt, image.source)
        return Segmentation(reference, segments, model=self._model.name)

    def size_of(self, key: str) -> tuple[int, int] | None:
        """(height, width) of the picture that belongs to a ground truth, or None without one.

        Args:
            key: path of the ground truth.
        """
        if key not in self._picture_of:
            return None
        height, width = self._decode(self._images[self._picture_of[key]]).pixels.shape[:2]
        return height, width

    def _decode(self, image: InputImage) -> Picture:
        try:
            data = image.read()
        except OSError as error:
            raise ImageError(f"{image.source}: cannot be read", why=str(error)) from error
        page, exif = image.page or 0, self._settings.exif
        return decode_image(data, image.source, page=page, apply_exif=exif)

    def _answers(self, picture: Picture, gt: Segmentation, name: str) -> tuple[Segment, ...]:
        self.load()
        objects = targets(gt)
        ask = self._ask_points if self._clicks == 1 else self._ask_clicks
        try:
            # PyTorch uses all processors for one picture already, and memory for one.
            with self._lock:
                answers = list(ask(picture, objects, gt.ignore))
        except Exception as error:  # one picture must never stop the others
            why = f"{type(error).__name__}: {error}"
            raise ItemError(f"{name}: the model failed", why=why) from error
        return tuple(
            replace(segment, id=target.id)
            for target, masks in zip(objects, answers, strict=True)
            for segment in masks
        )

    def _ask_points(
        self, picture: Picture, objects: Sequence[Segment], ignore: RLE | None
    ) -> Iterator[tuple[Segment, ...]]:
        """Three masks of each object's central point."""
        from segcli.models.sam.prompts import prompt_points  # noqa: PLC0415 (loads torch)

        del ignore
        assert self._loaded is not None
        points = np.array([central_point(decode(o.mask)) for o in objects], float).reshape(-1, 2)
        runtime, settings = self._loaded.runtime, self._loaded.settings
        return prompt_points(runtime, picture.pixels, points, settings)

    def _ask_clicks(
        self, picture: Picture, objects: Sequence[Segment], ignore: RLE | None
    ) -> Iterator[tuple[Segment, ...]]:
        """The mask of each object after each click."""
        from segcli.models.sam.clicks import Session, answer_clicks  # noqa: PLC0415 (loads torch)

        assert self._loaded is not None
        users = [Corrector(target.mask, ignore) for target in objects]
        session = Session(self._clicks, self._settings.feed_mask)
        runtime, settings = self._loaded.runtime, self._loaded.settings
        return answer_clicks(runtime, picture.pixels, users, settings, session)


def open_prompted(
    images: str,
    gt: Side,
    prompts: PromptSettings,
    settings: EvalSettings | None = None,
) -> tuple[PromptedSource, Source]:
    """Open pictures to be segmented by a prompted model, and the ground truth that prompts it.

    Everything is checked that can be without loading the model.

    Args:
        images: a folder of pictures with all its sub-folders, a picture or a glob.
        gt: the ground truth. Formats that store no image size get it from the pictures.
        prompts: the model, and how it is run.
        settings: what label values mean, how files are paired, and how often is clicked.

    Raises:
        UsageError: a side is missing, the ground truth holds no objects, or the model is unknown
            or not on this machine.
    """
    for path, side in ((images, "the pictures"), (gt.path, "the ground truth")):
        if path == "-":
            raise InputError(
                f"{side} cannot come from standard input",
                why="a model is prompted on a picture with its own ground truth, found by name",
                fix="segcli eval PICTURES GT --protocol points --model MODEL",
            )

    def size_of(key: str) -> tuple[int, int] | None:
        return source.size_of(key)

    settings = settings or EvalSettings()
    if Path(images).resolve() == Path(gt.path).resolve():
        raise InputError(
            f"{images}: is given as the pictures and as the ground truth",
            why="a model would be shown the label maps themselves",
            fix="segcli eval PICTURES GT --protocol points --model MODEL",
        )

    def pairing(pictures: Source, truth: Source) -> NameRule:
        return rule_of(pictures, truth, settings.match, settings.listed)

    found = find_images([images]).images
    truth = _open_objects(
        gt, replace(read_options(settings, gt, settings.classes), size_of=size_of)
    )
    single = Path(images).is_file() and len(found) == 1
    model, clicks = find(prompts.model), settings.clicks
    source = PromptedSource(found, truth, model, prompts, pairing, single=single, clicks=clicks)
    return source, truth


def _open_objects(gt: Side, options: ReadOptions) -> Source:
    truth = open_source(gt.path, options, gt.format)
    if truth.kind not in _OBJECTS and not truth.certain:
        options = replace(options, kind="instance", kind_why="--protocol points asks for objects")
        truth = open_source(gt.path, options, gt.format)
    if truth.kind not in _OBJECTS:
        raise UsageError(
            "--protocol points needs objects: each as its own mask or label value; the ground "
            f"truth is {truth.kind}",
            why=truth.description,
            fix="--gt-kind instance, if the values are object ids",
        )
    return truth
