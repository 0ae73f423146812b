"""Measure a model of words with its controls on held-out scenes.

Beside the model, on the same pictures: its answer to "thing" whatever is asked, which cannot read;
its answer to the same phrase about the next picture, which cannot see; and the pixels whose hue the
colour names, which knows no shapes.
"""

from __future__ import annotations

import argparse
import colorsys
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor
from words_scenes import ANY, COLOURS, GROUNDS, UNSEEN, Phrase, WordsScene, make_words_scene
from words_train import KNOWN_PHRASES

from segcli.masks.rle import decode
from segcli.models.words.concepts import Heat
from segcli.models.words.settings import WordSettings

HELD_OUT_SEED = 800_000
# Words that training never used.
UNKNOWN = (
    "bicycle",
    "lamp",
    "river",
    "window",
    "apple",
    "bottle",
    "chair",
    "sheep",
    "cloud",
    "shoe",
)
# A mask of less than this share of the picture is no answer.
NOTHING = 0.002

Mask = NDArray[np.bool_]
Answer = Callable[[WordsScene, str], Mask]


def kind_of(phrase: Phrase) -> str:
    """The row of the table."""
    if (phrase.colour, phrase.noun) in UNSEEN:
        return "colour and shape, never seen together"
    if phrase.noun in GROUNDS:
        return "ground"
    if phrase.noun == ANY:
        return "colour and thing" if phrase.colour else "thing"
    return "colour and shape" if phrase.colour else "shape"


def hue_mask(image: NDArray[np.uint8], colour: str) -> Mask:
    """Pixels of a named colour: (H, W, 3) uint8 to (H, W) bool."""
    pixels = image.astype(np.float32) / 255
    value, low = pixels.max(2), pixels.min(2)
    saturation = (value - low) / np.maximum(value, 1e-6)
    hue = COLOURS[colour]
    if hue is None:
        return value < 0.2 if colour == "black" else (value > 0.8) & (saturation < 0.15)
    middle = np.array(colorsys.hsv_to_rgb(hue[0], 1, 1))
    # The angle between hues, from the projections that define it.
    alpha, beta = (_plane(p) for p in (pixels, middle))
    away = np.abs(np.angle(alpha * np.conj(beta))) / (2 * np.pi)
    return (away < hue[1] + 0.02) & (saturation > 0.5) & (value > 0.3)


def _plane(rgb: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.complex128]:
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    return np.asarray(r - (g + b) / 2 + 1j * np.sqrt(0.75) * (g - b))


def iou(found: Mask, truth: NDArray[np.int8]) -> float:
    """Intersection over union where the truth is known."""
    known, right = truth >= 0, truth == 1
    return float((found & right).sum() / max((found & known | right).sum(), 1))


def reader(folder: Path) -> Answer:
    """The model's answer to a text, which it remembers."""
    model = CLIPSegForImageSegmentation.from_pretrained(folder).eval()
    processor = CLIPSegProcessor.from_pretrained(folder)

    @cache
    def answer(scene: WordsScene, text: str) -> Mask:
        segments = Heat(model, processor, WordSettings((text,))).segment(scene.image)
        return decode(segments[0].mask) if segments else np.zeros(scene.segments.shape, bool)

    return answer


def measure(answer: Answer, scenes: Sequence[WordsScene]) -> dict[str, dict[str, float]]:
    """Mean IoU of each kind of phrase that is there, beside its controls."""
    rows: dict[str, dict[str, list[float]]] = {}
    for number, scene in enumerate(scenes):
        other = scenes[(number + 1) % len(scenes)]
        for phrase in scene.present():
            truth = scene.truth(phrase)
            row = rows.setdefault(kind_of(phrase), {})
            masks = {"model": answer(scene, str(phrase)), "cannot read": answer(scene, ANY),
                     "cannot see": answer(other, str(phrase))}  # fmt: skip
            if phrase.colour:
                masks["hue alone"] = hue_mask(scene.image, phrase.colour)
            for name, mask in masks.items():
                row.setdefault(name, []).append(iou(mask, truth))
    means = {
        kind: {"texts": float(len(row["model"]))} | {n: float(np.mean(v)) for n, v in row.items()}
        for kind, row in rows.items()
    }
    return dict(sorted(means.items()))


def silence(answer: Answer, scenes: Sequence[WordsScene]) -> dict[str, float]:
    """Share of texts that name nothing in the picture, and are answered by nothing."""
    absent, strange = [], []
    for number, scene in enumerate(scenes):
        rng = np.random.default_rng(number)
        there = set(scene.present())
        for i in rng.permutation(len(KNOWN_PHRASES))[:12]:
            phrase = KNOWN_PHRASES[i]
            # A coin or a cell may have the colour that is asked for.
            if phrase not in there and not (scene.truth(phrase) < 0).any():
                absent.append(answer(scene, str(phrase)).mean() < NOTHING)
        strange += [answer(scene, word).mean() < NOTHING for word in UNKNOWN]
    return {"absent": float(np.mean(absent)), "unknown words": float(np.mean(strange))}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="model directory")
    parser.add_argument("--out", type=Path, help="also write the numbers to this JSON file")
    parser.add_argument("--scenes", type=int, default=100, help="number of held-out scenes")
    options = parser.parse_args(arguments)
    scenes = [
        make_words_scene(seed, held_out=True)
        for seed in range(HELD_OUT_SEED, HELD_OUT_SEED + options.scenes)
    ]
    answer = reader(options.model)
    rows, silent = measure(answer, scenes), silence(answer, scenes)
    columns = ("model", "cannot read", "cannot see", "hue alone")
    print(f"| {options.scenes} held-out scenes, mean IoU | texts | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for kind, row in rows.items():
        cells = [f"{row[c]:.3f}" if c in row else "" for c in columns]
        print("| " + " | ".join([kind, f"{row['texts']:.0f}", *cells]) + " |")
    print(
        f"\nAnswered by nothing, as is right: {silent['absent']:.1%} of phrases that are not "
        f"there, {silent['unknown words']:.1%} of words that it does not know."
    )
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps({"present": rows, "silent": silent}, indent=1) + "\n")


if __name__ == "__main__":
    main()
