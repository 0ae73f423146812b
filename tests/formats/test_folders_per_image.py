"""Layouts with a folder per image: ours, the nuclei challenge's, and Meta's amg."""

from __future__ import annotations

import numpy as np
import pytest

from segcli.errors import InputError, MaskError
from segcli.formats import ReadOptions, get, open_source
from segcli.formats.base import WriteOptions
from segcli.masks.rle import decode

HEADER = (
    "id,area,bbox_x0,bbox_y0,bbox_w,bbox_h,point_input_x,point_input_y,predicted_iou,"
    "stability_score,crop_box_x0,crop_box_y0,crop_box_w,crop_box_h"
)
ONE = np.zeros((6, 7), np.uint8)
ONE[1:3, 2:5] = 255


def test_numbered_masks(tmp_path, make_result):
    """Our masks layout: the number is the index in the record; a folder is an image."""
    get("masks").write_image(make_result(), tmp_path, "a/x.y", WriteOptions())
    assert sorted(p.name for p in (tmp_path / "a" / "x.y").iterdir()) == ["0000.png", "0001.png"]
    source = open_source(tmp_path)
    assert source.keys() == ["a/x.y/"]
    assert [s.id for s in source.read("a/x.y/").segments] == [0, 1]
    assert "2 masks of single objects in 1 folders" in source.description


@pytest.mark.parametrize("name", ["masks", "amg"])
def test_masks_of_an_earlier_longer_result_go(name, tmp_path, make_result):
    """Overwriting with fewer segments leaves no mask of the old result behind."""
    long, short = make_result(), make_result(segments=make_result().segments[:1])
    get(name).write_image(long, tmp_path, "x", WriteOptions())
    get(name).write_image(short, tmp_path, "x", WriteOptions())
    ((_, read),) = open_source(tmp_path)
    assert len(read.segments) == 1
    assert len(list((tmp_path / "x").glob("*.png"))) == 1


def test_the_nuclei_challenge_layout(tmp_path, save):
    """<image>/images/<image>.png with <image>/masks/*.png is one image per folder."""
    for image in ("one", "two"):
        save(tmp_path / image / "images" / f"{image}.png", ONE)
        for mask in ("c0ffee", "decaf"):
            save(tmp_path / image / "masks" / f"{mask}.png", ONE)
    source = open_source(tmp_path)
    assert (source.format, source.kind, source.keys()) == ("masks", "instance", ["one/", "two/"])
    segments = source.read("one/").segments
    assert [s.id for s in segments] == [0, 1]
    assert np.array_equal(decode(segments[0].mask), ONE != 0)


def test_datasets_with_a_masks_folder_are_not_mistaken(tmp_path, save):
    """images/ and masks/ with many files each hold one mask per image, not one per object."""
    for name in ("x", "y"):
        for split in ("train", "val"):
            save(tmp_path / split / "masks" / f"{name}.png", ONE)
            save(tmp_path / split / "images" / f"{name}.jpg", ONE)
    source = open_source(tmp_path / "train" / "masks")
    assert (source.format, source.keys()) == ("binary", ["x.png", "y.png"])
    assert len(open_source(tmp_path).keys()) == 4


def test_numbered_frames_are_not_objects(tmp_path, save):
    """Frames of a video, counted otherwise than our masks are, stay one mask per image."""
    for name in ("bear/00000.png", "bear/00001.png"):
        save(tmp_path / name, ONE)
    assert open_source(tmp_path).keys() == ["bear/00000.png", "bear/00001.png"]


def test_masks_of_different_sizes_in_one_image_are_an_error(tmp_path, save):
    """The file and both sizes are named."""
    save(tmp_path / "x" / "0000.png", ONE)
    save(tmp_path / "x" / "0001.png", ONE[:, :5])
    with pytest.raises(MaskError, match=r"0001\.png: is 5x6, .* 7x6"):
        open_source(tmp_path).read("x/")


