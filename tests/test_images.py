"""Decoding: every kind of picture becomes upright 8-bit RGB, or a named failure."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from segcli.errors import ImageError
from segcli.images import decode_image, page_count


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_plain_rgb_is_untouched():
    """An 8-bit RGB picture comes through value by value, with nothing to report."""
    values = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    picture = decode_image(encoded(Image.fromarray(values)), "x.png")
    assert np.array_equal(picture.pixels, values)
    assert picture.conversion is None
    assert picture.exif_orientation == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    """All eight EXIF orientations become upright, and can be left alone; both are recorded."""
    values = np.arange(2 * 3, dtype=np.uint8).reshape(2, 3) * 40
    stored = {
        1: values,
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: values.T,
        6: np.rot90(values, 1),
        7: values[::-1, ::-1].T,
        8: np.rot90(values, -1),
    }[orientation]
    image = Image.fromarray(np.ascontiguousarray(stored))
    exif = image.getexif()
    exif[0x0112] = orientation
    data = encoded(image, exif=exif)
    upright = decode_image(data, "x.png")
    assert np.array_equal(upright.pixels[..., 0], values)
    assert upright.exif_orientation == orientation
    left_alone = decode_image(data, "x.png", apply_exif=False)
    assert np.array_equal(left_alone.pixels[..., 0], stored)
    assert left_alone.exif_orientation is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_a_tiff(orientation):
    """Pillow turns TIFF files by itself: they are turned once, or not at all with --no-exif."""
    values = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    stored = decode_image(encoded(Image.fromarray(values)), "x").pixels
    data = encoded(Image.fromarray(values), "TIFF", tiffinfo={274: orientation})
    left_alone = decode_image(data, "x.tif", apply_exif=False)
    assert np.array_equal(left_alone.pixels, stored)
    assert left_alone.exif_orientation is None
    image = Image.fromarray(values)
    exif = image.getexif()
    exif[274] = orientation
    as_png = decode_image(encoded(image, exif=exif), "x.png")
    upright = decode_image(data, "x.tif")
    assert np.array_equal(upright.pixels, as_png.pixels)
    assert upright.exif_orientation == orientation


def test_unknown_orientation_turns_nothing():
    """An orientation outside 1..8 is taken for none."""
    image = Image.new("L", (3, 2))
    exif = image.getexif()
    exif[274] = 9
    assert decode_image(encoded(image, exif=exif), "x.png").exif_orientation == 1


def test_sixteen_bit_colour_is_said():
    """Pillow reads the high byte of 16-bit colour; the record says so."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    row = b"\0" + struct.pack(">6H", *range(0, 60000, 10000))
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row))
    picture = decode_image(png + chunk(b"IEND", b""), "x.png")
    assert "high byte" in picture.conversion


def test_lab_has_no_alpha():
    """The A of LAB is a colour axis, not transparency."""
    picture = decode_image(encoded(Image.new("LAB", (4, 4), (128, 128, 128)), "TIFF"), "x.tif")
    assert picture.conversion == "LAB converted to RGB"


def test_sixteen_bit_is_stretched_not_clipped():
    """12-bit data in a 16-bit file keeps its full range, by the stated rule."""
    values = np.linspace(100, 4095, 64).astype(np.uint16).reshape(8, 8)
    picture = decode_image(encoded(Image.fromarray(values)), "x.png")
    assert picture.pixels.min() == 0
    assert picture.pixels.max() == 255
    assert len(np.unique(picture.pixels)) == 64
    assert "100..4095 stretched to 0..255" in picture.conversion


def test_float_tiff_is_stretched_and_nan_is_black():
    """A float picture in 0..1 is not black, and NaN does not spread."""
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    values[0, 1] = np.nan
    picture = decode_image(encoded(Image.fromarray(values), "TIFF"), "x.tif")
    assert picture.pixels[2, 3, 0] == 255
    assert picture.pixels[0, 1, 0] == 0


def test_constant_sixteen_bit_is_black():
    """A picture without contrast does not divide by zero."""
    picture = decode_image(encoded(Image.fromarray(np.full((2, 2), 700, np.uint16))), "x.png")
    assert not picture.pixels.any()


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 90, (90, 90, 90)),
        ("LA", (90, 255), (90, 90, 90)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
    ],
)
def test_modes(mode, color, expected):
    """Bilevel, grey and alpha pictures become RGB; alpha is composited over white."""
    picture = decode_image(encoded(Image.new(mode, (3, 2), color)), "x.png")
    assert picture.pixels.shape == (2, 3, 3)
    assert tuple(picture.pixels[0, 0]) == expected


def test_palette_shows_its_colours():
    """A palette picture is shown in its colours, not its indices."""
    image = Image.new("P", (2, 2), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    picture = decode_image(encoded(image), "x.png")
    assert tuple(picture.pixels[0, 0]) == (200, 100, 50)


def test_cmyk_is_converted_and_said():
    """A CMYK JPEG becomes RGB and the record says so."""
    picture = decode_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), "x.jpg")
    red, green, blue = (int(v) for v in picture.pixels[4, 4])
    assert red > 200
    assert max(green, blue) < 60
    assert "CMYK" in picture.conversion


def test_pages_of_a_tiff(tmp_path):
    """Each page of a TIFF can be decoded, and pages are counted; other files have one."""
    pages = [Image.new("L", (4, 3), shade) for shade in (10, 20, 30)]
    path = tmp_path / "x.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert page_count(path) == 3
    assert decode_image(path.read_bytes(), "x.tif", page=2).pixels[0, 0, 0] == 30
    other = tmp_path / "x.png"
    pages[0].save(other)
    assert page_count(other) == 1
    assert page_count(tmp_path / "missing.tif") == 1


def test_one_pixel():
    """A 1x1 picture is a picture."""
    assert decode_image(encoded(Image.new("RGB", (1, 1))), "x.png").pixels.shape == (1, 1, 3)


def test_truncated():
    """A file cut short is an error, not a half-grey picture."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for kind in ("PNG", "JPEG"):
        data = encoded(Image.fromarray(noise), kind)
        with pytest.raises(ImageError, match="damaged or truncated"):
            decode_image(data[: len(data) // 2], "x")


@pytest.mark.parametrize(("data", "message"), [(b"", "empty"), (b"hello", "not a picture")])
def test_no_picture(data, message):
    """Empty and foreign files are named as such."""
    with pytest.raises(ImageError, match=message):
        decode_image(data, "x.jpg")


def test_decompression_bomb(monkeypatch):
    """A picture beyond the limit is refused before its pixels are decoded."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ImageError, match="too many pixels"):
        decode_image(encoded(Image.new("L", (6, 6))), "x.png")
