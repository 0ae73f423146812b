"""Calibration of predicted IoU: it changes one head, towards what is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    """A model directory at 64 pixels, untrained."""
    from export import export
    from train import Plan, Run

    run = Run(Plan(pictures=1, image_size=64), pretrained=False)
    run.save(tmp_path / "checkpoint.pt")
    export(tmp_path / "checkpoint.pt", tmp_path / "model")
    return tmp_path / "model"


def test_only_the_iou_head_changes(
    scene_folder: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Masks, processor and settings of a calibrated model are those of the model given."""
    from calibrate import main
    from transformers import EdgeTamModel

    images, labels = str(scene_folder / "images"), str(scene_folder / "labels")
    out = tmp_path / "calibrated"
    main(["--model", str(model_folder), "--out", str(out), "--no-data", "--scenes", "0",
          "--hold-out", "1", "--images", images, "--labels", labels, "--steps", "3"])  # fmt: skip
    before, after = (EdgeTamModel.from_pretrained(d).state_dict() for d in (model_folder, out))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    assert all("iou_prediction_head" in name for name in changed)
    for name in ("segcli.json", "processor_config.json"):
        assert (out / name).read_bytes() == (model_folder / name).read_bytes()
    assert "(2 held out): error " in capsys.readouterr().out


def test_too_few_held_out_pictures_stop_the_run(
    scene_folder: Path, model_folder: Path, tmp_path: Path
) -> None:
    """With one picture nothing could be measured on the other half: a hint, and nothing written."""
    from calibrate import main
    from data import held_out

    pictures = sorted((scene_folder / "images").iterdir())
    every = next(n for n in range(2, 99) if sum(held_out(p, n) for p in pictures) == 1)
    with pytest.raises(SystemExit, match="fewer than two held-out pictures"):
        main(["--model", str(model_folder), "--out", str(tmp_path / "out"), "--no-data",
              "--scenes", "0", "--hold-out", str(every), "--images", str(pictures[0].parent),
              "--labels", str(scene_folder / "labels")])  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_fitting_brings_predictions_to_what_was_measured() -> None:
    """A head that always says 0.9 learns IoU 0.4 on objects and 0 on background."""
    from calibrate import Answered, errors, fit

    torch.manual_seed(0)
    head = torch.nn.Linear(8, 4)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.constant_(head.bias, 0.9)
    tokens = torch.randn(60, 8)
    empty = tokens[:, 0] > 0.8
    tokens[:, 0] = empty.float()
    measured = torch.where(empty, 0.0, 0.4)[:, None].expand(-1, 4)
    part = Answered(tokens, measured, empty)
    assert errors(head, [part])["error"] == pytest.approx(0.5, abs=1e-5)
    fit(head, [[part]], steps=300, rate=0.02)
    after = errors(head, [part])
    assert after["error"] < 0.03
    assert after["background"] == pytest.approx(0, abs=0.05)
    assert after["chosen"] == pytest.approx(0.4)
