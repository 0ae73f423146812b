"""Prompts → low-resolution mask logits and predicted IoU."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from segcli.models.sam.encoder import Encoded, to_input_points
from segcli.models.sam.runtime import Runtime

__all__ = ["decode_points"]


def decode_points(
    runtime: Runtime, encoded: Encoded, points_xy: npt.NDArray[np.float64], *, multimask: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decode one mask set for each single-point prompt.

    Args:
        runtime: the model.
        encoded: the image.
        points_xy: (N, 2) x, y in pixels of the image.
        multimask: three masks a point instead of one.

    Returns:
        logits (N, M, h, w) float32 and predicted IoU (N, M) float32, with M = 3 or 1.
    """
    points = to_input_points(encoded, points_xy)[None, :, None, :].to(runtime.device)
    labels = torch.ones(points.shape[:3], dtype=torch.int64, device=runtime.device)
    output = runtime.model(
        **encoded.inputs,
        input_points=points.to(runtime.dtype),
        input_labels=labels,
        multimask_output=multimask,
    )
    # Scores are compared and sorted in float32: torchvision's NMS accepts no half precision.
    return output.pred_masks[0].float(), output.iou_scores[0].float()
