"""The trainer on a user's own folder: it runs, continues where it stopped, and exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

SHIPPED = Path(__file__).resolve().parents[2] / "segcli" / "models" / "weights" / "tiny"


@pytest.fixture
def sources(scene_folder: Path) -> list[Any]:
    """The two pictures of the folder as the only source."""
    from data import folder_source

    folders = (scene_folder / "images", scene_folder / "labels")
    return [folder_source("own", folders, (1.0, 1.0), True, False, (0.5, 1.3))]


def small_run(**changes: Any) -> Any:
    """A run at 64 pixels without ImageNet weights, its budget four pictures."""
    from train import Plan, Run

    plan = {"pictures": 4, "seed": 3, "frozen": 0.4, "full": 0.9, "batch": 1, "prompts": 3,
            "image_size": 64}  # fmt: skip
    return Run(Plan(**(plan | changes)), pretrained=False)


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


def test_a_warm_start_gives_the_output_of_the_shipped_model() -> None:
    """A run started from the bundled model answers points and boxes as its stock forward does."""
    from model import ABSENT, BOX_END, BOX_START, NOT_A_POINT, POSITIVE
    from transformers import EdgeTamModel

    run = small_run(image_size=512, warm=True)
    run.load_weights(SHIPPED)
    run.trainee.gelu = "none"
    shipped = EdgeTamModel.from_pretrained(SHIPPED).eval()
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(1, 3, 512, 512, generator=generator)
    points = torch.tensor([[100.0, 200.0], [401.0, 33.0]])
    boxes = torch.tensor([[20.0, 30.0, 180.0, 90.0], [300.0, 310.0, 333.0, 350.0]])
    coordinates = torch.zeros(1, 4, 3, 2)
    coordinates[0, :2, 0], coordinates[0, 2:, :2] = points, boxes.reshape(2, 2, 2)
    labels = torch.tensor(
        [[POSITIVE, NOT_A_POINT, ABSENT]] * 2 + [[BOX_START, BOX_END, NOT_A_POINT]] * 2
    )
    with torch.inference_mode():
        encoded = run.trainee.encode(images, grad=False)
        logits, iou = run.trainee.decode(encoded, torch.zeros(1, 2), coordinates, labels[None])
        by_point = shipped(pixel_values=images, input_points=points[None, :, None])
        by_box = shipped(pixel_values=images, input_boxes=boxes[None])
    for found, stock in ((slice(0, 2), by_point), (slice(2, 4), by_box)):
        torch.testing.assert_close(logits[:, found, 1:], stock.pred_masks, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(iou[:, found, 1:], stock.iou_scores, rtol=1e-3, atol=1e-3)
    for name, value in shipped.state_dict().items():
        assert torch.equal(run.average[name], value), name


def test_a_warm_start_for_another_size_is_refused() -> None:
    """Weights for 512 pixels do not start a run for 64: positions would mean something else."""
    with pytest.raises(ValueError, match="is for 512 pixels"):
        small_run().load_weights(SHIPPED)


def test_a_warm_start_is_not_treated_as_a_fresh_one(
    sources: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class balancing is for masks that are still empty: a warm start has it at weight 0."""
    import train

    weights, loss = [], train.prompt_loss

    def spy(*arguments: Any) -> Any:
        weights.append(arguments[-1])
        return loss(*arguments)

    monkeypatch.setattr(train, "prompt_loss", spy)
    small_run().train_step(sources)
    small_run(warm=True).train_step(sources)
    assert weights == [1.0, 0.0]


def test_pictures_held_out_are_not_learnt_from(scene_folder: Path) -> None:
    """The name alone decides what is held out, one picture in N, and a source leaves it out."""
    from data import folder_source, held_out, pair_files

    names = [Path(f"a/{i:04}.png") for i in range(4000)]
    assert sum(held_out(n, 8) for n in names) == pytest.approx(500, abs=80)
    assert held_out(names[0], 3) == held_out(Path("elsewhere") / names[0].name, 3)
    assert not any(held_out(n, 0) for n in names)
    folders = (scene_folder / "images", scene_folder / "labels")
    pairs = pair_files(*folders)
    every = next(n for n in range(2, 99) if sum(held_out(p, n) for p, _ in pairs) == 1)
    source = folder_source("own", folders, (1, 1), True, False, (0.5, 1.3), hold_out=every)
    assert source.count == 1
    with pytest.raises(FileNotFoundError, match="all pictures are held out"):
        folder_source("own", folders, (1, 1), True, False, (0.5, 1.3), hold_out=1)


@pytest.mark.parametrize(("power", "share"), [(0.0, 0.5), (1.0, 0.1)])
def test_small_objects_are_asked_for_as_the_source_says(power: float, share: float) -> None:
    """At power 0 a small object is drawn as often as one nine times larger, at 1 by its area."""
    from data import Source, draw_sample
    from scenes import Scene

    objects = np.zeros((64, 64), np.uint16)
    objects[4:12, 4:12], objects[30:54, 30:54] = 1, 2
    scene = Scene(np.zeros((64, 64, 3), np.uint8), objects, objects)
    source = Source("two", 1, 1, 1, lambda _: scene, False, (1, 1), False, power)
    rng = np.random.default_rng(0)
    small = total = 0
    while total < 600:
        sample = draw_sample(rng, [source], 64, 64, 8)
        if len(np.unique(sample.objects)) == 3:
            areas = sample.targets[:, 0].sum((1, 2))
            small, total = small + int((areas < areas.max() / 3).sum()), total + 8
    assert small / total == pytest.approx(share, abs=0.06)
