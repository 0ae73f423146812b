"""Links among the files of a source: data sets are often put together from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.errors import InputError, MaskError
from segcli.evaluate import evaluate
from segcli.formats import open_source
from segcli.formats.base import ReadOptions
from segcli.formats.files import files_below
from segcli.formats.survey import survey


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)).save(path)
    return path


def test_linked_folders_are_entered_and_loops_are_not(tmp_path):
    """A link to a folder elsewhere counts as that folder; one that leads back is left out."""
    save(tmp_path / "elsewhere" / "x.png")
    root = tmp_path / "root"
    save(root / "b" / "y.png")
    (root / "a").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(root / "b")
    (root / "b" / "back").symlink_to(root)
    (root / "b" / "above").symlink_to(tmp_path)
    (root / "b" / "itself").symlink_to(root / "b" / "itself")
    assert list(files_below(root)) == [
        "a/x.png",
        "again/itself",
        "again/y.png",
        "b/itself",
        "b/y.png",
    ]


def test_two_folders_linked_into_each_other_end(tmp_path):
    """Each is entered through the other once."""
    for one, other in (("a", "b"), ("b", "a")):
        save(tmp_path / one / f"{one}.png")
        (tmp_path / one / "link").symlink_to(tmp_path / other)
    expected = ["a/a.png", "a/link/b.png", "b/b.png", "b/link/a.png"]
    assert list(files_below(tmp_path)) == expected


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    """Its files must not go missing in silence."""

    def refuse(folder: str) -> None:
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(InputError, match="cannot be read"):
        list(files_below(tmp_path))


def test_a_dead_link_is_a_failure_of_its_own(tmp_path):
    """The other files are scored, and the one is named."""
    for side in ("pred", "gt"):
        for name in ("a", "b", "c"):
            save(tmp_path / side / f"{name}.png")
    dead = tmp_path / "gt" / "b.png"
    dead.unlink()
    dead.symlink_to(tmp_path / "gone.png")
    with pytest.raises(MaskError, match=r"b\.png: cannot be read"):
        survey(dead)
    sides = [open_source(tmp_path / side, ReadOptions()) for side in ("pred", "gt")]
    done = evaluate(sides[0], sides[1])
    assert done.counts["images"] == 2
    assert [failure.gt for failure in done.failures] == ["b.png"]


def test_capital_suffixes_and_dead_links_are_told_for_yolo(tmp_path):
    """Cameras and old systems write .TXT."""
    (tmp_path / "A.TXT").write_text("0 0 0 1 0 1 1\n")
    (tmp_path / "b.txt").symlink_to(tmp_path / "gone.txt")
    source = open_source(tmp_path, ReadOptions(image_sizes={"A": (4, 4), "b": (4, 4)}))
    assert source.format == "yolo"
    assert source.read("A.TXT").segments[0].area > 0
    with pytest.raises(MaskError, match=r"b\.txt: cannot be read"):
        source.read("b.txt")
