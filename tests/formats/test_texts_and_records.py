"""SA-1B, YOLO and segcli's own records."""

from __future__ import annotations

import io
import json
import zlib

import numpy as np
import pytest

from segcli.errors import InputError, MaskError
from segcli.formats import ReadOptions, get, open_source
from segcli.formats.base import WriteOptions
from segcli.formats.ndjson import from_record, parse_line, stdin_source, to_line, to_record
from segcli.masks.labels import foreground
from segcli.masks.rle import decode, encode, segment_from_mask
from segcli.records import ImageRef, Segmentation


def test_sa1b_has_exactly_the_published_fields(tmp_path, make_result):
    """The keys, their order and nesting are those of the SA-1B data set."""
    (file,) = get("sa1b").write_image(
        make_result("a/sa_223750.jpg"), tmp_path, "a/x", WriteOptions()
    )
    parsed = json.loads(file.read_text())
    assert parsed["image"] == {
        "image_id": 223750,
        "width": 17,
        "height": 12,
        "file_name": "sa_223750.jpg",
    }
    first = parsed["annotations"][0]
    assert list(first) == [
        "id",
        "segmentation",
        "bbox",
        "area",
        "predicted_iou",
        "stability_score",
        "crop_box",
        "point_coords",
    ]
    assert (first["id"], first["point_coords"], first["predicted_iou"]) == (
        1,
        [[5.5, 4.25]],
        0.9321,
    )


def test_sa1b_image_ids(tmp_path, make_result):
    """From the ground truth, else the number in the name, else a hash that never changes."""

    def written(path: str, **options) -> int:
        (file,) = get("sa1b").write_image(make_result(path), tmp_path, "x", WriteOptions(**options))
        return json.loads(file.read_text())["image"]["image_id"]

    assert written("x.jpg", image_ids={"x.jpg": 5}) == 5
    assert written("COCO_val2014_000000000042.jpg") == 42
    assert written("a/dog.jpg") == zlib.crc32(b"a/dog.jpg")


def test_sa1b_is_read_with_its_provenance(tmp_path, make_result):
    """Everything SA-1B can hold comes back; the path is the stated file beside the JSON."""
    result = make_result("a/x.jpg")
    get("sa1b").write_image(result, tmp_path, "a/x", WriteOptions())
    source = open_source(tmp_path)
    assert source.keys() == ["a/x.json"]
    read = source.read("a/x.json")
    assert read.image.path == "a/x.jpg"
    for ours, theirs in zip(result.segments, read.segments, strict=True):
        for name in ("mask", "score", "predicted_iou", "stability_score", "point_xy"):
            assert getattr(ours, name) == getattr(theirs, name)
        assert ours.crop_box_xywh == theirs.crop_box_xywh


@pytest.mark.parametrize("content", ['{"image": {', '{"image": {"height": 2}, "annotations": []}'])
def test_damaged_sa1b_is_an_error_of_that_image(tmp_path, make_result, content):
    """Half a file, or one without a size, fails by name; the others are read."""
    get("sa1b").write_image(make_result("y.jpg"), tmp_path, "y", WriteOptions())
    source = open_source(tmp_path)
    (tmp_path / "y.json").write_text(content)
    with pytest.raises(MaskError, match=r"y\.json"):
        source.read("y.json")


def test_yolo_lines(tmp_path):
    """Class 0 for a proposal, the class id otherwise; corners as fractions of width and height."""
    square = np.zeros((10, 20))
    square[2:4, 5:10] = 1
    segments = (segment_from_mask(square), segment_from_mask(square, category=3))
    result = Segmentation(image=ImageRef("x.jpg", 10, 20), segments=segments)
    (file,) = get("yolo").write_image(result, tmp_path, "x", WriteOptions())
    lines = [line.split() for line in file.read_text().splitlines()]
    assert [line[0] for line in lines] == ["0", "3"]
    corners = {tuple(map(float, pair)) for pair in zip(lines[0][1::2], lines[0][2::2], strict=True)}
    assert corners == {(0.25, 0.2), (0.5, 0.2), (0.5, 0.4), (0.25, 0.4)}
    source = open_source(tmp_path, ReadOptions(image_sizes={"x.jpg": (10, 20)}))
    read = source.read("x.txt")
    assert [s.category for s in read.segments] == [0, 3]
    assert np.array_equal(decode(read.segments[0].mask), square != 0)


def test_yolo_keeps_the_largest_part_without_holes(tmp_path):
    """What the format loses is exactly what it says it loses."""
    mask = np.zeros((10, 20), dtype=bool)
    mask[1:6, 1:6] = True
    mask[3, 3] = False
    mask[8, 15:18] = True
    result = Segmentation(image=ImageRef("x.jpg", 10, 20), segments=(segment_from_mask(mask),))
    get("yolo").write_image(result, tmp_path, "x", WriteOptions())
    read = open_source(tmp_path, ReadOptions(image_sizes={"x": (10, 20)})).read("x.txt")
    expected = np.zeros((10, 20), dtype=bool)
    expected[1:6, 1:6] = True
    assert np.array_equal(foreground(read), expected)
    assert "holes" in get("yolo").loses
    assert "parts" in get("yolo").loses


