"""COCO panoptic: layouts, what is checked, and the golden case."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from segcli.errors import InputError, MaskError
from segcli.formats import ReadOptions, get, open_source
from segcli.formats.base import WriteOptions
from segcli.masks.rle import decode
from segcli.records import LabelMap

SKY, CAR = 70_000, 300
CATEGORIES = [
    {"id": 1, "name": "sky", "isthing": 0},
    {"id": 7, "name": "car", "isthing": 1},
]


def ids() -> np.ndarray:
    """Void, sky and one car."""
    values = np.zeros((4, 6), np.uint32)
    values[:2], values[3, 1:3] = SKY, CAR
    return values


def save_ids(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colors = np.stack([values & 255, values >> 8 & 255, values >> 16], axis=-1)
    Image.fromarray(colors.astype(np.uint8)).save(path)


def panoptic(**changes: object) -> dict[str, object]:
    info = [
        {"id": SKY, "category_id": 1, "iscrowd": 0, "area": 12, "bbox": [0, 0, 6, 2]},
        {"id": CAR, "category_id": 7, "iscrowd": 1, "area": 99},
    ]
    return {
        "images": [{"id": 5, "file_name": "a.jpg", "height": 4, "width": 6}],
        "annotations": [{"image_id": 5, "file_name": "a.png", "segments_info": info}],
        "categories": CATEGORIES,
        **changes,
    }


def save(root: Path, name: str = "gt", **changes: object) -> Path:
    """Write gt.json and gt/a.png."""
    save_ids(root / name / "a.png", ids())
    path = root / f"{name}.json"
    path.write_text(json.dumps(panoptic(**changes)))
    return path


def test_segments_and_ids_come_out(tmp_path):
    """Ids, classes, crowds, stated areas, things and void are as PNG and JSON say."""
    source = open_source(save(tmp_path))
    assert (source.format, source.kind, source.keys()) == ("coco-panoptic", "panoptic", ["a.jpg"])
    assert (source.categories, source.things) == ({1: "sky", 7: "car"}, frozenset({7}))
    result = source.read("a.jpg")
    assert result.labels is not None
    assert result.labels.kind == "panoptic"
    assert np.array_equal(result.labels.values, ids())
    assert [(s.id, s.category, s.category_name, s.iscrowd, s.area) for s in result.segments] == [
        (SKY, 1, "sky", False, 12.0),
        (CAR, 7, "car", True, 99.0),
    ]
    assert np.array_equal(decode(result.segments[1].mask), ids() == CAR)
    assert (result.things, result.categories) == (source.things, source.categories)
    assert result.ignore is None


@pytest.mark.parametrize("given_path", ["annotations/val.json", "annotations/val", "annotations"])
def test_layouts(tmp_path, given_path):
    """The JSON, the folder of PNGs beside it, and the folder that holds both are one data set."""
    save(tmp_path / "annotations", "val")
    assert open_source(tmp_path / given_path).keys() == ["a.jpg"]


def test_a_folder_beside_the_json_of_its_name(tmp_path):
    """PNGs beside the JSON are found as well."""
    path = save(tmp_path)
    (tmp_path / "gt" / "a.png").rename(tmp_path / "a.png")
    (tmp_path / "gt").rmdir()
    assert open_source(path).read("a.jpg").segments


def test_predictions_without_categories_take_those_of_the_ground_truth(tmp_path):
    """As panopticapi writes predictions: annotations alone."""
    path = save(tmp_path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({"annotations": content["annotations"]}))
    assert open_source(path).keys() == ["a.png"]
    assert open_source(path).read("a.png").things is None
    options = ReadOptions(
        class_names={1: "sky", 7: "car"}, things=frozenset({7}), coco_names={5: "v/a.jpg"}
    )
    source = open_source(path, options)
    assert (source.keys(), source.things) == (["v/a.jpg"], frozenset({7}))
    assert source.read("v/a.jpg").segments[0].category_name == "sky"
    with pytest.raises(MaskError, match="unknown category 1"):
        open_source(path, ReadOptions(class_names={7: "car"})).read("a.png")


def test_several_files_in_one_folder_are_not_guessed_at(tmp_path):
    """Predictions beside the ground truth: the error names both files."""
    save(tmp_path, "gt")
    save(tmp_path, "pred")
    with pytest.raises(InputError, match=r"gt\.json, pred\.json") as error:
        open_source(tmp_path)
    assert "gt.json" in error.value.fix


def test_a_file_is_told_apart_although_annotations_come_late(tmp_path):
    """Thousands of images stand before the first annotation in COCO's own files."""
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 4, "width": 6} for i in range(6, 3000)]
    path = save(tmp_path, images=[*panoptic()["images"], *images])
    assert path.stat().st_size > 1 << 17
    assert open_source(path).keys() == ["a.jpg"]


