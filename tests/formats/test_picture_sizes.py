"""Sizes of pictures by the names of their masks."""

from __future__ import annotations

import pytest
from PIL import Image

from segcli.errors import InputError
from segcli.formats.picture_sizes import picture_sizes


def test_sizes_are_found_by_path_or_name(tmp_path):
    """A mask's path without suffix, or its file name where only one picture has it."""
    for index, name in enumerate(["a/x.jpg", "b/x.png", "b/y.tif"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (10 + index, 5)).save(tmp_path / name)
    size_of = picture_sizes(tmp_path)
    assert (size_of("a/x.txt"), size_of("b/x.txt")) == ((5, 10), (5, 11))
    assert size_of("labels/y.txt") == (5, 12)
    assert size_of("x.txt") is None
    assert size_of("none.txt") is None


def test_turned_pictures_have_their_upright_size(tmp_path):
    """EXIF orientation 6 swaps height and width, as predict reads the picture."""
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (10, 5)).save(tmp_path / "x.jpg", exif=exif)
    assert picture_sizes(tmp_path)("x.txt") == (10, 5)


def test_damaged_pictures_have_no_size(tmp_path):
    """The error comes from whoever needs it; a folder without pictures is one itself."""
    (tmp_path / "x.jpg").write_bytes(b"no picture")
    assert picture_sizes(tmp_path)("x.txt") is None
    with pytest.raises(InputError, match="holds no pictures"):
        picture_sizes(tmp_path / "none")
