"""The one face of a loaded model: an image in, segments out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from segcli.errors import ConfigError
from segcli.models.catalog import ModelRef
from segcli.models.device import choose_device, choose_dtype, has_fast_bfloat16
from segcli.models.sam.generate import generate
from segcli.models.sam.runtime import Runtime, load_runtime
from segcli.models.settings import GenerateSettings
from segcli.models.stock import generate_with_stock_pipeline
from segcli.records import Segment

__all__ = ["Loaded", "Segmenter", "load"]

_log = logging.getLogger(__name__)


class Segmenter(Protocol):
    """What the prediction job needs of a model."""

    def segment(self, image: npt.NDArray[np.uint8]) -> tuple[Segment, ...]:
        """Segment one (H, W, 3) uint8 RGB image; segments come best first."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model with its settings."""

    runtime: Runtime
    settings: GenerateSettings
    backend: str

    def segment(self, image: npt.NDArray[np.uint8]) -> tuple[Segment, ...]:
        """Segment one (H, W, 3) uint8 RGB image; segments come best first."""
        if self.backend == "transformers":
            return generate_with_stock_pipeline(self.runtime, image, self.settings)
        return generate(self.runtime, image, self.settings)

    def facts(self) -> Mapping[str, Any]:
        """Where and how it runs, for the manifest."""
        return {
            "device": str(self.runtime.device),
            "dtype": str(self.runtime.dtype).removeprefix("torch."),
        }


def load(
    ref: ModelRef,
    settings: GenerateSettings,
    *,
    device: str,
    dtype: str,
    backend: str,
    compile: bool = False,  # noqa: A002 (the setting's name)
) -> Loaded:
    """Load a model found by `segcli.models.catalog.find`.

    Args:
        ref: the model.
        settings: its segment-everything settings.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        backend: ``segcli``, or ``transformers`` for the stock pipeline.
        compile: compile for the GPU, which the first picture waits for.

    Raises:
        ConfigError: a choice is unknown or impossible here.
        ModelError: the model cannot be loaded.
    """
    place = choose_device(device)
    number = choose_dtype(dtype, place)
    if backend == "transformers" and str(number) != "torch.float32":
        raise ConfigError(
            f"--backend transformers cannot run in {str(number).removeprefix('torch.')}",
            why="the stock pipeline's suppression accepts float32 scores only",
            fix="--dtype float32",
        )
    if place.type == "cpu" and number == torch.bfloat16 and not has_fast_bfloat16():
        _log.warning("this processor has no bfloat16 arithmetic: --dtype float32 is far quicker")
    if compile and (place.type != "cuda" or backend != "segcli"):
        raise ConfigError(
            "--compile is for segcli's own backend on a CUDA GPU",
            why=f"this run is on {place.type} with backend {backend}",
            fix="leave --compile out",
        )
    stock = backend == "transformers"
    runtime = load_runtime(ref, place, number, compiled=compile, stock=stock)
    return Loaded(runtime, settings, backend)
