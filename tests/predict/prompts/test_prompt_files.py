"""Reading prompts: one meaning for every kind of file, and errors that name file and line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from segcli.errors import InputError, ItemError, UsageError
from segcli.inputs import InputImage
from segcli.masks.rle import decode, encode, to_coco
from segcli.predict.prompts.asked import Asked, to_prompt
from segcli.predict.prompts.book import book_of_flags, book_of_rows, read_rows
from segcli.predict.prompts.flags import Flags, asked_by_flags

IMAGES = [InputImage(path, f"imgs/{path}") for path in ("a/1.png", "b/1.png", "b/2.jpg")]


def book(tmp_path, name, content, **how):
    """The prompts of a file, for the three pictures."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    rows = read_rows(str(path), **{"normalized": False, "each_point": False, **how})
    return book_of_rows(rows, IMAGES)


def kept(objects):
    """Points, box, category, name and id of each object."""
    return [(o.points, o.box_xyxy, o.category, o.category_name, o.id) for o in objects]


def one(points=(), box=None, category=None, name=None, number=None):
    return points, box, category, name, number


def test_ndjson_short(tmp_path):
    """Each box is an object; points are one object, or the one box's, or nested one list each."""
    lines = [
        {"path": "a/1.png", "points": [[1, 2], [3, 4]], "labels": [1, 0]},
        {"path": "b/1.png", "boxes": [[0, 0, 5, 5], [1, 1, 2, 2]], "categories": ["cat", "dog"]},
        {"path": "2.jpg", "points": [[1, 2]], "boxes": [[0, 0, 5, 5]], "category": 7},
        {"path": "2.jpg", "points": [[[1, 2]], [[3, 4], [5, 6]]], "labels": [[1], [1, 0]],
         "boxes": [None, [1, 1, 9, 9]], "ids": [8, 9]},
    ]  # fmt: skip
    found = book(tmp_path, "p.ndjson", "\n".join(map(json.dumps, lines)))
    assert kept(found.objects["a/1.png"]) == [one(((1, 2, 1), (3, 4, 0)))]
    assert kept(found.objects["b/1.png"]) == [
        one((), (0, 0, 5, 5), 8, "cat"),
        one((), (1, 1, 2, 2), 9, "dog"),
    ]
    assert kept(found.objects["b/2.jpg"]) == [
        one(((1, 2, 1),), (0, 0, 5, 5), 7),
        one(((1, 2, 1),), None, number=8),
        one(((3, 4, 1), (5, 6, 0)), (1, 1, 9, 9), number=9),
    ]
    assert found.categories == {8: "cat", 9: "dog"}


def test_ndjson_objects(tmp_path):
    """An object says everything of itself; masks are files beside the prompts, or RLE."""
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = True
    Image.fromarray(mask.view(np.uint8) * 255).save(tmp_path / "m.png")
    objects = [
        {"points": [[1, 2, 0], [3, 4, 1]], "category": 3, "category_name": "cell", "id": 5},
        {"mask": "m.png", "box": [0, 0, 2, 2]},
        {"mask": to_coco(encode(mask))},
    ]
    found = book(tmp_path, "p.json", {"path": "a/1.png", "objects": objects}).objects["a/1.png"]
    assert kept(found)[0] == one(((1, 2, 0), (3, 4, 1)), None, 3, "cell", 5)
    assert [None if o.mask is None else decode(o.mask).sum() for o in found] == [None, 6, 6]


def test_each_point(tmp_path):
    """With --each-point every loose point is an object, on the command line and in NDJSON."""
    line = {"path": "a/1.png", "points": [[1, 2], [3, 4]], "boxes": [[0, 0, 5, 5], [1, 1, 2, 2]]}
    found = book(tmp_path, "p.ndjson", json.dumps(line), each_point=True)
    flags = Flags(["1,2", "3,4"], ["0,0,5,5", "1,1,2,2"], each_point=True)
    expected = [one((), (0, 0, 5, 5)), one((), (1, 1, 2, 2)), one(((1, 2, 1),)), one(((3, 4, 1),))]
    assert kept(found.objects["a/1.png"]) == expected
    assert kept(asked_by_flags(flags)) == expected


