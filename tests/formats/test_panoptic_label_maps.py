"""Label maps that join class and object, and the pages and arrays that hold label maps."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segcli.errors import InputError, MaskError
from segcli.formats import ReadOptions, open_source
from segcli.formats.classes import ClassList, with_classes

# Void, stuff, a crowd, two objects.
VALUES = np.array([[0, 7, 7, 26], [26_001, 26_001, 26_002, 7]], np.uint16)
LISTED = ClassList({7: "road", 26: "car"}, things=frozenset({26}))
PANOPTIC = ReadOptions(kind="panoptic")


def test_things_come_from_the_class_list(tmp_path, save):
    """Classes, crowds and objects, and the rule is said."""
    save(tmp_path / "x.png", VALUES)
    source = open_source(tmp_path, with_classes(PANOPTIC, LISTED))
    assert (source.kind, source.things) == ("panoptic", frozenset({26}))
    assert "class * 1000 + object, things as the class list says" in source.description
    result = source.read("x.png")
    assert result.labels.kind == "panoptic"
    assert np.array_equal(result.labels.values, VALUES)
    assert [(s.id, s.category, s.iscrowd) for s in result.segments] == [
        (7, 7, False),
        (26, 26, True),
        (26_001, 26, False),
        (26_002, 26, False),
    ]
    assert (result.categories, result.things) == ({7: "road", 26: "car"}, frozenset({26}))


def test_things_that_are_not_stated_are_those_with_numbered_objects(tmp_path, save):
    """Without a class list the classes taken for things are named, from all files looked at."""
    save(tmp_path / "x.png", VALUES)
    save(tmp_path / "y.png", np.array([[24_000, 7]], np.uint16))
    source = open_source(tmp_path, PANOPTIC)
    assert source.things == frozenset({24, 26})
    assert "things not stated, taken from numbered objects: 24, 26" in source.description


def test_stuff_as_deeplab_writes_it_is_no_thing(tmp_path, save):
    """Where even stuff is class * divisor, only numbers above 0 are objects."""
    save(tmp_path / "x.tif", np.array([[7 * 256, 26 * 256 + 1, 26 * 256 + 2]], np.int32))
    source = open_source(tmp_path, ReadOptions(kind="panoptic", label_divisor=256))
    assert source.things == frozenset({26})
    assert [s.category for s in source.read("x.tif").segments] == [7, 26, 26]


def test_void_classes(tmp_path, save):
    """The ignore index and ignored classes are void; a listed class 0 is none."""
    save(tmp_path / "x.png", VALUES)
    options = ReadOptions(
        kind="panoptic",
        ignore_index=7,
        class_names={0: "sky", 7: "void", 26: "car"},
        things=frozenset({26}),
    )
    result = open_source(tmp_path, options).read("x.png")
    assert np.array_equal(result.labels.values == 0, VALUES == 7)
    assert [s.category for s in result.segments] == [0, 26, 26, 26]


def test_numbered_stuff_names_its_file(tmp_path, save):
    """Objects of a class that is no thing are an error, not two segments of stuff."""
    save(tmp_path / "x.png", np.array([[7_000, 7_001]], np.uint16))
    options = with_classes(PANOPTIC, LISTED)
    with pytest.raises(MaskError, match=r"x\.png: the class 7 has several objects"):
        open_source(tmp_path, options).read("x.png")


def test_colours_may_hold_the_values(tmp_path):
    """RGB panoptic values need a class list, as no sample of values says what things are."""
    wide = VALUES.astype(np.uint32) * 1
    colors = np.stack([wide & 255, wide >> 8 & 255, wide >> 16], axis=-1).astype(np.uint8)
    Image.fromarray(colors).save(tmp_path / "x.png")
    result = open_source(tmp_path, with_classes(PANOPTIC, LISTED)).read("x.png")
    assert np.array_equal(result.labels.values, VALUES)
    with pytest.raises(InputError, match="which classes are things is not stated"):
        open_source(tmp_path, PANOPTIC)


def test_pages_are_images_of_their_own(tmp_path, save):
    """As for pictures: each page of a TIFF has its key, and its own masks."""
    pages = [np.eye(9, dtype=np.uint16) * n for n in (1, 2, 300)]
    pictures = [Image.fromarray(page) for page in pages]
    pictures[0].save(tmp_path / "x.tif", save_all=True, append_images=pictures[1:])
    save(tmp_path / "y.tif", pages[0])
    source = open_source(tmp_path)
    assert source.keys() == ["x.tif#page=0", "x.tif#page=1", "x.tif#page=2", "y.tif"]
    for number, page in enumerate(pages):
        result = source.read(f"x.tif#page={number}")
        assert np.array_equal(result.labels.values, page)
        assert (result.image.key, result.image.page) == (f"x.tif#page={number}", number)
    assert source.read("y.tif").image.page is None


def test_arrays_of_an_npz(tmp_path):
    """The only array; else the one that is named labels or masks; else an error naming all."""
    values = np.array([[0, 300], [2, 2]])
    for name, arrays in {
        "one": {"arr_0": values},
        "named": {"labels": values, "flows": np.zeros((2, 2, 2))},
        "other": {"masks": values.astype(np.float32), "scores": np.ones(3)},
    }.items():
        np.savez(tmp_path / f"{name}.npz", **arrays)
        read = open_source(tmp_path / f"{name}.npz").read(f"{name}.npz")
        assert np.array_equal(read.labels.values, values)
    np.savez(tmp_path / "two.npz", values, values)
    with pytest.raises(InputError, match=r"two\.npz: holds 2 arrays \(arr_0, arr_1\)") as error:
        open_source(tmp_path / "two.npz").read("two.npz")
    assert "labels" in error.value.fix


def test_classes_that_do_not_count(tmp_path, save):
    """Ignored classes of a class list are void in class maps, and keep their values."""
    save(tmp_path / "x.png", np.array([[0, 3], [255, 3]], np.uint8))
    options = ReadOptions(kind="semantic", ignored=frozenset({0, 255}), class_names={3: "cat"})
    result = open_source(tmp_path, options).read("x.png")
    assert result.labels.values.tolist() == [[0, 3], [255, 3]]
    assert result.ignore is not None
    assert result.categories == {3: "cat"}
