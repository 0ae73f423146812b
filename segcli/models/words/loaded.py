"""A loaded model that takes words: an image in, segments with categories out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segcli.errors import ConfigError, ModelError
from segcli.models.answer_settings import AnswerSettings
from segcli.models.catalog import ModelRef
from segcli.models.device import choose_device
from segcli.models.prompted import Prompted, load_prompted
from segcli.models.words.concepts import Concepts, Heat
from segcli.models.words.detector import Detector
from segcli.models.words.settings import WORD_FAMILIES, WordSettings
from segcli.records import Prompt, Segment, Segmentation

__all__ = ["WordLoaded", "load_words"]

_Segment = Callable[[npt.NDArray[np.uint8]], tuple[Segment, ...]]
_CLASSES = {
    "boxes": ("AutoModelForZeroShotObjectDetection", "AutoProcessor"),
    "masks": ("Sam3Model", "Sam3Processor"),
    "map": ("CLIPSegForImageSegmentation", "CLIPSegProcessor"),
}


@dataclass(frozen=True, slots=True)
class WordLoaded:
    """A loaded model, or two, with what is looked for.

    Attributes:
        segment: (H, W, 3) uint8 RGB → segments, best first.
        categories: text by category id.
        where: device and dtype, for the manifest.
    """

    segment: _Segment
    categories: Mapping[int, str]
    where: Mapping[str, Any]

    def annotate(self, result: Segmentation) -> Segmentation:
        """A result with the names of its categories."""
        return replace(result, categories=dict(self.categories))

    def facts(self) -> Mapping[str, Any]:
        """Where and how it runs, for the manifest."""
        return self.where


@dataclass(frozen=True, slots=True)
class _Boxed:
    """A detector, and a SAM that turns its boxes into masks."""

    detector: Detector
    prompted: Prompted
    settings: WordSettings

    def segment(self, image: npt.NDArray[np.uint8]) -> tuple[Segment, ...]:
        """One mask a box: score is the detector's, predicted IoU the SAM's."""
        found = self.detector.detect(image)
        names = self.settings.categories
        prompts = [
            Prompt(box_xyxy=each.box_xyxy, category=each.category,
                   category_name=names[each.category])
            for each in found
        ]  # fmt: skip
        masks = self.prompted.answer(image, prompts)
        return tuple(
            replace(mask, score=round(each.score, 6))
            for each, mask in zip(found, masks, strict=True)
        )


def load_words(
    ref: ModelRef,
    detector: ModelRef | None,
    settings: WordSettings,
    answers: AnswerSettings,
    *,
    device: str,
    dtype: str,
    compile: bool = False,  # noqa: A002 (the setting's name)
) -> WordLoaded:
    """Load what looks for words.

    Args:
        ref: a model that makes masks of words, or a SAM.
        detector: what finds the boxes for the SAM.
        settings: the texts and thresholds.
        answers: how the SAM is asked.
        device: see `segcli.models.segmenter.load`.
        dtype: of the SAM; models that take words are exact in float32 only.
        compile: of the SAM.

    Raises:
        ConfigError: a choice is unknown or impossible here.
        ModelError: a model cannot be loaded.
    """
    if detector is not None:
        prompted = load_prompted(ref, answers, device=device, dtype=dtype, compile=compile)
        boxes = Detector(*_loaded(detector, device), settings)
        segment = _Boxed(boxes, prompted, settings).segment
        return WordLoaded(segment, settings.categories, prompted.facts())
    if dtype not in ("auto", "float32"):
        raise ConfigError(f"words are looked for in float32, not {dtype}", fix="--dtype float32")
    if compile:
        raise ConfigError(f"--compile is not for {ref.model_type} models", fix="leave it out")
    kind = Concepts if WORD_FAMILIES[ref.model_type].output == "masks" else Heat
    facts = {"device": str(choose_device(device)), "dtype": "float32"}
    return WordLoaded(kind(*_loaded(ref, device), settings).segment, settings.categories, facts)


def _loaded(ref: ModelRef, device: str) -> tuple[Any, Any]:
    """A model and its processor from a local directory: safetensors only, no remote code."""
    import transformers  # noqa: PLC0415 (slow to import)

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model_class, processor_class = _CLASSES[WORD_FAMILIES[ref.model_type].output]
    source, safe = str(ref.directory), {"local_files_only": True, "trust_remote_code": False}
    try:
        model = getattr(transformers, model_class).from_pretrained(
            source, dtype=torch.float32, use_safetensors=True, **safe
        )
        processor = getattr(transformers, processor_class).from_pretrained(source, **safe)
    except Exception as error:
        # transformers, safetensors and torch each raise their own on a damaged directory.
        raise ModelError(
            f"cannot load model '{ref.name}' from {ref.directory}",
            why=f"{type(error).__name__}: {error}",
            fix="the folder needs config.json, its processor and tokenizer, and *.safetensors",
        ) from error
    return model.to(choose_device(device)).eval(), processor