def test_yolo_without_a_size_is_explained(tmp_path):
    """Polygons are fractions: without the image's size there is no mask, and no guess."""
    (tmp_path / "x.txt").write_text("0 0 0 1 0 1 1\n")
    with pytest.raises(InputError, match="size of its image is unknown") as error:
        open_source(tmp_path).read("x.txt")
    assert error.value.fix


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("0 0.5 0.5 0.2 0.2", "is a box, not a polygon"),
        ("0 0.5 x 0.2 0.2 1 1", "not numbers"),
        ("0 0.5 0.5", "no polygon"),
        ("0 5 5 9 5 9 9", "not fractions"),
        ("0 nan 0 1 0 1 1", "not fractions"),
    ],
)
def test_damaged_yolo_lines_name_their_line(tmp_path, line, words):
    """File, line and reason are named; boxes of a detection data set are not filled in."""
    (tmp_path / "x.txt").write_text(f"0 0 0 1 0 1 1\n{line}\n")
    source = open_source(tmp_path, ReadOptions(image_sizes={"x.jpg": (4, 4)}))
    with pytest.raises(MaskError, match=rf"x\.txt line 2: .*{words}"):
        source.read("x.txt")


def test_yolo_predictions_may_carry_a_score(tmp_path):
    """An odd number behind the polygon is the confidence that other tools save."""
    (tmp_path / "x.txt").write_text("2 0 0 1 0 1 1 0 1 0.75\n")
    (segment,) = (
        open_source(tmp_path, ReadOptions(image_sizes={"x": (4, 4)})).read("x.txt").segments
    )
    assert (segment.category, segment.score, segment.area) == (2, 0.75, 16)


def test_records_are_lossless(make_result):
    """A record read from its line is the result that was written."""
    result = make_result("a/ü x.jpg")
    again = from_record(parse_line(to_line(to_record(result)), "line"))
    assert again == result


def test_records_are_read_from_files_and_pipes(tmp_path, make_result):
    """Random access and streaming give the same; failed images are remembered, not results."""
    lines = [to_line(to_record(make_result(p))) for p in ("b.jpg", "a.jpg")]
    lines.append('{"schema":"segcli.image/1","status":"error","path":"c.jpg"}\n')
    lines.append('{"schema":"segcli.summary/1","images":3}\n')
    path = tmp_path / "out.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    source = open_source(path)
    assert (source.format, source.keys(), source.failed) == (
        "ndjson",
        ["a.jpg", "b.jpg"],
        ["c.jpg"],
    )
    stream = stdin_source(io.BytesIO(path.read_bytes()))
    assert dict(iter(stream)) == dict(iter(source))
    assert stream.failed == ["c.jpg"]
    with pytest.raises(InputError, match="read once"):
        stream.keys()
    with pytest.raises(InputError, match="cannot be searched"):
        stream.read("a.jpg")


def test_what_is_no_record_is_an_input_error():
    """A pipe of something else is named with its line."""
    for line in ("nonsense", "[]", '{"schema": "other"}'):
        with pytest.raises(InputError, match="standard input line 1"):
            list(stdin_source(io.BytesIO(line.encode())))


def test_a_damaged_record_names_its_image(make_result):
    """A mask of the wrong size, or a missing field, is an error of that image."""
    record = to_record(make_result("a/x.jpg"))
    with pytest.raises(MaskError, match=r"a/x\.jpg: malformed"):
        from_record({**record, "segments": [{}]})
    with pytest.raises(MaskError, match=r"a/x\.jpg: .*17x12.*17x9"):
        from_record({**record, "height": 9})


def test_numbers_that_json_lacks_are_refused():
    """NaN is never written: other tools' JSON parsers would stop there."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_line({"score": float("nan")})


def test_the_nuclei_are_read_as_they_were_labelled(shared_data):
    """Real ground truth: 120 pictures, 3494 nuclei, taken for instance label maps."""
    from segcli.masks.labels import segments_of

    source = open_source(shared_data / "nuclei" / "test" / "labels")
    assert (source.format, source.kind, len(source.keys())) == ("labels", "instance", 120)
    assert sum(len(segments_of(result)) for _, result in source) == 3494


@pytest.mark.parametrize(
    ("field", "value"), [("path", None), ("path", ["a"]), ("page", "one"), ("height", -4)]
)
def test_a_record_with_a_field_of_another_type_is_malformed(field, value):
    """On a pipe it is one failed image, whatever the line holds."""
    record = {"path": "a.png", "height": 4, "width": 5, "segments": []} | {field: value}
    with pytest.raises(MaskError, match="malformed"):
        from_record(record)


def test_a_score_that_is_text_is_malformed():
    """Scores are compared, so each must be a number."""
    mask = {"size": [1, 2], "counts": encode(np.eye(1, 2)).counts}
    segment = {"segmentation": mask, "score": "high"}
    with pytest.raises(MaskError, match="malformed"):
        from_record({"path": "a.png", "height": 1, "width": 2, "segments": [segment]})
