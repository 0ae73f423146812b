"""Who clicks on an object, and the protocol of several clicks from pictures to scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import blobs
from PIL import Image

from segcli.errors import ConfigError, UsageError
from segcli.evaluate import EvalConfig, EvalSettings, Side, evaluate, settings_from
from segcli.evaluate.clicks import Corrector
from segcli.evaluate.points import PromptSettings, open_prompted
from segcli.evaluate.run_files import Recorder, read_runs
from segcli.masks.rle import decode, encode

CLICKS = EvalSettings(protocol="points", workers=1, clicks=3)


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((32, 40), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_a_corrector_clicks_where_the_mask_is_most_wrong():
    """First the middle; then inside what was missed, then outside on what is too much."""
    user = Corrector(encode(square(4, 4, 15)))
    assert user(None) == (11, 11, 1)
    # Half was found: the other half is missed.
    half = square(4, 4, 15)
    half[:, 11:] = False
    assert user(encode(half)) == (14, 7, 1)
    # All was found, and a square of 9 beside it too.
    assert user(encode(square(4, 4, 15) | square(20, 20, 9))) == (24, 24, 0)
    assert user(encode(square(4, 4, 15))) is None


def test_a_corrector_never_clicks_ignored_pixels_nor_twice():
    """Pixels that do not count are no error, and a pixel that stays wrong is clicked once."""
    ignore = encode(square(20, 20, 9))
    user = Corrector(encode(square(4, 4, 3)), ignore)
    assert user(None) == (5, 5, 1)
    # The middle was clicked already; of the others, equally deep, the first one.
    assert user(encode(square(20, 20, 9))) == (4, 4, 1)
    assert user(encode(square(4, 4, 3) | square(20, 20, 9))) is None


@pytest.fixture
def folders(tmp_path):
    """Two pictures with objects 1 and 300 of 16-bit label maps."""
    for seed, name in enumerate("ab"):
        picture = blobs(seed)
        values = np.zeros(picture.shape[:2], np.uint16)
        values[5:20, 4:11], values[2:44, 20:40] = 1, 300
        for folder, plane in (("imgs", picture), ("gt", values)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(plane).save(tmp_path / folder / f"{name}.png")
    return tmp_path


@pytest.fixture
def opened(folders, sam_dir):
    """Opens the folders with a small seeded SAM."""

    def sides(settings=CLICKS, **prompting):
        prompts = PromptSettings(model=str(sam_dir), device="cpu", **prompting)
        return open_prompted(str(folders / "imgs"), Side(str(folders / "gt")), prompts, settings)

    return sides


def test_scores_equal_those_counted_on_the_masks(opened):
    """Mean IoU after each click and clicks to an IoU, written out over booleans."""
    source, truth = opened()
    result = evaluate(source, truth, CLICKS)
    rows = []
    for key, segmentation in source:
        values = truth.read(key).labels.values
        for number in (1, 300):
            target = values == number
            masks = [decode(s.mask) for s in segmentation.segments if s.id == number]
            assert len(masks) == 3
            rows.append([(m & target).sum() / (m | target).sum() for m in masks])
    ious = np.array(rows)
    for k in range(3):
        found = result.metrics[f"miou_at_{k + 1}.pooled"]
        assert found == pytest.approx(ious[:, k].mean(), abs=1e-12)
    for percent in (80, 85, 90):
        reached = ious >= percent / 100
        noc = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, 3)
        assert result.metrics[f"noc_{percent}.pooled"] == noc.mean()
    assert result.counts["gt_objects"] == 4
    assert result.complete


def test_the_first_click_is_the_protocol_of_one_point(opened):
    """Mean IoU after one click is single-point mIoU, whatever follows."""
    one = EvalSettings(protocol="points", workers=1)
    plain = evaluate(*opened(one), one).metrics["single_point_miou.pooled"]
    assert evaluate(*opened(), CLICKS).metrics["miou_at_1.pooled"] == plain


def test_params_say_how_was_clicked(opened):
    """Clicks, feedback and conventions stand in `params`; one click says nothing of it."""
    params = evaluate(*opened(feed_mask=False), CLICKS).params
    assert (params["model"]["clicks"], params["model"]["mask_fed_back"]) == (3, False)
    assert "counts as 3 clicks" in params["conventions"]["noc"]
    assert "up to 3 clicks" in params["pred"]["description"]
    assert "noc_90" in params["lower_is_better"]
    one = EvalSettings(protocol="points", workers=1)
    params = evaluate(*opened(one), one).params
    assert not {"clicks", "mask_fed_back"} & params["model"].keys()


def test_rows_of_a_run_can_be_compared(opened, tmp_path):
    """Rows of `--per-image` carry the clicks: read back they give the scores of the run."""
    path = tmp_path / "run.ndjson"
    options = CLICKS.metric_options
    recorder, lines = Recorder("points", options), []
    result = evaluate(
        *opened(), CLICKS, on_image=lambda row: lines.append(json.dumps(recorder.record(row)))
    )
    path.write_text("\n".join(lines))
    run, _ = read_runs(str(path), str(path))
    scores = run.sample.resample(np.ones((1, 2), np.int64)).scores
    assert {name: values[0] for name, values in scores.items()} == pytest.approx(result.metrics)


def test_feeding_the_mask_back_can_be_left_out(opened):
    """It changes what follows the first click, and nothing before."""
    fed, unfed = (evaluate(*opened(feed_mask=f), CLICKS).metrics for f in (True, False))
    assert fed["miou_at_1.pooled"] == unfed["miou_at_1.pooled"]
    assert fed["miou_at_3.pooled"] != unfed["miou_at_3.pooled"]


@pytest.mark.parametrize("clicks", [0, -1, 101])
def test_how_many_clicks_there_can_be(clicks):
    """None, fewer or endless clicks are refused."""
    with pytest.raises(ConfigError, match=f"--clicks {clicks} is out of range"):
        settings_from(EvalConfig(clicks=clicks))


def test_other_protocols_have_no_clicks(memory, disc_maps):
    """Clicks that would be ignored are refused."""
    sides = (memory("instance", disc_maps()) for _ in range(2))
    with pytest.raises(UsageError, match="--clicks needs the protocol points"):
        evaluate(*sides, EvalSettings(clicks=2))
