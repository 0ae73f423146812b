"""A damaged file of each format: one line that names it, a way out, and the right exit code."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from segcli.cli.app import app
from segcli.errors import InputError
from segcli.formats import get, open_source, readable_names
from segcli.formats.base import WriteOptions
from segcli.formats.convert import convert
from segcli.masks.rle import encode, segment_from_mask
from segcli.records import ImageRef, Segmentation

MASK = np.zeros((12, 17), bool)
MASK[2:5, 3:9] = True
CITY = "ulm_000000_000019_gtFine_instanceIds.png"


def result(name: str) -> Segmentation:
    segment = segment_from_mask(MASK, category=1, category_name="cell", score=0.5)
    return Segmentation(ImageRef(name, 12, 17), segments=(segment,), categories={1: "cell"})


def good(folder: Path, name: str) -> Path:
    """Two images in a format, as files that can be read."""
    folder.mkdir(parents=True)
    values = np.where(MASK, 26_001, 7).astype(np.uint16)
    if name == "cityscapes":
        for city in ("bonn", "ulm"):
            Image.fromarray(values).save(folder / CITY.replace("ulm", city))
    elif name == "bsds":
        for image in "ab":
            cell = np.empty((1, 1), object)
            cell[0, 0] = {"Segmentation": values}
            savemat(folder / f"{image}.mat", {"groundTruth": cell})
    else:
        writer = get(name)
        results = [result("a.png"), result("b.png")]
        if writer.write_dataset:
            file = folder / Path(writer.file_name).name
            writer.write_dataset(iter(results), file, WriteOptions())
        else:
            for item in results:
                writer.write_image(item, folder, item.image.path[0], WriteOptions())
    return folder


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(path: Path, *places: str | int, to: object) -> None:
    """Change one value in a JSON file."""
    parsed = held = json.loads(path.read_text())
    for place in places[:-1]:
        held = held[place]
    held[places[-1]] = to
    path.write_text(json.dumps(parsed))


def drop(path: Path, *places: str | int) -> None:
    """Take one value out of a JSON file."""
    parsed = held = json.loads(path.read_text())
    for place in places[:-1]:
        held = held[place]
    del held[places[-1]]
    path.write_text(json.dumps(parsed))


def repaint(path: Path, values: np.ndarray) -> None:
    """Put another picture in the place of one."""
    Image.fromarray(values).save(path)


SMALL = {"size": [3, 4], "counts": encode(np.eye(3, 4)).counts}
GARBAGE = {"size": [12, 17], "counts": "???"}
GREYS = np.arange(204, dtype=np.uint8).reshape(12, 17)
RGB = np.zeros((12, 17, 3), np.uint8)

# Format, what is done to which file, exit code, what the error says beside the file's name.
CASES = [
    ("ndjson", "segments.ndjson", lambda p: p.write_bytes(p.read_bytes()[:-9]), 2, "line 2"),
    ("ndjson", "segments.ndjson", lambda p: p.write_text(p.read_text()[:-9] + "\n"), 2, "line 2"),
    ("ndjson", "segments.ndjson", lambda p: p.write_text('{"schema": "segcli.image/1"}\n'), 3, ""),
    ("coco", "coco.json", cut, 2, "JSON"),
    ("coco", "coco.json", lambda p: drop(p, 0, "image_id"), 2, "entry 0 has no image_id"),
    ("coco", "coco.json", lambda p: drop(p, 0, "segmentation"), 2, "entry 0"),
    ("coco", "coco.json", lambda p: drop(p, 0, "score"), 3, "a.png"),
    ("coco", "coco.json", lambda p: edit(p, 0, "segmentation", to=SMALL), 3, "4x3"),
    ("coco", "coco.json", lambda p: edit(p, 0, "segmentation", to=GARBAGE), 3, "a.png"),
    ("coco", "coco.json", lambda p: edit(p, 0, "image_id", to=77), 2, "77"),
    ("coco", "coco.images.json", cut, 2, "JSON"),
    ("coco-dataset", "coco-dataset.json", cut, 2, "JSON"),
    ("coco-dataset", "coco-dataset.json", lambda p: drop(p, "images", 0, "id"), 2, "image"),
    (
        "coco-dataset",
        "coco-dataset.json",
        lambda p: edit(p, "annotations", 0, "image_id", to=99),
        2,
        "unknown image id 99",
    ),
    (
        "coco-dataset",
        "coco-dataset.json",
        lambda p: edit(p, "annotations", 0, "segmentation", to=SMALL),
        3,
        "annotation 1",
    ),
    (
        "coco-dataset",
        "coco-dataset.json",
        lambda p: drop(p, "annotations", 0, "category_id"),
        3,
        "annotation 1",
    ),
    (
        "coco-dataset",
        "coco-dataset.json",
        lambda p: edit(p, "annotations", 0, "segmentation", to=[[1, 2, 3, 4, 5, 6, 7]]),
        3,
        "annotation 1",
    ),
    ("coco-panoptic", "panoptic.json", cut, 2, "JSON"),
    ("coco-panoptic", "panoptic/a.png", cut, 3, "cannot be decoded"),
    ("coco-panoptic", "panoptic/a.png", lambda p: repaint(p, GREYS), 3, "no RGB"),
    ("coco-panoptic", "panoptic/a.png", lambda p: repaint(p, RGB), 3, "segment 1 has no pixel"),
    ("coco-panoptic", "panoptic/a.png", lambda p: repaint(p, RGB[:5]), 3, "is 17x5"),
    (
        "coco-panoptic",
        "panoptic.json",
        lambda p: edit(p, "annotations", 0, "segments_info", 0, "category_id", to=9),
        3,
        "unknown category 9",
    ),
    ("labels", "a.png", cut, 3, "cannot be decoded"),
    ("labels", "a.png", lambda p: repaint(p, np.dstack([GREYS, GREYS * 3, GREYS])), 2, "colour"),
    ("labels", "a.png", lambda p: p.write_bytes(b""), 3, "cannot be decoded"),
    ("binary", "a.png", cut, 3, "cannot be decoded"),
    ("binary", "a.png", lambda p: repaint(p, GREYS * (GREYS > 99)), 3, ""),
    ("semantic", "a.png", cut, 3, "cannot be decoded"),
    ("semantic", "classes.json", cut, 2, "class names"),
    ("semantic", "classes.json", lambda p: edit(p, "classes", 0, "id", to="x"), 2, "class names"),
    ("masks", "a/0000.png", cut, 3, "cannot be decoded"),
    ("masks", "a/0000.png", lambda p: repaint(p, GREYS), 3, "several values"),
    ("amg", "a/0.png", cut, 3, "cannot be decoded"),
    ("amg", "a/0.png", Path.unlink, 3, "no such file"),
    ("amg", "a/metadata.csv", lambda p: p.write_text(p.read_text()[:-12]), 3, "cut off"),
    ("amg", "a/metadata.csv", lambda p: p.write_text(p.read_text()[:-30]), 3, "other columns"),
    (
        "amg",
        "a/metadata.csv",
        lambda p: p.write_text(p.read_text().replace("\n0,", "\n0,x", 1)),
        3,
        "malformed row",
    ),
    ("sa1b", "a.json", cut, 3, "JSON"),
    ("sa1b", "a.json", lambda p: drop(p, "annotations"), 3, "malformed"),
    ("sa1b", "a.json", lambda p: drop(p, "image", "width"), 3, "malformed"),
    ("sa1b", "a.json", lambda p: edit(p, "annotations", 0, "segmentation", to=SMALL), 3, "4x3"),
    ("sa1b", "a.json", lambda p: edit(p, "annotations", 0, "segmentation", to=GARBAGE), 3, ""),
    ("labelme", "a.json", cut, 3, "JSON"),
    ("labelme", "a.json", lambda p: drop(p, "imageHeight"), 3, "size"),
    ("labelme", "a.json", lambda p: drop(p, "shapes", 0, "points"), 3, "shape 0"),
    ("labelme", "a.json", lambda p: edit(p, "shapes", 0, "shape_type", to="star"), 3, "shape 0"),
    ("labelme", "a.json", lambda p: edit(p, "imageHeight", to=-12), 3, "no pixels"),
    (
        "labelme",
        "a.json",
        lambda p: edit(
            p, "shapes", 0, to={"label": "x", "shape_type": "rectangle", "points": [[1, 1]]}
        ),
        3,
        "rectangle of 1 points",
    ),
    ("sa1b", "a.json", lambda p: edit(p, "annotations", 0, "predicted_iou", to="x"), 3, "'x'"),
    (
        "coco-panoptic",
        "panoptic.json",
        lambda p: edit(p, "annotations", 0, "segments_info", 0, "iscrowd", to="no"),
        3,
        "malformed segment",
    ),
    ("cityscapes", CITY, cut, 3, "cannot be decoded"),
    ("cityscapes", CITY, lambda p: repaint(p, np.uint16([[7001, 7002]])), 3, "class 7"),
    ("bsds", "a.mat", cut, 3, "cannot be read"),
    ("bsds", "a.mat", lambda p: savemat(p, {"groundTruth": np.eye(3)}), 3, "cannot be read"),
    ("yolo", "a.txt", lambda p: p.write_text("1 x y\n"), 3, "line 1"),
    ("yolo", "a.txt", lambda p: p.write_text("\n1 0.1 0.1 0.2 0.2\n"), 3, "line 2"),
    ("yolo", "a.txt", lambda p: p.write_text("1 10 10 20 20 30 30\n"), 3, "line 1"),
]


def run(arguments: list[str], capsys) -> tuple[int, str]:
    """The command line within this process: exit code and what it said."""
    with pytest.raises(SystemExit) as exit_:
        app(arguments)
    return int(exit_.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "file", "damage", "code", "words"),
    CASES,
    ids=[f"{case[0]}-{case[1]}-{index}" for index, case in enumerate(CASES)],
)
def test_damage_is_named_and_the_rest_goes_on(tmp_path, capsys, name, file, damage, code, words):
    """One `error:` line with file and place, a `fix:`, no traceback; the other image is scored."""
    source = good(tmp_path / "in", name)
    damage(source / file)
    truth = tmp_path / "gt"
    for image in "ab":
        (truth / image).parent.mkdir(exist_ok=True)
        Image.fromarray(MASK.astype(np.uint16)).save(truth / f"{image}.png")
    arguments = ["convert", str(source), str(tmp_path / "out"), "--from", name, "--to", "masks"]
    if name == "yolo":
        arguments = ["eval", str(source), str(truth), "--pred-format", name]
    status, said = run(arguments, capsys)
    assert status == code, said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    # An evaluation counts what failed in a line of its own.
    assert len(errors) == 1 + (name == "yolo"), said
    assert Path(file).name in errors[0] or file.rpartition("/")[0] in errors[0], said
    assert words in said
    assert "\nfix: " in said, said
    assert "Traceback" not in said
    assert "bug in segcli" not in said


def test_every_readable_format_is_damaged_here():
    """A new format cannot forget this test."""
    assert {case[0] for case in CASES} == set(readable_names())


@pytest.mark.parametrize("name", [n for n in readable_names() if n != "yolo"])
def test_undamaged_files_are_read(tmp_path, name):
    """Without damage the same files are read whole."""
    source = good(tmp_path / "in", name)
    assert convert(open_source(source, format=name), tmp_path / "out", "masks").images == 2
    if name != "labels":
        assert open_source(source).format == name


@pytest.mark.parametrize("text", ['[{"image_id": 1,\n', '{"path": 3', "", "[1, 2"])
def test_broken_json_of_no_known_format_says_where(tmp_path, text):
    """Cut off before its format can be told: still the file, the place and what to do."""
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match="cannot be read as JSON") as caught:
        open_source(path)
    assert "line" in caught.value.why
    assert caught.value.fix
