"""A model prompted from the ground truth, from pictures to scores."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import blobs
from PIL import Image

from segcli.errors import InputError, ItemError, ModelError, PairError, UsageError
from segcli.evaluate import EvalSettings, Side, evaluate
from segcli.evaluate.pair_list import read_pairs
from segcli.evaluate.points import PromptedSource, PromptSettings, open_prompted
from segcli.formats.ndjson import from_record, to_line, to_record
from segcli.masks.points import central_point
from segcli.masks.rle import decode, segment_from_mask
from segcli.metrics import MetricOptions, Pair
from segcli.metrics.points import Points
from segcli.records import ImageRef, Segmentation

EXAMPLES = Path(__file__).parents[2] / "examples"
POINTS = EvalSettings(protocol="points", workers=1)


def labels_of(picture: np.ndarray) -> np.ndarray:
    """Columns of two widths as objects 1 and 300, whatever the picture shows."""
    values = np.zeros(picture.shape[:2], np.uint16)
    values[5:20, 4:11], values[2:44, 20:40] = 1, 300
    return values


@pytest.fixture
def folders(tmp_path):
    """Pictures ``imgs/{a,b,c}.png`` with 16-bit label maps ``gt/{a,b,c}.png``."""
    for seed, name in enumerate("abc"):
        picture = blobs(seed)
        for folder, values in (("imgs", picture), ("gt", labels_of(picture))):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(values).save(tmp_path / folder / f"{name}.png")
    return tmp_path


@pytest.fixture
def prompted(folders, sam_dir):
    """Opens the folders with a small seeded SAM."""
    settings = PromptSettings(model=str(sam_dir), device="cpu")

    def opened(images="imgs", gt="gt", **fields):
        side = replace(Side(str(folders / gt)), **fields.pop("side", {}))
        return open_prompted(str(folders / images), side, settings, **fields)

    return opened


def test_bundled_model_on_the_examples(tmp_path):
    """Scores of two examples equal those counted by hand on the masks, and are not by chance."""
    for folder, source in (("imgs", "images"), ("gt", "ground_truth")):
        (tmp_path / folder).mkdir()
        for name in ("nuclei_1.png", "nuclei_2.png"):
            shutil.copy(EXAMPLES / source / name, tmp_path / folder)
    sides = open_prompted(
        str(tmp_path / "imgs"), Side(str(tmp_path / "gt")), PromptSettings(device="cpu")
    )
    result = evaluate(*sides, POINTS)
    chosen, best, images = [], [], []
    for name in ("nuclei_1.png", "nuclei_2.png"):
        values = np.asarray(Image.open(tmp_path / "gt" / name))
        segments = sides[0].read(name).segments
        truths = [values == v for v in np.unique(values) if v]
        assert len(segments) == 3 * len(truths)
        images.append([])
        for i, truth in enumerate(truths):
            three = segments[3 * i : 3 * i + 3]
            masks = [decode(s.mask) for s in three]
            ious = [(m & truth).sum() / (m | truth).sum() for m in masks]
            images[-1].append(ious[int(np.argmax([s.predicted_iou for s in three]))])
            best.append(max(ious))
        chosen += images[-1]
    scores = result.metrics
    assert scores["single_point_miou.pooled"] == pytest.approx(np.mean(chosen), abs=1e-12)
    assert scores["best_of_3_miou.pooled"] == pytest.approx(np.mean(best), abs=1e-12)
    means = np.mean([np.mean(values) for values in images])
    assert scores["single_point_miou.mean_of_images"] == pytest.approx(means, abs=1e-12)
    assert scores["single_point_miou.pooled"] > 0.6
    assert result.counts["gt_objects"] == len(chosen)
    assert result.complete


def test_segments_answer_the_objects(prompted):
    """Three masks an object, in the objects' order, with its id and its central point."""
    source, _ = prompted()
    segmentation = source.read("b.png")
    assert [s.id for s in segmentation.segments] == [1] * 3 + [300] * 3
    values = labels_of(blobs(1))
    for segment in segmentation.segments:
        assert segment.point_xy == central_point(values == segment.id)
        assert segment.predicted_iou is not None
        assert decode(segment.mask).shape == (48, 64)
    assert segmentation.image.key == "b.png"


def test_threads_change_nothing(prompted):
    """Several threads read, the model takes one picture at a time: the same scores."""
    one = evaluate(*prompted(), POINTS)
    four = evaluate(*prompted(), replace(POINTS, workers=4))
    assert one.metrics == four.metrics
    assert one.counts == four.counts == {"images": 3, "failed": 0, "gt_objects": 6, "unanswered": 0}


