"""Cityscapes' files: told by their names, and what their values mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.errors import InputError, MaskError
from segcli.evaluate.pairing import pair_keys
from segcli.formats import ReadOptions, open_source
from segcli.formats.classes import read_class_list, with_classes
from segcli.masks.rle import decode

# ego vehicle, road, a group of cars, two cars, a caravan (which is not evaluated), unlabeled.
INSTANCES = np.array([[1, 7, 7, 26], [26_000, 26_001, 29_000, 0]], np.uint16)
CLASSES = np.array([[1, 7, 7, 26], [26, 26, 29, 0]], np.uint8)
TRAIN = np.array([[255, 0, 0, 13], [13, 13, 255, 255]], np.uint8)
NAME = "ulm/ulm_000000_000019_gtFine"
KEY = "ulm/ulm_000000_000019.png"


def save(root: Path, *kinds: str, name: str = NAME) -> Path:
    values = {"labelIds": CLASSES, "instanceIds": INSTANCES, "labelTrainIds": TRAIN}
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        Image.fromarray(values[kind]).save(root / f"{name}_{kind}.png")
    return root


def test_classes_are_read_with_their_names_and_what_does_not_count(tmp_path):
    """The benchmark's 19 classes count; the others are void, and keep their values."""
    source = open_source(save(tmp_path, "labelIds", "instanceIds"))
    assert (source.format, source.kind, source.keys()) == ("cityscapes", "semantic", [KEY])
    assert "19 classes count" in source.description
    assert "instanceIds beside them left out" in source.description
    result = source.read(KEY)
    assert np.array_equal(result.labels.values, CLASSES)
    assert np.array_equal(decode(result.ignore), np.isin(CLASSES, [0, 1, 29]))
    assert result.categories[7] == "road"
    assert {24, 26, 33} <= result.things


def test_objects_and_groups(tmp_path):
    """Panoptic: things, stuff, crowds and void; instance: the objects of things alone."""
    save(tmp_path, "labelIds", "instanceIds")
    source = open_source(tmp_path, ReadOptions(kind="panoptic"))
    result = source.read(KEY)
    assert [(s.id, s.category, s.iscrowd) for s in result.segments] == [
        (7, 7, False),
        (26, 26, True),
        (26_000, 26, False),
        (26_001, 26, False),
    ]
    assert result.labels.kind == "panoptic"
    assert np.array_equal(result.labels.values == 0, np.isin(CLASSES, [0, 1, 29]))
    objects = open_source(tmp_path, ReadOptions(kind="instance")).read(KEY)
    assert [s.id for s in objects.segments] == [26, 26_000, 26_001]
    assert objects.labels is None
    assert decode(objects.ignore).sum() == 3


def test_classes_come_from_object_files_too(tmp_path):
    """Files instanceIds alone are panoptic; asked for classes they give those of labelIds."""
    save(tmp_path, "instanceIds")
    assert open_source(tmp_path).kind == "panoptic"
    result = open_source(tmp_path, ReadOptions(kind="semantic")).read(KEY)
    assert np.array_equal(result.labels.values, CLASSES)


def test_train_ids(tmp_path):
    """Road is 0 and 255 is void, alone or where the class list numbers road 0."""
    save(tmp_path / "a", "labelTrainIds")
    save(tmp_path / "b", "labelTrainIds", "labelIds")
    options = with_classes(ReadOptions(), read_class_list("cityscapes-trainids"))
    for source in (open_source(tmp_path / "a"), open_source(tmp_path / "b", options)):
        result = source.read(KEY)
        assert np.array_equal(result.labels.values, TRAIN)
        assert result.categories[0] == "road"
        assert np.array_equal(decode(result.ignore), TRAIN == 255)


def test_files_of_pictures_are_left_out_and_other_masks_are_not(tmp_path):
    """Colours beside labels do no harm; a folder that mostly holds other masks is not ours."""
    save(tmp_path, "labelIds")
    Image.new("RGBA", (4, 2), (128, 64, 128, 255)).save(tmp_path / f"{NAME}_color.png")
    (tmp_path / f"{NAME}_polygons.json").write_text("{}")
    assert open_source(tmp_path).format == "cityscapes"
    for index in range(3):
        Image.fromarray(CLASSES).save(tmp_path / f"{index}.png")
    assert open_source(tmp_path / "0.png").format == "labels"


@pytest.mark.parametrize("kind", ["instance", "panoptic", "binary"])
def test_what_files_do_not_hold_is_said(tmp_path, kind):
    """Classes have no objects: the error names the files that do."""
    with pytest.raises(InputError, match="labelIds cannot be") as error:
        open_source(save(tmp_path, "labelIds"), ReadOptions(kind=kind))
    assert "instanceIds" in error.value.fix
    with pytest.raises(InputError, match="no Cityscapes label files"):
        open_source(Path(__file__).parent, format="cityscapes")


def test_a_damaged_file_is_its_own_error(tmp_path):
    """A truncated file and stuff with objects name the file."""
    save(tmp_path, "instanceIds")
    path = tmp_path / f"{NAME}_instanceIds.png"
    Image.fromarray(np.array([[7000, 7001]], np.uint16)).save(path)
    with pytest.raises(MaskError, match=r"_instanceIds\.png: the class 7 has several objects"):
        open_source(tmp_path).read(KEY)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(MaskError, match=r"_instanceIds\.png: cannot be decoded"):
        open_source(tmp_path).read(KEY)


@pytest.mark.parametrize("suffix", ["", "_leftImg8bit", "_gtFine_labelIds"])
def test_predictions_named_as_the_pictures_are_paired(suffix):
    """frankfurt_…_leftImg8bit.png pairs with frankfurt_…_gtFine_labelIds.png."""
    stems = [f"frankfurt/frankfurt_000000_00{i}" for i in (294, 576)]
    found = pair_keys([f"{s}{suffix}.png" for s in stems], [f"{s}.png" for s in stems])
    assert len(found.pairs) == 2
