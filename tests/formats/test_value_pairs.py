"""Values counted without pixels are those that Pillow's pixels hold, or none are given."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.formats.value_pairs import PairCounter

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ROWS = b"".join(bytes([i % 5]) + bytes((i + j) % 7 for j in range(9)) for i in range(8))


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def png(*, depth: int = 8, colour: int = 0, interlace: int = 0, extra: bytes = b"") -> bytes:
    """A PNG of 9x8 pixels with rows of all five filters, and chunks before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 8, depth, colour, 0, 0, interlace))
    body = chunk(b"IDAT", zlib.compress(ROWS)) + chunk(b"IEND", b"")
    return SIGNATURE + header + extra + body


def save(path: Path, values: np.ndarray, mode: str | None = None, **options) -> str:
    picture = Image.fromarray(values)
    (picture if mode is None else picture.convert(mode)).save(path, **options)
    return str(path)


def counted(first: str, second: str) -> dict[tuple[int, int], int] | None:
    found = PairCounter().count(first, second)
    if found is None:
        return None
    pairs = zip(found.first.tolist(), found.second.tolist(), strict=True)
    return dict(zip(pairs, found.pixels.tolist(), strict=True))


def by_pixels(first: str, second: str) -> dict[tuple[int, int], int]:
    both = [np.asarray(Image.open(path)).ravel().tolist() for path in (first, second)]
    pairs = list(zip(*both, strict=True))
    return {pair: pairs.count(pair) for pair in set(pairs)}


@pytest.mark.parametrize("top", [5, 31, 32, 255])
@pytest.mark.parametrize("colours", [2, 4, 16, 256])
def test_pairs_are_those_of_the_pixels(tmp_path, top, colours):
    """Also where values do not fit the small table that is tried first, and for palettes."""
    random = np.random.default_rng(top)
    one = save(tmp_path / "a.png", random.integers(0, top + 1, (11, 13), np.uint8))
    values = random.integers(0, min(colours, 20), (11, 13), np.uint8)
    picture = Image.fromarray(values)
    picture.putpalette(bytes(range(256)) * 3 if colours == 256 else bytes(3 * colours))
    picture.save(tmp_path / "b.png", transparency=0)
    other = str(tmp_path / "b.png")
    counter = PairCounter()
    for _ in range(2):
        found = counter.count(one, other)
        assert found is not None
        assert (found.height, found.width) == (11, 13)
        assert found.modes == ("8-bit grey", "palette")
    assert counted(one, other) == by_pixels(one, other)
    values, pixels = found.histogram(0)
    expected = np.unique(np.asarray(Image.open(one)), return_counts=True)
    assert values.tolist() == expected[0].tolist()
    assert pixels.tolist() == expected[1].tolist()


def test_every_filter(tmp_path):
    """Rows of all five filters, with chunks before them that change nothing."""
    harmless = chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"tEXt", b"Title\0x")
    path = tmp_path / "a.png"
    path.write_bytes(png(extra=harmless))
    assert counted(str(path), str(path)) == by_pixels(str(path), str(path))


def odd_files() -> dict[str, bytes]:
    exif = chunk(b"eXIf", Image.Exif().tobytes())
    animated = chunk(b"acTL", struct.pack(">II", 2, 0))
    broken_head = bytearray(png(extra=chunk(b"gAMA", b"\0\0\0\1")))
    broken_head[8 + 25 + 10] ^= 1
    wide = io.BytesIO()
    Image.fromarray(np.arange(72, dtype=np.uint16).reshape(8, 9)).save(wide, "PNG")
    made = {"16-bit": wide.getvalue()}
    for mode in ("1", "LA", "RGB", "RGBA"):
        buffer = io.BytesIO()
        Image.fromarray(np.zeros((8, 9), np.uint8)).convert(mode).save(buffer, "PNG")
        made[mode] = buffer.getvalue()
    made["grey of 4 bits"] = png(depth=4).replace(
        zlib.compress(ROWS), zlib.compress(b"".join(b"\0" + bytes(5) for _ in range(8)))
    )
    return made | {
        "exif": png(extra=exif),
        "animation": png(extra=animated),
        "a chunk too long for the head": png(extra=chunk(b"tEXt", b"x\0" + bytes(4000))),
        "interlaced": png(interlace=1),
        "a damaged chunk": bytes(broken_head),
        "cut off": png()[:-20],
        "damaged pixels": png().replace(zlib.compress(ROWS), zlib.compress(ROWS)[:-1] + b"\xff"),
        "no picture": b"none",
        "empty": b"",
    }


@pytest.mark.parametrize("name", odd_files())
def test_what_is_not_plain_is_left_to_a_reader(tmp_path, name):
    """Whatever needs a closer look, or an error of its own, is not counted."""
    path, plain = tmp_path / "a.png", tmp_path / "b.png"
    path.write_bytes(odd_files()[name])
    plain.write_bytes(png())
    assert counted(str(path), str(plain)) is None
    assert counted(str(plain), str(path)) is None


def test_other_sizes_and_missing_files_are_not_counted(tmp_path):
    """Nor are files of two sizes, or one that is not there."""
    one = save(tmp_path / "a.png", np.zeros((3, 4), np.uint8))
    other = save(tmp_path / "b.png", np.zeros((4, 3), np.uint8))
    assert counted(one, other) is None
    assert counted(one, str(tmp_path / "c.png")) is None
