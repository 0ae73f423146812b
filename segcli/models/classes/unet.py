"""U-Net and its relatives, as segmentation_models_pytorch saves them (``segcli[unet]``)."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from segcli.errors import MissingExtraError, ModelError

__all__ = ["UnetProcessor", "load_unet"]

# ImageNet's, which nearly all encoders of the library are trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MULTIPLE = 32
# What its class needs no longer once weights are at hand, or what says which class it is.
_NOT_ARGUMENTS = ("encoder_weights", "_model_class")


@dataclass(frozen=True, slots=True)
class UnetProcessor:
    """Normalises pictures and pads them to what the encoder's strides divide.

    Attributes:
        mean: of each channel, in 0..1.
        std: of each channel, in 0..1.
        multiple: sides of the input are multiples of it.
    """

    mean: tuple[float, ...] = _MEAN
    std: tuple[float, ...] = _STD
    multiple: int = _MULTIPLE

    def __call__(self, images: Tensor, **_: object) -> dict[str, Any]:
        """(3, H, W) uint8 → `pixel_values` (1, C, h, w), and the share of them that is picture."""
        channels = len(self.mean)
        pixels = images.float() / 255
        if channels == 1:
            pixels = pixels.mean(0, keepdim=True)
        shape = (channels, 1, 1)
        pixels = (pixels - torch.tensor(self.mean).view(shape)) / torch.tensor(self.std).view(shape)
        height, width = pixels.shape[-2:]
        below, right = -height % self.multiple, -width % self.multiple
        # Mirrored where the picture is large enough: a dark border would be an edge to see.
        mode = "reflect" if below < height and right < width else "constant"
        padded = functional.pad(pixels[None], (0, right, 0, below), mode=mode)
        return {
            "pixel_values": padded,
            "valid_share": (height / (height + below), width / (width + right)),
        }


def load_unet(
    directory: Path, name: str, card: Mapping[str, Any]
) -> tuple[torch.nn.Module, UnetProcessor]:
    """Load a model that segmentation_models_pytorch's ``save_pretrained`` wrote.

    Args:
        directory: with config.json and model.safetensors.
        name: how the model was asked for, for errors.
        card: its segcli.json: ``image_mean`` and ``image_std`` replace ImageNet's.

    Raises:
        MissingExtraError: the library is not installed.
        ModelError: the files do not fit together.
    """
    if importlib.util.find_spec("segmentation_models_pytorch") is None:
        raise MissingExtraError(
            f"model '{name}' needs segmentation_models_pytorch, which is not installed",
            fix="pip install 'segcli[unet]'",
        )
    import segmentation_models_pytorch as smp  # noqa: PLC0415 (an extra)
    from safetensors.torch import load_file  # noqa: PLC0415 (comes with transformers)

    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
        kind = getattr(smp, str(config["_model_class"]))
        if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
            raise TypeError(f"{config['_model_class']} is no model of the library")  # noqa: TRY301
        arguments = {k: v for k, v in config.items() if k not in _NOT_ARGUMENTS}
        # Logits are wanted, whatever the model was to end in.
        model = kind(encoder_weights=None, **{**arguments, "activation": None})
        model.load_state_dict(load_file(directory / "model.safetensors"))
    except Exception as error:
        # The library, safetensors and torch each raise their own on a damaged directory.
        raise ModelError(
            f"cannot load model '{name}' from {directory}",
            why=f"{type(error).__name__}: {error}",
            fix="the folder needs the config.json and model.safetensors of its save_pretrained",
        ) from error
    channels = int(config.get("in_channels", 3))
    mean, std = (card.get(k, v) for k, v in (("image_mean", _MEAN), ("image_std", _STD)))
    if channels == 1 and "image_mean" not in card:
        mean, std = [sum(_MEAN) / 3], [sum(_STD) / 3]
    if len(mean) != channels or len(std) != channels:
        raise ModelError(
            f"model '{name}' takes {channels} channels, and pictures have 3",
            why="a picture becomes grey for models of 1 channel; others must be named",
            fix="image_mean and image_std in its segcli.json, one number a channel (1 or 3)",
        )
    return model, UnetProcessor(tuple(mean), tuple(std))
