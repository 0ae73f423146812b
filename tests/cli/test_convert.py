"""`segcli convert` as a real process: exit codes, streams and what is overwritten."""

from __future__ import annotations

import json

import numpy as np
from helpers import segcli
from PIL import Image


def test_failed_images_are_named_and_exit_3(tmp_path):
    """One damaged file: the others are written, it is named, and the summary counts it."""
    (tmp_path / "gt").mkdir()
    for name in "ab":
        Image.fromarray(np.eye(9, dtype=np.uint16)).save(tmp_path / "gt" / f"{name}.png")
    (tmp_path / "gt" / "b.png").write_bytes((tmp_path / "gt" / "a.png").read_bytes()[:50])
    done = segcli("convert", "gt", "out", "--to", "masks", "--json", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "error: gt/b.png" in done.stderr
    summary = json.loads(done.stdout)
    assert (summary["status"], summary["images"], summary["failed"]) == ("summary", 1, 1)
    assert summary["failures"][0]["image"] == "b.png"


def test_a_folder_of_photographs_is_not_overwritten(tmp_path):
    """DST with files in it is refused with exit 2 and left as it is, unless --overwrite."""
    for folder, value in (("gt", 3), ("imgs", 200)):
        (tmp_path / folder).mkdir()
        values = np.full((9, 9), value, np.uint16)
        Image.fromarray(values).save(tmp_path / folder / "x.png")
    before = (tmp_path / "imgs" / "x.png").read_bytes()
    done = segcli("convert", "gt", "imgs", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "--overwrite" in done.stderr
    assert (tmp_path / "imgs" / "x.png").read_bytes() == before
    done = segcli("convert", "gt", "imgs", "--overwrite", "-v", "--no-color", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "imgs" / "x.png").read_bytes() != before
