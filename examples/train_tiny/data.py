"""From pictures with label maps to training samples: windows, augmentation, prompts, targets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from model import ABSENT, BOX_END, BOX_START, NEGATIVE, NOT_A_POINT, POSITIVE
from numpy.typing import NDArray
from PIL import Image
from scenes import Scene, make_scene
from scipy import ndimage

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
SLOTS = 3
TARGET_STRIDE = 2
SMALLEST_AREA = 16


@dataclass(frozen=True)
class Source:
    """Pictures of one kind and how samples are drawn from them.

    Attributes:
        name: shown in the log.
        share: relative share of the windows.
        whole_share: relative share of the whole pictures.
        count: number of pictures.
        load: picture of an index, as a Scene.
        complete: whether a pixel of label 0 is known to lie on no object.
        scale: smallest and largest side of the picture on the canvas, as a share of the canvas.
        recolour: whether colours may be changed at will (microscopy) or only mildly.
        area_power: objects are drawn in proportion to their area to this power; 0 counts a small
            object as much as a large one, as a mean over objects does.
    """

    name: str
    share: float
    whole_share: float
    count: int
    load: Callable[[int], Scene]
    complete: bool
    scale: tuple[float, float]
    recolour: bool
    area_power: float = 0.4


@dataclass(frozen=True)
class Sample:
    """One window with its prompts.

    Attributes:
        image: (W, W, 3) uint8.
        objects: (W, W) uint16 label map of the window.
        offset: (2,) float32, xy of the window's corner on the canvas in pixels.
        coordinates: (P, SLOTS, 2) float32, xy in window pixels.
        labels: (P, SLOTS) int64 as in model.py.
        targets: (P, 2, W/2, W/2) float32 in 0..1, the mask asked for and the other mask that holds
            the point (the same again if there is none), as the share of each pixel covered.
        empty: (P,) bool, True where the prompt lies on background and no mask is right.
    """

    image: NDArray[np.uint8]
    objects: NDArray[np.uint16]
    offset: NDArray[np.float32]
    coordinates: NDArray[np.float32]
    labels: NDArray[np.int64]
    targets: NDArray[np.float32]
    empty: NDArray[np.bool_]


def read_label_map(path: Path) -> NDArray[np.uint16]:
    """Label map of a single-channel image file, (H, W) uint16.

    Raises:
        ValueError: the file has several channels.
    """
    labels = np.asarray(Image.open(path))
    if labels.ndim != 2:
        raise ValueError(f"{path}: a label map has one channel, this has shape {labels.shape}")
    return labels.astype(np.uint16)


def pair_files(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    """Images and label maps of the same stem, sorted by name.

    Raises:
        FileNotFoundError: an image without a label map, or no image at all.
    """
    by_stem = {p.stem: p for p in sorted(labels.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES}
    found = [p for p in sorted(images.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES]
    if not found:
        raise FileNotFoundError(f"{images}: no pictures ({', '.join(IMAGE_SUFFIXES)})")
    missing = [p.name for p in found if p.stem not in by_stem]
    if missing:
        raise FileNotFoundError(f"{labels}: no label map for {missing[0]} ({len(missing)} missing)")
    return [(p, by_stem[p.stem]) for p in found]


def read_picture(image: Path, labels: Path) -> Scene:
    """A picture and its label map as a Scene without parts.

    Raises:
        ValueError: the two differ in size.
    """
    pixels = np.asarray(Image.open(image).convert("RGB"))
    objects = read_label_map(labels)
    if pixels.shape[:2] != objects.shape:
        raise ValueError(f"{image} is {pixels.shape[:2]}, {labels} is {objects.shape}")
    return Scene(pixels, objects, objects)


def held_out(path: Path, every: int) -> bool:
    """Whether a picture is one of about every `every` that no mask is learnt from (0 = none).

    The name decides, so that the trainer and whatever measures or calibrates agree.
    """
    return bool(every) and int(sha256(path.stem.encode()).hexdigest(), 16) % every == 0


def folder_source(
    name: str, folders: tuple[Path, Path], shares: tuple[float, float], complete: bool,
    recolour: bool, scale: tuple[float, float], area_power: float = 0.4, hold_out: int = 0,
) -> Source:  # fmt: skip
    """Source of the pictures of a folder and its folder of label maps, read into memory.

    Pictures that `held_out` names are left out.

    Raises:
        FileNotFoundError: see `pair_files`; also if every picture is held out.
    """
    pairs = [pair for pair in pair_files(*folders) if not held_out(pair[0], hold_out)]
    if not pairs:
        raise FileNotFoundError(f"{folders[0]}: all pictures are held out (--hold-out {hold_out})")
    pictures = [read_picture(*pair) for pair in pairs]
    load = pictures.__getitem__
    return Source(name, *shares, len(pictures), load, complete, scale, recolour, area_power)


def scene_source(
    shares: tuple[float, float], count: int, first_seed: int, side: int, cache: dict[int, Scene]
) -> Source:
    """Source of procedural scenes of `side` pixels; `cache` holds those already drawn, by seed."""

    def load(index: int) -> Scene:
        seed = first_seed + index
        if seed not in cache:
            cache[seed] = make_scene(seed, size=(side, side))
        return cache[seed]

    return Source("scenes", *shares, count, load, True, (0.5, 1.2), False)


def draw_sample(
    rng: np.random.Generator, sources: Sequence[Source], window: int, canvas: int, prompts: int
) -> Sample:
    """Draw a window from a random source.

    Args:
        rng: decides everything.
        sources: where pictures come from.
        window: side of the window in pixels; equal to `canvas` for whole pictures.
        canvas: side of the canvas that pictures are squashed to, in pixels.
        prompts: number of prompts.
    """
    whole = window == canvas
    shares = np.array([s.whole_share if whole else s.share for s in sources])
    while True:
        source = sources[rng.choice(len(sources), p=shares / shares.sum())]
        scene = source.load(int(rng.integers(source.count)))
        image, objects, parts = _window(rng, scene, source, window, canvas)
        areas = np.bincount(objects.ravel())
        areas[0] = 0
        if (areas >= SMALLEST_AREA).any():
            break
    image = recolour(rng, image) if source.recolour else adjust(rng, image)
    steps = (canvas - window) // 16
    offset = 16 * rng.integers(0, steps + 1, 2).astype(np.float32)
    drawn = [_prompt(rng, objects, parts, areas, source) for _ in range(prompts)]
    coordinates, labels, targets, empty = (np.stack(x) for x in zip(*drawn, strict=True))
    return Sample(image, objects, offset, coordinates, labels, targets, empty)


def _window(
    rng: np.random.Generator, scene: Scene, source: Source, window: int, canvas: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint16], NDArray[np.uint16]]:
    """Part of the picture as it lies on the canvas, turned and mirrored at random."""
    height, width = scene.objects.shape
    low, high = source.scale
    if window == canvas:
        # The shipping size: mostly the whole picture, sometimes a part of it enlarged.
        share = 1.0 if rng.random() < 0.6 else rng.uniform(0.65, 1.0)
        across, down = share * width, share * height
    else:
        side = canvas * np.exp(rng.uniform(np.log(low), np.log(high)))
        stretch = np.exp(rng.uniform(-0.15, 0.15))
        across = min(window / (side * stretch), 1.0) * width
        down = min(window / (side / stretch), 1.0) * height
    left, top = rng.uniform(0, width - across), rng.uniform(0, height - down)
    if rng.random() < 0.7 and (down < height or across < width):
        y, x = np.nonzero(scene.objects)
        if len(y):
            i = rng.integers(len(y))
            left = np.clip(x[i] - rng.uniform(0.15, 0.85) * across, 0, width - across)
            top = np.clip(y[i] - rng.uniform(0.15, 0.85) * down, 0, height - down)
    box = (float(left), float(top), float(left + across), float(top + down))
    image = np.asarray(
        Image.fromarray(scene.image).resize((window, window), Image.Resampling.BILINEAR, box)
    )
    objects, parts = (
        np.asarray(
            Image.fromarray(x.astype(np.int32)).resize(
                (window, window), Image.Resampling.NEAREST, box
            )
        ).astype(np.uint16)
        for x in (scene.objects, scene.parts)
    )
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
    if not source.recolour and rng.random() < 0.6:
        turns = 0

    def turn(x: NDArray) -> NDArray:
        x = np.rot90(x, turns)
        return np.ascontiguousarray(x[:, ::-1] if mirrored else x)

    return turn(image), turn(objects), turn(parts)


def adjust(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mild changes of light and colour."""
    x = image.astype(np.float32) / 255
    if rng.random() < 0.5:
        x = x * rng.uniform(0.7, 1.3) + rng.uniform(-0.1, 0.1)
    if rng.random() < 0.4:
        x = x * rng.uniform(0.8, 1.2, 3).astype(np.float32)
    if rng.random() < 0.15:
        x = np.repeat(x.mean(-1, keepdims=True), 3, -1)
    if rng.random() < 0.15:
        x = ndimage.gaussian_filter(x, (*[rng.uniform(0.3, 1.2)] * 2, 0))
    return _to_bytes(x)


