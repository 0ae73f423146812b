"""Prompts → predicted IoU and, for those that pass, low-resolution mask logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from segcli.models.sam.encoder import Encoded, to_input_points
from segcli.models.sam.folded import decode_folded
from segcli.models.sam.runtime import Runtime

__all__ = ["PredictedMasks", "decode_points"]


class PredictedMasks(Protocol):
    """What a batch of prompts gave."""

    @property
    def ious(self) -> torch.Tensor:
        """(N, M) float32 predicted IoU; M is 3 or 1 masks a prompt."""

    def logits(self, indices: torch.Tensor) -> torch.Tensor:
        """(K, h, w) float32 mask logits of K flat indices into `ious`."""


@dataclass(frozen=True, slots=True)
class _StockMasks:
    ious: torch.Tensor
    all_logits: torch.Tensor

    def logits(self, indices: torch.Tensor) -> torch.Tensor:
        return self.all_logits.flatten(0, 1)[indices].float()


def decode_points(
    runtime: Runtime, encoded: Encoded, points_xy: npt.NDArray[np.float64], *, multimask: bool
) -> PredictedMasks:
    """Decode one mask set for each single-point prompt.

    Args:
        runtime: the model.
        encoded: the image.
        points_xy: (N, 2) x, y in pixels of the image.
        multimask: three masks a point instead of one.
    """
    points = to_input_points(encoded, points_xy)[None, :, None, :].to(runtime.device)
    points = points.to(runtime.dtype)
    labels = torch.ones(points.shape[:3], dtype=torch.int64, device=runtime.device)
    if _can_fold(runtime, multimask=multimask):
        return decode_folded(runtime.model, encoded, points, labels, multimask=multimask)
    output = runtime.model(
        **encoded.inputs, input_points=points, input_labels=labels, multimask_output=multimask
    )
    # Scores are compared and sorted in float32: torchvision's NMS accepts no half precision.
    return _StockMasks(output.iou_scores[0].float(), output.pred_masks[0])


def _can_fold(runtime: Runtime, *, multimask: bool) -> bool:
    """SAM-HQ has a decoder of its own; half precision and SAM2's mask choice are left to stock."""
    decoder = runtime.model.mask_decoder
    chooses = not multimask and getattr(decoder, "dynamic_multimask_via_stability", False)
    return runtime.dtype == torch.float32 and runtime.ref.family.name != "sam_hq" and not chooses
