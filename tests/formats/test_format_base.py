"""What all formats share: atomic writing, stems, sizes by stem."""

from __future__ import annotations

import os
import stat

import pytest

from segcli.formats.base import ReadOptions, replacing, size_lookup, stem_of


@pytest.mark.parametrize(
    ("key", "stem"),
    [
        ("x.png", "x"),
        ("a/b.tar.png", "a/b.tar"),
        ("a.b/c", "a.b/c"),
        ("x.tif#page=2", "x_page2"),
        ("a/b.c/", "a/b.c"),
        (".hidden", ".hidden"),
    ],
)
def test_stems(key, stem):
    """Only the last suffix of the last part goes; a folder that stands for an image has none."""
    assert stem_of(key) == stem


def test_a_file_is_whole_or_absent(tmp_path):
    """A failure while writing leaves the old file as it was, and nothing half-written."""
    path = tmp_path / "a" / "x.bin"
    with replacing(path) as file:
        file.write(b"old")

    def fail():
        with replacing(path) as file:
            file.write(b"new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_the_longest_file_name_can_be_written(tmp_path):
    """The temporary name does not make a name of 255 bytes too long."""
    path = tmp_path / ("x" * 251 + ".png")
    with replacing(path) as file:
        file.write(b"1")
    assert path.read_bytes() == b"1"


def test_sizes_are_found_by_path_or_stem():
    """Masks and images differ in suffix; sizes may also be given by stem."""
    find = size_lookup(ReadOptions(image_sizes={"a/x.jpg": (1, 2), "y": (3, 4)}))
    assert find("a/x.jpg") == (1, 2)
    assert find("a/x.txt") == (1, 2)
    assert find("a/x/") == (1, 2)
    assert find("y.txt") == (3, 4)
    assert find("z.txt") is None


def test_pipes_are_written_to_as_they_are(tmp_path):
    """A named pipe, like a device, is no file to replace: its reader gets the bytes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with replacing(pipe) as file:
        file.write(b"scores")
    assert os.read(reader, 100) == b"scores"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