def recolour(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Strong changes: exposure, gamma, inversion, channel mixing, blur, noise; or none at all."""
    if rng.random() < 0.25:
        return image
    x = image.astype(np.float32) / 255
    if rng.random() < 0.6:
        # Stretched or dimmed towards what another exposure of the same slide would give.
        low, high = np.percentile(x, (1, 99.7))
        gain = np.exp(rng.uniform(np.log(0.15), np.log(1.1))) / max(high - low, 0.05)
        x = np.clip((x - low) * min(gain, 4.0) + rng.uniform(0, 0.25) * (rng.random() < 0.5), 0, 1)
    if rng.random() < 0.4:
        x = np.clip(x, 0, 1) ** np.exp(rng.uniform(-0.5, 0.5))
    if rng.random() < 0.2:
        x = 1 - x
    if rng.random() < 0.35:
        mix = np.eye(3) + rng.normal(0, 0.35, (3, 3))
        x = x @ (mix / mix.sum(0).clip(0.3)).astype(np.float32)
    if rng.random() < 0.15:
        x = np.repeat(x.mean(-1, keepdims=True), 3, -1)
    if rng.random() < 0.25:
        x = ndimage.gaussian_filter(x, (*[rng.uniform(0.3, 1.6)] * 2, 0))
    if rng.random() < 0.25:
        x = x + rng.uniform(0.003, 0.04) * rng.standard_normal((*x.shape[:2], 1), np.float32)
    return _to_bytes(x)


def _to_bytes(x: NDArray) -> NDArray[np.uint8]:
    return (np.clip(x, 0, 1) * 255).round().astype(np.uint8)


def central_point(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Row and column of the pixel farthest from the border of a non-empty mask.

    The border of the array counts as a border of the mask.
    """
    rows, columns = (np.nonzero(mask.any(axis))[0] for axis in (1, 0))
    crop = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)
    depth = ndimage.distance_transform_edt(crop)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(y) - 1 + int(rows[0]), int(x) - 1 + int(columns[0])