def test_pairs_are_those_of_the_evaluation(prompted, folders):
    """A suffix, an expression and a list pair pictures as they pair predictions."""
    plain = evaluate(*prompted(), POINTS).metrics
    for name in "abc":
        (folders / "gt" / f"{name}.png").rename(folders / "gt" / f"{name}_mask.png")
    assert evaluate(*prompted(), POINTS).metrics == plain
    matched = replace(POINTS, match="([abc])[._]")
    assert evaluate(*prompted(settings=matched), matched).metrics == plain
    listed = folders / "pairs.csv"
    listed.write_text("pred,gt\na.png,b_mask.png\n")
    source, _ = prompted(settings=replace(POINTS, listed=read_pairs(listed)))
    assert source.read("a.png").segments[0].id == 1
    with pytest.raises(PairError, match=r"b\.png: has no ground truth"):
        source.read("b.png")


def test_one_picture_against_one_map(prompted, folders):
    """A file against a file needs no common name."""
    (folders / "gt" / "a.png").rename(folders / "truth.png")
    result = evaluate(*prompted("imgs/a.png", "truth.png"), POINTS)
    assert result.counts["images"] == 1
    assert result.complete


def test_what_has_no_counterpart_is_reported(prompted, folders):
    """A picture without ground truth and ground truth without picture both fail."""
    (folders / "gt" / "a.png").unlink()
    (folders / "imgs" / "c.png").unlink()
    result = evaluate(*prompted(), POINTS)
    assert sorted(f.error for f in result.failures) == [
        "a.png: has no ground truth",
        "c.png: has no prediction",
    ]
    empty = evaluate(*prompted(), replace(POINTS, missing="empty"))
    assert empty.counts["unanswered"] == 2
    assert empty.metrics["single_point_miou.pooled"] < result.metrics["single_point_miou.pooled"]


def test_a_bad_picture_does_not_stop_the_others(prompted, folders):
    """A damaged picture and one of another size are failures that say so; the third is scored."""
    (folders / "imgs" / "a.png").write_bytes(b"no picture")
    Image.fromarray(blobs(1, 40, 64)).save(folders / "imgs" / "b.png")
    result = evaluate(*prompted(), POINTS)
    assert result.counts["images"] == 1
    first, second = result.failures
    assert "not a picture" in first.error
    assert "b.png is 64x40, but" in second.error
    assert "is 64x48" in second.error
    assert "points" in second.why


def test_a_picture_that_is_gone_is_a_failure(prompted, folders):
    """A file that vanished after it was listed fails alone."""
    sides = prompted()
    (folders / "imgs" / "a.png").unlink()
    result = evaluate(*sides, POINTS)
    assert [f.error for f in result.failures] == [f"{folders}/imgs/a.png: cannot be read"]


