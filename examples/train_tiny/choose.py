"""Choose the thresholds of segment-everything on labelled TRAINING pictures.

Every combination of a small grid is scored by pooled F1 at IoU 0.5, best on pictures that were held
out, where predicted IoU is what it will be on new ones. The best ones are printed, to be
written into the model directory's segcli.json by hand.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
from data import IMAGE_SUFFIXES, held_out, pair_files, read_picture
from measure import (
    Everything,
    Generate,
    candidates,
    encode,
    iou_table,
    overlap_ratio,
    suppress,
    truths,
)
from model import Trainee
from transformers import EdgeTamModel

PREDICTED = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
STABILITY = (0.0, 0.3, 0.5, 0.6)
OVERLAP = (0.2, 0.3, 0.4, 0.5)
SETTINGS = tuple(product(PREDICTED, STABILITY, OVERLAP))
_MODELS: list[Trainee] = []


def score(task: tuple[Path, Path, int]) -> list[Everything]:
    """Counts of one picture for each of SETTINGS."""
    torch.set_num_threads(1)
    image, labels, side = task
    scene = read_picture(image, labels)
    objects = truths(scene.objects, np.random.default_rng(0))
    grid = Generate(points_per_side=side)
    trainee = _MODELS[-1]
    encoded = encode(trainee, scene.image)
    found = candidates(trainee, encoded, scene.objects.shape, grid, min(PREDICTED))
    ratio = overlap_ratio(found.masks, grid.nms_metric)
    filled = found.masks.any((1, 2))
    table = np.zeros((len(filled), len(objects)), np.float32)
    table[filled] = iou_table(list(found.masks[filled]), objects)
    counts = []
    for predicted, stability, overlap in SETTINGS:
        chosen = Generate(side, predicted, stability, 1.0, overlap)
        counts.append(Everything())
        counts[-1].add_table(table[suppress(found, chosen, ratio)])
    return counts


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the ten best settings."""
    data = Path(__file__).resolve().parents[3] / "shared" / "data" / "nuclei" / "train"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="model directory")
    parser.add_argument("--images", type=Path, default=data / "images", help=str(IMAGE_SUFFIXES))
    parser.add_argument("--labels", type=Path, default=data / "labels")
    parser.add_argument("--pictures", type=int, default=40, help="spread over the folder")
    parser.add_argument("--hold-out", type=int, default=0,
                        help="only pictures that train.py --hold-out left out")  # fmt: skip
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    _MODELS.append(Trainee(EdgeTamModel.from_pretrained(options.model).eval()))
    pairs = pair_files(options.images, options.labels)
    if options.hold_out:
        pairs = [pair for pair in pairs if held_out(pair[0], options.hold_out)]
    pairs = pairs[:: max(1, len(pairs) // options.pictures)][: options.pictures]
    totals = [Everything() for _ in SETTINGS]
    with multiprocessing.get_context("fork").Pool(options.workers) as pool:
        tasks = [(*pair, options.points_per_side) for pair in pairs]
        for counts in pool.imap_unordered(score, tasks):
            for total, more in zip(totals, counts, strict=True):
                for name in vars(total):
                    setattr(total, name, getattr(total, name) + getattr(more, name))
    order = np.argsort([-t.ratios()["f1"] for t in totals])
    print("F1@0.5  overlap  pred_iou  stability  mask_nms")
    for i in order[:10]:
        ratios = totals[i].ratios()
        predicted, stability, overlap = SETTINGS[i]
        print(f"{ratios['f1']:.3f}   {ratios['overlap']:.3f}    {predicted:<8}  {stability:<9}  "
              f"{overlap}")  # fmt: skip


if __name__ == "__main__":
    main()
