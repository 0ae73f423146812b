"""Boxes of what words name: Grounding DINO and its kin.

Source: "Grounding DINO" (Liu et al., 2024) and transformers' `GroundingDinoProcessor`, whose scores
and boxes these are. Its labels are strings of the tokens above a threshold, which may be parts of
two texts; here a box belongs to the text of the best token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from segcli.errors import ConfigError
from segcli.models.sam.filtering import box_nms
from segcli.models.words.settings import WordSettings

__all__ = ["Detected", "Detector", "kept_by_class"]


@dataclass(frozen=True, slots=True)
class Detected:
    """A box with the text it answers.

    Attributes:
        box_xyxy: in pixels of the picture, inside it.
        score: the model's confidence.
        category: category id of the text.
    """

    box_xyxy: tuple[float, float, float, float]
    score: float
    category: int


class Detector:
    """A loaded detector and what it looks for."""

    def __init__(self, model: Any, processor: Any, settings: WordSettings) -> None:  # noqa: ANN401
        """Find the tokens of each text.

        Args:
            model: transformers' model for zero-shot object detection.
            processor: its processor.
            settings: the texts and thresholds.

        Raises:
            ConfigError: the texts are too long for the model.
        """
        self._model, self._processor, self._settings = model, processor, settings
        self._tokens = self._tokens_of_texts()

    def _tokens_of_texts(self) -> list[list[int]]:
        texts = [text.strip().lower() for text in self._settings.texts]
        joined, limit = ". ".join(texts) + ".", int(self._model.config.max_text_len)
        spans = self._processor.tokenizer(joined, return_offsets_mapping=True)["offset_mapping"]
        if len(spans) > limit:
            raise ConfigError(
                f"the texts have {len(spans)} tokens, and the detector takes {limit}",
                fix="fewer --text in one run",
            )
        found, start = [], 0
        for text in texts:
            stop = start + len(text)
            found.append([i for i, (a, b) in enumerate(spans) if start <= a < b <= stop])
            start = stop + len(". ")
        return found

    @torch.inference_mode()
    def detect(self, image: npt.NDArray[np.uint8]) -> list[Detected]:
        """Objects in one (H, W, 3) uint8 RGB image, best first."""
        height, width = image.shape[:2]
        inputs = self._processor(
            images=Image.fromarray(image), text=list(self._settings.texts), return_tensors="pt"
        ).to(self._model.device)
        output = self._model(**inputs)
        probabilities = output.logits[0].float().sigmoid().cpu()
        scores = probabilities.max(dim=1).values
        of_text = torch.stack(
            [probabilities[:, some].max(dim=1).values for some in self._tokens], dim=1
        )
        best, text = of_text.max(dim=1)
        settings = self._settings
        kept = (scores > settings.box_threshold) & (best > settings.text_threshold)
        x, y, w, h = output.pred_boxes[0].float().cpu().double().unbind(1)
        size = torch.tensor([width, height, width, height])
        boxes = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=1) * size
        boxes = torch.minimum(boxes.clamp(min=0), size)
        kept &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        found = [
            Detected((b[0], b[1], b[2], b[3]), score, category + 1)
            for b, score, category in zip(
                boxes[kept].tolist(), scores[kept].tolist(), text[kept].tolist(), strict=True
            )
        ]
        return kept_by_class(found, settings.box_nms_thresh)


def kept_by_class(found: list[Detected], threshold: float) -> list[Detected]:
    """Suppress doubles among objects of one category; what is left is best first."""
    kept: list[Detected] = []
    for category in {each.category for each in found}:
        some = [each for each in found if each.category == category]
        boxes = np.array([each.box_xyxy for each in some], dtype=np.float32)
        scores = np.array([each.score for each in some], dtype=np.float32)
        kept += [some[i] for i in box_nms(boxes, scores, threshold)]
    return sorted(kept, key=lambda each: -each.score)
