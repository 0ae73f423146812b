"""Procedural scenes with exact masks: pictures drawn by the program, labelled as they are drawn.

Every scene is a pure function of its seed, kind and size. Run as a script it writes a folder of
PNG images and a folder of 16-bit instance label maps of the same names::

    python examples/train_tiny/scenes.py --images pictures --labels masks --count 100
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Floats = NDArray[np.float32]
Polygon = NDArray[np.float64]

OVERSAMPLE = 3
# In scikit-image's wheel, all CC0 or public domain. The photographs that the model is looked at on
# (astronaut, coffee, rocket, cat, coins, cell) are left out on purpose.
PHOTOGRAPHS = ("brick.png", "grass.png", "gravel.png", "clock_motion.png", "camera.png")


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        objects: (H, W) uint16 instance label map, 0 = background; ids are 1..n, and an object that
            is wholly hidden has no pixels.
        parts: (H, W) uint16 label map one level down; every part lies within one object, and the
            part of an object without parts is the object itself.
    """

    image: NDArray[np.uint8]
    objects: NDArray[np.uint16]
    parts: NDArray[np.uint16]


@dataclass(frozen=True)
class Style:
    """How one region is painted: softness of its edge in pixels, shadow and rim in 0..1."""

    softness: float = 0.0
    shadow: float = 0.0
    rim: float = 0.0
    opacity: float = 1.0


@lru_cache(maxsize=1)
def photographs() -> tuple[Floats, ...]:
    """Public-domain photographs as (H, W, 3) float32 in 0..1; empty without scikit-image."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        return ()
    folder = Path(spec.origin).parent / "data"
    found = [folder / name for name in PHOTOGRAPHS if (folder / name).is_file()]
    return tuple(np.asarray(Image.open(p).convert("RGB"), np.float32) / 255 for p in found)


def resize(field: Floats, height: int, width: int) -> Floats:
    """Bicubic resize of a 2-D float field."""
    image = Image.fromarray(np.ascontiguousarray(field, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def noise_field(rng: np.random.Generator, height: int, width: int, octaves: int = 4) -> Floats:
    """Smooth random field in 0..1 that sums grids of doubling resolution."""
    total = np.zeros((height, width), np.float32)
    cells, weight = int(rng.integers(2, 5)), 1.0
    persistence = rng.uniform(0.4, 0.85)
    for _ in range(octaves):
        total += weight * resize(rng.random((cells, cells), np.float32), height, width)
        cells, weight = min(cells * 2, max(height, width)), weight * persistence
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def pattern(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Scalar pattern in 0..1: gradient, stripes, checks, dots, smooth or white noise."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    u = x * np.cos(angle) + y * np.sin(angle)
    v = y * np.cos(angle) - x * np.sin(angle)
    period = rng.uniform(4, 24)
    choice = rng.integers(7)
    if choice == 0:
        field = (u - u.min()) / max(float(np.ptp(u)), 1e-6)
    elif choice == 1:
        field = 0.5 + 0.5 * np.sin(2 * np.pi * u / period)
    elif choice == 2:
        field = ((np.floor(u / period) + np.floor(v / period)) % 2).astype(np.float32)
    elif choice == 3:
        field = (np.hypot(u % period - period / 2, v % period - period / 2) < period / 4) * 1.0
    elif choice == 4:
        field = rng.random((height, width), np.float32)
    else:
        field = noise_field(rng, height, width, octaves=int(rng.integers(2, 7)))
    return np.asarray(field, np.float32)


def photograph_crop(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Random crop of a photograph, (height, width, 3) float32, at a random scale."""
    pool = photographs()
    picture = pool[rng.integers(len(pool))]
    scale = rng.uniform(0.4, 1.6)
    h, w = (min(max(8, int(n / scale)), picture.shape[a]) for a, n in enumerate((height, width)))
    top = int(rng.integers(picture.shape[0] - h + 1))
    left = int(rng.integers(picture.shape[1] - w + 1))
    crop = Image.fromarray((picture[top : top + h, left : left + w] * 255).astype(np.uint8))
    crop = crop.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(crop, np.float32) / 255


def fill(rng: np.random.Generator, height: int, width: int, plain: float = 0.35) -> Floats:
    """Random surface, (height, width, 3) float32: plain, patterned or cut from a photograph."""
    first = rng.random(3, np.float32)
    if rng.random() < plain:
        return np.broadcast_to(first, (height, width, 3)).copy()
    contrast = rng.uniform(0.05, 0.8)
    second = np.clip(first + contrast * rng.normal(0, 0.6, 3), 0, 1).astype(np.float32)
    if photographs() and rng.random() < 0.4:
        crop = photograph_crop(rng, height, width)
        tint = rng.uniform(0.2, 1.0)
        return np.clip(crop * (tint * (first * 1.4) + (1 - tint)), 0, 1).astype(np.float32)
    mix = pattern(rng, height, width)[..., None]
    return first * (1 - mix) + second * mix


