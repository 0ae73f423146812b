"""Write the averaged weights of a checkpoint as a model that transformers loads."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from panoptic_model import build_config, build_processor
from panoptic_scenes import THINGS
from transformers import Mask2FormerForUniversalSegmentation

CARD: dict[str, Any] = {
    "name": "tiny-panoptic",
    "license": "Apache-2.0",
    "summary": "7 things and 6 kinds of stuff in drawn scenes: to try class-aware runs offline",
    "task": "panoptic",
    "things": list(THINGS),
    "first_class_id": 1,
    "threshold": 0.3,
}


def export(
    checkpoint: Path, out: Path, which: str = "average"
) -> Mask2FormerForUniversalSegmentation:
    """Write model, processor and, where there is none yet, segcli.json to a folder.

    Args:
        checkpoint: written by panoptic_train.py.
        out: folder, made if need be.
        which: `average` (moving average of the weights) or `model` (the last ones).

    Returns:
        The model, float32, in evaluation mode.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = Mask2FormerForUniversalSegmentation(build_config()).eval()
    weights = state["average"]
    if which == "model":
        trained = state["trainee"]
        weights = {
            k.removeprefix("model."): v for k, v in trained.items() if k.startswith("model.")
        }
    model.load_state_dict(weights)
    out.mkdir(parents=True, exist_ok=True)
    model.half().save_pretrained(out)
    build_processor().save_pretrained(out)
    card = out / "segcli.json"
    if not card.exists():
        card.write_text(json.dumps(CARD, indent=2) + "\n", encoding="utf-8")
    return model.float()


def main(arguments: Sequence[str] | None = None) -> None:
    """Export a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of panoptic_train.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--which", choices=("average", "model"), default="average")
    options = parser.parse_args(arguments)
    export(options.checkpoint, options.out, options.which)


if __name__ == "__main__":
    main()
