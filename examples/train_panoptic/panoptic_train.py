"""Train the bundled class-aware model on procedural scenes.

Progress runs from 0 to 1 over a budget of minutes or of pictures. It sets the learning rate
(warm-up, cosine to 0) and three phases: small pictures with a frozen backbone, small pictures with
its deeper stages learning, pictures at the shipping size. The same command again continues from the
checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from panoptic_losses import Targets, panoptic_loss, pixel_loss
from panoptic_model import IMAGE_SIZE, Trainee, backbone_of, build_config, initialise
from panoptic_scenes import PanopticScene, make_panoptic_scene
from PIL import Image
from torch import Tensor, nn
from transformers import Mask2FormerForUniversalSegmentation

sys.path.append(str(Path(__file__).resolve().parents[1] / "train_tiny"))

from losses import affinity_loss
from model import FIRST_TRAINED_STAGE, fold_backbone, load_backbone_weights
from train import normalise

SCENE_SEED = 1_000_000
SCENE_SIDE = 320
EMA = 0.998


@dataclass(frozen=True)
class Plan:
    """What decides a run.

    Attributes:
        minutes: budget in processor time a thread; or
        pictures: budget in pictures, 0 = by time.
        seed: of every random draw.
        rate: peak learning rate of new layers.
        backbone_rate: the backbone's share of it.
        batch: pictures a step.
        pool: scenes kept at once; each step replaces one by a new one.
        frozen: progress at which the backbone thaws.
        full: progress at which pictures get the shipping size.
        small: side of pictures before that, in pixels.
    """

    minutes: float = 90.0
    pictures: int = 0
    seed: int = 0
    rate: float = 8e-4
    backbone_rate: float = 0.15
    batch: int = 8
    pool: int = 400
    frozen: float = 0.12
    full: float = 0.8
    small: int = 192


class Pool:
    """Scenes to draw from; what it holds is a function of the number of scenes replaced."""

    def __init__(self, plan: Plan, step: int) -> None:
        self.size = plan.pool
        self.first = SCENE_SEED + 1_000_000 * plan.seed
        self.scenes: list[PanopticScene] = [
            self._draw(slot + self.size * ((step - slot + self.size - 1) // self.size))
            for slot in range(self.size)
        ]

    def _draw(self, number: int) -> PanopticScene:
        return make_panoptic_scene(self.first + number, (SCENE_SIDE, SCENE_SIDE))

    def replace(self, step: int) -> None:
        """Draw the new scene of a step in place of the oldest."""
        self.scenes[step % self.size] = self._draw(self.size + step)


def augment(
    rng: np.random.Generator, scene: PanopticScene, side: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A random window, mirrored, stretched and recoloured: (side, side, 3) and (side, side)."""
    height, width = scene.segments.shape
    zoom, stretch = rng.uniform(0.55, 1.0), np.exp(rng.uniform(-0.2, 0.2))
    h, w = (int(np.clip(n * zoom * f, 64, n)) for n, f in ((height, stretch), (width, 1 / stretch)))
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    window = slice(top, top + h), slice(left, left + w)
    image, segments = scene.image[window], scene.segments[window]
    if rng.random() < 0.5:
        image, segments = image[:, ::-1], segments[:, ::-1]
    big = Image.fromarray(np.ascontiguousarray(image)).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    small = Image.fromarray(np.ascontiguousarray(segments).astype(np.int32))
    labels = np.asarray(small.resize((side, side), Image.Resampling.NEAREST), np.int64)
    pixels = np.asarray(big, np.float32) / 255
    gain = rng.uniform(0.75, 1.25) * np.exp(rng.normal(0, 0.06, 3))
    pixels = np.clip(pixels * gain, 0, 1) ** np.exp(rng.uniform(-0.25, 0.25))
    return (pixels * 255).round().astype(np.uint8), labels


