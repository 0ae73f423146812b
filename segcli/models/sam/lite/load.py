"""From a directory that `save_pretrained` wrote to a model and its image processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from segcli.models.catalog import configuration
from segcli.models.sam.lite.backbone import CHANNELS
from segcli.models.sam.lite.model import STRIDE, LiteModel, Shape

__all__ = ["Squash", "load_lite"]

# What config.json and the image processor's settings must say; the rest may differ.
_SETTINGS: Mapping[str, Any] = {
    "model_type": "edgetam",
    "vision_config": {
        "backbone_config": {
            "architecture": "tf_efficientnet_lite0",
            "model_args": {"out_indices": [1, 2, 3, 4]},
        },
        "backbone_channel_list": list(reversed(CHANNELS)),
        "fpn_kernel_size": 1,
        "fpn_stride": 1,
        "fpn_padding": 0,
        "fpn_top_down_levels": [0, 1, 2, 3],
        "num_feature_levels": 3,
    },
    "prompt_encoder_config": {
        "patch_size": STRIDE,
        "hidden_act": "gelu",
        "num_point_embeddings": 4,
        "layer_norm_eps": 1e-6,
    },
    "mask_decoder_config": {
        "num_hidden_layers": 2,
        "attention_downsample_rate": 2,
        "iou_head_depth": 3,
        "dynamic_multimask_via_stability": False,
    },
    "image_processor": {
        "image_processor_type": "Sam2ImageProcessor",
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "resample": 2,
        "rescale_factor": 1 / 255,
    },
}


class Squash:
    """Pictures at the model's size, their sides scaled each for itself: Sam2ImageProcessor.

    Attributes:
        size: ``height`` and ``width`` of the model's input.
    """

    def __init__(self, size: Mapping[str, int], mean: list[float], std: list[float]) -> None:
        """Take the processor's settings; mean and standard deviation are of values in 0..1."""
        self.size = dict(size)
        self._mean = 255 * torch.tensor(mean).view(3, 1, 1)
        self._std = 255 * torch.tensor(std).view(3, 1, 1)

    def __call__(self, images: npt.NDArray[np.uint8], **_: str) -> dict[str, torch.Tensor]:
        """(H, W, 3) uint8 RGB → (1, 3, h, w) float32 under ``pixel_values``."""
        planes = torch.from_numpy(images).permute(2, 0, 1)[None]
        size = [self.size["height"], self.size["width"]]
        small = functional.interpolate(planes, size, mode="bilinear", antialias=True)
        return {"pixel_values": small.float().sub_(self._mean).div_(self._std)}


def load_lite(directory: Path) -> tuple[LiteModel, Squash] | None:
    """Load a model of this architecture in float32, on the CPU.

    Returns:
        The model and its image processor, or None if the directory holds anything else: another
        architecture, other settings, or files that transformers had better explain.
    """
    from safetensors import SafetensorError  # noqa: PLC0415 (comes with transformers)
    from safetensors.torch import load_file  # noqa: PLC0415

    config = configuration(directory)
    if not _agrees(config, _SETTINGS):
        return None
    images = config["image_processor"]
    try:
        shape = _shape(config)
        squash = Squash(images["size"], images["image_mean"], images["image_std"])
        if shape is None or squash.size != {"height": shape.side, "width": shape.side}:
            return None
        tensors = load_file(directory / "model.safetensors")
    except (KeyError, OSError, SafetensorError):
        return None
    model = LiteModel(shape).eval()
    wanted = model.state_dict()
    if any(name not in tensors or tensors[name].shape != wanted[name].shape for name in wanted):
        return None
    model.load_state_dict(
        {n: t.float() if t.is_floating_point() else t for n, t in tensors.items() if n in wanted},
        assign=True,
    )
    return model, squash


def _shape(config: Mapping[str, Any]) -> Shape | None:
    """The model's sizes, or None where they do not go together.

    Raises:
        KeyError: one is not stated.
    """
    prompts, decoder = config["prompt_encoder_config"], config["mask_decoder_config"]
    width, side = prompts["hidden_size"], prompts["image_size"]
    pyramid = config["vision_config"]["fpn_hidden_size"]
    if {pyramid, decoder["hidden_size"], decoder["iou_head_hidden_dim"]} != {width} or side % 32:
        return None
    return Shape(
        side,
        width,
        decoder["num_attention_heads"],
        decoder["mlp_dim"],
        decoder["num_multimask_outputs"] + 1,
        prompts["mask_input_channels"],
    )


def _agrees(found: object, expected: object) -> bool:
    """Whether nested settings hold all of those expected."""
    if not isinstance(expected, Mapping):
        return found == expected
    return isinstance(found, Mapping) and all(
        name in found and _agrees(found[name], value) for name, value in expected.items()
    )
