"""Train the bundled class-aware model on procedural scenes.

Progress runs from 0 to 1 over a budget of minutes or of pictures. It sets the learning rate
(warm-up, cosine to 0) and three phases: small pictures with a frozen backbone, small pictures with
its deeper stages learning, pictures at the shipping size. The same command again continues from the
checkpoint.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from panoptic_losses import Targets, panoptic_loss, pixel_loss
from panoptic_model import IMAGE_SIZE, Trainee, backbone_of, build_config, initialise
from panoptic_scenes import PanopticScene, make_panoptic_scene
from PIL import Image
from session import Plan as AnyPlan
from session import Pool, Session, parsed_plan, train
from torch import Tensor, nn
from transformers import Mask2FormerForUniversalSegmentation

sys.path.append(str(Path(__file__).resolve().parents[1] / "train_tiny"))

from losses import affinity_loss
from model import FIRST_TRAINED_STAGE, fold_backbone, load_backbone_weights
from train import normalise

SCENE_SEED = 1_000_000
SCENE_SIDE = 320
EMA = 0.99


@dataclass(frozen=True)
class Plan(AnyPlan):
    """What decides a run, beside what decides any.

    Attributes:
        backbone_rate: the backbone's share of the rate.
        frozen: progress at which the backbone thaws.
        full: progress at which pictures get the shipping size.
        small: side of pictures before that, in pixels.
    """

    rate: float = 8e-4
    backbone_rate: float = 0.15
    frozen: float = 0.12
    full: float = 0.85
    small: int = 192


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


class Run(Session[Plan, PanopticScene]):
    """A training run."""

    trainee: Trainee

    def __init__(self, plan: Plan, pretrained: bool = True) -> None:
        torch.manual_seed(plan.seed)
        model = Mask2FormerForUniversalSegmentation(build_config()).train()
        if pretrained:
            load_backbone_weights(backbone_of(model))
        fold_backbone(backbone_of(model))
        backbone_of(model).eval()
        initialise(model, plan.seed)
        trainee = Trainee(model)
        groups = list(zip(_parameters(trainee), (0.02, 0.0, 0.02), strict=True))
        super().__init__(plan, trainee, model, groups, EMA)

    def train_step(self, pool: Pool[PanopticScene]) -> dict[str, float]:
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
        thaw = min(1.0, max(0.0, progress - plan.frozen) / 0.03 + 0.02)
        self.learn(loss, started, (1, 1, plan.backbone_rate * thaw))
        return log

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


def _parameters(
    trainee: Trainee,
) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """New weights, new biases and queries, and the backbone's weights that learn."""
    net = backbone_of(trainee.model)
    net.requires_grad_(False)
    deep = []
    for stage in net.blocks[FIRST_TRAINED_STAGE:]:
        for name, parameter in stage.named_parameters():
            # A folded normalisation has a bias and nothing else.
            if "bn" not in name or name.endswith("bias"):
                deep.append(parameter.requires_grad_(True))
    own = {id(p) for p in net.parameters()}
    weights, others = [], []
    for name, parameter in trainee.named_parameters():
        if id(parameter) not in own:
            flat = parameter.ndim < 2 or "queries" in name or "embed" in name
            (others if flat else weights).append(parameter)
    return weights, others, deep


def draw_scene(plan: Plan) -> Callable[[int], PanopticScene]:
    """From a number to its scene."""
    first = SCENE_SEED + 1_000_000 * plan.seed
    return lambda number: make_panoptic_scene(first + number, (SCENE_SIDE, SCENE_SIDE))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train."""
    plan, options = parsed_plan(Plan, __doc__.splitlines()[0], arguments)
    train(Run(plan), draw_scene(plan), options)


if __name__ == "__main__":
    main()
