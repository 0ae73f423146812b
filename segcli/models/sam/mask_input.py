"""Masks as prompts: low-resolution logits that the decoder refines."""

from __future__ import annotations

import torch
from torch.nn import functional

from segcli.masks.rle import decode
from segcli.models.sam.encoder import Encoded
from segcli.models.sam.runtime import Runtime
from segcli.records import RLE

__all__ = ["as_input", "logits_of_mask"]

# SAM2's own scale of binary masks (`_use_mask_as_output`): certain to 5e-5.
_CERTAIN = 10.0
# SAM2's predictor bounds the logits that it hands back as the next input.
_BOUND = 32.0


def logits_of_mask(runtime: Runtime, encoded: Encoded, mask: RLE) -> torch.Tensor:
    """A binary mask as the logits of a prompt: 10 inside, -10 outside, between them at its border.

    It is scaled as the picture is in the model's input, by area; padding is outside.

    Args:
        runtime: the model.
        encoded: the picture.
        mask: of the picture's size.

    Returns:
        (1, 1, h, w) float32 on the CPU.
    """
    low = [4 * n for n in encoded.grid]
    kept = [
        max(1, round(n * scaled / whole))
        for n, scaled, whole in zip(low, encoded.scaled, runtime.input_size, strict=True)
    ]
    plane = torch.from_numpy(decode(mask)).float()[None, None]
    small = functional.interpolate(plane, kept, mode="bilinear", antialias=True)
    logits = torch.full((1, 1, *low), -_CERTAIN)
    logits[:, :, : kept[0], : kept[1]] = small.mul_(2 * _CERTAIN).sub_(_CERTAIN)
    return logits


def as_input(runtime: Runtime, plane: torch.Tensor) -> torch.Tensor:
    """Logits (h, w) of one mask as the input of the next pass, (1, 1, h, w)."""
    if runtime.ref.family.squashes:
        plane = plane.clamp(-_BOUND, _BOUND)
    return plane.float()[None, None]
