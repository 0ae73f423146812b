"""COCO results and datasets, with pycocotools as the judge."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools import mask as oracle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from segcli.errors import InputError, MaskError
from segcli.formats import ReadOptions, get, open_source
from segcli.formats.base import WriteOptions
from segcli.formats.coco_dataset import CocoDataset, image_ids
from segcli.masks.rle import decode, segment_from_mask, to_coco

PATHS = ["b/x.jpg", "a/x.jpg", "y.jpg"]


def evaluate(gt, results) -> np.ndarray:
    """COCOeval's twelve numbers for two files."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(gt))
        run = COCOeval(truth, truth.loadRes(str(results)), "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats


def write(name, results, folder, **options):
    """Write results in a format that has one file for all."""
    writer = get(name)
    return writer.write_dataset(iter(results), folder / writer.file_name, WriteOptions(**options))


@pytest.fixture
def truth(tmp_path, make_result):
    """A ground-truth dataset of three images, written by us."""
    return write("coco-dataset", [make_result(p) for p in PATHS], tmp_path / "gt")[0]


def test_pycocotools_loads_and_scores_both_files(tmp_path, truth, make_result):
    """COCO(...) takes our dataset, loadRes our results; perfect predictions get AP 1."""
    results, images = write(
        "coco", [make_result(p) for p in PATHS], tmp_path, image_ids=image_ids(truth)
    )
    stats = evaluate(truth, results)
    assert stats[0] == pytest.approx(1.0)
    assert images.name == "coco.images.json"
    with contextlib.redirect_stdout(io.StringIO()):
        assert len(COCO(str(images)).loadRes(str(results)).anns) == 6
        coco = COCO(str(truth))
    coded = [coco.annToRLE(a) for a in coco.loadAnns(coco.getAnnIds(imgIds=[1]))]
    assert coded == [to_coco(s.mask) for s in make_result().segments]


def test_results_have_exactly_cocos_fields(tmp_path, make_result):
    """No extra keys, half-open xywh boxes, [h, w] sizes, text counts, category 1 for proposals."""
    file, _ = write("coco", [make_result()], tmp_path)
    first = json.loads(file.read_text())[0]
    assert list(first) == ["image_id", "category_id", "segmentation", "score", "bbox"]
    assert (first["image_id"], first["category_id"], first["score"]) == (1, 1, 0.9321)
    assert first["segmentation"]["size"] == [12, 17]
    assert isinstance(first["segmentation"]["counts"], str)
    assert first["bbox"] == list(oracle.toBbox(to_coco(make_result().segments[0].mask)))


def test_scores_fall_back_in_order(tmp_path, make_result):
    """The score, else the predicted IoU, else 1.0; a category is kept."""
    mask = np.eye(12, 17)
    segments = (
        segment_from_mask(mask, score=0.5, predicted_iou=0.9),
        segment_from_mask(mask, predicted_iou=0.9, category=7),
        segment_from_mask(mask),
    )
    file, _ = write("coco", [make_result(segments=segments)], tmp_path)
    found = [(r["score"], r["category_id"]) for r in json.loads(file.read_text())]
    assert found == [(0.5, 1), (0.9, 7), (1.0, 1)]


def test_ids_come_from_the_ground_truth_by_path_then_by_name(tmp_path, make_result):
    """A full path wins; a bare name is enough where it is unique."""
    ids = {"val/a/x.jpg": 11, "val/y.jpg": 12, "b/x.jpg": 13}
    file, _ = write("coco", [make_result("b/x.jpg"), make_result("y.jpg")], tmp_path, image_ids=ids)
    assert {r["image_id"] for r in json.loads(file.read_text())} == {12, 13}


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["z.jpg"], r"z\.jpg: has no image id"),
        (["x.jpg"], r"x\.jpg: has no image id"),
        (["y.jpg", "c/y.jpg"], r"c/y\.jpg and y\.jpg both have image id 12"),
    ],
)
def test_ids_that_cannot_be_told_are_errors(tmp_path, make_result, paths, words):
    """Unknown, ambiguous and twice-used images are named; no half-written file stays."""
    ids = {"a/x.jpg": 11, "y.jpg": 12, "b/x.jpg": 13}
    with pytest.raises(InputError, match=words):
        write("coco", [make_result(p) for p in paths], tmp_path, image_ids=ids)
    assert list(tmp_path.iterdir()) == []


