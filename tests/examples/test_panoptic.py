"""The class-aware model's scenes, losses and trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("seed", [0, 3, 9])
def test_a_scene_depends_on_its_seed_only(seed: int) -> None:
    """The same seed gives the same pixels; every pixel has a segment, every segment a class."""
    from panoptic_scenes import CLASSES, STUFF, make_panoptic_scene

    first, again, other = (make_panoptic_scene(s, (96, 128)) for s in (seed, seed, seed + 1))
    assert first.image.shape == (96, 128, 3)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.segments, again.segments)
    assert not np.array_equal(first.image, other.image)
    present = np.unique(first.segments)
    assert set(present) - {0} == set(range(1, len(first.classes)))
    stuff = [CLASSES[c] for c in first.classes[1:] if CLASSES[c] in STUFF]
    assert len(stuff) == len(set(stuff))
    assert (first.segments == 0).mean() < 0.01


def test_held_out_textures_are_other_pixels() -> None:
    """Scenes that are measured cut their textures from a part that training never sees."""
    from panoptic_scenes import HELD_OUT_SHARE, texture, textured

    width = texture("grass").shape[1]
    assert 0 < HELD_OUT_SHARE < 0.5
    rng = np.random.default_rng
    kept, held = (textured(rng(0), "grass", 64, 64, held_out=h) for h in (False, True))
    assert not np.allclose(kept, held)
    assert int(width * HELD_OUT_SHARE) > 64


def test_the_examples_are_drawn_as_their_page_says() -> None:
    """The first of the example scenes is what its seed gives."""
    from panoptic_scenes import make_panoptic_scene

    scene = make_panoptic_scene(700_009, (240, 320), held_out=True)
    folder = EXAMPLES / "panoptic"
    stored = np.asarray(Image.open(folder / "images" / "scene_700009.png"), np.int64)
    # Resampling may differ by a level between versions of Pillow.
    assert np.abs(stored - scene.image.astype(np.int64)).mean() < 1
    truth = json.loads((folder / "ground_truth" / "panoptic.json").read_text())
    classes = [s["category_id"] - 1 for s in truth["annotations"][0]["segments_info"]]
    assert classes == scene.classes[1:].tolist()
    seen = {s["category_id"] for a in truth["annotations"] for s in a["segments_info"]}
    assert len(seen) == 13


def test_queries_start_at_their_places() -> None:
    """The position code of a thing's query is the model's own code at the query's place."""
    from panoptic_model import GRID, STUFF, WIDTH, anchors, build_config, initialise
    from transformers import Mask2FormerForUniversalSegmentation
    from transformers.models.mask2former.modeling_mask2former import (
        Mask2FormerSinePositionEmbedding,
    )

    model = Mask2FormerForUniversalSegmentation(build_config())
    initialise(model)
    queries = model.model.transformer_module.queries_embedder.weight[len(STUFF) :].detach()
    # The model's codes are at (1 … n) / n, so a place (i + .5) / GRID is pixel 2 i of 2 GRID.
    code = Mask2FormerSinePositionEmbedding(WIDTH // 2, normalize=True)(
        torch.Size((1, WIDTH, 2 * GRID, 2 * GRID)), torch.device("cpu"), torch.float32
    )[0]
    for query, (x, y) in zip(queries, anchors().tolist(), strict=True):
        row, column = (round(v * 2 * GRID) - 1 for v in (y, x))
        torch.testing.assert_close(query, code[:, row, column], rtol=1e-3, atol=1e-4)


def test_matching_gives_stuff_its_query_and_things_the_nearest() -> None:
    """Equal predictions: stuff goes to its own query, a thing to the place it lies at."""
    from panoptic_losses import Targets, match
    from panoptic_model import GRID, QUERIES, STUFF
    from panoptic_scenes import CLASSES

    segments = torch.ones(64, 64, dtype=torch.int64)
    segments[8:16, 40:48] = 2
    target = Targets(segments, torch.tensor([-1, CLASSES.index("water"), CLASSES.index("star")]))
    classes = torch.zeros(QUERIES, len(CLASSES) + 1)
    queries, chosen = match(classes, torch.zeros(QUERIES, 16, 16), target, near=5.0)
    found = dict(zip(chosen.tolist(), queries.tolist(), strict=True))
    assert found[0] == STUFF.index("water")
    assert found[1] == len(STUFF) + 1 * GRID + 5