def test_an_object_mask_has_two_values(tmp_path, save):
    """A grey edge in an object's mask is not counted as inside."""
    grey = ONE.copy()
    grey[0] = 100
    save(tmp_path / "x" / "0000.png", grey)
    with pytest.raises(MaskError, match="several values"):
        open_source(tmp_path).read("x/")


def test_amg_files_are_exactly_metas(tmp_path, make_result):
    """Header, order of columns and file names are those of Meta's amg.py."""
    files = get("amg").write_image(make_result(), tmp_path, "a/x", WriteOptions())
    assert [f.relative_to(tmp_path).as_posix() for f in files] == [
        "a/x/0.png",
        "a/x/1.png",
        "a/x/metadata.csv",
    ]
    lines = files[-1].read_text().splitlines()
    assert lines[0] == HEADER
    assert lines[1] == "0,45,2,1,7,7,5.5,4.25,0.9321,0.97,0,0,17,12"
    assert len(lines) == 3


def test_metas_own_folder_is_read(tmp_path, save):
    """A folder as Meta's script leaves it (no final newline) gives masks, scores and provenance."""
    save(tmp_path / "dog.v2" / "0.png", ONE)
    rows = f"{HEADER}\n0,6,2,1,2,1,3.5,1.25,0.98,0.95,0,0,7,6"
    (tmp_path / "dog.v2" / "metadata.csv").write_text(rows)
    source = open_source(tmp_path)
    assert (source.format, source.keys()) == ("amg", ["dog.v2/"])
    (segment,) = source.read("dog.v2/").segments
    assert np.array_equal(decode(segment.mask), ONE != 0)
    assert (segment.predicted_iou, segment.score, segment.stability_score) == (0.98, 0.98, 0.95)
    assert (segment.point_xy, segment.crop_box_xywh) == ((3.5, 1.25), (0, 0, 7, 6))
    assert segment.box_xywh == (2, 1, 3, 2)
    assert segment.area == 6
    assert open_source(tmp_path / "dog.v2").keys() == ["dog.v2/"]


def test_amg_keeps_what_there_is(tmp_path, make_result):
    """Segments without point, crop or scores are written as empty fields and read as None."""
    bare = make_result("x.png", segments=())
    segments = list(make_result().segments)
    plain = make_result(
        "x.png",
        segments=tuple(type(s)(mask=s.mask, area=s.area, box_xywh=s.box_xywh) for s in segments),
    )
    get("amg").write_image(plain, tmp_path, "x", WriteOptions())
    get("amg").write_image(bare, tmp_path, "none", WriteOptions())
    source = open_source(tmp_path, ReadOptions(image_sizes={"none.jpg": (12, 17)}))
    first = source.read("x/").segments[0]
    assert (first.score, first.predicted_iou, first.point_xy, first.crop_box_xywh) == (None,) * 4
    assert source.read("none/").segments == ()
    assert source.read("none/").image.height == 12
    with pytest.raises(MaskError, match="size is unknown"):
        open_source(tmp_path).read("none/")


def test_a_metadata_file_of_something_else_is_not_amg(tmp_path, save):
    """Many data sets have a metadata.csv of their own beside their masks."""
    save(tmp_path / "x.png", ONE)
    (tmp_path / "metadata.csv").write_text("file,patient\nx.png,7\n")
    assert open_source(tmp_path).format == "binary"


@pytest.mark.parametrize(
    "row", ["0,6,2", "0,6,2,1,2,1,x,1,0.9,0.9,0,0,7,6", "5,6,2,1,2,1,3,1,0.9,0.9,0,0,7,6"]
)
def test_damaged_metadata_is_an_error_of_that_image(tmp_path, save, row):
    """A cut-off row, a word for a number, or a missing mask file fails by name."""
    save(tmp_path / "x" / "0.png", ONE)
    (tmp_path / "x" / "metadata.csv").write_text(f"{HEADER}\n{row}\n")
    with pytest.raises((MaskError, InputError), match=r"metadata\.csv|5\.png"):
        open_source(tmp_path).read("x/")