def test_counted_ids_are_recoverable(tmp_path, make_result):
    """Without ground truth ids count from 1; the companion names images, empty ones too."""
    results = [make_result("b.jpg"), make_result("empty.jpg", segments=()), make_result("a.jpg")]
    file, _ = write("coco", results, tmp_path)
    assert {r["image_id"] for r in json.loads(file.read_text())} == {1, 3}
    source = open_source(file)
    assert source.keys() == ["a.jpg", "b.jpg", "empty.jpg"]
    assert source.read("empty.jpg").segments == ()
    assert source.read("empty.jpg").image.height == 12


def test_results_alone_are_named_by_id(tmp_path, make_result):
    """Results of another tool, without any names: the ids are the keys, sizes from the RLE."""
    file, images = write("coco", [make_result()], tmp_path)
    images.unlink()
    source = open_source(file)
    assert source.keys() == ["1"]
    assert (source.read("1").image.height, source.read("1").image.width) == (12, 17)
    assert "named by id" in source.description


def test_the_ground_truth_names_results(tmp_path, truth, make_result):
    """Names and sizes come from the dataset; an image without detections is not among the results.

    Whether it was segmented at all is for the evaluation to decide, and to count.
    """
    file, images = write("coco", [make_result("y.jpg")], tmp_path, image_ids=image_ids(truth))
    images.unlink()
    gt = open_source(truth)
    assert isinstance(gt, CocoDataset)
    options = ReadOptions(coco_names=gt.names, image_sizes=gt.sizes)
    source = open_source(file, options)
    assert source.keys() == ["y.jpg"]
    assert [len(r.segments) for _, r in source] == [2]
    with pytest.raises(InputError, match="image id 3 is not in the ground truth"):
        open_source(file, ReadOptions(coco_names={1: "b/x.jpg"}))


def test_counted_ids_are_not_taken_for_the_ground_truths(tmp_path, truth, make_result):
    """Results written without --gt: image 1 is ours, not theirs; names pair them, not ids."""
    file, _ = write("coco", [make_result("y.jpg"), make_result("a/x.jpg")], tmp_path)
    gt = open_source(truth)
    options = ReadOptions(coco_names=gt.names, image_sizes=gt.sizes)
    assert gt.names[1] == "b/x.jpg"
    assert open_source(file, options).keys() == ["a/x.jpg", "y.jpg"]


def test_matching_ids_get_the_ground_truths_names(tmp_path, make_result):
    """Results written with --gt are named as the ground truth names its images."""
    file, _ = write("coco", [make_result("y.jpg")], tmp_path, image_ids={"val/y.jpg": 12})
    source = open_source(file, ReadOptions(coco_names={12: "val/y.jpg", 13: "val/z.jpg"}))
    assert source.keys() == ["val/y.jpg"]
    assert len(source.read("val/y.jpg").segments) == 2


def test_detections_are_read_best_first(tmp_path):
    """The order of the file does not matter; equal scores keep it."""
    coded = to_coco(segment_from_mask(np.eye(3)).mask)
    entries = [
        {"image_id": 5, "category_id": c, "segmentation": coded, "score": s}
        for c, s in ((1, 0.2), (2, 0.9), (3, 0.2))
    ]
    (tmp_path / "r.json").write_text(json.dumps(entries))
    assert [s.category for s in open_source(tmp_path).read("5").segments] == [2, 1, 3]