def test_csv(tmp_path):
    """Rows with one object are one object; others are each their own; names get ids."""
    text = (
        "path,x,y,label,x0,y0,x1,y1,object,category\n"
        "a/1.png,1,2,,,,,,7,cat\n"
        "a/1.png,3,4,0,0,0,9,9,7,\n"
        "\n"
        "a/1.png,5,6,1,,,,,,3\n"
        "b/1.png,,,,1,1,2.5,2,x,cat\n"
    )
    found = book(tmp_path, "p.csv", text)
    assert kept(found.objects["a/1.png"]) == [
        one(((1, 2, 1), (3, 4, 0)), (0, 0, 9, 9), 4, "cat", 7),
        one(((5, 6, 1),), None, 3),
    ]
    assert kept(found.objects["b/1.png"]) == [one((), (1, 1, 2.5, 2), 4, "cat")]
    assert found.categories == {4: "cat"}
    tabbed = book(tmp_path, "p.tsv", text.replace(",", "\t"))
    assert tabbed.fingerprint == found.fingerprint


def test_coco(tmp_path):
    """Boxes of a COCO dataset become half-open corners; categories and ids stay; no crowds."""
    dataset = {
        "images": [
            {"id": 4, "file_name": "1.png", "height": 9, "width": 9},
            {"id": 5, "file_name": "elsewhere.png", "height": 9, "width": 9},
        ],
        "categories": [{"id": 2, "name": "cell"}],
        "annotations": [
            {"id": 11, "image_id": 4, "bbox": [1, 2, 3, 4.5], "category_id": 2},
            {"id": 12, "image_id": 4, "bbox": [1, 2, 3, 4], "category_id": 2, "iscrowd": 1},
        ],
    }
    with pytest.raises(InputError, match="may be any of 2 pictures"):
        book(tmp_path, "p.json", dataset)
    dataset["images"][0]["file_name"] = "b/1.png"
    found = book(tmp_path, "p.json", dataset)
    assert kept(found.objects["b/1.png"]) == [one((), (1, 2, 4, 6.5), 2, "cell", 11)]
    assert list(found.objects) == ["b/1.png"]


