"""The face of a loaded class-aware model: an image in, segments with classes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segcli.masks.classes import class_map, segments_of_classes
from segcli.models.catalog import ModelRef
from segcli.models.classes.facts import ClassFacts
from segcli.models.classes.forward import run_pixels, run_queries
from segcli.models.classes.pixels import classes_of_pixels
from segcli.models.classes.queries import (
    classes_of_queries,
    objects_of_queries,
    panoptic_of_queries,
)
from segcli.models.classes.runtime import ClassRuntime, load_class_runtime
from segcli.models.classes.settings import ClassSettings
from segcli.models.classes.windows import classes_by_windows
from segcli.models.device import choose_device, choose_dtype
from segcli.records import LabelMap, Segment, Segmentation

__all__ = ["ClassLoaded", "annotated", "load_class_model"]


@dataclass(frozen=True, slots=True)
class ClassLoaded:
    """A loaded class-aware model with its settings."""

    runtime: ClassRuntime
    settings: ClassSettings

    @torch.inference_mode()
    def segment(self, image: npt.NDArray[np.uint8]) -> tuple[Segment, ...]:
        """Segment one (H, W, 3) uint8 RGB image; where there are scores, best first."""
        facts, keep = self.runtime.facts, self.settings.keep
        found = self._labelled(image)
        segments = (
            replace(
                segment,
                category=(segment.category or 0) + facts.offset,
                category_name=facts.categories.get((segment.category or 0) + facts.offset),
            )
            for segment in found
        )
        return tuple(s for s in segments if keep is None or s.category in keep)

    def _labelled(self, image: npt.NDArray[np.uint8]) -> tuple[Segment, ...]:
        """Segments whose category is the model's own label."""
        height, width = image.shape[:2]
        runtime, settings = self.runtime, self.settings
        if runtime.facts.family.output == "pixels":
            values = classes_by_windows(
                lambda part: run_pixels(runtime, part),
                image,
                settings.window or max(height, width),
                settings.window_overlap,
                settings.mask_threshold,
            )
            return segments_of_classes(values)
        output = run_queries(runtime, image, settings.task)
        if isinstance(output, torch.Tensor):
            return segments_of_classes(classes_of_pixels(output, height, width))
        if settings.task == "semantic":
            return segments_of_classes(classes_of_queries(output, height, width))
        things, stuff = _labels_of(runtime.facts)
        if settings.task == "instance":
            return objects_of_queries(output, height, width, settings, things)
        return panoptic_of_queries(output, height, width, settings, stuff)

    def annotate(self, result: Segmentation) -> Segmentation:
        """A result with what is known of its classes."""
        return annotated(result, self.runtime.facts, self.settings)

    def facts(self) -> Mapping[str, Any]:
        """Where and how it runs, for the manifest."""
        return {
            "device": str(self.runtime.device),
            "dtype": str(self.runtime.dtype).removeprefix("torch."),
        }


def annotated(result: Segmentation, facts: ClassFacts, settings: ClassSettings) -> Segmentation:
    """A result with the model's list of classes; a semantic one as a class map, too."""
    keep = settings.keep
    categories = {n: t for n, t in facts.categories.items() if keep is None or n in keep}
    things = None if facts.things is None else facts.things & categories.keys()
    result = replace(result, categories=categories, things=things)
    if settings.task != "semantic":
        return result
    values = class_map(result)
    return replace(result, labels=LabelMap(values, "semantic"))


def _labels_of(facts: ClassFacts) -> tuple[frozenset[int] | None, frozenset[int]]:
    """The model's labels of countable things, None if nothing says which, and those of stuff."""
    if facts.things is None:
        return None, frozenset()
    labels = frozenset(number - facts.offset for number in facts.categories)
    things = frozenset(number - facts.offset for number in facts.things)
    return things, labels - things


def load_class_model(
    ref: ModelRef, settings: ClassSettings, *, device: str, dtype: str
) -> ClassLoaded:
    """Load a class-aware model found by `segcli.models.catalog.find`.

    Raises:
        ConfigError: device or dtype are impossible here.
        ModelError: the model cannot be loaded.
        MissingExtraError: a library that it needs is not installed.
    """
    place = choose_device(device)
    return ClassLoaded(load_class_runtime(ref, place, choose_dtype(dtype, place)), settings)
