"""Masks in colour: classes of a class list, or ids, and never a guess."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from segcli.errors import InputError, MaskError
from segcli.formats import ReadOptions, open_source
from segcli.formats.classes import ClassList, read_class_list, with_classes
from segcli.formats.colors import read_color_ids

RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), (128, 128, 128)
CLASSES = ClassList({0: "sky", 7: "car", 300: "bus"}, {0: BLUE, 7: RED, 300: GREY})
BY_COLOR = with_classes(ReadOptions(), CLASSES)
MAP = np.array([[0, 0, 7, 7], [300, 0, 7, 0]])


def colored(values: np.ndarray = MAP) -> np.ndarray:
    picture = np.zeros((*values.shape, 3), np.uint8)
    for number, color in CLASSES.colors.items():
        picture[values == number] = color
    return picture


def test_colours_are_the_classes_of_the_list(tmp_path):
    """RGB and opaque RGBA, and a picture of one grey class among them."""
    Image.fromarray(colored()).save(tmp_path / "a.png")
    Image.fromarray(colored()).convert("RGBA").save(tmp_path / "b.png")
    Image.new("RGB", (3, 2), GREY).save(tmp_path / "c.png")
    source = open_source(tmp_path, BY_COLOR)
    assert (source.format, source.kind, source.certain) == ("labels", "semantic", True)
    assert source.categories == CLASSES.names
    assert np.array_equal(source.read("a.png").labels.values, MAP)
    assert np.array_equal(source.read("b.png").labels.values, MAP)
    assert (source.read("c.png").labels.values == 300).all()


def test_an_unknown_colour_is_named_with_its_place(tmp_path):
    """The colour and its first pixel are in the error, and what to add to the list."""
    picture = colored()
    picture[1, 2] = (1, 2, 3)
    Image.fromarray(picture).save(tmp_path / "a.png")
    with pytest.raises(MaskError, match=r"a\.png: the colour \(1, 2, 3\) at x=2, y=1") as error:
        open_source(tmp_path, BY_COLOR).read("a.png")
    assert "color = [1, 2, 3]" in error.value.fix


def test_a_colour_of_two_classes_is_not_guessed_at(tmp_path):
    """In ADE20K's palette road and skyscraper look the same: such a pixel is an error."""
    ade = read_class_list("ade20k")
    Image.new("RGB", (3, 2), ade.colors[1]).save(tmp_path / "wall.png")
    Image.new("RGB", (3, 2), ade.colors[7]).save(tmp_path / "road.png")
    Image.new("RGB", (3, 2), ade.colors[2]).save(tmp_path / "x.png")
    source = open_source(tmp_path, with_classes(ReadOptions(), ade))
    assert (source.read("wall.png").labels.values == 1).all()
    with pytest.raises(MaskError, match=r"road\.png: the colour \(140, 140, 140\)"):
        source.read("road.png")


def test_ids_are_read_when_asked_for(tmp_path):
    """--kind instance: id = R + 256 G + 65536 B; grey files beside them keep their values."""
    Image.fromarray(colored()).save(tmp_path / "a.png")
    options = ReadOptions(kind="instance")
    values = open_source(tmp_path, options).read("a.png").labels.values
    assert np.array_equal(values == 255, MAP == 7)
    assert np.array_equal(values == 255 << 16, MAP == 0)
    assert np.array_equal(values == 128 * 0x010101, MAP == 300)


def test_without_being_told_colours_stay_an_error(tmp_path):
    """Neither a class list nor a kind: the error says both ways out."""
    Image.fromarray(colored()).save(tmp_path / "a.png")
    for options in (ReadOptions(), ReadOptions(kind="semantic")):
        with pytest.raises(InputError, match="no masks in a known format") as error:
            open_source(tmp_path, options)
        assert "--class-names" in error.value.fix
        assert "--kind instance" in error.value.fix


def test_photographs_are_no_ids(tmp_path):
    """A colour PNG of a photograph does not become thousands of objects."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    source = open_source(tmp_path, ReadOptions(kind="instance"))
    with pytest.raises(MaskError, match=r"a\.png: looks like a photograph"):
        source.read("a.png")


def test_jpegs_transparency_and_masks_without_colour_are_refused(tmp_path):
    """What would be a guess among colour-coded masks is an error of its file."""
    smooth = np.repeat(colored(), 8, axis=0).repeat(8, axis=1)
    Image.fromarray(smooth).save(tmp_path / "a.png")
    clear = np.dstack([colored(), np.full(MAP.shape, 255, np.uint8)])
    clear[0, 0, 3] = 9
    Image.fromarray(clear).save(tmp_path / "clear.png")
    Image.fromarray(MAP.astype(np.uint8)).save(tmp_path / "grey.png")
    source = open_source(tmp_path, BY_COLOR, format="labels")
    with pytest.raises(MaskError, match=r"grey\.png: has no colours \(L\)"):
        source.read("grey.png")
    with pytest.raises(MaskError, match=r"clear\.png: has no colours \(RGBA\)"):
        source.read("clear.png")
    with pytest.raises(MaskError, match="has transparent pixels"):
        read_color_ids(tmp_path / "clear.png")
    (tmp_path / "j").mkdir()
    Image.fromarray(smooth).save(tmp_path / "j" / "x.jpg")
    with pytest.raises(MaskError, match="colours in a JPEG"):
        open_source(tmp_path / "j", BY_COLOR).read("x.jpg")


def test_colours_of_the_list_do_not_change_other_label_maps(tmp_path):
    """A palette or grey file holds class ids, whatever colours the class list knows."""
    picture = Image.fromarray(np.array([[0, 7], [7, 0]], np.uint8)).convert("P")
    picture.putpalette([9, 9, 9] * 8)
    picture.save(tmp_path / "a.png")
    values = open_source(tmp_path, BY_COLOR).read("a.png").labels.values
    assert sorted(np.unique(values)) == [0, 7]


def test_a_palette_whose_colours_are_other_classes_is_refused(tmp_path):
    """A picture whose palette was made by a drawing program, not by the data set."""
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    picture.putpalette([0, 0, 255, 255, 0, 0])
    picture.save(tmp_path / "a.png")
    with pytest.raises(
        MaskError, match=r"a\.png: the palette index 1 has the colour of the class 7"
    ):
        open_source(tmp_path, BY_COLOR).read("a.png")
    assert open_source(tmp_path).read("a.png").labels.values.tolist() == [[0, 1], [1, 0]]
    picture.putpalette([0, 0, 255, 9, 9, 9])
    picture.save(tmp_path / "a.png")
    assert open_source(tmp_path, BY_COLOR).read("a.png").labels.values.tolist() == [[0, 1], [1, 0]]


@given(
    hnp.arrays(np.uint32, (3, 4), elements=st.integers(0, (1 << 24) - 1)),
)
def test_every_colour_is_an_id(tmp_path_factory, values):
    """The id of each pixel is R + 256 G + 65536 B."""
    path = tmp_path_factory.mktemp("ids") / "x.png"
    colors = np.stack([values & 255, values >> 8 & 255, values >> 16], axis=-1).astype(np.uint8)
    Image.fromarray(colors).save(path)
    assert np.array_equal(read_color_ids(path), values)
