"""Image → embeddings, once per image (or crop), and the geometry that leads back to its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from segcli.models.sam.resize import Resizer, resizer
from segcli.models.sam.runtime import Runtime
from segcli.models.sam.vit import encode_with_vit

__all__ = ["Encoded", "encode", "to_input_points"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An image as the mask decoder sees it.

    Attributes:
        embedding: (1, C, h, w).
        fine: the SAM2 family's high-resolution features, (1, C/8, 4h, 4w) and (1, C/4, 2h, 2w).
        early: SAM-HQ's features of an early layer, (1, h, w, D).
        height: rows of the image.
        width: columns of the image.
        scaled: (height, width) the image has inside the model's input; the rest is padding.
        resizer: from the decoder's logits to the image's pixels.
        needed: (h, w) pixels of the embedding that the image's pixels are made of.
    """

    embedding: torch.Tensor
    fine: tuple[torch.Tensor, torch.Tensor] | None
    early: torch.Tensor | None
    height: int
    width: int
    scaled: tuple[int, int]
    resizer: Resizer
    needed: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the embedding."""
        rows, columns = self.embedding.shape[-2:]
        return int(rows), int(columns)


def encode(runtime: Runtime, image: npt.NDArray[np.uint8]) -> Encoded:
    """Run the image encoder.

    Args:
        runtime: the model.
        image: (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    # The layout is stated because transformers guesses it from the shape, and guesses wrong for
    # pictures that are one to three pixels high.
    # PyTorch warns of arrays that are read-only.
    batch = runtime.image_processor(
        images=image if image.flags.writeable else image.copy(),
        input_data_format="channels_last",
        return_tensors="pt",
    )
    pixels = runtime.to_device(batch["pixel_values"])
    fine = early = None
    if runtime.ref.family.squashes:
        found = runtime.model.get_image_embeddings(pixels)
        *planes, embedding = (plane.to(runtime.dtype) for plane in found)
        fine = planes[0], planes[1]
        scaled = runtime.input_size
    else:
        encoder = runtime.model.vision_encoder
        embedding, features = encode_with_vit(encoder, pixels, runtime.workers)
        early = features if runtime.ref.family.name == "sam_hq" else None
        rows, columns = batch["reshaped_input_sizes"][0].tolist()
        scaled = int(rows), int(columns)
    low = 4 * embedding.shape[-2], 4 * embedding.shape[-1]
    straight = runtime.ref.family.squashes
    plan = resizer(
        low, low if straight else runtime.input_size, low if straight else scaled, (height, width)
    )
    # SAM-HQ's convolutions look two cells beyond the picture.
    margin = 1 if early is not None else 0
    needed = [
        min(n // 4, math.ceil(each.needed / 4) + margin)
        for n, each in zip(low, (plan.nodes, plan.columns), strict=True)
    ]
    return Encoded(embedding, fine, early, height, width, scaled, plan, (needed[0], needed[1]))


def to_input_points(encoded: Encoded, points_xy: npt.NDArray[np.float64]) -> torch.Tensor:
    """Points in pixels of the image → points in pixels of the model's input.

    The horizontal and the vertical scale differ where a model squashes its input.

    Args:
        encoded: the image.
        points_xy: (..., 2) x, y.

    Returns:
        (..., 2) float32 x, y.
    """
    rows, columns = encoded.scaled
    scale = np.array([columns / encoded.width, rows / encoded.height])
    return torch.from_numpy((points_xy * scale).astype(np.float32))
