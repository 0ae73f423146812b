"""What each side is told that only the other one knows, and what is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from segcli.errors import ConfigError, UsageError
from segcli.evaluate import EvalSettings, Side, choose_protocol, evaluate, open_sides
from segcli.formats import get, open_source
from segcli.formats.base import WriteOptions
from segcli.formats.classes import ClassList
from segcli.formats.folders import COLUMNS
from segcli.masks.rle import segment_from_mask
from segcli.records import ImageRef, Segmentation


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)
    return path


def two_objects(shift=0, dtype=np.uint8):
    values = np.zeros((40, 40), dtype)
    values[5:15, 5:15], values[20:30, 20:30] = 1, 2
    return np.roll(values, shift, axis=1)


def scattered(dtype=np.uint8):
    """A class map: the classes recur in separate pieces."""
    values = np.zeros((40, 40), dtype)
    values[5:15, 5:15], values[20:30, 20:30], values[33:36, 2:5], values[2:4, 30:33] = 1, 2, 2, 1
    return values


def sides(tmp_path, pred="pred", gt="gt", **options):
    return open_sides(Side(str(tmp_path / pred)), Side(str(tmp_path / gt)), **options)


def test_a_guess_gives_way_to_what_the_other_side_is(tmp_path):
    """8-bit objects, as many in each image, are objects beside 16-bit ones, whichever side."""
    for name in "abc":
        save(tmp_path / "pred" / f"{name}.png", two_objects(1))
        save(tmp_path / "gt" / f"{name}.png", two_objects(dtype=np.uint16))
    assert open_source(tmp_path / "pred").kind == "semantic"
    for pred, gt in (("pred", "gt"), ("gt", "pred")):
        found = evaluate(*sides(tmp_path, pred, gt))
        assert found.protocol == "instance"
        assert found.metrics["f1_50.pooled"] == 1
        assert any("as the " in note for note in found.notes)


def test_empty_predictions_are_of_the_ground_truths_kind(tmp_path):
    """Maps of nothing but 0 are no binary masks when the ground truth has objects."""
    save(tmp_path / "pred" / "a.png", np.zeros((40, 40), np.uint8))
    save(tmp_path / "gt" / "a.png", two_objects(dtype=np.uint16))
    found = evaluate(*sides(tmp_path))
    assert found.protocol == "instance"
    assert found.metrics["f1_50.pooled"] == 0


def test_a_sure_kind_is_kept_and_the_fallback_is_a_warning(tmp_path):
    """Classes in separate pieces against objects: the foreground is compared, with a warning."""
    for name in "ab":
        save(tmp_path / "pred" / f"{name}.png", scattered())
        save(tmp_path / "gt" / f"{name}.png", two_objects(dtype=np.uint16))
    found = evaluate(*sides(tmp_path))
    assert found.protocol == "binary"
    assert "scored as binary although the ground truth is instance" in found.warnings[0]
    assert not evaluate(*sides(tmp_path), EvalSettings(protocol="binary")).warnings


@pytest.mark.parametrize("name", ["pred.png", "pred.npy"])
def test_one_file_against_one_file_is_a_pair(tmp_path, name):
    """Two files given by name are a pair, whatever they are called; a rule still counts."""
    save(tmp_path / name, two_objects(dtype=np.uint16))
    save(tmp_path / "truth.png", two_objects(dtype=np.uint16))
    opened = sides(tmp_path, name, "truth.png")
    found = evaluate(*opened)
    assert found.counts["images"] == 1
    assert found.params["pairing"]["rule"] == "one file against one file"
    with pytest.raises(UsageError, match="none of 1 predictions"):
        evaluate(*opened, EvalSettings(match="(pred)"))


def test_folders_without_a_mask_have_the_size_of_their_counterpart(tmp_path):
    """An image for which amg.py found nothing is scored: its size is the ground truth's."""
    result = Segmentation(
        ImageRef("x.jpg", 40, 40), (segment_from_mask(two_objects() == 1, score=0.9),)
    )
    get("amg").write_image(result, tmp_path / "pred", "x", WriteOptions())
    (tmp_path / "pred" / "y").mkdir()
    (tmp_path / "pred" / "y" / "metadata.csv").write_text(",".join(COLUMNS) + "\n")
    for name in "xy":
        save(tmp_path / "gt" / f"{name}_mask.png", two_objects(dtype=np.uint16))
    found = evaluate(*sides(tmp_path))
    assert (found.counts["images"], found.failures) == (2, ())
    assert found.counts["fn_50"] == 3


def test_a_missing_mask_of_a_folder_fails_its_image_alone(tmp_path):
    """A PNG that metadata.csv lists and that is not there: that image fails, the others count."""
    result = Segmentation(ImageRef("x.jpg", 40, 40), (segment_from_mask(two_objects() == 1),))
    for name in "xy":
        get("amg").write_image(result, tmp_path / "pred", name, WriteOptions())
        save(tmp_path / "gt" / f"{name}.png", two_objects(dtype=np.uint16))
    (tmp_path / "pred" / "y" / "0.png").unlink()
    found = evaluate(*sides(tmp_path))
    assert (found.counts["images"], len(found.failures)) == (1, 1)
    assert "no such file" in found.failures[0].error