@pytest.mark.parametrize(
    "entry",
    [
        {"segmentation": {"size": [3, 3], "counts": "zz"}, "score": 1, "category_id": 1},
        {"segmentation": {"size": [3, 3], "counts": "9"}, "score": None, "category_id": 1},
        {"segmentation": [[0, 0, 1, 1, 2, 0]], "score": 1, "category_id": 1},
    ],
)
def test_damaged_detections_are_errors_of_their_image(tmp_path, entry):
    """Bad counts, no score, or polygons without a known size: MaskError with file and image."""
    (tmp_path / "r.json").write_text(json.dumps([{"image_id": 5, **entry}]))
    with pytest.raises(MaskError, match=r"r\.json: 5"):
        open_source(tmp_path).read("5")


def test_boxes_are_no_masks(tmp_path):
    """Detection results without masks are refused at once, with the reason."""
    entry = {"image_id": 5, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}
    (tmp_path / "r.json").write_text(json.dumps([entry]))
    with pytest.raises(InputError, match="no segmentation") as error:
        open_source(tmp_path)
    assert "boxes" in error.value.why


def test_no_detection_at_all_is_a_result(tmp_path):
    """An empty list is a valid results file."""
    (tmp_path / "r.json").write_text("[]")
    assert open_source(tmp_path / "r.json").keys() == []


def test_annotation_ids_start_at_1(truth):
    """To pycocotools, annotation id 0 means "not matched": a perfect prediction would lose."""
    annotations = json.loads(truth.read_text())["annotations"]
    assert [a["id"] for a in annotations] == [1, 2, 3, 4, 5, 6]
    assert all(a["iscrowd"] == 0 and a["area"] > 0 for a in annotations)


def test_a_dataset_is_read_with_all_its_kinds_of_masks(tmp_path):
    """Polygons, both RLEs and crowd flags, categories, annotated areas, images without any."""
    dataset = {
        "images": [
            {"id": 7, "file_name": "v/a.jpg", "height": 4, "width": 5},
            {"id": 9, "file_name": "b.jpg", "height": 2, "width": 2},
        ],
        "categories": [{"id": 3, "name": "cell"}],
        "annotations": [
            {"id": 0, "image_id": 7, "category_id": 3, "iscrowd": 0, "area": 5.5,
             "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]]},
            {"id": 8, "image_id": 7, "category_id": 3, "iscrowd": 1, "area": 4,
             "segmentation": {"size": [4, 5], "counts": [16, 4]}},
            {"id": 9, "image_id": 7, "category_id": 3,
             "segmentation": to_coco(segment_from_mask(np.eye(4, 5)).mask)},
        ],
    }  # fmt: skip
    (tmp_path / "gt.json").write_text(json.dumps(dataset))
    source = open_source(tmp_path)
    assert source.keys() == ["v/a.jpg", "b.jpg"]
    assert "3 annotations (1 crowd) of 1 categories in 2 images" in source.description
    result = source.read("v/a.jpg")
    assert [(s.id, s.iscrowd, s.area) for s in result.segments] == [
        (0, False, 5.5),
        (8, True, 4),
        (9, False, 4),
    ]
    assert all((s.category, s.category_name) == (3, "cell") for s in result.segments)
    assert result.categories == {3: "cell"}
    assert decode(result.segments[0].mask)[1:3, 1:4].all()
    assert source.read("b.jpg").segments == ()
    assert image_ids(tmp_path / "gt.json") == {"v/a.jpg": 7, "b.jpg": 9}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": [{"id": 1}]}, "malformed image"),
        ({"images": [{"id": i, "file_name": "x", "height": 1, "width": 1} for i in (1, 2)]}, "two"),
        ({"categories": [{"id": 1}]}, "malformed category"),
        ({"annotations": [{"id": 1, "image_id": 99}]}, "unknown image id 99"),
        ({"annotations": [{"segments_info": []}]}, "annotation 0 has no image_id"),
    ],
)
def test_a_malformed_dataset_is_an_input_error(tmp_path, change, words):
    """What is wrong is found when the file is opened, before anything is scored."""
    dataset = {"images": [], "annotations": [], "categories": [], **change}
    (tmp_path / "gt.json").write_text(json.dumps(dataset))
    with pytest.raises(InputError, match=words):
        open_source(tmp_path)