def test_the_loss_falls_to_little_for_the_right_answer() -> None:
    """Right classes and masks cost almost nothing, wrong ones much more."""
    from panoptic_losses import Targets, panoptic_loss
    from panoptic_model import QUERIES
    from panoptic_scenes import CLASSES

    segments = torch.ones(64, 64, dtype=torch.int64)
    segments[:, 32:] = 2
    target = Targets(segments, torch.tensor([-1, CLASSES.index("plain"), CLASSES.index("sky")]))
    classes = torch.full((1, QUERIES, len(CLASSES) + 1), -9.0)
    classes[..., -1] = 9
    masks = torch.full((1, QUERIES, 16, 16), -9.0)
    for query, label in enumerate(target.classes.tolist()):
        classes[0, query, -1], classes[0, query, label] = -9, 9
        masks[0, query] = target.masks[query] * 18 - 9
    right, log = panoptic_loss([classes], [masks], [target], near=0.0)
    wrong, _ = panoptic_loss([classes], [-masks], [target], near=0.0)
    assert float(right) < 0.1 < float(wrong)
    assert log["accuracy"] == log["iou"] == 1.0


def small_run(**changes: Any) -> Any:
    """A run on small pictures without ImageNet weights, its budget four of them."""
    from panoptic_train import Plan, Run

    plan = {"pictures": 4, "batch": 1, "pool": 2, "small": 64, "frozen": 0.4, "full": 2.0}
    return Run(Plan(**(plan | changes)), pretrained=False)


def test_resuming_gives_the_same_continuation(tmp_path: Path) -> None:
    """Stopped after two steps and resumed, a run ends with the weights of an unbroken one."""
    from panoptic_train import draw_scene
    from session import Pool

    unbroken = small_run()
    draw, size = draw_scene(unbroken.plan), unbroken.plan.pool
    pool = Pool(draw, size, 0)
    logs = [unbroken.advance(pool) for _ in range(2)]
    unbroken.save(tmp_path / "checkpoint.pt")
    resumed = small_run()
    resumed.load(tmp_path / "checkpoint.pt")
    fresh = Pool(draw, size, resumed.step)
    for run, own in ((unbroken, pool), (resumed, fresh)):
        logs += [run.advance(own) for _ in range(2)]
    assert all(np.isfinite(v) for log in logs for v in log.values())
    assert unbroken.progress == resumed.progress == 1.0
    pairs = zip(unbroken.average.items(), resumed.average.items(), strict=True)
    for (name, value), (_, again) in pairs:
        torch.testing.assert_close(value, again, msg=name)


def test_the_training_forward_is_the_stock_forward(tmp_path: Path) -> None:
    """An exported checkpoint loads in transformers and gives what the trainer computes."""
    from panoptic_export import export
    from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation

    run = small_run()
    run.save(tmp_path / "checkpoint.pt")
    exported = export(tmp_path / "checkpoint.pt", tmp_path / "model", "model")
    loaded = AutoModelForUniversalSegmentation.from_pretrained(
        tmp_path / "model", dtype=torch.float32
    ).eval()
    run.trainee.model.load_state_dict(loaded.state_dict())
    images = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        classes, masks, _ = run.trainee.eval()(images)
        stock = loaded(pixel_values=images)
    assert len(classes) == exported.config.decoder_layers
    torch.testing.assert_close(classes[-1], stock.class_queries_logits, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(masks[-1], stock.masks_queries_logits, rtol=1e-3, atol=1e-3)
    processor = AutoImageProcessor.from_pretrained(tmp_path / "model")
    assert processor.size["height"] == 256
    card = json.loads((tmp_path / "model" / "segcli.json").read_text())
    assert card["task"] == "panoptic"