def blob(
    rng: np.random.Generator, radius: float, wobble: float = 0.15, stretch: float = 2.0
) -> Polygon:
    """Closed smooth outline round the origin, (64, 2) xy in pixels: a stretched wobbly circle."""
    theta = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    r = np.ones(64)
    for k in range(2, 7):
        r += wobble * rng.normal() / k * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
    aspect = np.exp(rng.uniform(0, np.log(stretch))) ** 0.5
    points = np.stack([r * np.cos(theta) * aspect, r * np.sin(theta) / aspect], 1) * radius
    return rotate(points, rng.uniform(0, 2 * np.pi))


def angular(rng: np.random.Generator, radius: float) -> Polygon:
    """Closed straight-sided outline: rectangle, triangle, irregular polygon or star."""
    choice = rng.integers(4)
    if choice == 0:
        a, b = radius * np.exp(rng.uniform(-0.6, 0.6, 2))
        points = np.array([[-a, -b], [a, -b], [a, b], [-a, b]])
    else:
        n = int(rng.integers(3, 8)) if choice < 3 else 2 * int(rng.integers(4, 8))
        theta = (np.arange(n) + rng.uniform(-0.25, 0.25, n)) * 2 * np.pi / n
        r = np.full(n, radius) * rng.uniform(0.8, 1.2, n)
        if choice == 3:
            r[::2] *= rng.uniform(0.4, 0.7)
        points = np.stack([r * np.cos(theta), r * np.sin(theta)], 1)
    return rotate(points, rng.uniform(0, 2 * np.pi))


def rotate(points: Polygon, angle: float) -> Polygon:
    """Points turned about the origin, angle in radians."""
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s], [-s, c]])


def outline(rng: np.random.Generator, radius: float) -> Polygon:
    """Any outline of about the given radius."""
    if rng.random() < 0.35:
        return angular(rng, radius)
    return blob(rng, radius, wobble=rng.choice([0.0, 0.15, 0.45]), stretch=rng.choice([1.05, 2, 4]))


class Painter:
    """A canvas whose label maps are kept exact while regions are painted over one another."""

    def __init__(
        self, rng: np.random.Generator, height: int, width: int, background: Floats
    ) -> None:
        self.rng = rng
        self.canvas = background.astype(np.float32)
        self.objects = np.zeros((height, width), np.uint16)
        self.parts = np.zeros((height, width), np.uint16)
        self.object_count = 0
        self.part_count = 0

    def coverage(
        self, polygon: Polygon, margin: int, hole: Polygon | None = None
    ) -> tuple[slice, slice, Floats] | None:
        """Window (rows, columns) and share of each pixel inside the polygon; None if off canvas."""
        height, width = self.objects.shape
        x0, y0 = np.maximum(np.floor(polygon.min(0)).astype(int) - margin, 0)
        x1, y1 = np.minimum(np.ceil(polygon.max(0)).astype(int) + margin, (width, height))
        if x1 - x0 < 2 or y1 - y0 < 2:
            return None
        big = Image.new("L", (int(x1 - x0) * OVERSAMPLE, int(y1 - y0) * OVERSAMPLE))
        draw = ImageDraw.Draw(big)
        for shape, value in ((polygon, 255), (hole, 0)):
            if shape is not None:
                scaled = (shape - (x0, y0)) * OVERSAMPLE
                draw.polygon([(float(x), float(y)) for x, y in scaled], fill=value)
        share = np.asarray(big.reduce(OVERSAMPLE), np.float32) / 255
        return slice(y0, y1), slice(x0, x1), share

    def add(
        self,
        polygon: Polygon,
        surface: Callable[[int, int], Floats],
        style: Style = Style(),
        hole: Polygon | None = None,
    ) -> int:
        """Paint a new object over what is there, and return its id (0 if off canvas)."""
        found = self.coverage(polygon, margin=4 if style.softness or style.shadow else 1, hole=hole)
        if found is None:
            return 0
        rows, columns, share = found
        self.object_count += 1
        self.part_count += 1
        if style.shadow:
            self._cast(polygon, style.shadow)
        self._blend(rows, columns, share, surface, style)
        inside = share > 0.5
        self.objects[rows, columns][inside] = self.object_count
        self.parts[rows, columns][inside] = self.part_count
        return self.object_count

    def add_part(
        self, owner: int, polygon: Polygon, surface: Callable[[int, int], Floats], style: Style
    ) -> None:
        """Paint a part of an object, clipped to what is visible of the object."""
        found = self.coverage(polygon, margin=1)
        if found is None or owner == 0:
            return
        rows, columns, share = found
        own = self.objects[rows, columns] == owner
        share = share * own
        if not (share > 0.5).any():
            return
        self.part_count += 1
        self._blend(rows, columns, share, surface, style)
        self.parts[rows, columns][share > 0.5] = self.part_count

    def distract(
        self, polygon: Polygon, surface: Callable[[int, int], Floats], style: Style
    ) -> None:
        """Paint something that is not an object: dirt or an out-of-focus smear."""
        found = self.coverage(polygon, margin=6)
        if found is not None:
            self._blend(*found, surface, style)

    def _blend(
        self,
        rows: slice,
        columns: slice,
        share: Floats,
        surface: Callable[[int, int], Floats],
        style: Style,
    ) -> None:
        colour = surface(*share.shape)
        if style.rim:
            depth = ndimage.gaussian_filter(share, max(1.0, 0.06 * max(share.shape)))
            colour = np.clip(colour * (1 + style.rim * (1.2 - 2 * depth[..., None])), 0, 1)
        alpha = ndimage.gaussian_filter(share, style.softness) if style.softness else share
        alpha = (alpha * style.opacity)[..., None]
        window = self.canvas[rows, columns]
        self.canvas[rows, columns] = window * (1 - alpha) + colour * alpha

    def _cast(self, polygon: Polygon, strength: float) -> None:
        found = self.coverage(polygon + self.rng.uniform(-5, 5, 2), margin=6)
        if found is not None:
            rows, columns, share = found
            dark = strength * ndimage.gaussian_filter(share, 2.5)
            self.canvas[rows, columns] *= 1 - dark[..., None]