def test_a_file_that_is_no_dataset_gives_no_ids(tmp_path):
    """`predict --gt` with a wrong file: an error that names it."""
    for content in ("[]", "{}", "nonsense", '{"images": []}'):
        (tmp_path / "gt.json").write_text(content)
        with pytest.raises(InputError, match=r"gt\.json"):
            image_ids(tmp_path / "gt.json")
    with pytest.raises(InputError, match="no such file"):
        image_ids(tmp_path / "none.json")


def test_an_annotation_of_another_size_is_an_error_of_its_image(tmp_path):
    """A mask at the model's resolution names file, image, annotation and both sizes."""
    dataset = {
        "images": [{"id": 1, "file_name": "x.jpg", "height": 8, "width": 6}],
        "annotations": [
            {"id": 4, "image_id": 1, "category_id": 1,
             "segmentation": to_coco(segment_from_mask(np.eye(4)).mask)}
        ],
    }  # fmt: skip
    (tmp_path / "gt.json").write_text(json.dumps(dataset))
    with pytest.raises(MaskError, match=r"gt\.json: x\.jpg: annotation 4: .*4x4.*6x8"):
        open_source(tmp_path).read("x.jpg")


def test_the_published_numbers_come_out(shared_data, tmp_path):
    """COCO's example, read by us and written by us, still gives its published AP."""
    folder = shared_data / "coco_fakesegm100"
    gt = open_source(folder / "instances_val2014_100.json")
    options = ReadOptions(coco_names=gt.names, image_sizes=gt.sizes)
    results = open_source(folder / "instances_val2014_fakesegm100_results.json", options)
    assert set(results.keys()) < set(gt.keys())
    assert sum(len(r.segments) for _, r in results) == 734
    gt_again = write("coco-dataset", [r for _, r in gt], tmp_path, image_ids=image_ids(gt._path))
    file, _ = write("coco", [r for _, r in results], tmp_path, image_ids=image_ids(gt._path))
    assert evaluate(gt_again[0], file)[:3] == pytest.approx(
        [0.3195452758576433, 0.5622883972521636, 0.29892653412086784], abs=1e-9
    )
    # pycocotools sorts detections into small, medium and large by a box where there is one.
    entries = [{k: v for k, v in e.items() if k != "bbox"} for e in json.loads(file.read_text())]
    file.write_text(json.dumps(entries))
    stats = evaluate(gt_again[0], file)
    expected = [0.3195452758576433, 0.5622883972521636, 0.29892653412086784]
    expected += [0.3873740315997838, 0.31018272403369485, 0.3269339071005138]
    assert stats[:6] == pytest.approx(expected, abs=1e-9)


POLYGON = [[1, 1, 6, 1, 6, 6, 1, 6]]


