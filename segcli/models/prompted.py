"""A loaded model that answers prompts: an image and prompts in, segments out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.models.answer_settings import AnswerSettings
from segcli.models.catalog import ModelRef
from segcli.models.sam.prompts import answer
from segcli.models.segmenter import Loaded, load
from segcli.models.settings import GenerateSettings
from segcli.records import Prompt, Segment

__all__ = ["Prompted", "load_prompted"]


@dataclass(frozen=True, slots=True)
class Prompted:
    """A loaded model with its settings."""

    loaded: Loaded
    settings: AnswerSettings

    def answer(
        self, image: npt.NDArray[np.uint8], prompts: Sequence[Prompt]
    ) -> tuple[Segment, ...]:
        """Masks of the objects asked for in one (H, W, 3) uint8 RGB image, in their order."""
        return answer(self.loaded.runtime, image, prompts, self.settings)

    def facts(self) -> Mapping[str, Any]:
        """Where and how it runs, for the manifest."""
        return self.loaded.facts()


def load_prompted(
    ref: ModelRef,
    settings: AnswerSettings,
    *,
    device: str,
    dtype: str,
    compile: bool = False,  # noqa: A002 (the setting's name)
) -> Prompted:
    """Load a model found by `segcli.models.catalog.find`.

    Raises:
        ConfigError: a choice is unknown or impossible here.
        ModelError: the model cannot be loaded.
    """
    loaded = load(
        ref, GenerateSettings(), device=device, dtype=dtype, backend="segcli", compile=compile
    )
    return Prompted(loaded, settings)