def positions(
    rng: np.random.Generator, count: int, height: int, width: int, gather: float
) -> NDArray[np.float64]:
    """Centres in xy; a share `gather` of them sits beside an earlier one."""
    points = rng.uniform((0, 0), (width, height), (count, 2))
    for i in range(1, count):
        if rng.random() < gather:
            points[i] = points[rng.integers(i)] + rng.normal(0, 0.05 * min(height, width), 2)
    return points


def _random_style(rng: np.random.Generator) -> Style:
    return Style(
        shadow=float(rng.random() < 0.35) * rng.uniform(0.2, 0.7),
        rim=float(rng.random() < 0.4) * rng.uniform(-0.5, 0.5),
    )


def _shapes(rng: np.random.Generator, height: int, width: int) -> Painter:
    """Overlapping and touching shapes with holes here and there."""
    painter = Painter(rng, height, width, fill(rng, height, width))
    count = int(rng.integers(4, 28))
    size = min(height, width) * rng.uniform(0.5, 1.1) / np.sqrt(count + 2)
    for centre in positions(rng, count, height, width, gather=0.4):
        radius = size * np.exp(rng.normal(0, 0.5))
        shape = outline(rng, radius)
        hole = shape * rng.uniform(0.35, 0.7) + centre if rng.random() < 0.1 else None
        painter.add(shape + centre, lambda h, w: fill(rng, h, w), _random_style(rng), hole)
    return painter


def _compound(rng: np.random.Generator, height: int, width: int) -> Painter:
    """Objects made of a body and parts of their own colour."""
    painter = Painter(rng, height, width, fill(rng, height, width))
    count = int(rng.integers(2, 9))
    for centre in positions(rng, count, height, width, gather=0.2):
        radius = min(height, width) * rng.uniform(0.08, 0.3)
        body = outline(rng, radius)
        owner = painter.add(body + centre, lambda h, w: fill(rng, h, w), _random_style(rng))
        for _ in range(int(rng.integers(1, 6))):
            anchor = body[rng.integers(len(body))] * rng.uniform(0, 0.9)
            shape = outline(rng, radius * rng.uniform(0.12, 0.5)) + centre + anchor
            painter.add_part(owner, shape, lambda h, w: fill(rng, h, w), Style())
    return painter


