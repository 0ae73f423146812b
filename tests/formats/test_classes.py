"""Class lists: every form of file, and those that ship with segcli."""

from __future__ import annotations

import json

import pytest

from segcli.errors import InputError
from segcli.formats.base import ReadOptions
from segcli.formats.classes import ClassList, class_list_names, read_class_list, with_classes

TOML = """
[[class]]
id = 0
name = "void"
ignored = true

[[class]]
id = 7
name = "car"
color = [0, 0, 142]
thing = true
"""
FULL = ClassList({0: "void", 7: "car"}, {7: (0, 0, 142)}, frozenset({7}), frozenset({0}))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("c.toml", TOML, FULL),
        ("c.json", '{"0": "void", "7": "car"}', ClassList({0: "void", 7: "car"})),
        ("c.json", '["void", "car"]', ClassList({0: "void", 1: "car"})),
        ("c.txt", "void\n\ncar\n", ClassList({0: "void", 2: "car"})),
        (
            "c.json",
            json.dumps(
                {"categories": [{"id": 7, "name": "car", "isthing": 1, "color": [1, 2, 3]}]}
            ),
            ClassList({7: "car"}, {7: (1, 2, 3)}, frozenset({7})),
        ),
        (
            "c.json",
            '[{"id": 1, "name": "sky", "isthing": 0}]',
            ClassList({1: "sky"}, {}, frozenset()),
        ),
    ],
)
def test_forms_of_a_class_list(tmp_path, name, text, expected):
    """TOML, four forms of JSON, and plain lines; what is not stated is not made up."""
    (tmp_path / name).write_text(text)
    assert read_class_list(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("c.toml", "[[class]]\nid = 1\n", "no class"),
        ("c.toml", '[[class]]\nid = "1"\nname = "a"\n', "not a whole number"),
        ("c.toml", '[[class]]\nid = 1\nname = "a"\ncolor = [1, 2]\n', "not \\[red, green, blue\\]"),
        ("c.toml", '[[class]]\nid = 1\nname = "a"\ncolor = [1, 2, 256]\n', "0 to 255"),
        ("c.toml", '[[class]]\nid = 1\nname = "a"\n[[class]]\nid = 1\nname = "b"\n', "twice"),
        ("c.toml", "class = 3", "no list of tables"),
        ("c.toml", "[[class", "Expected"),
        ("c.json", "3", "neither an object nor a list"),
        ("c.json", '{"a": "b"}', "invalid literal"),
        ("c.json", '{"a": ', "Expecting"),
        ("c.txt", "", "holds no class names"),
        ("c.toml", "", "holds no class names"),
    ],
)
def test_a_malformed_list_is_an_input_error(tmp_path, name, text, words):
    """The file, the reason and an example of what would do."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_class_list(path)
    assert str(path) in error.value.message
    assert words.replace("\\", "") in f"{error.value.message} {error.value.why}"
    assert error.value.fix


def test_lists_that_ship_with_segcli():
    """Known facts of each: how many classes count, what is void, colours and things."""
    assert class_list_names() == [
        "ade20k", "cityscapes", "cityscapes-trainids", "coco-panoptic", "voc",
    ]  # fmt: skip
    city = read_class_list("cityscapes")
    assert (len(city.evaluated), city.names[7], city.colors[26]) == (19, "road", (0, 0, 142))
    assert len(city.things - city.ignored) == 8
    train = read_class_list("cityscapes-trainids")
    assert (train.names[0], train.names[18], train.ignored) == ("road", "bicycle", {255})
    assert list(train.evaluated.values()) == list(city.evaluated.values())
    ade = read_class_list("ade20k")
    assert (len(ade.evaluated), ade.names[1], ade.names[150]) == (150, "wall", "flag")
    voc = read_class_list("voc")
    assert (len(voc.evaluated), voc.names[15], voc.ignored) == (21, "person", {255})


def test_vocs_colours_spread_the_bits_of_the_id():
    """Bit 0 of the id is bit 7 of red, bit 1 of green, bit 2 of blue, bit 3 bit 6 of red."""
    for number, color in read_class_list("voc").colors.items():
        spread = [0, 0, 0]
        for bit in range(8):
            spread[bit % 3] |= (number >> bit & 1) << 7 - bit // 3
        assert color == tuple(spread), number


def test_a_folder_of_the_name_of_a_list_is_no_file(tmp_path, monkeypatch):
    """Data sets often lie in folders of their name; a file of that name is preferred."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voc").mkdir()
    assert len(read_class_list("voc").names) == 22
    (tmp_path / "cityscapes").write_text("road\n")
    assert read_class_list("cityscapes").names == {0: "road"}


def test_an_unknown_list_is_answered_with_the_closest(tmp_path):
    """A word without a file: the lists are named."""
    with pytest.raises(InputError, match="citiscapes: no such file") as error:
        read_class_list("citiscapes")
    assert "cityscapes" in error.value.fix
    with pytest.raises(InputError, match=r"none\.json: cannot be read"):
        read_class_list(tmp_path / "none.json")


def test_zero_reduced():
    """0 is dropped and every other id one less, as the benchmark of ADE20K numbers classes."""
    reduced = read_class_list("ade20k").zero_reduced()
    assert (reduced.names[0], len(reduced.names), reduced.ignored) == ("wall", 150, frozenset())
    assert reduced.colors[0] == (120, 120, 120)
    assert FULL.zero_reduced().things == {6}


def test_readers_are_told(tmp_path):
    """What a class list says reaches the reader's choices; the others stay."""
    options = with_classes(ReadOptions(kind="semantic", ignore_index=3), FULL)
    assert (options.kind, options.ignore_index, options.ignored) == ("semantic", 3, {0})
    assert (options.class_names, options.things) == ({0: "void", 7: "car"}, {7})
    assert options.class_colors == {(0, 0, 142): 7}