def test_yolo(tmp_path):
    """Normalised centres become corners; texts are found by stem, classes have their names."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "labels" / "2.txt").write_text("1 0.5 0.5 0.5 0.25\n3 0.5 0.5 1 1 0.9\n")
    rows = read_rows(str(tmp_path / "labels"), normalized=False, each_point=False)
    found = book_of_rows(rows, IMAGES).objects["b/2.jpg"]
    assert kept(found) == [
        one((), (0.25, 0.375, 0.75, 0.625), 1, "dog"),
        one((), (0, 0, 1, 1), 3),
    ]
    assert to_prompt(found[0], "x", 40, 80).box_xyxy == (20, 15, 60, 25)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.ndjson", '{"path": "a/1.png"}\n{"path": "c.png"}', "line 2: 'c.png'"),
        ("p.ndjson", '{"path": "1.png", "points": [[1, 2]]}', "a/1.png, b/1.png"),
        ("p.ndjson", '{"path": "a/1.png", "pionts": [[1, 2]]}', "did you mean 'points'"),
        ("p.ndjson", '{"path": "a/1.png", "points": [[1]]}', "line 1: the point [1]"),
        ("p.ndjson", '{"path": "a/1.png", "points": [[1, "x"]]}', "'x' is not a number"),
        ("p.ndjson", '{"path": "a/1.png", "points": [[1, NaN]]}', "nan is not a number"),
        ("p.ndjson", '{"path": "a/1.png", "points": [[1, -2]]}', "lies outside of any picture"),
        ("p.ndjson", '{"path": "a/1.png", "points": [[1, 2]], "labels": [2]}', "label 2"),
        ("p.ndjson", '{"path": "a/1.png", "points": [[1, 2]], "labels": [0]}', "asks for nothing"),
        ("p.ndjson", '{"path": "a/1.png", "points": [[1, 2]], "labels": []}', "and 0 labels"),
        ("p.ndjson", '{"path": "a/1.png", "boxes": [[5, 5, 5, 9]]}', "has no area"),
        ("p.ndjson", '{"path": "a/1.png", "boxes": [[5, 5, 1, 9]]}', "has no area"),
        ("p.ndjson", '{"path": "a/1.png", "boxes": [[1,2,3,4]], "ids": [1, 2]}', "2 ids for 1"),
        ("p.ndjson", '{"path": "a/1.png", "points": [[1,2]], "boxes": [[1,2,3,4],[1,2,3,4]]}',
         "whose points"),
        ("p.ndjson", '{"path": "a/1.png", "points": [[[1,2]]], "boxes": [[1,2,3,4],[1,2,3,4]]}',
         "1 lists of points"),
        ("p.ndjson", '{"path": "a/1.png", "objects": [{}]}', "object 1: asks for nothing"),
        ("p.ndjson", '{"path": "a/1.png", "objects": [], "boxes": []}', "beside them"),
        ("p.ndjson", '{"path": "a/1.png", "objects": [{"mask": "no.png"}]}', "no mask file"),
        ("p.ndjson", '{"path": "a/1.png", "objects": [{"mask": {"size": 3}}]}', "COCO RLE"),
        ("p.ndjson", '{"points": [[1, 2]]}', "names no picture"),
        ("p.ndjson", '{"path": "a/1.png"}\nnonsense', "line 2: not JSON"),
        ("p.json", "[1, 2]", "a JSON list"),
        ("p.csv", "path,x,y,lable\n", "did you mean 'label'"),
        ("p.csv", "path,x\n", "lacks columns"),
        ("p.csv", "x,y\n1,2\n", "lacks columns"),
        ("p.csv", "path,x,y,x\n", "repeated column 'x'"),
        ("p.csv", "path,x,y\na/1.png,1,2\na/1.png,one,2\n", "line 3: the coordinate 'one'"),
        ("p.csv", "path,x,y\na/1.png,1\n", "line 2: has 2 values"),
        ("p.csv", "path,x,y\na/1.png,1,\n", "line 2: of x and y"),
        ("p.csv", "path,x,y,label\na/1.png,1,2,5\n", "line 2: the label"),
        ("p.csv", "path,x,y\nz.png,1,2\n", "line 2: 'z.png' is none"),
        ("p.csv", "path,x,y\n,1,2\n", "line 2: names no picture"),
        ("p.csv", "path,x0,y0,x1,y1,object\na/1.png,1,1,2,2,3\na/1.png,1,1,2,4,3\n",
         "line 3: the object has a box"),
        ("p.csv", "path,x,y,object,category\na/1.png,1,1,3,a\na/1.png,1,1,3,b\n", "category 'a'"),
        ("p.txt", "0 0.5 0.5 0.1 0\n", "line 1: the box"),
        ("p.txt", "0 0.1 0.1 0.2 0.2 0.3 0.3\n", "polygon"),
        ("p.txt", "0 300 300 50 50\n", "lies outside"),
        ("p.json", {"images": [], "annotations": [{"id": 3, "image_id": 4, "bbox": [1, 1, 2, 2]}]},
         "annotation 3 names the unknown image id 4"),
        ("p.json", {"images": [{"id": 4, "file_name": "a/1.png", "height": 9, "width": 9}],
                    "annotations": [{"id": 3, "image_id": 4}]}, "annotation 3: has no bbox"),
        ("p.csv", "", "is empty"),
    ],
)  # fmt: skip
def test_errors_name_file_and_line(tmp_path, name, content, said):
    """What is wrong in a file of prompts is found by reading it, and said with its place."""
    with pytest.raises(InputError) as caught:
        book(tmp_path, name, content)
    error = caught.value
    assert said in f"{error.message} {error.why} {error.fix}"
    assert name in error.message


@pytest.mark.parametrize(
    ("name", "content", "how", "said"),
    [
        ("p.txt", "0 0.5 0.5 0.1 0.1", {"normalized": True}, "--normalized"),
        ("p.txt", "0 0.5 0.5 0.1 0.1", {"each_point": True}, "--each-point"),
        ("p.json", {"images": [], "annotations": []}, {"normalized": True}, "--normalized"),
        ("p.csv", "path,x,y\na/1.png,1,2\n", {"each_point": True}, "--each-point"),
    ],
)
def test_options_are_not_ignored(tmp_path, name, content, how, said):
    """An option that says nothing of a kind of file is refused."""
    with pytest.raises(UsageError, match=said):
        book(tmp_path, name, content, **how)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (Flags(["1"]), "has 1 numbers"),
        (Flags(["1,b"]), "'b' is not a number"),
        (Flags(["1,2,3"]), "the label is neither"),
        (Flags(["1,2,0"]), "asks for nothing"),
        (Flags(boxes=["1,2,3"]), "has 3 numbers"),
        (Flags(boxes=["5,5,5,6"]), "has no area"),
        (Flags(["1,2"], ["0,0,1,1", "0,0,2,2"]), "whose points"),
        (Flags(["0.5,1"], normalized=True), "outside of any picture"),
        (Flags(mask="nowhere.png"), "no mask file"),
    ],
)
def test_flags_are_checked(flags, said):
    """What is wrong on the command line is said with the option."""
    with pytest.raises(UsageError, match=said) as caught:
        asked_by_flags(flags)
    assert "--" in caught.value.message


def test_flags_are_of_one_picture():
    """Points on the command line are not put to every picture of a folder."""
    flags = Flags(["1,2", "3,4,0"])
    assert kept(book_of_flags(flags, IMAGES[:1]).objects["a/1.png"]) == [
        one(((1, 2, 1), (3, 4, 0)))
    ]
    with pytest.raises(UsageError, match="3 were given"):
        book_of_flags(flags, IMAGES)


def test_mask_of_the_command_line(tmp_path):
    """A mask belongs to the one object asked for, or is one itself; two objects share none."""
    Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(tmp_path / "m.png")
    file = str(tmp_path / "m.png")
    (alone,) = asked_by_flags(Flags(mask=file))
    (pointed,) = asked_by_flags(Flags(["1,1"], mask=file))
    assert decode(alone.mask).sum() == decode(pointed.mask).sum() == 4
    with pytest.raises(UsageError, match="2 objects"):
        asked_by_flags(Flags(["1,1", "2,2"], mask=file, each_point=True))
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="is empty"):
        asked_by_flags(Flags(mask=file))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked("f line 3", ((64.0, 0.0, 1),)), "the point 64,0"),
        (Asked("f line 3", box_xyxy=(0, 0, 66, 9)), "the box 0,0,66,9"),
        (Asked("f line 3", box_xyxy=(64, 0, 64.5, 9)), "the box"),
        (Asked("f line 3", mask=encode(np.ones((3, 3)))), "the mask asked with is 3x3"),
    ],
)
def test_prompts_must_lie_in_the_picture(asked, said):
    """What lies outside of a picture is an error of that picture, naming file and line."""
    with pytest.raises(ItemError) as caught:
        to_prompt(asked, "x.png", 48, 64)
    assert said in caught.value.message
    assert "f line 3" in caught.value.why


def test_rounded_edges_are_cut():
    """Edges that rounding pushed over the border by less than a pixel are put back."""
    prompt = to_prompt(Asked("f", box_xyxy=(-0.5, 0, 64.7, 48.2)), "x.png", 48, 64)
    assert prompt.box_xyxy == (0, 0, 64, 48)
    prompt = to_prompt(Asked("f", ((0.5, 0.25, 1),), normalized=True), "x.png", 48, 64)
    assert prompt.points == ((32, 12, 1),)


def test_fingerprint_is_of_content(tmp_path):
    """The hash tells prompts apart, and not where they were written down."""
    line = '{"path": "a/1.png", "points": [[1, 2]]}'
    first = book(tmp_path, "p.ndjson", line)
    same = book(tmp_path, "q.ndjson", "\n" + line)
    as_table = book(tmp_path, "p.csv", "path,x,y\na/1.png,1,2\n")
    other = book(tmp_path, "r.ndjson", line.replace("2]", "3]"))
    assert first.fingerprint == same.fingerprint == as_table.fingerprint != other.fingerprint
