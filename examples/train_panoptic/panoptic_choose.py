"""Choose the score threshold and the overlap threshold that a model's segcli.json states.

The scenes have seeds of their own, and textures from the part of the photographs that training
uses: what is measured elsewhere is not looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from panoptic_scenes import CLASSES, THINGS, PanopticScene, make_panoptic_scene

from segcli.masks.rle import decode
from segcli.models.catalog import find
from segcli.models.classes.forward import run_queries
from segcli.models.classes.loaded import load_class_model
from segcli.models.classes.queries import QueryOutput, panoptic_of_queries
from segcli.models.classes.settings import ClassSettings

CHOICE_SEED = 600_000
THRESHOLDS = (0.2, 0.3, 0.4, 0.5)
OVERLAPS = (0.5, 0.8)
STUFF_LABELS = frozenset(range(len(THINGS), len(CLASSES)))


def counts(
    output: QueryOutput, scene: PanopticScene, settings: ClassSettings
) -> NDArray[np.float64]:
    """(C, 4) summed IoU, true positives, false positives and false negatives of one scene."""
    table = np.zeros((len(CLASSES), 4))
    found = panoptic_of_queries(output, *scene.segments.shape, settings, STUFF_LABELS)
    areas = np.bincount(scene.segments.ravel(), minlength=len(scene.classes))
    matched = set()
    for segment in found:
        mask = decode(segment.mask)
        overlap = np.bincount(scene.segments[mask], minlength=len(scene.classes))
        label = segment.category or 0
        union = areas + mask.sum() - overlap - overlap[0]
        iou = np.where(scene.classes == label, overlap / np.maximum(union, 1), 0)
        best = int(iou.argmax())
        if iou[best] > 0.5:
            table[label, :2] += iou[best], 1
            matched.add(best)
        elif overlap[0] <= 0.5 * mask.sum():
            table[label, 2] += 1
    for number in set(range(1, len(scene.classes))) - matched:
        table[scene.classes[number], 3] += 1
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the mean PQ over classes for each pair of thresholds, the best last."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="model directory")
    parser.add_argument("--scenes", type=int, default=40, help="number of scenes")
    options = parser.parse_args(arguments)
    loaded = load_class_model(find(options.model), ClassSettings(), device="auto", dtype="auto")
    pairs = list(product(THRESHOLDS, OVERLAPS))
    totals = np.zeros((len(pairs), len(CLASSES), 4))
    for seed in range(CHOICE_SEED, CHOICE_SEED + options.scenes):
        scene = make_panoptic_scene(seed)
        with torch.inference_mode():
            output = run_queries(loaded.runtime, scene.image, "panoptic")
        assert isinstance(output, QueryOutput)
        for index, (threshold, overlap) in enumerate(pairs):
            settings = ClassSettings("panoptic", threshold, overlap_mask_area_threshold=overlap)
            totals[index] += counts(output, scene, settings)
    iou, right, wrong, missed = np.moveaxis(totals, -1, 0)
    quality = (iou / np.maximum(right + wrong / 2 + missed / 2, 1)).mean(-1)
    for index in quality.argsort():
        threshold, overlap = pairs[index]
        print(f"threshold {threshold:.2f} overlap {overlap:.2f}: PQ {quality[index]:.4f}")


if __name__ == "__main__":
    main()
