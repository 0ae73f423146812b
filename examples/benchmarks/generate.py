"""Segment-everything: segcli against the stock transformers pipeline, on one model and picture.

    python examples/benchmarks/generate.py                          # sam-vit-base's shape, 512x512
    python examples/benchmarks/generate.py --shape small            # under a minute
    python examples/benchmarks/generate.py --model tiny             # the bundled model
    python examples/benchmarks/generate.py --model path/to/model --image photo.jpg

Without --model, a SAM of the shape asked for is made with seeded random weights, so no network is
needed. Thresholds are set so that about half of the masks survive. Each engine runs in a process of
its own; the table gives seconds and memory of each, and how well their masks agree.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generators import Run, Seen, measure
from PIL import Image

from segcli.masks.rle import decode
from segcli.records import RLE

# Side of the input, points along a side of the grid, and what differs from sam-vit-base's encoder.
SHAPES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "base": (1024, 32, {}),
    "small": (
        512,
        8,
        {
            "hidden_size": 192,
            "num_hidden_layers": 4,
            "num_attention_heads": 3,
            "mlp_dim": 768,
            "global_attn_indexes": [1, 3],
        },
    ),
}
# The stock pipeline keeps empty masks, unless it tests stability at all.
STABILITY = 0.01
# Twins are looked for among so many masks of the nearest scores.
NEAREST = 64


def main() -> None:
    """Measure and print."""
    options = _options()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = _model(options, Path(folder))
        height, width = (int(n) for n in options.size.split("x"))
        picture = Path(folder) / "picture.png"
        _photograph(options.image).resize((width, height), Image.Resampling.LANCZOS).save(picture)
        run = _run(options, model, picture)
        print(_heading(options, run), flush=True)
        seen = {}
        for engine in [e for e in ("segcli", "stock") if e not in options.without]:
            seen[engine] = _measure(engine, run)
            print(f"{engine}: {seen[engine].seconds:.1f} s, {len(seen[engine].masks)} masks",
                  file=sys.stderr)  # fmt: skip
    for line in _table(seen):
        print(line)
    if len(seen) == 2:
        print(_agreement(seen["stock"], seen["segcli"], height, width))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", help="short name or directory; without it, random weights")
    add("--shape", choices=SHAPES, default="base", help="of the model with random weights")
    add("--image", help="picture; without it, scikit-image's astronaut")
    add("--size", default="512x512", help="HEIGHTxWIDTH the picture is resized to")
    add("--points-per-side", type=int, help="32, with the small shape 8")
    add("--threads", type=int, default=2)
    add("--dtype", default="float32", help="of segcli; the stock pipeline has float32 only")
    add("--box-nms-thresh", type=float, default=1.0, help="1 suppresses nothing: all are compared")
    add("--set", action="append", default=[], metavar="NAME=VALUE",
        help="a setting of segcli alone, such as coarse_to_fine=true")  # fmt: skip
    add("--without", action="append", default=[], choices=("stock", "segcli"))
    options = parser.parse_args()
    options.points_per_side = options.points_per_side or (
        32 if options.model else SHAPES[options.shape][1]
    )
    return options


def _model(options: argparse.Namespace, folder: Path) -> Path:
    from segcli.models.catalog import find  # noqa: PLC0415 (not needed to print the help)

    if options.model:
        return find(options.model).directory
    from transformers import SamConfig, SamImageProcessor, SamModel  # noqa: PLC0415 (slow)

    torch.manual_seed(0)
    side, _, vision = SHAPES[options.shape]
    config = SamConfig(
        vision_config={**vision, "image_size": side}, prompt_encoder_config={"image_size": side}
    )
    model = SamModel(config)
    with torch.no_grad():
        model.vision_encoder.pos_embed.normal_(0, 0.5)
        for layer in model.vision_encoder.layers:
            layer.attn.rel_pos_h.normal_(0, 0.1)
            layer.attn.rel_pos_w.normal_(0, 0.1)
        # transformers' own 0.02 would give masks without shape.
        for parameter in model.mask_decoder.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 1.2 * parameter.shape[1] ** -0.5)
        head = model.mask_decoder.iou_prediction_head.proj_out
        head.weight.mul_(0.2)
        head.bias.fill_(0.75)
    model.save_pretrained(folder / "model")
    SamImageProcessor(
        size={"longest_edge": side},
        pad_size={"height": side, "width": side},
        mask_size={"longest_edge": side // 4},
        mask_pad_size={"height": side // 4, "width": side // 4},
    ).save_pretrained(folder / "model")
    return folder / "model"


def _photograph(path: str | None) -> Image.Image:
    if path:
        return Image.open(path).convert("RGB")
    from skimage import data  # noqa: PLC0415 (only without --image)

    return Image.fromarray(data.astronaut())


def _run(options: argparse.Namespace, model: Path, picture: Path) -> Run:
    """The run, with thresholds that about half of the masks of a coarse grid pass."""
    settings = dict(pair.split("=", 1) for pair in options.set)
    run = Run(
        str(model), str(picture), options.threads, options.dtype, options.points_per_side, 0.0,
        STABILITY, options.box_nms_thresh, {k: json.loads(v) for k, v in settings.items()}, True,
    )  # fmt: skip
    coarse = {**asdict(run), "points_per_side": 6, "dtype": "float32", "settings": {}}
    scores = measure("segcli", Run(**coarse)).scores
    # A threshold of 0 would be no threshold.
    return Run(**{**asdict(run), "pred_iou_thresh": max(float(np.median(scores)), 1e-4)})


def _measure(engine: str, run: Run) -> Seen:
    script = Path(__file__).with_name("generators.py")
    done = subprocess.run(  # noqa: S603 (this script's own neighbour)
        [sys.executable, str(script), engine],
        input=json.dumps(asdict(run)),
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Seen(**json.loads(done.stdout.splitlines()[-1]))


def _heading(options: argparse.Namespace, run: Run) -> str:
    model = options.model or f"SAM of shape {options.shape}, random weights"
    capability = torch.backends.cpu.get_cpu_capability()
    return (
        f"{model}; picture {options.size}; {run.points_per_side} x {run.points_per_side} points; "
        f"segcli in {run.dtype}; predicted IoU above {run.pred_iou_thresh:.3f}; box NMS "
        f"{run.box_nms_thresh:g}; {options.threads} threads ({capability}), torch "
        f"{torch.__version__}, transformers {version('transformers')}, "
        f"Python {platform.python_version()}\n"
    )


def _table(seen: dict[str, Seen]) -> list[str]:
    """Markdown table: a row a stage."""
    names = list(seen)
    ratio = ["stock / segcli"] if len(names) == 2 else []
    lines = ["| | " + " | ".join([*names, *ratio]) + " |", "|---|" + "--:|" * len(names + ratio)]
    stages = ("encoder", "decoder", "upscaling", "masks to pixels", "tests", "rest")
    rows: list[tuple[str, list[float]]] = [
        (f"{stage}, s", [seen[n].stages.get(stage, 0.0) for n in names]) for stage in stages
    ]
    rows += [
        ("**total, s**", [seen[n].seconds for n in names]),
        ("processor, s", [seen[n].processor for n in names]),
        ("memory beyond the model, MB", [seen[n].megabytes for n in names]),
        ("memory of the process, MB", [seen[n].total_megabytes for n in names]),
        ("masks", [len(seen[n].masks) for n in names]),
    ]
    for title, values in rows:
        digits = 0 if "MB" in title or title == "masks" else 2
        cells = [f"{v:.{digits}f}" for v in values]
        if ratio:
            cells.append(f"{values[1] / values[0]:.1f}" if values[0] and values[1] else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def _agreement(stock: Seen, ours: Seen, height: int, width: int) -> str:
    """How many masks of the stock pipeline have a twin in ours, each used once."""
    free = np.ones(len(ours.masks), dtype=bool)
    packed = [np.packbits(decode(RLE(height, width, counts))) for counts in ours.masks]
    scores, ious = np.array(ours.scores), []
    for counts, score in zip(stock.masks, stock.scores, strict=True):
        mask = np.packbits(decode(RLE(height, width, counts)))
        near = np.argsort(np.abs(scores - score) + 1e9 * ~free, kind="stable")[:NEAREST]
        best, twin = 0.0, -1
        for i in near[free[near]]:
            union = int(np.bitwise_count(mask | packed[i]).sum())
            iou = int(np.bitwise_count(mask & packed[i]).sum()) / union if union else 1.0
            if iou > best:
                best, twin = iou, int(i)
        if twin >= 0:
            free[twin] = False
            ious.append(best)
    if not ious:
        return "\nNo mask has a twin."
    close = sum(iou >= 0.999 for iou in ious)
    return (
        f"\n{len(ious)} of {len(stock.masks)} masks have a twin: mean IoU {np.mean(ious):.6f}, "
        f"worst {min(ious):.6f}, {close} at 0.999 or more."
    )


if __name__ == "__main__":
    main()
