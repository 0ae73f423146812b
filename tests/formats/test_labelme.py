"""LabelMe: shapes of every type, classes by name, and what cannot be read."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image

from segcli.errors import MaskError
from segcli.formats import ReadOptions, get, open_source
from segcli.formats.base import WriteOptions
from segcli.masks.rle import decode, encode, segment_from_mask
from segcli.records import ImageRef, Segmentation

SQUARE = [[1, 1], [5, 1], [5, 4], [1, 4]]


def shape(label: str = "cell", points: object = SQUARE, kind: str = "polygon", **more) -> dict:
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def save(path: Path, *shapes: dict, **changes: object) -> Path:
    """Write a file as LabelMe does."""
    record = {
        "version": "5.5.0",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": "..\\pictures\\x.jpg",
        "imageData": None,
        "imageHeight": 8,
        "imageWidth": 9,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**record, **changes}))
    return path


def png(mask: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_shapes_become_masks(tmp_path):
    """Polygon, rectangle, circle and mask; points and lines are left out."""
    part = np.array([[1, 0], [1, 1]])
    save(
        tmp_path / "a" / "x.json",
        shape(),
        shape("dot", [[5, 4], [1, 1]], "rectangle"),
        shape("dot", [[4.5, 4.5], [4.5, 6.5]], "circle"),
        shape("cell", [[2, 3], [3, 4]], "mask", mask=png(part)),
        shape("cell", [[1, 1]], "point"),
        shape("cell", [[1, 1], [2, 2]], "linestrip"),
    )
    source = open_source(tmp_path)
    assert (source.format, source.kind, source.categories) == (
        "labelme",
        "instance",
        {1: "cell", 2: "dot"},
    )
    result = source.read("a/x.json")
    assert (result.image.path, result.image.height, result.image.width) == ("a/x.jpg", 8, 9)
    assert [(s.category, s.category_name) for s in result.segments] == [
        (1, "cell"),
        (2, "dot"),
        (2, "dot"),
        (1, "cell"),
    ]
    square = np.zeros((8, 9), bool)
    square[1:4, 1:5] = True
    masks = [decode(s.mask) for s in result.segments]
    assert np.array_equal(masks[0], square)
    assert np.array_equal(masks[1], square)
    assert (masks[2].sum(), masks[2][4, 4], masks[2][6, 6]) == (13, True, False)
    assert np.array_equal(np.argwhere(masks[3]), [[3, 2], [4, 2], [4, 3]])


def test_groups_are_one_object(tmp_path):
    """Shapes of one label and group are parts of an object; of another label they are not."""
    far = [[6, 5], [8, 5], [8, 7], [6, 7]]
    save(
        tmp_path / "x.json",
        shape(group_id=3),
        shape("dot", group_id=3),
        shape("cell", far, group_id=3),
    )
    segments = open_source(tmp_path).read("x.json").segments
    assert [(s.category_name, s.area) for s in segments] == [("cell", 16.0), ("dot", 12.0)]


def test_ignored_regions_and_background(tmp_path):
    """__ignore__ does not count, and _background_ is nothing."""
    save(tmp_path / "x.json", shape("__ignore__"), shape("_background_"), shape("cell"))
    source = open_source(tmp_path)
    result = source.read("x.json")
    assert source.categories == {1: "cell"}
    assert len(result.segments) == 1
    assert decode(result.ignore).sum() == 12


def test_the_class_list_gives_ids(tmp_path):
    """Names get the list's ids; a name it lacks is an error of its image."""
    save(tmp_path / "x.json", shape("dot"))
    save(tmp_path / "y.json", shape("cell"))
    source = open_source(tmp_path, ReadOptions(class_names={9: "dot", 4: "spot"}))
    assert source.read("x.json").segments[0].category == 9
    with pytest.raises(MaskError, match=r"y\.json: shape 0: the label 'cell' is not in the class"):
        source.read("y.json")


def test_the_size_comes_from_the_picture_inside(tmp_path):
    """Old files without imageHeight hold the picture."""
    data = png(np.zeros((8, 9)))
    save(tmp_path / "x.json", shape(), imageHeight=None, imageWidth=None, imageData=data)
    assert open_source(tmp_path).read("x.json").image.height == 8
    save(tmp_path / "x.json", shape(), imageHeight=None, imageWidth=None)
    with pytest.raises(MaskError, match=r"x\.json: the size of its image is unknown"):
        open_source(tmp_path).read("x.json")


@pytest.mark.parametrize(
    "broken",
    [
        shape(points=[[1, 1], [2, 2]]),
        shape(points=[[1, 1], [2, 2], [3, float("nan")]]),
        shape(points="none"),
        shape(points=[1, 2, 3]),
        shape(kind="star"),
        shape(kind="mask"),
        shape(kind="mask", mask="no base64!"),
        shape(points=[[7, 7], [8, 8]], kind="mask", mask=png(np.ones((4, 4)))),
        {"label": "cell", "shape_type": "polygon"},
        shape(kind="circle", points=[]),
    ],
)
def test_a_malformed_shape_is_named(tmp_path, broken):
    """File, number and label of the shape are in the error."""
    save(tmp_path / "x.json", shape(), broken)
    with pytest.raises(MaskError, match=r"x\.json: shape 1 \(cell\) is malformed") as error:
        open_source(tmp_path).read("x.json")
    assert error.value.fix


@pytest.mark.parametrize("changes", [{"shapes": 3}, {"shapes": [5]}, {"imageHeight": "tall"}])
def test_a_malformed_file_is_named(tmp_path, changes):
    """Wrong types are an error of that file."""
    save(tmp_path / "x.json", **changes)
    with pytest.raises(MaskError, match=r"x\.json: malformed") as error:
        open_source(tmp_path).read("x.json")
    assert "imageHeight" in error.value.fix


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=7)))
def test_every_mask_survives(tmp_path_factory, mask):
    """Parts, holes and corners that touch: what is written is read back to the pixel."""
    if not mask.any():
        mask[0, 0] = True
    folder = tmp_path_factory.mktemp("labelme")
    segment = segment_from_mask(mask, category=4, category_name="cell", iscrowd=True)
    image = ImageRef("x.png", *mask.shape)
    void = encode(mask)
    result = Segmentation(image, segments=(segment, segment), ignore=void)
    get("labelme").write_image(result, folder, "x", WriteOptions())
    read = open_source(folder, ReadOptions(class_names={4: "cell"})).read("x.json")
    assert [(s.mask, s.category, s.iscrowd) for s in read.segments] == [(segment.mask, 4, True)] * 2
    assert (read.ignore, read.image.path) == (void, "x.png")
