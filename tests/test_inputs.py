"""Finding pictures: mirrored paths, no collisions of identity, no silent loss."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from segcli.errors import InputError
from segcli.inputs import find_images


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    for name in ["a/1.jpg", "b/1.jpg", "b/c/2.PNG", "b/.hidden.png", "b/notes.txt"]:
        path = tmp_path / "imgs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(*inputs: str, **options) -> list[str]:
    return [image.path for image in find_images(inputs, **options).images]


def test_folder_is_mirrored(tree):
    """A folder is searched with its sub-folders; hidden and foreign files are passed over."""
    found = find_images(["imgs"])
    assert [i.path for i in found.images] == ["a/1.jpg", "b/1.jpg", "b/c/2.PNG"]
    assert found.passed_over == 1


def test_several_inputs_start_at_their_common_folder(tree):
    """Two folders with the same names inside stay apart."""
    assert paths("imgs/a", "imgs/b") == ["a/1.jpg", "b/1.jpg", "b/c/2.PNG"]


def test_file_and_glob(tree):
    """A file is its own name; a glob starts where its wildcards start."""
    assert paths("imgs/a/1.jpg") == ["1.jpg"]
    assert paths("imgs/*/1.jpg") == ["a/1.jpg", "b/1.jpg"]
    assert paths("imgs/**/*.PNG") == ["b/c/2.PNG"]


def test_named_file_needs_no_suffix(tree):
    """A file named outright is taken whatever it is called."""
    assert paths("imgs/b/notes.txt") == ["notes.txt"]


def test_the_same_file_twice_is_one_picture(tree):
    """A file reached by two inputs is segmented once."""
    assert paths("imgs", "imgs/a/1.jpg") == ["a/1.jpg", "b/1.jpg", "b/c/2.PNG"]


def test_output_folder_inside_input_is_left_out(tree):
    """Overlays written below the input are not segmented by the next run."""
    inner = tree / "imgs" / "out" / "overlay"
    inner.mkdir(parents=True)
    (inner / "1.png").write_bytes(b"x")
    assert paths("imgs", exclude=Path("imgs/out")) == ["a/1.jpg", "b/1.jpg", "b/c/2.PNG"]


@pytest.mark.parametrize(("separator", "null"), [(b"\n", False), (b"\0", True)])
def test_list_on_standard_input(tree, monkeypatch, separator, null):
    """Lists by line and by NUL; a name with a newline survives NUL."""
    names = [b"imgs/a/1.jpg", b"imgs/b/1.jpg"]
    stream = io.TextIOWrapper(io.BytesIO(separator.join(names) + separator))
    monkeypatch.setattr(sys, "stdin", stream)
    assert paths(files_from="-", null_separated=null) == ["a/1.jpg", "b/1.jpg"]


def test_missing_file_in_a_list_is_kept_for_its_error_record(tree):
    """One missing file of a list fails alone, later; it does not stop the run."""
    Path("list").write_text("imgs/a/1.jpg\nimgs/a/gone.jpg\n")
    assert paths(files_from="list") == ["1.jpg", "gone.jpg"]


def test_pages(tree):
    """Every page of a TIFF is a picture of its own."""
    pages = [Image.new("L", (4, 3), shade) for shade in (10, 20)]
    pages[0].save("x.tif", save_all=True, append_images=pages[1:])
    assert [i.key for i in find_images(["x.tif"]).images] == ["x.tif#page=0", "x.tif#page=1"]


@pytest.mark.parametrize("wrong", ["nowhere", "nothing*", "empty"])
def test_nothing_found_is_an_error(tree, wrong):
    """A missing path, a glob without matches and a folder without pictures are said."""
    Path("empty").mkdir()
    with pytest.raises(InputError):
        find_images([wrong])


def test_no_input_is_an_error():
    """Nothing asked for is an error."""
    with pytest.raises(InputError):
        find_images([])
