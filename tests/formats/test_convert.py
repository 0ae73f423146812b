"""From one format to another: nothing is lost in silence, nothing is written elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from segcli.errors import OutputError
from segcli.formats import open_source
from segcli.formats.convert import convert
from segcli.formats.ndjson import StreamSource, to_line, to_record

ERROR = to_line({"schema": "segcli.image/1", "status": "error", "path": "bad.jpg", "page": None})


def records(make_result, *paths) -> str:
    return "".join(to_line(to_record(make_result(path))) for path in paths)


@pytest.mark.parametrize(
    "name", ["/tmp/out.png", "../out.png", "a/../../out.png", "..\\out.png", "C:\\out.png", "C:x"]
)
@pytest.mark.parametrize("to", ["labels", "amg"])
def test_nothing_is_written_outside_the_target(tmp_path, make_result, name, to):
    """A file name that leads elsewhere is an error of its image; the others are written."""
    file = tmp_path / "in" / "r.ndjson"
    file.parent.mkdir()
    file.write_text(records(make_result, name, "ok.png"))
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    done = convert(open_source(file), tmp_path / "deep" / "out", to)
    assert (done.images, [f.image for f in done.failures]) == (1, [name])
    written = {p for p in tmp_path.rglob("*") if p.is_file()} - before
    assert written
    assert all(tmp_path / "deep" / "out" in p.parents for p in written)


@pytest.mark.parametrize("streamed", [False, True])
def test_images_of_one_stem_are_all_kept(tmp_path, make_result, streamed):
    """x.jpg and x.png give two files, from a file and from a stream."""
    text = records(make_result, "x.jpg", "x.png", "x.jpg.png")
    file = tmp_path / "r.ndjson"
    file.write_text(text)
    source = StreamSource(text.encode().splitlines(), "in") if streamed else open_source(file)
    done = convert(source, tmp_path / "out", "labels")
    assert done.images == len(list((tmp_path / "out").iterdir())) == 3


def test_failures_are_counted_and_the_others_written(tmp_path, make_result):
    """Error records and damaged files are named; what comes behind them is converted."""
    (tmp_path / "r.ndjson").write_text(ERROR + records(make_result, "x.jpg"))
    done = convert(open_source(tmp_path / "r.ndjson"), tmp_path / "a", "coco-dataset")
    assert (done.images, [f.image for f in done.failures]) == (1, ["bad.jpg"])
    for name in "abc":
        (tmp_path / "gt").mkdir(exist_ok=True)
        Image.fromarray(np.eye(9, dtype=np.uint16)).save(tmp_path / "gt" / f"{name}.png")
    whole = (tmp_path / "gt" / "b.png").read_bytes()
    (tmp_path / "gt" / "b.png").write_bytes(whole[:50])
    done = convert(open_source(tmp_path / "gt"), tmp_path / "b", "masks")
    assert (done.images, [f.image for f in done.failures]) == (2, ["b.png"])


def test_a_folder_with_files_is_left_alone(tmp_path, make_result):
    """Files are replaced only when asked for; hidden ones do not count."""
    (tmp_path / "r.ndjson").write_text(records(make_result, "x.jpg"))
    target = tmp_path / "imgs"
    target.mkdir()
    (target / ".hidden").write_text("")
    source = open_source(tmp_path / "r.ndjson")
    assert convert(source, target, "labels").images == 1
    with pytest.raises(OutputError, match=r"x\.png"):
        convert(source, target, "labels")
    assert convert(source, target, "labels", overwrite=True).images == 1
    with pytest.raises(OutputError, match="is a file"):
        convert(source, tmp_path / "r.ndjson", "labels")


def test_class_maps_keep_their_class_ids(tmp_path, save):
    """Classes 3 and 7 stay 3 and 7 in label maps, and what is lost of segments is said."""
    values = np.zeros((12, 12), np.uint8)
    values[:4, :4], values[6:9, 6:9], values[11, 11] = 3, 7, 3
    save(tmp_path / "gt" / "x.png", values)
    done = convert(open_source(tmp_path / "gt"), tmp_path / "out", "labels")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "x.png")), values)
    assert "crowd" in done.loses
    assert done.segments == 2


def test_unconverted_images_are_json(tmp_path, make_result):
    """A failure is a JSON object that names the image and the reason."""
    (tmp_path / "r.ndjson").write_text(ERROR)
    done = convert(open_source(tmp_path / "r.ndjson"), tmp_path / "out", "labels")
    (record,) = [json.loads(json.dumps(f.to_record())) for f in done.failures]
    assert record["image"] == "bad.jpg"
    assert "record" in record["why"]


def test_results_that_name_their_image_have_its_name(tmp_path, make_result):
    """SA-1B's x.json is the result of x.jpg: its label map is x.png."""
    (tmp_path / "r.ndjson").write_text(records(make_result, "a/x.jpg", "a/y.jpg"))
    convert(open_source(tmp_path / "r.ndjson"), tmp_path / "sa1b", "sa1b")
    convert(open_source(tmp_path / "sa1b"), tmp_path / "out", "labels")
    assert {p.name for p in (tmp_path / "out" / "a").iterdir()} == {"x.png", "y.png"}