def test_a_model_that_fails_is_a_failure_of_the_picture(prompted, monkeypatch):
    """What a model raises becomes an item's error with its reason."""

    def broken(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("segcli.models.sam.prompts.prompt_points", broken)
    with pytest.raises(ItemError, match=r"a\.png: the model failed") as caught:
        prompted()[0].read("a.png")
    assert caught.value.why == "RuntimeError: out of memory"


def test_a_picture_without_objects(prompted, folders):
    """Nothing is asked, nothing is answered, and the image's scores are undefined."""
    Image.fromarray(np.zeros((48, 64), np.uint16)).save(folders / "gt" / "a.png")
    result = evaluate(*prompted(), POINTS)
    assert result.params["undefined_images"]["single_point_miou"] == 1
    assert result.counts["gt_objects"] == 4


def test_ignored_pixels_are_not_asked_for(prompted, folders):
    """The ignore index takes an object out on both sides."""
    ignoring = replace(POINTS, ignore_index=300)
    sides = prompted(settings=ignoring)
    assert {s.id for s in sides[0].read("a.png").segments} == {1}
    result = evaluate(*sides, ignoring)
    assert result.counts["gt_objects"] == 3


def test_exif_turns_the_picture(prompted, folders, sam_dir):
    """A picture is prompted upright, unless it is to be left as it is stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = np.rot90(blobs(0)).copy()
    (folders / "imgs" / "a.png").unlink()
    Image.fromarray(sideways).save(folders / "imgs" / "a.jpg", exif=exif, quality=95)
    source, _ = prompted()
    assert source.read("a.jpg").image.exif_orientation == 6
    lying = PromptSettings(model=str(sam_dir), device="cpu", exif=False)
    source, _ = open_prompted(str(folders / "imgs"), Side(str(folders / "gt")), lying)
    with pytest.raises(PairError, match="is 48x64, but"):
        source.read("a.jpg")


def test_formats_without_sizes_take_the_pictures(prompted, folders):
    """YOLO text has no image size: it is the picture's."""
    (folders / "yolo").mkdir()
    for name in "abc":
        line = "0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n"
        (folders / "yolo" / f"{name}.txt").write_text(line)
    source, truth = prompted(gt="yolo")
    assert (truth.read("a.txt").image.height, truth.read("a.txt").image.width) == (48, 64)
    assert len(source.read("a.png").segments) == 3
    assert source.size_of("nowhere.txt") is None


def test_answers_survive_being_written(prompted):
    """Segments written as records and read back are scored the same."""
    source, truth = prompted()
    metric = Points(MetricOptions())
    for key, segmentation in source:
        again = from_record(json.loads(to_line(to_record(segmentation))))
        gt = truth.read(key)
        sums = [metric.measure(Pair(key, 0, pred, gt)) for pred in (segmentation, again)]
        assert sums[0] == sums[1]


def test_small_label_values_are_taken_as_objects(prompted, folders):
    """8-bit values that could be classes are objects here, and that is said; binary masks not."""
    for name in "abc":
        values = np.where(labels_of(blobs(0)) == 300, 2, labels_of(blobs(0))).astype(np.uint8)
        Image.fromarray(values).save(folders / "gt" / f"{name}.png")
    source, truth = prompted()
    assert truth.kind == "instance"
    assert "--protocol points asks for objects" in truth.description
    assert len(source.read("a.png").segments) == 6
    for name in "abc":
        Image.fromarray(np.uint8(labels_of(blobs(0)) > 0) * 255).save(
            folders / "gt" / f"{name}.png"
        )
    with pytest.raises(UsageError, match="the ground truth is binary") as caught:
        prompted()
    assert "--gt-kind instance" in caught.value.fix
    with pytest.raises(UsageError, match="the ground truth is semantic"):
        prompted(side={"kind": "semantic"})


@pytest.mark.parametrize(("images", "gt"), [("-", "gt"), ("imgs", "-")])
def test_neither_side_is_a_stream(folders, sam_dir, images, gt):
    """Standard input cannot be found by name."""
    paths = [p if p == "-" else str(folders / p) for p in (images, gt)]
    with pytest.raises(InputError, match="standard input"):
        open_prompted(paths[0], Side(paths[1]), PromptSettings(model=str(sam_dir)))


def test_an_unknown_model_is_found_out_at_once(folders):
    """The model is looked for before anything is read."""
    with pytest.raises(ModelError, match="unknown model 'tinny'"):
        open_prompted(
            str(folders / "imgs"), Side(str(folders / "gt")), PromptSettings(model="tinny")
        )


def test_facts_say_which_model_and_how(prompted, sam_dir):
    """Name, type, weights, device and number type are there to be recorded."""
    facts = prompted()[0].facts()
    assert facts["name"] == str(sam_dir)
    assert facts["type"] == "sam"
    assert facts["weights"].startswith("sha256:")
    assert (facts["device"], facts["dtype"], facts["exif"]) == ("cpu", "float32", True)


def test_objects_without_ids_are_told_apart(prompted, folders, memory):
    """Segments without ids are numbered, alike for prompts and scores."""

    class Unnamed(memory):
        def read(self, key):
            masks = [labels_of(blobs(0)) == v for v in (1, 300)]
            segments = tuple(segment_from_mask(m) for m in masks)
            return Segmentation(ImageRef(key, 48, 64), segments)

    source, _ = prompted()
    keys = dict.fromkeys(["a.png", "b.png", "c.png"])
    images = list(source._images.values())
    truth = Unnamed("instance", keys)
    again = PromptedSource(images, truth, source._model, source._settings)
    assert [s.id for s in again.read("a.png").segments] == [1] * 3 + [2] * 3
    assert evaluate(again, truth, POINTS).counts["unanswered"] == 0


def test_opening_loads_no_torch(folders):
    """Mistakes are found before PyTorch is loaded."""
    code = (
        "import sys\n"
        "from segcli.evaluate import Side\n"
        "from segcli.evaluate.points import PromptSettings, open_prompted\n"
        f"open_prompted({str(folders / 'imgs')!r}, Side({str(folders / 'gt')!r}), "
        "PromptSettings())\n"
        "assert not {'torch', 'transformers', 'scipy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_pictures_are_not_their_own_ground_truth(prompted):
    """Label maps given as pictures are refused: the model would be shown the answer."""
    with pytest.raises(InputError, match="as the pictures and as the ground truth"):
        prompted("gt", "gt")
