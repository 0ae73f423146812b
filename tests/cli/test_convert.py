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


def test_colours_and_kinds_are_told(tmp_path):
    """Colour-coded masks become class maps by a class list that ships; ids when asked for."""
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:2], picture[3, :3] = (128, 0, 0), (192, 128, 128)
    (tmp_path / "in").mkdir()
    Image.fromarray(picture).save(tmp_path / "in" / "x.png")
    refused = segcli("convert", "in", "none", cwd=tmp_path)
    assert refused.returncode == 2
    assert "fix: --class-names" in refused.stderr
    done = segcli(
        "convert", "in", "classes", "--to", "semantic", "--class-names", "voc", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    values = np.asarray(Image.open(tmp_path / "classes" / "x.png"))
    assert sorted(np.unique(values)) == [0, 1, 15]
    listed = json.loads((tmp_path / "classes" / "classes.json").read_text())["classes"]
    assert {"id": 15, "name": "person"} in listed
    done = segcli("convert", "in", "objects", "--kind", "instance", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["segments"] == 2


def test_what_cannot_be_is_refused(tmp_path):
    """A kind that a format cannot have, a format that does not fit, an unknown list: exit 2."""
    Image.fromarray(np.eye(9, dtype=np.uint16)).save(tmp_path / "x.png")
    assert segcli("convert", "x.png", "a", "--to", "sa1b", cwd=tmp_path).returncode == 0
    for arguments in (
        ["a", "b", "--kind", "semantic"],
        ["x.png", "b", "--from", "coco"],
        ["x.png", "b", "--from", "cooco"],
        ["x.png", "b", "--class-names", "citiscapes"],
        ["x.png", "b", "--to", "bsds"],
    ):
        done = segcli("convert", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert done.stderr.count("error: ") == 1
        assert not (tmp_path / "b").exists()


def test_void_that_is_lost_is_said(tmp_path):
    """Pixels that must not count: lost in a COCO dataset, kept by COCO panoptic."""
    values = np.zeros((4, 6), np.uint16)
    values[:2], values[3] = 7, 26_001
    (tmp_path / "in").mkdir()
    Image.fromarray(values).save(tmp_path / "in" / "x.png")
    for to, said in (("coco-dataset", True), ("coco-panoptic", False)):
        arguments = ["in", to, "--kind", "panoptic", "--to", to, "--json"]
        done = segcli("convert", *arguments, cwd=tmp_path)
        lost = json.loads(done.stdout)["loses"]
        assert ("pixels of 1 images must not count" in lost) is said


def test_yolo_takes_sizes_from_the_pictures(tmp_path):
    """With --images polygons become masks; a picture that is missing fails its text alone."""
    for folder in ("labels", "images"):
        (tmp_path / folder).mkdir()
    for name in "ab":
        (tmp_path / "labels" / f"{name}.txt").write_text("3 0 0 0.5 0 0.5 1 0 1\n")
    Image.new("RGB", (8, 6)).save(tmp_path / "images" / "a.jpg")
    refused = segcli("convert", "labels", "out", "--to", "coco-dataset", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--images" in refused.stderr
    arguments = ["labels", "coco", "--to", "coco-dataset", "--images", "images"]
    done = segcli("convert", *arguments, cwd=tmp_path)
    assert done.returncode == 3
    assert "error: labels/b.txt: the size of its image is unknown" in done.stderr
    (annotation,) = json.loads((tmp_path / "coco" / "coco-dataset.json").read_text())["annotations"]
    assert (annotation["category_id"], annotation["area"]) == (3, 24)
