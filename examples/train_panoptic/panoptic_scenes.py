"""Procedural scenes of things and stuff with exact panoptic labels.

Grounds (grass, bricks, gravel, water, sky, plain) meet at a horizon or in patches, and things
(coins, cells, stars, triangles, boxes, rings, flowers) lie on them. Every scene is a pure function
of its seed. Run as a script it writes pictures and their ground truth in COCO's panoptic layout::

    python examples/train_panoptic/panoptic_scenes.py --images pictures --truth truth --count 100
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "train_tiny"))

from scenes import Floats, Painter, Style, blob, expose, fill, noise_field, positions, rotate

THINGS = ("coin", "cell", "star", "triangle", "box", "ring", "flower")
STUFF = ("plain", "sky", "grass", "bricks", "gravel", "water")
CLASSES = THINGS + STUFF
# Scenes that are only measured cut their textures from this share of the photographs, on the right,
# which those that are learnt from never see.
HELD_OUT_SHARE = 0.3
# A thing of which less is visible is void: nobody could tell what it is.
MIN_VISIBLE = 20
TEXTURES = {"grass": "grass.png", "bricks": "brick.png", "gravel": "gravel.png"}


@dataclass(frozen=True)
class PanopticScene:
    """A picture and what is in it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        segments: (H, W) uint16 segment ids, 0 = void.
        classes: index into CLASSES by segment id, (n + 1,) int64; -1 for void.
    """

    image: NDArray[np.uint8]
    segments: NDArray[np.uint16]
    classes: NDArray[np.int64]


@lru_cache(maxsize=3)
def texture(name: str) -> Floats:
    """A public-domain photograph of a surface, (H, W) float32 in 0..1.

    Raises:
        ImportError: scikit-image, whose wheel holds the photographs, is not installed.
    """
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise ImportError("the textures are in scikit-image: pip install scikit-image")
    path = Path(spec.origin).parent / "data" / TEXTURES[name]
    return np.asarray(Image.open(path).convert("L"), np.float32) / 255


def textured(
    rng: np.random.Generator, name: str, height: int, width: int, held_out: bool
) -> Floats:
    """A crop of a photograph at a random scale, (height, width) float32 around 1."""
    picture = texture(name)
    border = int(picture.shape[1] * (1 - HELD_OUT_SHARE))
    picture = picture[:, border:] if held_out else picture[:, :border]
    scale = rng.uniform(0.7, 1.8) * max(height, width) / 320
    side = int(min(max(48, max(height, width) / scale), *picture.shape))
    top = int(rng.integers(picture.shape[0] - side + 1))
    left = int(rng.integers(picture.shape[1] - side + 1))
    crop = picture[top : top + side, left : left + side]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    size = max(height, width)
    grown = Image.fromarray(np.ascontiguousarray(crop)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    field = np.asarray(grown, np.float32)[:height, :width]
    return 1 + (field - field.mean()) * rng.uniform(0.8, 1.5) / max(float(field.mean()), 0.2)


def tinted(rng: np.random.Generator, colour: Sequence[float], spread: float) -> NDArray[np.float64]:
    """A colour near the given one."""
    return np.clip(np.asarray(colour) * rng.uniform(0.6, 1.25) + rng.normal(0, spread, 3), 0, 1)


def ground(rng: np.random.Generator, name: str, height: int, width: int, held_out: bool) -> Floats:
    """The surface of a stuff class, (height, width, 3) float32."""
    if name in TEXTURES:
        colours = {"grass": (0.35, 0.55, 0.2), "bricks": (0.65, 0.38, 0.3), "gravel": (0.55,) * 3}
        tone = textured(rng, name, height, width, held_out)[..., None]
        return np.clip(tinted(rng, colours[name], 0.05) * tone, 0, 1).astype(np.float32)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if name == "sky":
        top = tinted(rng, (0.3, 0.5, 0.85), 0.08)
        low = np.clip(top + rng.uniform(0.1, 0.4) + rng.normal(0, 0.08, 3), 0, 1)
        mix = (y / height)[..., None]
        clouds = np.clip(noise_field(rng, height, width, 5) * 2 - rng.uniform(0.8, 1.6), 0, 1)
        clouds = clouds[..., None] * rng.uniform(0.3, 0.9)
        plain = top * (1 - mix) + low * mix
        return (plain * (1 - clouds) + rng.uniform(0.85, 1) * clouds).astype(np.float32)
    if name == "water":
        colour = tinted(rng, (0.12, 0.42, 0.5), 0.07)
        period = rng.uniform(6, 16) * height / 320
        bend = noise_field(rng, height, width, 4) * rng.uniform(20, 60)
        slant = rng.uniform(-0.3, 0.3)
        wave = np.sin(2 * np.pi * (y + slant * x + bend) / period)
        glint = np.clip(noise_field(rng, height, width, 6) - 0.6, 0, 1) * wave.clip(0, 1)
        tone = 1 + rng.uniform(0.12, 0.35) * wave[..., None]
        return np.clip(colour * tone + glint[..., None] * 1.5, 0, 1).astype(np.float32)
    colour = rng.uniform(0.02, 1, 3) if rng.random() < 0.5 else np.full(3, rng.uniform(0.02, 1))
    wave = noise_field(rng, height, width, 2)[..., None] - 0.5
    return np.clip(colour + rng.uniform(0, 0.15) * wave, 0, 1).astype(np.float32)


def _layout(
    rng: np.random.Generator, height: int, width: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Which ground each pixel has: (H, W) index into the names given beside it."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    kind = rng.random()
    if kind < 0.3:
        return np.zeros((height, width), np.int64), [str(rng.choice(STUFF))]
    bend = rng.uniform(0, 0.35) * height * (noise_field(rng, height, width, 3) - 0.5)
    if kind < 0.65:
        below = [str(n) for n in rng.permutation([s for s in STUFF if s != "sky"])]
        above = "sky" if rng.random() < 0.7 else below.pop()
        slope = rng.uniform(-0.3, 0.3) * (x - width / 2)
        line = height * rng.uniform(0.25, 0.75)
        index = (y + slope + bend > line).astype(np.int64)
        if rng.random() < 0.3:
            upright = rng.uniform(-0.5, 0.5) * (y - height / 2) + bend
            index[(index == 1) & (x + upright > width * rng.uniform(0.3, 0.7))] = 2
        return index, [above, *below[:2]]
    count = int(rng.integers(2, 4))
    names = [str(n) for n in rng.permutation(STUFF)[:count]]
    seeds = rng.uniform((0, 0), (width, height), (count, 2))
    index = np.stack([np.hypot(x + bend - sx, y - bend - sy) for sx, sy in seeds]).argmin(0)
    return index, names


def star(rng: np.random.Generator, radius: float) -> NDArray[np.float64]:
    """Outline of a star of four to seven points."""
    count = int(rng.integers(4, 8))
    theta = np.arange(2 * count) * np.pi / count
    r = np.where(np.arange(2 * count) % 2, rng.uniform(0.35, 0.55), 1.15) * radius
    return rotate(np.stack([r * np.cos(theta), r * np.sin(theta)], 1), rng.uniform(0, 2 * np.pi))


def triangle(rng: np.random.Generator, radius: float) -> NDArray[np.float64]:
    """Outline of a triangle that is not too thin."""
    theta = (np.arange(3) + rng.uniform(-0.2, 0.2, 3)) * 2 * np.pi / 3
    points = 1.2 * radius * np.stack([np.cos(theta), np.sin(theta)], 1)
    return rotate(points, rng.uniform(0, 2 * np.pi))


def box(rng: np.random.Generator, radius: float) -> NDArray[np.float64]:
    """Outline of a rectangle at any angle."""
    a, b = radius * np.array([1.0, 0.85]) * np.exp(rng.uniform(-0.35, 0.25, 2))
    points = np.array([[-a, -b], [a, -b], [a, b], [-a, b]])
    return rotate(points, rng.uniform(0, 2 * np.pi))


def flower(rng: np.random.Generator, radius: float) -> NDArray[np.float64]:
    """Outline of five to eight round petals."""
    theta = np.linspace(0, 2 * np.pi, 128, endpoint=False)
    petals = np.abs(np.cos(rng.integers(5, 9) * theta / 2))
    r = radius * (0.5 + 0.6 * petals ** rng.uniform(0.5, 0.8))
    points = np.stack([r * np.cos(theta), r * np.sin(theta)], 1)
    return rotate(points, rng.uniform(0, 2 * np.pi))


OUTLINES: dict[str, Callable[[np.random.Generator, float], NDArray[np.float64]]] = {
    "star": star,
    "triangle": triangle,
    "box": box,
    "ring": lambda rng, radius: blob(rng, radius, 0.02, 1.2),
    "flower": flower,
    "coin": lambda rng, radius: blob(rng, radius, 0.03, 1.15),
    "cell": lambda rng, radius: blob(rng, radius, rng.uniform(0.05, 0.35), 2.0),
}


def _relief(rng: np.random.Generator, metal: NDArray[np.float64]) -> Callable[[int, int], Floats]:
    def paint(h: int, w: int) -> Floats:
        field = noise_field(rng, h, w, octaves=5)
        light = np.gradient(field, axis=int(rng.integers(2))) * rng.uniform(2, 6)
        return np.clip(metal + light[..., None], 0, 1).astype(np.float32)

    return paint


def _plasm(rng: np.random.Generator, colour: NDArray[np.float64]) -> Callable[[int, int], Floats]:
    def paint(h: int, w: int) -> Floats:
        texture_ = 0.3 * (noise_field(rng, h, w) - 0.5) + 0.1 * (rng.random((h, w)) - 0.5)
        return np.clip(colour * (1 + texture_[..., None]), 0, 1).astype(np.float32)

    return paint


def add_thing(
    painter: Painter,
    name: str,
    centre: NDArray[np.float64],
    radius: float,
    colour: NDArray[np.float64],
) -> int:
    """Paint one thing and return its id, 0 if it lies off the canvas.

    Args:
        painter: the canvas.
        name: one of THINGS.
        centre: (2,) xy in pixels.
        radius: in pixels.
        colour: (3,) of coins and cells, whose look is part of what they are; others have any.
    """
    rng = painter.rng
    shape = OUTLINES[name](rng, radius)
    shadow = float(rng.random() < 0.4) * rng.uniform(0.2, 0.6)
    if name == "coin":
        style = Style(shadow=shadow, rim=rng.uniform(0.15, 0.5))
        owner = painter.add(shape + centre, _relief(rng, tinted(rng, colour, 0.03)), style)
        painter.add_part(
            owner, shape * 0.8 + centre, _relief(rng, tinted(rng, colour, 0.03)), Style()
        )
        return owner
    if name == "cell":
        own = np.clip(colour * rng.uniform(0.8, 1.2), 0, 1)
        style = Style(softness=rng.uniform(0, 0.08) * radius, opacity=rng.uniform(0.7, 1))
        owner = painter.add(shape + centre, _plasm(rng, own), style)
        nucleus = blob(rng, radius * rng.uniform(0.25, 0.45), 0.1, 1.4) + centre
        dark = np.clip(own * rng.uniform(0.35, 0.7), 0, 1)
        painter.add_part(owner, nucleus, _plasm(rng, dark), Style(softness=0.5))
        return owner
    style = Style(shadow=shadow, rim=float(rng.random() < 0.3) * rng.uniform(-0.4, 0.4))
    hole = shape * rng.uniform(0.4, 0.65) + centre if name == "ring" else None
    owner = painter.add(shape + centre, lambda h, w: fill(rng, h, w, plain=0.6), style, hole)
    if name == "flower":
        middle = blob(rng, radius * rng.uniform(0.25, 0.4), 0.03, 1.1) + centre
        painter.add_part(owner, middle, lambda h, w: fill(rng, h, w, plain=0.8), Style())
    return owner


def _things(rng: np.random.Generator, height: int, width: int) -> list[tuple[str, float]]:
    """(class, radius) of the things of a scene: one kind gathered, or some of every kind."""
    side = min(height, width)
    kind = rng.random()
    if kind < 0.25:
        radius = side * rng.uniform(0.035, 0.08)
        return [("cell", radius * np.exp(rng.normal(0, 0.25))) for _ in range(rng.integers(4, 25))]
    if kind < 0.4:
        radius = side * rng.uniform(0.05, 0.11)
        return [("coin", radius * np.exp(rng.normal(0, 0.12))) for _ in range(rng.integers(3, 15))]
    count = int(rng.integers(2, 12))
    base = side * rng.uniform(0.05, 0.16)
    return [
        (str(rng.choice(THINGS)), float(np.clip(base * np.exp(rng.normal(0, 0.4)), 9, side * 0.3)))
        for _ in range(count)
    ]


def make_panoptic_scene(
    seed: int, size: Sequence[int] = (320, 320), held_out: bool = False
) -> PanopticScene:
    """Draw the scene of a seed.

    Args:
        seed: any non-negative integer; the same arguments give the same pixels.
        size: height and width in pixels, each at least 64.
        held_out: cut textures from the part of the photographs that is kept for measuring.

    Returns:
        The scene; each pixel belongs to the topmost thing that covers more than half of it, or
        else to the ground there.

    Raises:
        ImportError: scikit-image is not installed.
    """
    height, width = size
    rng = np.random.default_rng((seed, 77))
    index, names = _layout(rng, height, width)
    things = _things(rng, height, width)
    if things[0][0] == "cell" and len({name for name, _ in things}) == 1:
        index, names = np.zeros((height, width), np.int64), ["plain"]
    canvas = np.zeros((height, width, 3), np.float32)
    for number, name in enumerate(names):
        here = index == number
        if here.any():
            canvas[here] = ground(rng, name, height, width, held_out)[here]
    painter = Painter(rng, height, width, canvas)
    colours = {"coin": tinted(rng, (0.65, 0.55, 0.4), 0.1), "cell": rng.uniform(0.15, 1.0, 3)}
    centres = positions(rng, len(things), height, width, gather=rng.uniform(0, 0.4))
    drawn: dict[int, str] = {}
    for (name, radius), centre in zip(things, centres, strict=True):
        owner = add_thing(painter, name, centre, radius, colours.get(name, np.zeros(3)))
        if owner:
            drawn[owner] = name
    segments, classes = _labelled(painter, drawn, index, names)
    return PanopticScene(expose(rng, painter.canvas), segments, classes)


def _labelled(
    painter: Painter, drawn: dict[int, str], index: NDArray[np.int64], names: list[str]
) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    segments = np.zeros(index.shape, np.uint16)
    classes = [-1]
    for owner, name in drawn.items():
        mask = painter.objects == owner
        if mask.sum() >= MIN_VISIBLE:
            segments[mask] = len(classes)
            classes.append(CLASSES.index(name))
    for number, name in enumerate(names):
        mask = (painter.objects == 0) & (index == number)
        if mask.any():
            segments[mask] = len(classes)
            classes.append(CLASSES.index(name))
    return segments, np.array(classes, np.int64)


def write_truth(scenes: dict[str, PanopticScene], images: Path, truth: Path) -> None:
    """Write pictures, and their ground truth in COCO's panoptic layout.

    Args:
        scenes: by stem.
        images: folder for <stem>.png.
        truth: folder for panoptic.json and panoptic/<stem>.png. Class ids are CLASSES' from 1.
    """
    images.mkdir(parents=True, exist_ok=True)
    (truth / "panoptic").mkdir(parents=True, exist_ok=True)
    listed, annotations = [], []
    for number, (stem, scene) in enumerate(scenes.items(), start=1):
        Image.fromarray(scene.image).save(images / f"{stem}.png", optimize=True)
        ids = np.zeros_like(scene.image)
        ids[..., 0], ids[..., 1] = scene.segments & 255, scene.segments >> 8
        Image.fromarray(ids).save(truth / "panoptic" / f"{stem}.png", optimize=True)
        height, width = scene.segments.shape
        listed.append({"id": number, "file_name": f"{stem}.png", "height": height, "width": width})
        infos = []
        for i in range(1, len(scene.classes)):
            y, x = np.nonzero(scene.segments == i)
            left, top = int(x.min()), int(y.min())
            infos.append({
                "id": i, "category_id": int(scene.classes[i]) + 1, "area": len(x), "iscrowd": 0,
                "bbox": [left, top, int(x.max()) + 1 - left, int(y.max()) + 1 - top],
            })  # fmt: skip
        annotations.append({"image_id": number, "file_name": f"{stem}.png", "segments_info": infos})
    categories = [
        {"id": i, "name": name, "isthing": int(name in THINGS)}
        for i, name in enumerate(CLASSES, start=1)
    ]
    content = {"images": listed, "annotations": annotations, "categories": categories}
    (truth / "panoptic.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def scene_options(parser: argparse.ArgumentParser, size: tuple[int, int]) -> None:
    """Options of the scripts that write scenes."""
    parser.add_argument("--images", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--truth", type=Path, required=True, help="folder for the ground truth")
    parser.add_argument("--count", type=int, default=12, help="number of scenes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--size", type=int, nargs=2, default=size, metavar=("H", "W"))
    parser.add_argument("--held-out", action="store_true", help="as they are kept for measuring")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write scenes to a folder of images and a folder of ground truth."""
    parser = argparse.ArgumentParser(description="Write scenes and their panoptic ground truth.")
    scene_options(parser, (320, 320))
    options = parser.parse_args(arguments)
    scenes = {
        f"scene_{seed:06d}": make_panoptic_scene(seed, options.size, options.held_out)
        for seed in range(options.seed, options.seed + options.count)
    }
    write_truth(scenes, options.images, options.truth)


if __name__ == "__main__":
    main()
