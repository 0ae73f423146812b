"""Class maps with their class list: written, told apart, read back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from segcli.errors import InputError, MaskError
from segcli.formats import ReadOptions, get, open_source
from segcli.formats.base import WriteOptions
from segcli.formats.convert import convert
from segcli.masks.panoptic import PanopticCode
from segcli.masks.rle import segment_from_mask
from segcli.records import ImageRef, LabelMap, Segmentation

FORMAT = get("semantic")


def written(folder, *results):
    return FORMAT.write_dataset(iter(results), folder / "classes.json", WriteOptions())


def test_class_maps_and_their_names(tmp_path):
    """Values are class ids; classes.json names them, and makes the folder a set of class maps."""
    parts = [
        segment_from_mask(np.array(mask), category=category, score=category / 9)
        for mask, category in (([[1, 1, 0]], 3), ([[0, 1, 1]], 5))
    ]
    image = ImageRef("a/x.jpg", 1, 3)
    result = Segmentation(image, segments=tuple(parts), categories={3: "cat", 5: "dog", 9: "elk"})
    assert len(written(tmp_path, result)) == 2
    listed = json.loads((tmp_path / "classes.json").read_text())
    names = {0: "background", 3: "cat", 5: "dog", 9: "elk"}
    assert listed["classes"] == [{"id": n, "name": name} for n, name in names.items()]
    source = open_source(tmp_path)
    assert (source.format, source.kind, source.certain) == ("semantic", "semantic", True)
    assert source.read("a/x.png").labels.values.tolist() == [[3, 5, 5]]
    assert source.categories[3] == "cat"


def test_class_maps_stay_as_they_are(tmp_path):
    """A class map's values are written unchanged, wide ones in 16 bits."""
    values = np.array([[0, 3], [255, 999]])
    written(tmp_path, Segmentation(ImageRef("x.png", 2, 2), labels=LabelMap(values, "semantic")))
    assert np.array_equal(open_source(tmp_path).read("x.png").labels.values, values)


def test_the_class_0_of_segments_is_not_lost(tmp_path):
    """Painted as 0 it would be background: an error of its image; panoptic void becomes 255."""
    values = np.array([[0, 7, 255]])
    ids, segments = PanopticCode(1000, frozenset(), {255}, zero_is_class=True).read(values)
    image = ImageRef("x.png", 1, 3)
    names = {0: "sky", 7: "car"}
    result = Segmentation(image, segments, LabelMap(ids, "panoptic"), categories=names)
    FORMAT.check(result)
    written(tmp_path, result)
    assert np.array_equal(open_source(tmp_path).read("x.png").labels.values, values)
    with pytest.raises(MaskError, match="segments of the class 0"):
        FORMAT.check(Segmentation(image, segments))


def test_failures_leave_the_other_images(tmp_path):
    """YOLO's class 0 fails its image; paths that lead out fail theirs; the others are written."""
    (tmp_path / "yolo").mkdir()
    for name, line in {"a": "0 0 0 1 0 1 1", "b": "2 0 0 1 0 1 1"}.items():
        (tmp_path / "yolo" / f"{name}.txt").write_text(line)
    sizes = ReadOptions(image_sizes={"a": (4, 4), "b": (4, 4)})
    done = convert(open_source(tmp_path / "yolo", sizes), tmp_path / "out", "semantic")
    assert (done.images, [f.image for f in done.failures]) == (1, ["a.txt"])
    assert open_source(tmp_path / "out").keys() == ["b.png"]


def test_a_broken_class_list_is_an_input_error(tmp_path, save):
    """classes.json that is no class list, and a folder without one."""
    save(tmp_path / "x.png", np.eye(9, dtype=np.uint8))
    with pytest.raises(InputError, match=r"holds no classes\.json"):
        open_source(tmp_path, format="semantic")
    (tmp_path / "classes.json").write_text('{"schema": "segcli.classes/1", "a": ')
    with pytest.raises(InputError, match=r"classes\.json: cannot be read") as error:
        open_source(tmp_path)
    assert error.value.fix


def test_lists_of_other_tools_decide_nothing(tmp_path, save):
    """A classes.json of others beside instance label maps does not make them class maps."""
    values = np.zeros((9, 9), np.uint16)
    values[1:3, 1:3], values[5:7, 5:7] = 1, 300
    save(tmp_path / "x.png", values)
    (tmp_path / "classes.json").write_text('["cell", "debris"]')
    assert (open_source(tmp_path).format, open_source(tmp_path).kind) == ("labels", "instance")


def test_things_stay_known(tmp_path):
    """What a panoptic source says of things is in the class list, and read back."""
    ids, segments = PanopticCode(1000, frozenset({26})).read(np.array([[7, 26_001]]))
    result = Segmentation(
        ImageRef("x.png", 1, 2),
        segments,
        LabelMap(ids, "panoptic"),
        categories={7: "road", 26: "car"},
        things=frozenset({26}),
    )
    written(tmp_path, result)
    assert open_source(tmp_path).things == frozenset({26})


def test_the_kind_may_be_said(tmp_path, save):
    """Whoever says that values are panoptic is believed."""
    save(tmp_path / "x.png", np.array([[0, 7, 26_001]], np.uint16))
    (tmp_path / "classes.json").write_text('{"7": "road", "26": "car"}')
    source = open_source(tmp_path, ReadOptions(kind="panoptic"), format="semantic")
    assert (source.format, source.kind, source.things) == ("semantic", "panoptic", frozenset({26}))
