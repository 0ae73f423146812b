"""Image → embeddings, once per image (or crop), and the geometry that leads back to its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from segcli.models.sam.runtime import Runtime

__all__ = ["Encoded", "encode", "to_input_points", "upscale"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An image as the mask decoder sees it.

    Attributes:
        inputs: the decoder's image-side arguments.
        height: rows of the image.
        width: columns of the image.
        scaled: (height, width) the image has inside the model's input; the rest is padding.
        input_size: (height, width) of the model's input.
        squashed: the image fills the input, at different scales along its sides.
    """

    inputs: dict[str, Any]
    height: int
    width: int
    scaled: tuple[int, int]
    input_size: tuple[int, int]
    squashed: bool


def encode(runtime: Runtime, image: npt.NDArray[np.uint8]) -> Encoded:
    """Run the image encoder.

    Args:
        runtime: the model.
        image: (H, W, 3) uint8 RGB.
    """
    height, width = image.shape[:2]
    # The layout is stated because transformers guesses it from the shape, and guesses wrong for
    # pictures that are one to three pixels high.
    batch = runtime.image_processor(
        images=np.ascontiguousarray(image), input_data_format="channels_last", return_tensors="pt"
    )
    pixels = batch["pixel_values"].to(runtime.device, runtime.dtype)
    embeddings = runtime.model.get_image_embeddings(pixels)
    if runtime.ref.family.name == "sam_hq":
        inputs = {"image_embeddings": embeddings[0], "intermediate_embeddings": embeddings[1]}
    else:
        inputs = {"image_embeddings": embeddings}
    squashed = runtime.ref.family.squashes
    if squashed:
        scaled = runtime.input_size
    else:
        rows, columns = batch["reshaped_input_sizes"][0].tolist()
        scaled = (int(rows), int(columns))
    return Encoded(inputs, height, width, scaled, runtime.input_size, squashed)


def to_input_points(encoded: Encoded, points_xy: npt.NDArray[np.float64]) -> torch.Tensor:
    """Points in pixels of the image → points in pixels of the model's input.

    The horizontal and the vertical scale differ where a model squashes its input.

    Args:
        encoded: the image.
        points_xy: (N, 2) x, y.

    Returns:
        (N, 2) float32 x, y.
    """
    rows, columns = encoded.scaled
    scale = np.array([columns / encoded.width, rows / encoded.height])
    return torch.from_numpy((points_xy * scale).astype(np.float32))


def upscale(encoded: Encoded, logits: torch.Tensor) -> torch.Tensor:
    """Low-resolution mask logits → logits at the image's size.

    As in the reference implementations: bilinear to the model's input size, padding cut off, then
    bilinear to the image; in one step where the input is not padded.

    Args:
        encoded: the image.
        logits: (N, h, w) float32.

    Returns:
        (N, H, W) float32.
    """
    planes = logits.unsqueeze(1)
    if not encoded.squashed:
        rows, columns = encoded.scaled
        planes = _bilinear(planes, encoded.input_size)[..., :rows, :columns]
    return _bilinear(planes, (encoded.height, encoded.width)).squeeze(1)


def _bilinear(planes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return torch.nn.functional.interpolate(planes, size, mode="bilinear", align_corners=False)
