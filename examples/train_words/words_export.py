"""Write the averaged weights of a checkpoint as a model that transformers loads."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import CLIPSegForImageSegmentation
from words_model import build_config, build_processor
from words_scenes import COLOURS, GROUNDS, NOUNS

CARD = {
    "name": "tiny-words",
    "license": "Apache-2.0",
    "summary": f"words for {len(NOUNS)} things, {len(COLOURS)} colours and {len(GROUNDS)} grounds "
    "of drawn scenes: to try --text offline",
}


def export(checkpoint: Path, out: Path) -> CLIPSegForImageSegmentation:
    """Write model, processor and, where there is none yet, segcli.json to a folder.

    Args:
        checkpoint: written by words_train.py.
        out: folder, made if need be.

    Returns:
        The model, in evaluation mode.
    """
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = CLIPSegForImageSegmentation(build_config()).eval()
    model.load_state_dict(state["average"])
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    build_processor().save_pretrained(out)
    card = out / "segcli.json"
    if not card.exists():
        card.write_text(json.dumps(CARD, indent=2) + "\n", encoding="utf-8")
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    """Export a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of words_train.py")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    options = parser.parse_args(arguments)
    export(options.checkpoint, options.out)


if __name__ == "__main__":
    main()
