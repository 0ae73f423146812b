"""The README's pictures: there, small, and of the commands beside them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def test_every_picture_stands_beside_its_command():
    """The README shows each command as the script runs it, in one row with its picture."""
    from pictures import KINDS

    rows = (ROOT / "README.md").read_text().splitlines()
    for kind in KINDS:
        (row,) = (row for row in rows if f"(examples/pictures/{kind.name}.jpg)" in row)
        assert f"`{kind.command}`" in row


def test_pictures_are_whole_and_small():
    """Each holds the picture and its answer side by side; all together are under 400 kB."""
    from pictures import FOLDER, KINDS

    files = sorted(path.name for path in FOLDER.iterdir())
    assert files == sorted([*(f"{kind.name}.jpg" for kind in KINDS), "rough.png"])
    assert sum((FOLDER / name).stat().st_size for name in files) < 400_000
    for kind in KINDS:
        with Image.open(ROOT / kind.picture) as left, Image.open(FOLDER / f"{kind.name}.jpg") as it:
            assert it.width == 2 * left.width + 4
            assert it.height >= left.height


def test_a_command_is_drawn_as_it_stands(monkeypatch, tmp_path):
    """The script runs the command's own words and shows its prompt on the left."""
    import pictures

    monkeypatch.setattr(pictures, "FOLDER", tmp_path)
    monkeypatch.setattr(pictures, "ROUGH", tmp_path / "rough.png")
    monkeypatch.setattr(pictures, "ROOT", tmp_path)
    picture = Image.new("RGB", (320, 256), "green")
    (tmp_path / pictures.COINS).parent.mkdir(parents=True)
    picture.save(tmp_path / pictures.COINS)
    ran = []

    def run(words, **_):
        ran.append(words[3:])
        folder = Path(words[words.index("-o") + 1]) / "overlay"
        folder.mkdir()
        Image.new("RGB", (320, 256), "red").save(folder / "coins_000002.png")

    monkeypatch.setattr(pictures.subprocess, "run", run)
    pictures.main(["points"])
    (kind,) = (kind for kind in pictures.KINDS if kind.name == "points")
    expected = shlex.split(kind.command)[1:]
    assert [w for w in ran[0] if "/tmp" not in w] == [w for w in expected if w != "out-points"]
    with Image.open(tmp_path / "points.jpg") as drawn:
        assert drawn.size == (644, 256)
        assert max(drawn.getpixel((156, 187))) > 200
        assert drawn.getpixel((500, 100))[0] > 200


def test_unknown_kinds_are_refused():
    """A kind that is not there is named."""
    import pictures

    with pytest.raises(SystemExit, match="unknown kinds: video"):
        pictures.main(["video"])