def _pixel(rng: np.random.Generator, mask: NDArray[np.bool_]) -> tuple[int, int]:
    flat = np.flatnonzero(mask)
    y, x = divmod(int(flat[rng.integers(len(flat))]), mask.shape[1])
    return y, x


def _prompt(
    rng: np.random.Generator,
    objects: NDArray[np.uint16],
    parts: NDArray[np.uint16],
    areas: NDArray[np.int64],
    source: Source,
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], np.bool_]:
    coordinates = np.zeros((SLOTS, 2), np.float32)
    labels = np.array([POSITIVE, NOT_A_POINT, ABSENT], np.int64)
    if source.complete and rng.random() < 0.12 and (objects == 0).any():
        coordinates[0] = _pixel(rng, objects == 0)[::-1]
        nothing = np.zeros((2, *(n // TARGET_STRIDE for n in objects.shape)), np.float32)
        return coordinates, labels, nothing, np.True_
    weight = np.where(areas >= SMALLEST_AREA, areas.clip(1), 0.0)
    weight[weight > 0] **= source.area_power
    whole = objects == rng.choice(len(areas), p=weight / weight.sum())
    asked = other = whole
    point = central_point(whole) if rng.random() < 0.55 else _pixel(rng, whole)
    part = parts == parts[point]
    if SMALLEST_AREA <= part.sum() < whole.sum() and not (part & ~whole).any():
        asked, other = (whole, part) if rng.random() < 0.6 else (part, whole)
        if asked is part and rng.random() < 0.5:
            point = central_point(part)
    coordinates[0] = point[::-1]
    draw = rng.random()
    if draw < 0.55:
        coordinates[:2] = _box(rng, asked)
        labels[:] = BOX_START, BOX_END, NOT_A_POINT
        other = asked
    if 0.55 <= draw < 0.6:
        outside = ~asked
        second = rng.random() < 0.5 and outside.any()
        coordinates[1] = _pixel(rng, outside if second else asked)[::-1]
        labels[:] = POSITIVE, NEGATIVE if second else POSITIVE, NOT_A_POINT
        other = asked
    return coordinates, labels, np.stack([_share(asked), _share(other)]), np.False_


def _box(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Corners xy of the mask's half-open box, in a third of the cases moved by up to 6 %."""
    rows, columns = (np.nonzero(mask.any(axis))[0] for axis in (1, 0))
    box = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], np.float32)
    sides = box[1] - box[0]
    loose = rng.uniform(-0.06, 0.06, (2, 2)) * sides * (rng.random() < 0.33)
    return np.clip(box + loose, 0, mask.shape[0]).astype(np.float32)


def _share(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    s = TARGET_STRIDE
    x = mask.astype(np.float32)
    return (x[::s, ::s] + x[1::s, ::s] + x[::s, 1::s] + x[1::s, 1::s]) / (s * s)
