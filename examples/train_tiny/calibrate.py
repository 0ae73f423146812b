"""Fit the predicted IoU of a model, and nothing else, on pictures it learnt no mask from.

Masks fit training pictures better than new ones, so predicted IoU learnt along with the masks is
too high on new ones. Here only the IoU head learns, from the pictures that `train.py --hold-out`
left out, from new scenes and, so that it does not forget them, from some of photos/train (which
were learnt from, so what is printed for these is too good). What it gives is printed as measured
on the half of the pictures that it was not fitted on.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from data import held_out, pair_files, read_picture
from measure import Encoded, Mask, answer, encode, enlarge, iou, truths
from model import Trainee
from scenes import Scene, make_scene
from torch import Tensor, nn
from transformers import EdgeTamModel

# Beyond the scenes of training and of the report.
SCENE_SEED = 2_000_000
KINDS = ("centre", "anywhere", "box")
BACKGROUND_POINTS = 48
SMALLEST = 10


@dataclass(frozen=True)
class Answered:
    """Prompts of one picture, a row for each.

    Attributes:
        tokens: (N, WIDTH) float32, what the IoU head reads.
        measured: (N, 4) float32, true IoU of the single mask and of the three others.
        empty: (N,) bool, True for points on background, where the IoU is 0.
    """

    tokens: Tensor
    measured: Tensor
    empty: Tensor


@torch.inference_mode()
def ask(
    trainee: Trainee, scene: Scene, rng: np.random.Generator, complete: bool = True
) -> Answered:
    """Ask a picture for every object, by points and box, and if `complete` for background."""
    encoded = encode(trainee, scene.image)
    shape = scene.objects.shape
    objects = truths(scene.objects, rng, SMALLEST)
    tokens, measured, empty = [], [], []
    for kind in KINDS:
        given = [getattr(o, kind) for o in objects]
        if not given:
            continue
        boxes, points = (given, None) if kind == "box" else (None, given)
        found, logits = _tokens(trainee, encoded, shape, points, boxes)
        tokens.append(found)
        rows = [
            [iou(mask, truth.mask) for mask in enlarge(four, shape)]
            for truth, four in zip(objects, logits, strict=True)
        ]
        measured.append(torch.tensor(rows, dtype=torch.float32))
        empty.append(torch.zeros(len(rows), dtype=torch.bool))
    outside = _background(scene.objects == 0, rng) if complete else []
    if outside:
        found, _ = _tokens(trainee, encoded, shape, outside, None)
        tokens.append(found)
        measured.append(torch.zeros(len(outside), 4))
        empty.append(torch.ones(len(outside), dtype=torch.bool))
    return Answered(torch.cat(tokens), torch.cat(measured), torch.cat(empty))


def _tokens(
    trainee: Trainee,
    encoded: Encoded,
    shape: tuple[int, int],
    points: Sequence[tuple[int, int]] | None,
    boxes: Sequence[tuple[int, int, int, int]] | None,
) -> tuple[Tensor, Tensor]:
    seen: list[Tensor] = []
    head = trainee.model.mask_decoder.iou_prediction_head
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    try:
        logits, _ = answer(trainee, encoded, shape, points, boxes)
    finally:
        hook.remove()
    return torch.cat(seen), logits


def _background(mask: Mask, rng: np.random.Generator) -> list[tuple[int, int]]:
    flat = np.flatnonzero(mask)
    if not len(flat):
        return []
    drawn = rng.choice(flat, min(BACKGROUND_POINTS, len(flat)), replace=False)
    return [divmod(int(i), mask.shape[1]) for i in drawn]


def fit(head: nn.Module, groups: Sequence[Sequence[Answered]], steps: int, rate: float) -> None:
    """Train the IoU head in place on cached prompts; each group of pictures counts the same."""
    merged = [_merge(group) for group in groups if group]
    optimiser = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    head.requires_grad_(True)
    for _ in range(steps):
        losses = []
        for part in merged:
            error = head(part.tokens) - part.measured
            # The head must not forget what it says on background: predicted IoU 0 keeps
            # segment-everything clean.
            objects = ~part.empty
            losses.append(error[objects].abs().mean() + error[objects].square().mean())
            if part.empty.any():
                losses.append(0.5 * error[part.empty].abs().mean())
        optimiser.zero_grad()
        total = torch.stack(losses).sum()
        total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    head.requires_grad_(False)


def _merge(parts: Sequence[Answered]) -> Answered:
    return Answered(
        torch.cat([p.tokens for p in parts]),
        torch.cat([p.measured for p in parts]),
        torch.cat([p.empty for p in parts]),
    )


@torch.no_grad()
def errors(head: nn.Module, parts: Sequence[Answered]) -> dict[str, float]:
    """Mean absolute error of predicted IoU and mean IoU of the masks chosen by it, on objects."""
    merged = _merge(parts)
    predicted = head(merged.tokens)
    objects = ~merged.empty
    pick = 1 + predicted[:, 1:].argmax(1, keepdim=True)
    difference = (predicted - merged.measured)[objects]
    return {
        "error": float(difference.gather(1, pick[objects]).abs().mean()),
        "error_single": float(difference[:, 0].abs().mean()),
        "chosen": float(merged.measured.gather(1, pick)[objects].mean()),
        "background": float(predicted[merged.empty, 0].mean()),
    }


def calibrate(
    model: EdgeTamModel, groups: Sequence[Sequence[Answered]], steps: int, rate: float
) -> dict[str, list[dict[str, float]]]:
    """Fit the head of `model` and return errors before and after of each group.

    "After" comes from heads fitted on every second picture and measured on the others; the head
    that stays in the model is fitted on all.
    """
    head = model.mask_decoder.iou_prediction_head
    start = {k: v.clone() for k, v in head.state_dict().items()}
    before = [errors(head, group) for group in groups]
    sums = [dict.fromkeys(b, 0.0) for b in before]
    for half in (0, 1):
        head.load_state_dict(start)
        fit(head, [group[half::2] for group in groups], steps, rate)
        for total, group in zip(sums, groups, strict=True):
            for name, value in errors(head, group[1 - half :: 2]).items():
                total[name] += value / 2
    head.load_state_dict(start)
    fit(head, groups, steps, rate)
    return {"before": before, "after": sums}


def _photos(data: Path) -> list[tuple[int, Scene]]:
    """Every fourth photograph with objects of photos/train, and its number in its folder."""
    found = []
    for name in ("panoptic", "instances", "one_object"):
        folder = data / "photos" / "train" / name
        if folder.is_dir():
            pairs = pair_files(folder / "images", folder / "labels")[::4]
            found += [(i, read_picture(*pair)) for i, pair in enumerate(pairs)]
    return [(i, s) for i, s in found if (np.bincount(s.objects.ravel())[1:] >= SMALLEST).any()]


def main(arguments: Sequence[str] | None = None) -> None:
    """Calibrate a model directory."""
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--model", type=Path, required=True, help="model directory that export.py wrote")
    add("--out", type=Path, required=True, help="folder of the calibrated model")
    add("--hold-out", type=int, required=True, help="as it was given to train.py")
    add("--images", type=Path, action="append", default=[], help="folder of pictures (repeatable)")
    add("--labels", type=Path, action="append", default=[], help="label maps of each --images")
    add("--data", type=Path, default=default if default.is_dir() else None,
        help="root with nuclei/train (default: ../shared/data)")  # fmt: skip
    add("--no-data", dest="data", action="store_const", const=None, help="leave --data out")
    add("--scenes", type=int, default=50, help="new procedural scenes")
    add("--steps", type=int, default=100)
    add("--rate", type=float, default=3e-4)
    add("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    folders = list(zip(options.images, options.labels, strict=True))
    if options.data is not None and (options.data / "nuclei" / "train").is_dir():
        folder = options.data / "nuclei" / "train"
        folders.append((folder / "images", folder / "labels"))
    trainee = Trainee(EdgeTamModel.from_pretrained(options.model).eval())
    names, groups = [], []
    for images, labels in folders:
        pairs = [p for p in pair_files(images, labels) if held_out(p[0], options.hold_out)]
        scenes = (read_picture(*pair) for pair in pairs)
        names.append(f"{images.parent.name} ({len(pairs)} held out)")
        groups.append([ask(trainee, s, np.random.default_rng(i)) for i, s in enumerate(scenes)])
    if options.scenes:
        drawn = (make_scene(SCENE_SEED + i) for i in range(options.scenes))
        names.append(f"scenes ({options.scenes} new)")
        groups.append([ask(trainee, s, np.random.default_rng(i)) for i, s in enumerate(drawn)])
    photos = _photos(options.data) if options.data is not None else []
    if photos:
        names.append(f"photos ({len(photos)}, learnt from)")
        groups.append([ask(trainee, s, np.random.default_rng(i), False) for i, s in photos])
    if not all(len(group) > 1 for group in groups):
        raise SystemExit("error: a folder with fewer than two held-out pictures\n"
                         "fix: a smaller --hold-out, the same in train.py")  # fmt: skip
    result = calibrate(trainee.model, groups, options.steps, options.rate)
    for name, before, after in zip(names, result["before"], result["after"], strict=True):
        changes = (f"{key} {before[key]:.3f} -> {after[key]:.3f}" for key in before)
        print(f"{name}: {', '.join(changes)}")
    shutil.copytree(options.model, options.out, dirs_exist_ok=True)
    trainee.model.save_pretrained(options.out)


if __name__ == "__main__":
    main()
