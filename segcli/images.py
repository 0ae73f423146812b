"""Decode one picture to upright 8-bit RGB, saying what was done to it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from segcli.errors import ImageError

__all__ = ["IMAGE_SUFFIXES", "Picture", "decode_image", "page_count"]

IMAGE_SUFFIXES = frozenset(
    {
        ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm",
        ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp",
    }
)  # fmt: skip
_ORIENTATION_TAG = 0x0112
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


def page_count(path: Path) -> int:
    """Pages of a TIFF file; 1 for anything else, and for files that cannot be opened."""
    if path.suffix.lower() not in {".tif", ".tiff"}:
        return 1
    try:
        with _no_warnings(), Image.open(path) as image:
            return int(getattr(image, "n_frames", 1))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return 1


def decode_image(data: bytes, name: str, *, page: int = 0, apply_exif: bool = True) -> Picture:
    """Decode a picture.

    16-bit, 32-bit and float pictures are stretched linearly from their own minimum..maximum to
    0..255, so that nothing is clipped; alpha is composited over white; palettes and CMYK are
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
            image.load()
            return _converted(image, apply_exif=apply_exif)
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{name}: too many pixels",
            why=f"a picture is refused as a possible decompression bomb: {error}",
            fix="cut it into tiles",
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name}: not a picture, or of an unknown format") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError, IndexError) as error:
        raise ImageError(f"{name}: damaged or truncated", why=str(error)) from error


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Pillow warns of odd metadata and of large pictures; neither changes the result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _converted(image: Image.Image, *, apply_exif: bool) -> Picture:
    notes: list[str] = []
    orientation = None
    if apply_exif:
        orientation = int(image.getexif().get(_ORIENTATION_TAG, 1) or 1)
        if orientation != 1:
            image = ImageOps.exif_transpose(image)
    if image.format not in {"TIFF", None} and getattr(image, "n_frames", 1) > 1:
        notes.append("first frame of an animation")
    if image.mode in _DEEP_MODES:
        pixels, note = _stretched(np.asarray(image))
        notes.append(note)
    else:
        if "A" in image.getbands() or "transparency" in image.info:
            notes.append("alpha composited over white")
            rgba = image.convert("RGBA")
            white = Image.new("RGBA", rgba.size, "white")
            image = Image.alpha_composite(white, rgba)
        elif image.mode not in {"RGB", "L", "1", "P"}:
            notes.append(f"{image.mode} converted to RGB")
        pixels = np.asarray(image.convert("RGB"))
    return Picture(np.ascontiguousarray(pixels), orientation, "; ".join(notes) or None)


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