def _clutter(rng: np.random.Generator, height: int, width: int) -> Painter:
    """A few large textured things on a photographic ground, then small ones before them."""
    painter = Painter(rng, height, width, fill(rng, height, width, plain=0.1))
    for scale, count in ((0.35, int(rng.integers(1, 4))), (0.12, int(rng.integers(3, 14)))):
        for centre in rng.uniform((0, 0), (width, height), (count, 2)):
            radius = min(height, width) * scale * np.exp(rng.normal(0, 0.35))
            painter.add(
                outline(rng, radius) + centre,
                lambda h, w: fill(rng, h, w, plain=0.15),
                _random_style(rng),
            )
    return painter


def _mosaic(rng: np.random.Generator, height: int, width: int) -> Painter:
    """Regions that fill the picture side by side, each with its own surface."""
    painter = Painter(rng, height, width, fill(rng, height, width))
    count = int(rng.integers(4, 22))
    seeds = rng.uniform((0, 0), (width, height), (count, 2))
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    bend = rng.uniform(0, 40)
    x = x + bend * (noise_field(rng, height, width) - 0.5)
    y = y + bend * (noise_field(rng, height, width) - 0.5)
    distance = np.stack([np.hypot(x - sx, y - sy) for sx, sy in seeds])
    nearest = distance.argmin(0)
    gap = rng.uniform(1, 4) if rng.random() < 0.4 else 0.0
    ordered = np.partition(distance, 1, axis=0)
    covered = (ordered[1] - ordered[0]) >= gap
    for i in range(count):
        inside = (nearest == i) & covered
        if inside.any():
            rows, columns = ndimage.find_objects(inside.astype(np.uint8))[0]
            cut = inside[rows, columns]
            painter.canvas[rows, columns][cut] = fill(rng, *cut.shape)[cut]
            painter.object_count += 1
            painter.objects[inside] = painter.object_count
    painter.parts = painter.objects.copy()
    return painter


def _cells(rng: np.random.Generator, height: int, width: int) -> Painter:
    """Cells as under a microscope: bright on dark, or stained dark on a light ground."""
    dark_field = rng.random() < 0.6
    grey = rng.random() < 0.6
    if dark_field:
        ground, colour = rng.uniform(0.01, 0.2, 3), rng.uniform(0.25, 1.0, 3)
    else:
        ground, colour = rng.uniform(0.6, 1.0, 3), rng.uniform(0.05, 0.6, 3)
    if grey:
        ground, colour = np.full(3, ground[0]), np.full(3, colour[0])
    wave = noise_field(rng, height, width, octaves=6)[..., None] - 0.5
    background = np.clip(ground + rng.uniform(0, 0.25) * wave * (0.4 if dark_field else 1), 0, 1)
    painter = Painter(rng, height, width, background.astype(np.float32))
    radius = min(height, width) * rng.uniform(0.018, 0.075)
    count = int(np.clip(rng.uniform(0.05, 0.55) * height * width / (4 * radius**2), 4, 160))
    softness = rng.uniform(0, 0.12) * radius
    spread, wobble = rng.uniform(0.05, 0.4), rng.uniform(0.0, 0.35)
    grain, mottle = rng.uniform(0, 0.5), rng.uniform(0, 0.35)
    nucleated = rng.random() < 0.25

    def surface(strength: float) -> Callable[[int, int], Floats]:
        def paint(h: int, w: int) -> Floats:
            texture = mottle * (noise_field(rng, h, w) - 0.5)
            texture = texture + grain * 0.3 * (rng.random((h, w)) - 0.5)
            tone = strength * (1 + texture[..., None])
            return np.clip(ground + (colour - ground) * tone, 0, 1).astype(np.float32)

        return paint

    for centre in rng.uniform((0, 0), (width, height), (int(rng.integers(0, 8)), 2)):
        smear = Style(softness=radius * 0.4, opacity=rng.uniform(0.1, 0.35))
        painter.distract(blob(rng, radius * 1.2) + centre, surface(0.6), smear)
    for centre in positions(rng, count, height, width, gather=rng.uniform(0, 0.6)):
        own = radius * np.exp(rng.normal(0, spread))
        strength = float(np.clip(rng.normal(0.8, 0.22), 0.3, 1.1))
        style = Style(softness=softness, rim=rng.uniform(-0.3, 0.3) if rng.random() < 0.3 else 0.0)
        owner = painter.add(blob(rng, own, wobble, 2.2) + centre, surface(strength), style)
        if nucleated:
            nucleus = blob(rng, own * rng.uniform(0.3, 0.6), 0.1, 1.4) + centre
            painter.add_part(owner, nucleus, surface(strength * rng.uniform(0.3, 1.6)), Style())
    return painter


