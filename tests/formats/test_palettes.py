"""Colours of classes."""

from __future__ import annotations

import pytest

from segcli.errors import ConfigError
from segcli.formats.palettes import palette_colors


def test_the_list_that_names_all_classes_gives_the_colours():
    """Without a choice, Cityscapes' names get Cityscapes' colours; others colours by id."""
    assert palette_colors({7: "road", 8: "sky"}) == {7: (128, 64, 128), 8: (70, 130, 180)}
    mixed = palette_colors({7: "road", 8: "gadget"})
    assert mixed[7] != (128, 64, 128)


def test_a_named_palette_and_auto():
    """A palette colours the classes it knows; auto uses none."""
    mixed = palette_colors({7: "Road", 8: "gadget"}, "cityscapes")
    assert mixed[7] == (128, 64, 128)
    assert palette_colors({7: "road"}, "auto")[7] != (128, 64, 128)


def test_colours_by_id_differ_and_stay():
    """200 classes: no two colours alike, and a class has its colour whatever else there is."""
    colors = palette_colors({i: f"c{i}" for i in range(200)}, "auto")
    assert len(set(colors.values())) == 200
    assert palette_colors({17: "c17"}, "auto")[17] == colors[17]


def test_unknown_palette():
    """A typo is met with the closest palette; lists without colours are none."""
    with pytest.raises(ConfigError, match="unknown palette") as caught:
        palette_colors({1: "a"}, "citiscapes")
    assert "cityscapes" in caught.value.fix
    with pytest.raises(ConfigError, match="unknown palette"):
        palette_colors({1: "a"}, "coco-panoptic")
