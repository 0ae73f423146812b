"""PNG pixels decoded in place are those that Pillow gives, whatever the file stores them as."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from segcli.formats.png import pixels

GREY, PALETTE = 0, 3


def png(rows: bytes, width: int, height: int, depth: int, colour: int = GREY) -> bytes:
    """A PNG of filtered rows as they are."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    table = chunk(b"PLTE", bytes(range(48)) * 16) if colour == PALETTE else b""
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + table + body + chunk(b"IEND", b"")


def in_place(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return pixels(picture)


def by_pillow(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize(
    ("colour", "depth"), [(c, d) for c in (GREY, PALETTE) for d in (1, 2, 4, 8)] + [(GREY, 16)]
)
def test_every_depth_and_filter(depth, colour):
    """Rows of all five filters, of grey and palette pictures of every depth."""
    random = np.random.default_rng(depth)
    stride = (7 * depth + 7) // 8
    rows = b"".join(bytes([i % 5]) + random.bytes(stride) for i in range(11))
    content = png(rows, 7, 11, depth, colour)
    found, expected = in_place(content), by_pillow(content)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_every_mode(mode, kind):
    """What cannot be decoded in place is decoded as ever."""
    values = np.random.default_rng(0).integers(0, 256, (9, 13), np.uint8)
    wide = Image.fromarray(values.astype(np.uint16) * 200)
    picture = wide if mode == "I;16" else Image.fromarray(values).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    found, expected = in_place(buffer.getvalue()), by_pillow(buffer.getvalue())
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_8_bits_are_decoded_in_place(monkeypatch):
    """No second copy is made: Pillow is never asked for an array."""
    content = png(b"\0abc\0def", 3, 2, 8)
    monkeypatch.delattr(Image.Image, "__array_interface__")
    assert in_place(content).tolist() == [[97, 98, 99], [100, 101, 102]]


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_file_that_is_cut_off_is_an_error_as_ever(kept):
    """Truncation raises what Pillow raises, and never gives half a mask."""
    rows = b"".join(b"\0" + np.random.default_rng(i).bytes(64) for i in range(64))
    content = png(rows, 64, 64, 8)
    cut = content[: int(len(content) * kept)]
    with pytest.raises(OSError, match="truncated"):
        by_pillow(cut)
    with pytest.raises(OSError, match="truncated"):
        in_place(cut)