def _coins(rng: np.random.Generator, height: int, width: int) -> Painter:
    """Round things lying in rows or at random, with relief and a cast shadow."""
    painter = Painter(rng, height, width, fill(rng, height, width, plain=0.5))
    radius = min(height, width) * rng.uniform(0.05, 0.13)
    if rng.random() < 0.5:
        step = radius * rng.uniform(2.1, 3.0)
        y, x = np.mgrid[step / 2 : height : step, step / 2 : width : step]
        centres = np.stack([x.ravel(), y.ravel()], 1) + rng.normal(0, radius * 0.12, (x.size, 2))
    else:
        centres = positions(rng, int(rng.integers(5, 30)), height, width, gather=0.3)
    metal = rng.uniform(0.25, 0.9, 3)
    shadow = rng.uniform(0.0, 0.7)

    def relief(h: int, w: int) -> Floats:
        field = noise_field(rng, h, w, octaves=5)
        light = np.gradient(field, axis=int(rng.integers(2))) * rng.uniform(1, 5)
        tone = metal * rng.uniform(0.6, 1.25)
        return np.clip(tone + light[..., None], 0, 1).astype(np.float32)

    for centre in centres:
        size = radius * np.exp(rng.normal(0, 0.12))
        style = Style(shadow=shadow, rim=rng.uniform(-0.5, 0.5))
        owner = painter.add(blob(rng, size, 0.03, 1.15) + centre, relief, style)
        if rng.random() < 0.15:
            painter.add_part(owner, blob(rng, size * 0.6, 0.03, 1.1) + centre, relief, Style())
    return painter


KINDS: dict[str, Callable[[np.random.Generator, int, int], Painter]] = {
    "shapes": _shapes,
    "compound": _compound,
    "clutter": _clutter,
    "mosaic": _mosaic,
    "cells": _cells,
    "coins": _coins,
}


def expose(rng: np.random.Generator, canvas: Floats) -> NDArray[np.uint8]:
    """What a camera adds, none of which moves an edge: light, blur, noise."""
    height, width = canvas.shape[:2]
    if rng.random() < 0.5:
        light = 1 + rng.uniform(0.1, 0.5) * (noise_field(rng, height, width, octaves=1) - 0.6)
        canvas = canvas * light[..., None]
    if rng.random() < 0.5:
        canvas = ndimage.gaussian_filter(canvas, (*[rng.uniform(0.3, 1.1)] * 2, 0))
    if rng.random() < 0.6:
        sigma = rng.uniform(0.005, 0.05)
        channels = 1 if rng.random() < 0.5 else 3
        canvas = canvas + sigma * rng.standard_normal((height, width, channels), np.float32)
    return (np.clip(canvas, 0, 1) * 255).round().astype(np.uint8)


def make_scene(seed: int, kind: str | None = None, size: Sequence[int] = (256, 256)) -> Scene:
    """Draw the scene of a seed.

    Args:
        seed: any non-negative integer; the same seed, kind and size give the same pixels.
        kind: a name in KINDS, or None for the kinds in turn.
        size: height and width in pixels, each at least 32.

    Returns:
        The scene, whose label maps are exact: each pixel belongs to the topmost region that covers
        more than half of it.

    Raises:
        KeyError: an unknown kind.
    """
    names = list(KINDS)
    name = names[seed % len(names)] if kind is None else kind
    draw = KINDS[name]
    rng = np.random.default_rng((seed, names.index(name)))
    painter = draw(rng, *size)
    return Scene(expose(rng, painter.canvas), painter.objects, painter.parts)


def write_scene(scene: Scene, images: Path, labels: Path, stem: str) -> None:
    """Write images/<stem>.png (RGB) and labels/<stem>.png (16-bit instance label map)."""
    for folder, pixels in ((images, scene.image), (labels, scene.objects)):
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{stem}.png", optimize=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write scenes to a folder of images and a folder of label maps."""
    parser = argparse.ArgumentParser(description="Write procedural scenes and their label maps.")
    parser.add_argument("--images", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--labels", type=Path, required=True, help="folder for the label maps")
    parser.add_argument("--count", type=int, default=12, help="number of scenes")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first scene")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("H", "W"))
    parser.add_argument("--kind", choices=list(KINDS), help="one kind only (default: by seed)")
    options = parser.parse_args(arguments)
    for seed in range(options.seed, options.seed + options.count):
        stem = f"{options.kind or 'scene'}_{seed:06d}"
        scene = make_scene(seed, options.kind, options.size)
        write_scene(scene, options.images, options.labels, stem)


if __name__ == "__main__":
    main()
