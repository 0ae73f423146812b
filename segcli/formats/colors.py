"""Mask pictures in colour: each colour an object's id, or a class of a class list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import MaskError
from segcli.formats.files import LOSSY, PhotographError, Pixels, read_pixels

__all__ = ["check_palette", "color_classes", "color_ids", "read_color_ids"]

_MANY_IDS = 64


def read_color_ids(path: Path) -> npt.NDArray[np.uint32]:
    """Decode a picture whose colours are ids: R + 256 G + 65536 B.

    Returns:
        (H, W) ids.

    Raises:
        MaskError: the file is damaged, or is not of 8 bits a channel and three channels.
    """
    pixels = read_pixels(path)
    if pixels.mode not in ("RGB", "RGBA"):
        raise MaskError(
            f"{path}: is no RGB picture but {pixels.mode}",
            why="ids are colours: R + 256 G + 65536 B",
            fix="save it as an RGB PNG",
        )
    return color_ids(path, pixels)


def color_ids(path: Path, pixels: Pixels) -> npt.NDArray[np.uint32]:
    """The ids that the colours of a picture are.

    Raises:
        MaskError: it is a JPEG, has transparent pixels, or looks like a photograph.
    """
    colors = _opaque(path, pixels)
    height, width, _ = colors.shape
    # Each four bytes from a pixel on are its id and the next one's red, which is taken away.
    channels = np.append(colors, np.uint8(0))
    ids = np.ndarray((height, width), "<u4", channels, strides=(3 * width, 3)) & np.uint32(0xFFFFFF)
    same = np.count_nonzero(ids[:, 1:] == ids[:, :-1])
    if 2 * same < ids[:, 1:].size and len(np.unique(ids)) > _MANY_IDS:
        raise PhotographError(
            f"{path}: looks like a photograph",
            why="most of its pixels have another colour than the next one, so colours are no ids",
            fix="give the folder of masks",
        )
    return ids


def color_classes(
    path: Path, pixels: Pixels, classes: Mapping[tuple[int, int, int], int]
) -> npt.NDArray[np.integer[Any]]:
    """The classes that the colours of a picture stand for.

    Args:
        path: the file, for errors.
        pixels: what it holds.
        classes: class id by (red, green, blue).

    Returns:
        (H, W) class ids.

    Raises:
        MaskError: a colour stands for no class; or it is a JPEG, or has transparent pixels.
    """
    colors = _opaque(path, pixels).astype(np.uint32)
    codes = colors[..., 0] << 16 | colors[..., 1] << 8 | colors[..., 2]
    known = sorted((r << 16 | g << 8 | b, number) for (r, g, b), number in classes.items())
    keys = np.array([code for code, _ in known], dtype=np.uint32)
    places = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
    wrong = keys[places] != codes
    if wrong.any():
        y, x = np.unravel_index(int(wrong.argmax()), wrong.shape)
        color = ", ".join(str(c) for c in colors[y, x].tolist())
        raise MaskError(
            f"{path}: the colour ({color}) at x={x}, y={y} stands for no class",
            why=f"none of the {len(keys)} colours of the class list is this one alone; "
            f"{np.count_nonzero(wrong)} pixels have such colours",
            fix="add it to the class list of --class-names: color = [" + color + "]",
        )
    numbers = np.array([number for _, number in known])
    return numbers.astype(np.min_scalar_type(int(numbers.max())) if numbers.min() >= 0 else int)[
        places
    ]


def check_palette(path: Path, pixels: Pixels, classes: Mapping[tuple[int, int, int], int]) -> None:
    """Refuse a palette picture whose indices are other classes than its colours.

    Args:
        path: the file, for errors.
        pixels: what it holds.
        classes: class id by (red, green, blue).

    Raises:
        MaskError: an index in use has the colour of another class.
    """
    if pixels.mode != "P":
        return
    for index in np.flatnonzero(np.bincount(pixels.values.ravel())).tolist():
        red, green, blue = (*pixels.palette[3 * index : 3 * index + 3], -1, -1, -1)[:3]
        found = classes.get((red, green, blue), index)
        if found != index:
            raise MaskError(
                f"{path}: the palette index {index} has the colour of the class {found}",
                why="indices of palette pictures are classes, and here the colours say otherwise",
                fix="save it as an RGB picture, or give a class list without colours",
            )


def _opaque(path: Path, pixels: Pixels) -> npt.NDArray[np.uint8]:
    if path.suffix.lower() in LOSSY:
        raise MaskError(
            f"{path}: colours in a JPEG",
            why="JPEG changes colours, so they are not those that were saved",
            fix="export the masks again as PNG",
        )
    values: npt.NDArray[np.uint8] = pixels.values
    if values.shape[-1] == 4 and not bool((values[..., 3] == 255).all()):
        raise MaskError(
            f"{path}: has transparent pixels",
            why="what a half transparent colour stands for is a guess",
            fix="save it as RGB, without the alpha channel",
        )
    return values[..., :3]
