"""From any format to any other and back: what both can hold is the same afterwards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.formats import ReadOptions, get, open_source, writable_names
from segcli.formats.base import WriteOptions
from segcli.formats.convert import convert
from segcli.masks.labels import foreground, segments_of
from segcli.masks.rle import segment_from_mask
from segcli.records import ImageRef, LabelMap, Segmentation

NAMES = {1: "ant", 2: "bee", 3: "cat"}
# What each format keeps of objects that do not overlap and have classes.
KEEPS = {
    "labels": {"objects"},
    "masks": {"objects"},
    "amg": {"objects", "scores"},
    "sa1b": {"objects", "scores"},
    "coco": {"objects", "classes", "scores"},
    "coco-dataset": {"objects", "classes", "names", "crowds", "scores"},
    "coco-panoptic": {"objects", "classes", "names", "crowds"},
    "ndjson": {"objects", "classes", "crowds", "scores"},
    "labelme": {"objects", "classes", "names", "crowds"},
    "semantic": {"classes", "names"},
    "binary": set(),
}
PAIRS = [(a, b) for a in KEEPS for b in KEEPS]


def scene(values: np.ndarray) -> Segmentation:
    """Objects 1, 2, 3, … of a label map, their classes in turn; object 4 is a crowd."""
    objects = [
        segment_from_mask(
            values == number,
            category=1 + number % 3,
            category_name=NAMES[1 + number % 3],
            score=number / 16,
            iscrowd=number == 4,
        )
        for number in np.unique(values).tolist()
        if number
    ]
    image = ImageRef("a/x.png", *values.shape)
    return Segmentation(image, segments=tuple(objects), categories=NAMES)


def carried(result: Segmentation, what: set[str]) -> dict[str, object]:
    """What a result says, of the things asked for."""
    found: dict[str, object] = {"foreground": foreground(result).tolist()}
    segments = segments_of(result)
    if "objects" in what:
        found["objects"] = sorted(s.mask.counts for s in segments)
    if "classes" in what and "objects" in what:
        found["classes"] = sorted((s.mask.counts, s.category) for s in segments)
    elif "classes" in what:
        painted = np.zeros((result.image.height, result.image.width), int)
        for segment in segments:
            painted[foreground(Segmentation(result.image, (segment,)))] = segment.category
        found["classes"] = painted.tolist()
    if "scores" in what:
        found["scores"] = sorted((s.mask.counts, s.score) for s in segments)
    if "crowds" in what:
        found["crowds"] = sorted(s.mask.counts for s in segments if s.iscrowd)
    if "names" in what:
        found["names"] = {s.category: result.categories[s.category] for s in segments}
    return found


def opened(folder, name):
    """Read as a user would who knows the classes."""
    kind = "instance" if name == "labels" else None
    # LabelMe keeps names: the ids are those of the class list.
    names = {**NAMES, 4: "object"} if name == "labelme" else None
    options = ReadOptions(kind=kind, class_names=names, image_sizes={"a/x": (7, 9)})
    return open_source(folder, options, format=name)


def there_and_back(root, values, first, second):
    """A scene in the first format, and after the way to the second and back."""
    writer, result = get(first), scene(values)
    if writer.write_dataset:
        file = root / "1" / writer.file_name.rpartition("/")[2]
        writer.write_dataset(iter([result]), file, WriteOptions())
    else:
        writer.write_image(result, root / "1", "a/x", WriteOptions())
    for source, target, name in ((first, second, "2"), (second, first, "3")):
        reader = opened(root / str(int(name) - 1), source)
        assert convert(reader, root / name, target, class_names=NAMES).images == 1
    ((_, before),) = opened(root / "1", first)
    ((_, after),) = opened(root / "3", first)
    return before, after


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_what_both_hold_survives(tmp_path, first, second):
    """Objects, classes, names, scores and crowds: each where both formats keep it."""
    values = np.zeros((7, 9), int)
    values[:3, :4], values[1:2, 1:3] = 1, 0
    values[4:, :2], values[4, 5], values[6, 5:], values[:2, 6:] = 2, 3, 3, 4
    before, after = there_and_back(tmp_path, values, first, second)
    both = KEEPS[first] & KEEPS[second]
    assert carried(after, both) == carried(before, both)


@given(
    hnp.arrays(np.int64, (7, 9), elements=st.integers(0, 5)),
    st.sampled_from(PAIRS),
)
def test_any_label_map_survives(tmp_path_factory, values, pair):
    """Holes, touching corners and scattered parts make no difference."""
    values[0, 0] = 1
    before, after = there_and_back(tmp_path_factory.mktemp("trip"), values, *pair)
    both = KEEPS[pair[0]] & KEEPS[pair[1]]
    assert carried(after, both) == carried(before, both)


def test_every_format_that_is_written_goes_there_and_back():
    """A new format cannot forget this test; YOLO, which needs the size of images, has its own."""
    assert {*KEEPS, "yolo"} == set(writable_names())


@pytest.mark.parametrize("second", [name for name in KEEPS if name != "binary"])
def test_yolo_keeps_solid_parts(tmp_path, second):
    """Rectangles survive the way through polygons of fractions, their classes where kept."""
    values = np.zeros((7, 9), int)
    values[:3, :4], values[4:, :2], values[:2, 6:] = 1, 2, 3
    before, after = there_and_back(tmp_path, values, second, "yolo")
    both = KEEPS[second] & {"objects", "classes"}
    assert carried(after, both) == carried(before, both)


def test_class_maps_go_where_classes_go(tmp_path):
    """A class map to COCO panoptic and back has every value it had."""
    values = np.array([[0, 7, 7], [9, 7, 0]])
    result = Segmentation(ImageRef("x.png", 2, 3), labels=LabelMap(values, "semantic"))
    writer = get("semantic")
    writer.write_dataset([result], tmp_path / "1" / "classes.json", WriteOptions())
    convert(open_source(tmp_path / "1"), tmp_path / "2", "coco-panoptic")
    panoptic = open_source(tmp_path / "2")
    assert (panoptic.things, len(panoptic.read("x.png").segments)) == (frozenset(), 2)
    convert(panoptic, tmp_path / "3", "semantic")
    assert np.array_equal(open_source(tmp_path / "3").read("x.png").labels.values, values)
