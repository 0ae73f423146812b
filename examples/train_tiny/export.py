"""Write the averaged weights of a checkpoint as a model that transformers loads."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from model import PIXEL_MEAN, PIXEL_STD, build_config
from transformers import EdgeTamModel, Sam2ImageProcessor, Sam2Processor

SETTINGS: dict[str, Any] = {
    "name": "tiny",
    "license": "Apache-2.0",
    "summary": (
        "a 3.7 M-parameter model for compact objects (cells, particles, coins, simple shapes); "
        "weak on everyday photographs"
    ),
    "stronger": ["sam-vit-base", "sam-vit-huge"],
    "generate": {
        "points_per_side": 32,
        "multimask": False,
        "pred_iou_thresh": 0.4,
        "stability_score_thresh": 0.3,
        "stability_score_offset": 1.0,
        "box_nms_thresh": 0.7,
        "nms_metric": "mask_smaller",
        "mask_nms_thresh": 0.3,
        "min_mask_region_area": 0,
        "connected": True,
    },
    "prompt": {"clip_to_box": True, "connected": True},
}


def build_processor(image_size: int) -> Sam2Processor:
    """Processor that squashes pictures to `image_size` pixels a side."""
    images = Sam2ImageProcessor(
        size={"height": image_size, "width": image_size},
        mask_size={"height": image_size // 4, "width": image_size // 4},
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_STD] * 3,
    )
    return Sam2Processor(images, target_size=image_size)


def export(checkpoint: Path, out: Path, which: str = "average") -> EdgeTamModel:
    """Write model, processor and, where there is none yet, segcli.json to a folder.

    Args:
        checkpoint: written by train.py.
        out: folder, made if need be.
        which: `average` (moving average of the weights) or `model` (the last ones).

    Returns:
        The model, float32, in evaluation mode.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    image_size = state["plan"]["image_size"]
    model = EdgeTamModel(build_config(image_size)).eval()
    model.load_state_dict(state[which])
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    build_processor(image_size).save_pretrained(out)
    settings = out / "segcli.json"
    if not settings.exists():
        settings.write_text(json.dumps(SETTINGS, indent=2) + "\n", encoding="utf-8")
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    """Export a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of train.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--which", choices=("average", "model"), default="average")
    options = parser.parse_args(arguments)
    export(options.checkpoint, options.out, options.which)


if __name__ == "__main__":
    main()