@pytest.mark.parametrize("match", [None, r"(\w)(?:_mask)?\.\w+$"])
def test_polygons_take_sizes_by_the_rule_that_pairs(tmp_path, match):
    """YOLO texts beside masks with a suffix: the size is that of the pair."""
    for name in "xy":
        save(tmp_path / "gt" / f"{name}_mask.png", (two_objects() > 0).astype(np.uint8) * 255)
        text = "1 0.125 0.125 0.375 0.125 0.375 0.375 0.125 0.375\n"
        save(tmp_path / "pred" / "unused.npy", np.zeros(1)).unlink()
        (tmp_path / "pred" / f"{name}.txt").write_text(text)
    settings = EvalSettings(match=match)
    found = evaluate(*sides(tmp_path, settings=settings), settings)
    assert (found.counts["images"], found.failures) == (2, ())


def test_a_named_format_takes_any_folders_of_masks(tmp_path):
    """x/1.png, x/2.png: not told by content, read when said; x.png beside folders is neither."""
    for name in "xy":
        for number in (1, 2):
            mask = (two_objects() == number).astype(np.uint8) * 255
            save(tmp_path / "pred" / name / f"{number}.png", mask)
    source = open_source(tmp_path / "pred", format="masks")
    assert source.keys() == ["x/", "y/"]
    assert [len(r.segments) for _, r in source] == [2, 2]
    save(tmp_path / "pred" / "z.png", two_objects())
    with pytest.raises(UsageError, match="holds no folders of object masks"):
        open_source(tmp_path / "pred", format="masks")


def test_a_kind_is_refused_where_it_would_be_ignored(tmp_path):
    """Only label maps can be said to mean something; what is true anyway may be said."""
    result = Segmentation(ImageRef("x.jpg", 40, 40), (segment_from_mask(two_objects() == 1),))
    get("amg").write_image(result, tmp_path / "pred", "x", WriteOptions())
    save(tmp_path / "gt" / "x.png", two_objects(dtype=np.uint16))
    pred, gt = str(tmp_path / "pred"), str(tmp_path / "gt")
    with pytest.raises(UsageError, match="cannot be semantic: it is of the format amg"):
        open_sides(Side(pred, kind="semantic"), Side(gt))
    with pytest.raises(UsageError, match="cannot be binary"):
        open_sides(Side(gt), Side(pred, kind="binary"))
    assert open_sides(Side(pred, kind="instance"), Side(gt, kind="instance"))
    with pytest.raises(ConfigError, match="standard input holds segcli records"):
        open_source("-", format="coco")


def test_options_without_effect_are_refused(memory):
    """A class list without classes, class-agnostic matching without objects."""
    maps = {"a": np.eye(4, dtype=np.uint8)}
    for kind in ("binary", "instance"):
        both = memory(kind, maps), memory(kind, maps)
        with pytest.raises(UsageError, match="--class-names needs"):
            evaluate(*both, EvalSettings(classes=ClassList({0: "a", 1: "b"})))
    for kind in ("binary", "semantic"):
        both = memory(kind, maps), memory(kind, maps)
        with pytest.raises(UsageError, match="--class-agnostic needs"):
            evaluate(*both, EvalSettings(class_agnostic=True))


def test_objects_without_classes_are_told_a_protocol_that_works(memory, stream):
    """Proposals against class maps: the fix that is named scores them."""
    gt = memory("semantic", {"a.png": scattered()})
    assert choose_protocol(stream({}), gt, None)[0] == "semantic"
    found = evaluate(stream({"a.jpg": two_objects()}), gt)
    assert found.failures[0].fix == "--protocol binary"
    told = EvalSettings(protocol="binary")
    assert evaluate(stream({"a.jpg": two_objects()}), gt, told).counts["images"] == 1


VOID = {
    "semantic": (scattered(), {}),
    "instance": (two_objects(dtype=np.uint16), {"kind": "instance"}),
}


@pytest.mark.parametrize("kind", VOID)
def test_a_border_of_255_that_counts_is_warned_of(tmp_path, kind):
    """VOC's border without an ignore index: the option is named; with it there is no warning."""
    values, options = VOID[kind]
    border = values.copy()
    border[17, :] = 255
    for name in "ab":
        save(tmp_path / "pred" / f"{name}.png", values)
        save(tmp_path / "gt" / f"{name}.png", border)
    pred, gt = Side(str(tmp_path / "pred"), **options), Side(str(tmp_path / "gt"), **options)
    (warning,) = evaluate(*open_sides(pred, gt)).warnings
    assert "--ignore-index 255" in warning
    settings = EvalSettings(ignore_index=255)
    assert not evaluate(*open_sides(pred, gt, settings), settings).warnings
    assert not [w for w in evaluate(*open_sides(gt, gt)).warnings if "255" in w]


def test_records_of_one_image_the_last_counts(tmp_path, stream):
    """An error that a later run mended is none; two results of one image are an error."""
    ok = b"".join(stream({"a.jpg": two_objects()})._lines)
    bad = b"".join(stream({}, errors=["a.jpg"])._lines)
    file = tmp_path / "r.ndjson"
    for lines, keys, failed in ((bad + ok, ["a.jpg"], []), (ok + bad, [], ["a.jpg"])):
        file.write_bytes(lines)
        source = open_source(file)
        assert (list(source.keys()), list(source.failed)) == (keys, failed)
    file.write_bytes(ok + ok)
    with pytest.raises(UsageError, match=r"line 2: a second result for a\.jpg"):
        open_source(file)
    from segcli.formats.ndjson import StreamSource

    source = StreamSource(io.BytesIO(bad + ok), "in")
    assert len(list(source)) == 1
    assert not source.failed
