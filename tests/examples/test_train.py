"""The trainer on a user's own folder: it runs, continues where it stopped, and exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


@pytest.fixture
def sources(scene_folder: Path) -> list[Any]:
    """The two pictures of the folder as the only source."""
    from data import folder_source

    folders = (scene_folder / "images", scene_folder / "labels")
    return [folder_source("own", folders, (1.0, 1.0), True, False, (0.5, 1.3))]


def small_run() -> Any:
    """A run at 64 pixels without ImageNet weights, its budget four pictures."""
    from train import Plan, Run

    plan = Plan(pictures=4, seed=3, frozen=0.4, full=0.9, batch=1, prompts=3, image_size=64)
    return Run(plan, pretrained=False)


def test_resuming_gives_the_same_continuation(sources: list[Any], tmp_path: Path) -> None:
    """Stopped after two steps and resumed, a run ends with the weights of an unbroken one."""
    unbroken = small_run()
    logs = [unbroken.train_step(sources) for _ in range(2)]
    unbroken.save(tmp_path / "checkpoint.pt")
    resumed = small_run()
    resumed.load(tmp_path / "checkpoint.pt")
    for run in (unbroken, resumed):
        logs += [run.train_step(sources) for _ in range(2)]
    assert all(np.isfinite(v) for log in logs for v in log.values())
    assert unbroken.seen == resumed.seen == 4
    assert unbroken.progress == 1.0
    pairs = zip(unbroken.average.items(), resumed.average.items(), strict=True)
    for (name, value), (_, again) in pairs:
        torch.testing.assert_close(value, again, msg=name)


def test_an_exported_checkpoint_loads_in_transformers(sources: list[Any], tmp_path: Path) -> None:
    """What `export` writes is a directory for EdgeTamModel and Sam2Processor, with equal output."""
    from export import export
    from PIL import Image
    from transformers import AutoModel, Sam2Processor

    run = small_run()
    run.train_step(sources)
    run.save(tmp_path / "checkpoint.pt")
    exported = export(tmp_path / "checkpoint.pt", tmp_path / "model")
    loaded = AutoModel.from_pretrained(tmp_path / "model").eval()
    processor = Sam2Processor.from_pretrained(tmp_path / "model")
    picture = Image.fromarray(np.full((48, 80, 3), 90, np.uint8))
    inputs = processor(images=picture, input_points=[[[[40, 24]]]], return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 3, 64, 64)
    inputs.pop("original_sizes")
    with torch.inference_mode():
        expected, found = (m(**inputs).pred_masks for m in (exported, loaded))
    torch.testing.assert_close(expected, found, rtol=1e-4, atol=1e-4)
    assert (tmp_path / "model" / "segcli.json").is_file()


def test_files_pair_by_name_and_size(scene_folder: Path) -> None:
    """A picture without a label map, or with one of another size, stops the run by name."""
    from data import pair_files, read_picture

    images, labels = scene_folder / "images", scene_folder / "labels"
    pairs = pair_files(images, labels)
    assert [i.stem for i, _ in pairs] == [m.stem for _, m in pairs] == ["own_0", "own_4"]
    pairs[0][1].rename(labels / "other.png")
    with pytest.raises(FileNotFoundError, match=r"no label map for own_0\.png"):
        pair_files(images, labels)
    from PIL import Image

    Image.fromarray(np.zeros((5, 5), np.uint16)).save(labels / "own_0.png")
    with pytest.raises(ValueError, match="own_0"):
        read_picture(images / "own_0.png", labels / "own_0.png")


def test_unlabelled_pixels_of_partial_data_are_never_background(sources: list[Any]) -> None:
    """Prompts on background, where no mask is right, come from fully labelled pictures only."""
    from dataclasses import replace

    from data import draw_sample

    rng = np.random.default_rng(0)
    partial = [replace(s, complete=False) for s in sources]
    drawn = {
        complete: [draw_sample(rng, s, 64, 128, 8) for _ in range(12)]
        for complete, s in ((True, sources), (False, partial))
    }
    assert any(s.empty.any() for s in drawn[True])
    assert not any(s.empty.any() for s in drawn[False])
    for sample in drawn[True]:
        for i in np.flatnonzero(sample.empty):
            x, y = sample.coordinates[i, 0].astype(int)
            assert sample.objects[y, x] == 0
            assert not sample.targets[i].any()


def test_the_point_lies_on_the_mask_asked_for(sources: list[Any]) -> None:
    """Windows, turns and mirrors move picture, masks and prompts together."""
    from data import draw_sample
    from model import POSITIVE

    rng = np.random.default_rng(1)
    for _ in range(12):
        sample = draw_sample(rng, sources, 64, 128, 8)
        for i in np.flatnonzero(~sample.empty & (sample.labels[:, 0] == POSITIVE)):
            x, y = sample.coordinates[i, 0].astype(int)
            assert sample.targets[i, 0, y // 2, x // 2] > 0