def changed_segments(**changes: object) -> dict[str, object]:
    """The data set with another first segment."""
    annotation = panoptic()["annotations"][0]
    infos = annotation["segments_info"]
    return {"annotations": [{**annotation, "segments_info": [{**infos[0], **changes}, infos[1]]}]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (changed_segments(id=71_000), r"gt/a\.png: segment 70000 is not among"),
        (changed_segments(category_id=3), "segment 70000 has the unknown category 3"),
        (changed_segments(category_id=None), "malformed segment"),
        (changed_segments(id=CAR), "two segments have one id"),
        (changed_segments(area="big"), "malformed segment"),
        (
            {"images": [{"id": 5, "file_name": "a.jpg", "height": 9, "width": 9}]},
            "is 6x4, but .* says 9x9",
        ),
    ],
)
def test_an_inconsistent_image_is_its_own_error(tmp_path, changes, words):
    """What is wrong with one image is found when it is read, and names file and segment."""
    source = open_source(save(tmp_path, **changes))
    with pytest.raises(MaskError, match=words) as error:
        source.read("a.jpg")
    assert error.value.fix


def test_a_segment_that_is_not_drawn_is_an_error(tmp_path):
    """As in panopticapi: the JSON names no segment that the PNG lacks."""
    path = save(tmp_path)
    save_ids(tmp_path / "gt" / "a.png", np.where(ids() == CAR, 0, ids()))
    with pytest.raises(MaskError, match=r"gt\.json: segment 300 has no pixel in .*a\.png"):
        open_source(path).read("a.jpg")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"annotations": [{"segments_info": []}]}, "annotation 0 has no image_id"),
        ({"annotations": [*panoptic()["annotations"]] * 2}, "annotated twice"),
        ({"categories": [{"id": 1}]}, "malformed category"),
        ({"images": [{"id": 5}]}, "malformed image"),
        ({"images": [{"id": 6, "file_name": "b.jpg"}]}, "unknown image id 5"),
    ],
)
def test_a_malformed_file_is_an_input_error(tmp_path, changes, words):
    """What is wrong with the JSON is found when it is opened, and says what would be right."""
    with pytest.raises(InputError, match=words) as error:
        open_source(save(tmp_path, **changes), format="coco-panoptic")
    assert error.value.fix


def test_a_grey_png_is_no_map_of_ids(tmp_path):
    """Ids are colours; a palette or grey picture would be read wrong."""
    path = save(tmp_path)
    Image.fromarray(ids().astype(np.uint8)).save(tmp_path / "gt" / "a.png")
    with pytest.raises(MaskError, match="no RGB picture but L"):
        open_source(path).read("a.jpg")


@given(
    hnp.arrays(
        np.int64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.sampled_from([0, 1, 256, 65536, (1 << 24) - 1, 1 << 24]),
    )
)
def test_panoptic_maps_survive(tmp_path_factory, values):
    """What is written is read back: the same regions, classes and void; ids too where they fit."""
    folder = tmp_path_factory.mktemp("panoptic")
    present = [int(v) for v in np.unique(values) if v]
    save_ids(folder / "in" / "a.png", np.searchsorted([0, *present], values).astype(np.uint32))
    info = [{"id": i + 1, "category_id": 1 + i % 2} for i in range(len(present))]
    annotation = {"image_id": 1, "file_name": "a.png", "segments_info": info}
    categories = [{"id": c, "name": str(c), "isthing": c - 1} for c in (1, 2)]
    content = {"annotations": [annotation], "categories": categories}
    (folder / "in.json").write_text(json.dumps(content))
    read = open_source(folder / "in.json").read("a.png")
    get("coco-panoptic").write_dataset([read], folder / "out" / "x.json", WriteOptions())
    again = open_source(folder / "out").read("a.png")
    assert np.array_equal(again.labels.values, read.labels.values)
    assert again.segments == read.segments
    assert again.things is not None


def test_pngs_that_are_nowhere_are_looked_for_by_name(tmp_path):
    """Without the folder of PNGs the error says where it should be."""
    path = save(tmp_path)
    (tmp_path / "gt" / "a.png").unlink()
    with pytest.raises(MaskError, match=r"gt/a\.png: no such file"):
        open_source(path).read("a.jpg")
    (tmp_path / "gt").rmdir()
    with pytest.raises(InputError, match="PNGs of its segments are not beside it") as error:
        open_source(path)
    assert str(tmp_path / "gt") in error.value.fix


def test_the_golden_case(shared_data):
    """The stated areas of DeepLab2's example are those of its masks."""
    for side, count in (("gt", 9), ("pred", 8)):
        source = open_source(shared_data / "panoptic_team" / f"{side}.json")
        result = source.read("team.jpg")
        assert len(result.segments) == count
        assert all(s.area == decode(s.mask).sum() for s in result.segments)
        assert isinstance(result.labels, LabelMap)
        assert result.things == frozenset({1, 2, 3, 4, 6})
