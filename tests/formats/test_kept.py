"""What was decoded for a look is read from memory once, and never when it could be wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.formats.files import look_at, read_raster
from segcli.formats.kept import Kept


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.png"


def save(path: Path, value: int) -> None:
    Image.fromarray(np.full((3, 4), value, np.uint8)).save(path)


def test_contents_are_given_away_once(path):
    """Who takes them owns them: a second reader must decode for himself."""
    path.touch()
    kept: Kept[str] = Kept(10)
    kept.put(path, "a", 5)
    assert kept.take(path) == "a"
    assert kept.take(path) is None


def test_the_oldest_go_first(tmp_path):
    """Memory is bounded, and what was looked at last will be read."""
    kept: Kept[str] = Kept(10)
    paths = [tmp_path / name for name in "abcd"]
    for path in paths:
        path.touch()
        kept.put(path, path.name, 4)
    assert [kept.take(path) for path in paths] == [None, None, "c", "d"]
    kept.put(paths[0], "too large", 11)
    assert kept.take(paths[0]) is None
    kept.put(paths[0], "fits: nothing is left of the others", 10)
    assert kept.take(paths[0]) is not None


def test_a_file_that_changed_is_read_anew(path):
    """Neither another time, nor another size, nor its absence goes unnoticed."""
    kept: Kept[str] = Kept(10)
    path.write_text("ab")
    kept.put(path, "old", 1)
    os.utime(path, ns=(1, 1))
    assert kept.take(path) is None
    kept.put(path, "old", 1)
    path.write_text("abc")
    os.utime(path, ns=(1, 1))
    assert kept.take(path) is None
    kept.put(path, "old", 1)
    path.unlink()
    assert kept.take(path) is None


def test_a_look_saves_the_reader_the_decoding(path, monkeypatch):
    """A picture is decoded once for both, and then again for the next reader."""
    save(path, 3)
    looked = look_at(path)
    decoded = []
    original = Image.open
    monkeypatch.setattr(Image, "open", lambda *args: decoded.append(1) or original(*args))
    for times in (0, 1):
        found = read_raster(path)
        np.testing.assert_array_equal(found.values, looked.values)
        assert (found.mode, len(decoded)) == ("8-bit grey", times)


def test_a_picture_saved_after_the_look_is_read_as_it_is_now(path):
    """A look back never hides what the file holds."""
    save(path, 3)
    look_at(path)
    save(path, 200)
    os.utime(path, ns=(1, 1))
    assert read_raster(path).values.max() == 200
