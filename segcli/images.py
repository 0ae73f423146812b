"""Decode one picture to upright 8-bit RGB, saying what was done to it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from segcli.errors import ImageError

__all__ = ["IMAGE_SUFFIXES", "Picture", "decode_image", "page_count"]

IMAGE_SUFFIXES = frozenset(
    {
        ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
        ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
    }
)  # fmt: skip
_ORIENTATION_TAG = 0x0112
_TIFF_MAGIC = frozenset({b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"})
_TO_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pixels that are copied at a time.
_BAND_PIXELS = 1 << 20
_ALPHA_MODES = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright.
        exif_orientation: the EXIF orientation that was applied (1 = none needed), or None when
            orientation was to be left alone.
        conversion: how the file became 8-bit RGB when it was something else, or None.
    """

    pixels: npt.NDArray[np.uint8]
    exif_orientation: int | None
    conversion: str | None


def page_count(file: Path | IO[bytes]) -> int:
    """Pages of a TIFF file; 1 for anything else, and for files that cannot be opened."""
    try:
        if isinstance(file, Path):
            with file.open("rb") as stream:
                return page_count(stream)
        if file.read(4) not in _TIFF_MAGIC:
            return 1
        file.seek(0)
        with _no_warnings(), Image.open(file) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001 (Pillow raises anything on a damaged file; decoding will say)
        return 1


def decode_image(data: bytes, name: str, *, page: int = 0, apply_exif: bool = True) -> Picture:
    """Decode a picture.

    Grey pictures of 16 or 32 bits or of floats are stretched linearly from their own
    minimum..maximum to 0..255, so that nothing is clipped; 16-bit colour is cut to its high byte,
    which is all Pillow reads of it; alpha is composited over white; palettes and CMYK are
    converted to RGB; of an animation the first frame is taken.

    Args:
        data: the file's bytes.
        name: how to call it in messages.
        page: page of a multi-page TIFF, from 0.
        apply_exif: turn the picture upright as its EXIF orientation says.

    Raises:
        ImageError: empty, truncated, no picture at all, or larger than Pillow's limit against
            decompression bombs (about 179 megapixels).
    """
    if not data:
        raise ImageError(f"{name}: the file is empty")
    try:
        with _no_warnings(), Image.open(io.BytesIO(data)) as image:
            image.seek(page)
            # Before anything loads the picture, as reading EXIF from a PNG does.
            deep = image.mode not in _DEEP_MODES and any(";16" in str(t) for t in image.tile)
            orientation = _orientation(image)
            image.load()
            upright, turned = _turned(image, orientation, apply_exif=apply_exif)
            return _converted(upright, turned, deep_colour=deep)
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name}: too many pixels",
            why=f"a picture is refused as a possible decompression bomb: {error}",
            fix="cut it into tiles",
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not a picture, or of an unknown format") from error
    except Exception as error:
        # Pillow's plugins raise anything on a damaged file: struct.error, RuntimeError, KeyError.
        raise ImageError(f"{name}: damaged or truncated", why=str(error)) from error


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Pillow warns of odd metadata and of large pictures; neither changes the result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION_TAG, 1)
    return int(value) if value in _TO_UPRIGHT else 1


def _turned(
    image: Image.Image, orientation: int, *, apply_exif: bool
) -> tuple[Image.Image, int | None]:
    """The picture upright or as stored, and the orientation that was applied."""
    if orientation == 1:
        return image, 1 if apply_exif else None
    # Pillow turns TIFF files upright as it loads them, and nothing else.
    done = image.format == "TIFF" and _orientation(image) == 1
    if apply_exif:
        return image if done else image.transpose(_TO_UPRIGHT[orientation]), orientation
    back = {6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = back.get(orientation, _TO_UPRIGHT[orientation])
    return image.transpose(stored) if done else image, None


def _converted(image: Image.Image, orientation: int | None, *, deep_colour: bool) -> Picture:
    notes: list[str] = []
    if image.format not in {"TIFF", None} and getattr(image, "n_frames", 1) > 1:
        notes.append("first frame of an animation")
    if deep_colour:
        notes.append("16-bit colour cut to its high byte")
    if image.mode in _DEEP_MODES:
        pixels, note = _stretched(np.asarray(image))
        notes.append(note)
    else:
        if image.mode in _ALPHA_MODES or "transparency" in image.info:
            notes.append("alpha composited over white")
            rgba = image.convert("RGBA")
            white = Image.new("RGBA", rgba.size, "white")
            image = Image.alpha_composite(white, rgba)
        elif image.mode not in {"RGB", "L", "1", "P"}:
            notes.append(f"{image.mode} converted to RGB")
        pixels = _rgb(image)
    return Picture(pixels, orientation, "; ".join(notes) or None)


def _rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """(H, W, 3), in bands of rows: Pillow would make three copies of a whole picture for it."""
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    step = max(1, _BAND_PIXELS // width)
    for top in range(0, height, step):
        band = image.crop((0, top, width, min(top + step, height)))
        pixels[top : top + step] = np.asarray(band.convert("RGB"))
    return pixels


def _stretched(values: npt.NDArray[np.generic]) -> tuple[npt.NDArray[np.uint8], str]:
    """Map the finite minimum..maximum of a grey picture linearly to 0..255."""
    numbers = values.astype(np.float64)
    finite = np.isfinite(numbers)
    low = float(numbers[finite].min()) if finite.any() else 0.0
    high = float(numbers[finite].max()) if finite.any() else 0.0
    scale = 255.0 / (high - low) if high > low else 0.0
    grey = np.where(finite, (numbers - low) * scale, 0.0)
    grey8 = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    note = f"{values.dtype.name} {low:g}..{high:g} stretched to 0..255"
    return np.repeat(grey8[:, :, None], 3, axis=2), note
