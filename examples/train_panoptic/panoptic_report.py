"""Measure a class-aware model with its controls on held-out scenes.

Beside the model, on the same pictures: its logits through transformers' own post-processing,
Felzenszwalb regions that are told their true class (that of most of their pixels), and the one
class that fits each picture best. The last two look at the ground truth, which flatters them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from panoptic_scenes import CLASSES, THINGS, PanopticScene, make_panoptic_scene, write_truth
from skimage.segmentation import felzenszwalb
from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation

HELD_OUT_SEED = 700_000
FIRST_STUFF = len(THINGS)


def constant(scene: PanopticScene) -> PanopticScene:
    """The class of most pixels everywhere."""
    areas = np.bincount(scene.segments.ravel(), minlength=len(scene.classes))
    totals = np.bincount(scene.classes[1:], weights=areas[1:], minlength=len(CLASSES))
    return replace(
        scene,
        segments=np.ones_like(scene.segments),
        classes=np.array([-1, int(totals.argmax())]),
    )


def regions(scene: PanopticScene) -> PanopticScene:
    """Felzenszwalb regions with the true class of most of their pixels; stuff of a class joined."""
    found = felzenszwalb(scene.image, scale=200, sigma=0.8, min_size=40)
    true = np.where(scene.segments > 0, scene.classes[scene.segments], len(CLASSES))
    table = np.zeros((int(found.max()) + 1, len(CLASSES) + 1), np.int64)
    np.add.at(table, (found.ravel(), true.ravel()), 1)
    classes, ids, joined = [-1], np.zeros(len(table), np.uint16), dict[int, int]()
    for number, label in enumerate(table[:, :-1].argmax(1).tolist()):
        if label >= FIRST_STUFF and label in joined:
            ids[number] = joined[label]
            continue
        ids[number] = joined[label] = len(classes)
        classes.append(label)
    return replace(scene, segments=ids[found], classes=np.array(classes))


def stock(model: Path) -> Callable[[PanopticScene], PanopticScene]:
    """Stock panoptic post-processing of a model's output."""
    network = AutoModelForUniversalSegmentation.from_pretrained(model, dtype=torch.float32).eval()
    processor = AutoImageProcessor.from_pretrained(model)

    def predict(scene: PanopticScene) -> PanopticScene:
        inputs = processor(images=scene.image, return_tensors="pt")
        with torch.inference_mode():
            output = network(pixel_values=inputs["pixel_values"])
        size = scene.segments.shape
        result = processor.post_process_panoptic_segmentation(
            output, target_sizes=[size], label_ids_to_fuse=set(range(FIRST_STUFF, len(CLASSES)))
        )[0]
        classes = [-1] * (1 + max([0, *(s["id"] for s in result["segments_info"])]))
        for segment in result["segments_info"]:
            classes[segment["id"]] = segment["label_id"]
        values = result["segmentation"].numpy()
        seen = np.zeros(len(classes), bool)
        seen[np.unique(values[values > 0])] = True
        order = np.cumsum(seen) * seen
        kept = [-1, *(c for c, s in zip(classes, seen, strict=True) if s)]
        return replace(
            scene, segments=order[np.maximum(values, 0)].astype(np.uint16), classes=np.array(kept)
        )

    return predict


def segcli(*arguments: str | Path) -> str:
    """Run the command line and return what it prints."""
    call = [sys.executable, "-m", "segcli", *map(str, arguments)]
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 (own)
    return done.stdout


def scores(pred: Path, truth: Path, protocol: str, names: Sequence[str]) -> dict[str, Any]:
    """Pooled scores of one protocol."""
    found = json.loads(segcli("eval", pred, truth, "--protocol", protocol, "--json", "-q"))
    values = {name: found["metrics"][name] for name in names}
    return {n: v["pooled"] if isinstance(v, dict) else v for n, v in values.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write scenes, predictions and scores to a folder, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="model directory")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--scenes", type=int, default=100, help="number of held-out scenes")
    options = parser.parse_args(arguments)
    images, truth = options.out / "images", options.out / "truth"
    scenes = {
        f"scene_{seed:06d}": make_panoptic_scene(seed, (320, 320), held_out=True)
        for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + options.scenes)
    }
    write_truth(scenes, images, truth)
    table: dict[str, dict[str, Any]] = {}
    panoptic, semantic = ("pq", "sq", "rq", "pq_things", "pq_stuff"), ("miou", "pixel_accuracy")
    row: dict[str, Any] = {}
    for task, names in (
        ("panoptic", panoptic),
        ("semantic", semantic),
        ("instance", ("ap", "ap50")),
    ):
        folder = options.out / task
        segcli("predict", images, "-o", folder, "--model", options.model, "--task", task, "-q")
        row |= scores(folder, truth, task, names)
    table["model"] = row
    controls = {"transformers' post-processing": stock(options.model), "regions": regions,
                "one class": constant}  # fmt: skip
    for number, (name, predict) in enumerate(controls.items()):
        folder = options.out / f"control_{number}"
        write_truth({stem: predict(s) for stem, s in scenes.items()}, folder / "images", folder)
        row = scores(folder / "panoptic.json", truth, "panoptic", panoptic)
        table[name] = row | scores(folder / "panoptic.json", truth, "semantic", semantic)
    (options.out / "report.json").write_text(json.dumps(table, indent=1) + "\n")
    columns = [*panoptic, *semantic, "ap", "ap50"]
    print("| " + " | ".join([f"{options.scenes} held-out scenes", *columns]) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, values in table.items():
        cells = [f"{values[c]:.3f}" if values.get(c) is not None else "-" for c in columns]
        print("| " + " | ".join([name, *cells]) + " |")


if __name__ == "__main__":
    main()