def dataset_of(image=(), annotation=(), **fields) -> dict:
    images = [{"id": 1, "file_name": "a.jpg", "height": 9, "width": 9, **dict(image)}]
    annotations = [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": POLYGON}]
    annotations[0].update(dict(annotation))
    return {"images": images, "annotations": annotations, **fields}


@pytest.mark.parametrize(
    "parsed",
    [
        dataset_of(),
        dataset_of(annotation={"image_id": 1.0}),
        dataset_of({"id": "1"}, {"image_id": "1"}),
        dataset_of(annotation={"area": None}, categories=None),
    ],
)
def test_ids_of_other_types_and_missing_areas_are_read(tmp_path, parsed):
    """1, 1.0 and "1" are one id; an area of null is measured from the mask."""
    (tmp_path / "gt.json").write_text(json.dumps(parsed))
    (segment,) = open_source(tmp_path / "gt.json").read("a.jpg").segments
    assert segment.area == 25


@pytest.mark.parametrize(
    "parsed",
    [
        dataset_of({"height": None}),
        dataset_of({"id": 1.5}),
        dataset_of({"id": True}),
        dataset_of(annotation={"image_id": None}),
        dataset_of(annotation={"image_id": "one"}),
        dataset_of(annotation={"image_id": 7}),
        {**dataset_of(), "annotations": {"1": {}}},
        {**dataset_of(), "annotations": [[]]},
        {**dataset_of(), "images": None},
        {**dataset_of(), "images": dataset_of()["images"] * 2},
    ],
)
def test_what_is_no_dataset_is_an_input_error(tmp_path, parsed):
    """A file that looks like COCO and is not is the user's to mend, never a bug of ours."""
    (tmp_path / "gt.json").write_text(json.dumps(parsed))
    with pytest.raises(InputError):
        open_source(tmp_path / "gt.json", format="coco-dataset")


@pytest.mark.parametrize("number", [None, True, 1.5, "one", [1]])
def test_results_of_no_image_are_an_input_error(tmp_path, number):
    """An image id that is no whole number is named with its entry."""
    entries = [
        {"image_id": n, "category_id": 1, "score": 1, "segmentation": POLYGON} for n in (7, number)
    ]
    (tmp_path / "r.json").write_text(json.dumps(entries))
    with pytest.raises(InputError, match="entry 1: the image id"):
        open_source(tmp_path / "r.json")
    entries[1]["image_id"] = "7"
    (tmp_path / "r.json").write_text(json.dumps(entries))
    assert open_source(tmp_path / "r.json").keys() == ["7"]


@pytest.mark.parametrize("companion", [{}, [], {"images": [{"id": 1}]}])
def test_a_broken_companion_is_an_input_error(tmp_path, companion):
    """The file that names the images is checked as well."""
    entry = {"image_id": 1, "category_id": 1, "score": 1, "segmentation": POLYGON}
    (tmp_path / "r.json").write_text(json.dumps([entry]))
    (tmp_path / "r.images.json").write_text(json.dumps(companion))
    with pytest.raises(InputError, match=r"r\.images\.json"):
        open_source(tmp_path / "r.json")


SQUARE = [[1, 1, 6, 1, 6, 6, 1, 6]]


def save_dataset(folder, image=None, annotation=None):
    """A dataset of one image with one object, as it is but for what is given."""
    image = {"id": 1, "file_name": "a.png", "height": 8, "width": 8} | (image or {})
    annotation = {"id": 7, "image_id": 1, "category_id": 1, "segmentation": SQUARE} | (
        annotation or {}
    )
    path = folder / "gt.json"
    content = {"images": [image], "annotations": [annotation], "categories": []}
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "image", [{"height": -8}, {"width": 0}, {"file_name": None}, {"file_name": ""}]
)
def test_an_image_without_pixels_or_name_is_an_input_error(tmp_path, image):
    """Of a negative height nothing can be scored; "None" is no name that a file has."""
    with pytest.raises(InputError, match="malformed image"):
        CocoDataset(save_dataset(tmp_path, image))


@pytest.mark.parametrize(
    "annotation",
    [
        {"segmentation": [[1, 2, 3]]},
        {"segmentation": []},
        {"area": -5},
        {"area": float("nan")},
        {"score": "high"},
        {"iscrowd": "no"},
        {"category_id": float("inf")},
    ],
)
def test_a_malformed_annotation_is_named(tmp_path, annotation):
    """None of these may change a score in silence: file, image and annotation are said."""
    path = save_dataset(tmp_path, annotation=annotation)
    with pytest.raises(MaskError, match=r"gt\.json: a\.png: annotation 7: "):
        CocoDataset(path).read("a.png")


@pytest.mark.parametrize(("iscrowd", "expected"), [("0", False), ("1", True), (None, False)])
def test_a_crowd_mark_may_be_text(tmp_path, iscrowd, expected):
    """The text "0" is true in Python, and no crowd."""
    source = CocoDataset(save_dataset(tmp_path, annotation={"iscrowd": iscrowd, "id": "7"}))
    segment = source.read("a.png").segments[0]
    assert segment.iscrowd is expected
    assert segment.id is None
    assert f"({int(expected)} crowd)" in source.description
