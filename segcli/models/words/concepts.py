"""Masks of what words name: SAM 3 (Carion et al., 2025), and CLIPSeg (Lüddecke and Ecker, 2022).

Scores, boxes and masks are those of transformers' `post_process_instance_segmentation`, and of the
sigmoid of CLIPSeg's map enlarged to the picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional

from segcli.masks.rle import segment_from_mask
from segcli.models.words.detector import Detected, kept_by_class
from segcli.models.words.settings import WordSettings
from segcli.records import Segment

__all__ = ["Concepts", "Heat"]


class Concepts:
    """SAM 3 and what it looks for."""

    def __init__(self, model: Any, processor: Any, settings: WordSettings) -> None:  # noqa: ANN401
        self._model, self._processor, self._settings = model, processor, settings

    @torch.inference_mode()
    def segment(self, image: npt.NDArray[np.uint8]) -> tuple[Segment, ...]:
        """Objects in one (H, W, 3) uint8 RGB image, best first; encoded once for all texts."""
        settings, size = self._settings, image.shape[:2]
        pixels = self._processor(images=Image.fromarray(image), return_tensors="pt")
        values = pixels["pixel_values"].to(self._model.device)
        seen = self._model.get_vision_features(values)
        found: list[tuple[Detected, torch.Tensor]] = []
        for category, text in settings.categories.items():
            words = self._processor(text=text, original_sizes=[list(size)], return_tensors="pt")
            output = self._model(
                vision_embeds=seen,
                input_ids=words["input_ids"].to(self._model.device),
                attention_mask=words["attention_mask"].to(self._model.device),
            )
            found += self._objects(output, category, size)
        kept = kept_by_class([each for each, _ in found], settings.box_nms_thresh)
        planes = {id(each): plane for each, plane in found}
        return tuple(self._segment(each, planes[id(each)], size) for each in kept)

    def _objects(
        self,
        output: Any,  # noqa: ANN401 (a transformers output)
        category: int,
        size: tuple[int, ...],
    ) -> list[tuple[Detected, torch.Tensor]]:
        scores = output.pred_logits[0].float().sigmoid().cpu()
        if output.presence_logits is not None:
            scores = scores * output.presence_logits[0].float().sigmoid().cpu()
        kept = scores > self._settings.box_threshold
        whole = torch.tensor([size[1], size[0]] * 2)
        boxes = torch.minimum((output.pred_boxes[0].double().cpu() * whole).clamp(min=0), whole)
        planes = output.pred_masks[0].float().sigmoid().cpu()[kept]
        corners = zip(boxes[kept].tolist(), scores[kept].tolist(), strict=True)
        objects = [Detected((b[0], b[1], b[2], b[3]), s, category) for b, s in corners]
        return list(zip(objects, planes, strict=True))

    def _segment(self, found: Detected, plane: torch.Tensor, size: tuple[int, ...]) -> Segment:
        """One mask at a time is as large as the picture."""
        whole = functional.interpolate(plane[None, None], list(size), mode="bilinear")[0, 0]
        return segment_from_mask(
            (whole > self._settings.mask_threshold).numpy(),
            score=round(found.score, 6),
            category=found.category,
            category_name=self._settings.categories[found.category],
            prompt_box_xyxy=found.box_xyxy,
        )


class Heat:
    """CLIPSeg and what it looks for."""

    @torch.inference_mode()
    def __init__(self, model: Any, processor: Any, settings: WordSettings) -> None:  # noqa: ANN401
        self._model, self._processor, self._settings = model, processor, settings
        words = processor(text=list(settings.texts), padding=True, return_tensors="pt")
        self._words = model.get_conditional_embeddings(
            len(settings.texts), **words.to(model.device)
        )

    @torch.inference_mode()
    def segment(self, image: npt.NDArray[np.uint8]) -> tuple[Segment, ...]:
        """What each text describes in one (H, W, 3) uint8 RGB image: one mask, if it is there.

        The image is encoded once for all texts. A mask's score is the mean probability of its
        pixels.
        """
        settings, size = self._settings, image.shape[:2]
        found = []
        for (category, text), plane in zip(
            settings.categories.items(), self._planes(image), strict=True
        ):
            whole = functional.interpolate(plane[None, None], list(size), mode="bilinear")[0, 0]
            likely = whole.sigmoid()
            inside = likely > settings.mask_threshold
            if inside.any():
                score = round(float(likely[inside].mean()), 6)
                found.append(
                    segment_from_mask(
                        inside.numpy(), score=score, category=category, category_name=text
                    )
                )
        return tuple(sorted(found, key=lambda segment: -(segment.score or 0)))

    def _planes(self, image: npt.NDArray[np.uint8]) -> torch.Tensor:
        """Logits of each text: (n, h, w) float32 on the CPU."""
        model = self._model
        inputs = self._processor(images=Image.fromarray(image), return_tensors="pt")
        pixels = inputs["pixel_values"].to(model.device)
        layers = model.clip.vision_model(pixels, output_hidden_states=True).hidden_states
        seen = [layers[i + 1].expand(len(self._words), -1, -1) for i in model.extract_layers]
        logits: torch.Tensor = model.decoder(seen, self._words).logits
        return logits.float().cpu()