class Run:
    """A training run and everything its checkpoint holds."""

    def __init__(self, plan: Plan, pretrained: bool = True) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        model = Mask2FormerForUniversalSegmentation(build_config()).train()
        if pretrained:
            load_backbone_weights(backbone_of(model))
        fold_backbone(backbone_of(model))
        backbone_of(model).eval()
        initialise(model, plan.seed)
        self.trainee = Trainee(model)
        self.groups = self._parameters()
        decays = (0.02, 0.0, 0.02)
        self.optimiser = torch.optim.AdamW(
            [
                {"params": group, "weight_decay": decay}
                for group, decay in zip(self.groups, decays, strict=True)
            ],
            lr=plan.rate,
            betas=(0.9, 0.98),
        )
        self.average = {k: v.clone() for k, v in model.state_dict().items()}
        self.step, self.seen, self.seconds = 0, 0, 0.0
        self.curve: list[dict[str, float]] = []

    def _parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
        """New weights, new biases and queries, and the backbone's weights that learn."""
        net = backbone_of(self.trainee.model)
        net.requires_grad_(False)
        deep = []
        for stage in net.blocks[FIRST_TRAINED_STAGE:]:
            for name, parameter in stage.named_parameters():
                # A folded normalisation has a bias and nothing else.
                if "bn" not in name or name.endswith("bias"):
                    deep.append(parameter.requires_grad_(True))
        own = {id(p) for p in net.parameters()}
        weights, others = [], []
        for name, parameter in self.trainee.named_parameters():
            if id(parameter) not in own:
                flat = parameter.ndim < 2 or "queries" in name or "embed" in name
                (others if flat else weights).append(parameter)
        return weights, others, deep

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0..1."""
        plan = self.plan
        spent = self.seen / plan.pictures if plan.pictures else self.seconds / (60 * plan.minutes)
        return min(spent, 1.0)

    def train_step(self, pool: Pool) -> dict[str, float]:
        """One optimiser step; returns numbers for the log."""
        started = time.process_time()
        plan, progress = self.plan, self.progress
        side = IMAGE_SIZE if progress >= plan.full else plan.small
        rng = np.random.default_rng((plan.seed, self.step))
        images, targets, labels = [], [], []
        for _ in range(plan.batch):
            scene = pool.scenes[int(rng.integers(len(pool.scenes)))]
            pixels, segments = augment(rng, scene, side)
            images.append(pixels)
            labels.append(segments[2::4, 2::4])
            targets.append(Targets(torch.from_numpy(segments), torch.from_numpy(scene.classes)))
        batch = normalise(torch.from_numpy(np.stack(images)))
        loss, log = self._loss(batch, targets, torch.from_numpy(np.stack(labels)))
        loss.backward()
        nn.utils.clip_grad_norm_([p for g in self.groups for p in g], 1.0)
        rate = plan.rate * min(1.0, (self.step + 1) / 100)
        rate *= 0.5 * (1 + math.cos(math.pi * progress))
        thaw = min(1.0, max(0.0, progress - plan.frozen) / 0.03 + 0.02)
        factors = (1, 1, plan.backbone_rate * thaw)
        for group, factor in zip(self.optimiser.param_groups, factors, strict=True):
            group["lr"] = rate * factor
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        decay = min(EMA, (self.step + 1) / (self.step + 10))
        for name, value in self.trainee.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
        pool.replace(self.step)
        self.step += 1
        self.seen += plan.batch
        # The processor's own time: a machine that is busy, or a pause, must not end the run.
        self.seconds += (time.process_time() - started) / torch.get_num_threads()
        return log | {"rate": rate}

    def _loss(
        self, images: Tensor, targets: list[Targets], labels: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        deep = self.progress >= self.plan.frozen
        classes, masks, features = self.trainee(images, grad=deep)
        near = 0.5 + 4.5 * max(0.0, 1 - self.progress / 0.4)
        loss, log = panoptic_loss(classes, masks, targets, near)
        pixels = pixel_loss(self.trainee.pixel_classes(features), targets)
        generator = torch.Generator().manual_seed(self.step)
        alike = affinity_loss(self.trainee.pixel_places(features), labels, generator)
        log |= {"pixels": float(pixels.detach()), "affinity": float(alike.detach())}
        return loss + pixels + 0.5 * alike, log

    def save(self, path: Path) -> None:
        """Write a checkpoint; the old one stays until the new one is whole."""
        state = {
            "plan": asdict(self.plan),
            "trainee": self.trainee.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "counters": {"step": self.step, "seen": self.seen, "seconds": self.seconds},
            "curve": self.curve,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".partial")
        torch.save(state, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.trainee.load_state_dict(state["trainee"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seen, self.seconds = (
            state["counters"][k] for k in ("step", "seen", "seconds")
        )
        self.curve = state["curve"]


def train(run: Run, checkpoint: Path, save_minutes: float, log_every: int) -> None:
    """Train until the budget is spent, saving checkpoints as it goes."""
    pool = Pool(run.plan, run.step)
    sums: dict[str, float] = {}
    last_log, last_save = run.step, time.monotonic()
    while run.progress < 1:
        for name, value in run.train_step(pool).items():
            sums[name] = sums.get(name, 0.0) + value
        if run.step % log_every == 0 or run.progress >= 1:
            steps = run.step - last_log
            entry = {k: round(v / steps, 5) for k, v in sums.items()}
            entry |= {"step": run.step, "seen": run.seen, "seconds": round(run.seconds, 1),
                      "progress": round(run.progress, 4)}  # fmt: skip
            run.curve.append(entry)
            print(json.dumps(entry), flush=True)
            sums, last_log = {}, run.step
        if time.monotonic() - last_save > 60 * save_minutes:
            run.save(checkpoint)
            last_save = time.monotonic()
    run.save(checkpoint)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the checkpoint")
    add("--minutes", type=float, default=Plan.minutes, help="training time, of the processor")
    add("--images-seen", type=int, default=0, help="budget in pictures in place of --minutes")
    add("--rate", type=float, default=Plan.rate, help="peak learning rate")
    add("--batch", type=int, default=Plan.batch, help="pictures a step")
    add("--pool", type=int, default=Plan.pool, help="scenes kept at once")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=1)
    add("--save-minutes", type=float, default=3.0, help="time between checkpoints")
    add("--log-every", type=int, default=20, help="steps between lines of the log")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    plan = Plan(
        minutes=0.0 if options.images_seen else options.minutes,
        pictures=options.images_seen,
        seed=options.seed,
        rate=options.rate,
        batch=options.batch,
        pool=options.pool,
    )
    run = Run(plan)
    checkpoint = options.out / "checkpoint.pt"
    if checkpoint.is_file():
        run.load(checkpoint)
    train(run, checkpoint, options.save_minutes, options.log_every)


if __name__ == "__main__":
    main()
