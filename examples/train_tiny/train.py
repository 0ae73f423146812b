"""Train the bundled model, or one of your own, on pictures with label maps and on scenes.

Progress runs from 0 to 1 over a budget of minutes or of pictures. It sets the learning rate
(warm-up, cosine to 0) and three phases: windows with a frozen backbone, windows with its deeper
stages learning, whole pictures at the shipping size.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from data import Sample, Source, draw_sample, folder_source, scene_source
from losses import affinity_loss, prompt_loss
from model import (
    BOX_START,
    FIRST_TRAINED_STAGE,
    IMAGE_SIZE,
    PIXEL_MEAN,
    PIXEL_STD,
    WIDTH,
    Trainee,
    build_config,
    fold_batchnorm,
    initialise,
    load_imagenet_weights,
)
from scenes import Scene, make_scene
from torch import Tensor, nn
from transformers import EdgeTamModel

from segcli.models.device import has_fast_bfloat16

SCENE_SEED = 1_000_000
SCENE_SIDE = 320
WINDOW = 256
EMA = 0.998
AFFINITY_ALONE = 200
# Of windows and of whole pictures.
PHOTO_SHARES = {"panoptic": (0.04, 0.1), "instances": (0.05, 0.1), "one_object": (0.05, 0.1)}


@dataclass(frozen=True)
class Plan:
    """What a run does; saved in its checkpoint.

    Attributes:
        minutes: training time, not counting pauses; 0 if `pictures` counts instead.
        pictures: number of windows and pictures; 0 if `minutes` counts.
        seed: of every random draw.
        frozen: progress at which the backbone starts to learn.
        full: progress from which on all pictures are whole ones; before, some steps have whole
            pictures once the backbone learns, as windows cannot hold large objects.
        whole_every: before `full`, every so many steps have whole pictures.
        rate: peak learning rate; the backbone learns at `backbone_rate` times it.
        batch: windows per step and worker.
        prompts: prompts per window.
        image_size: side of the canvas in pixels.
        warm: whether the run starts from weights that segment already: no class balancing, and
            the new affinity head learns for itself before its gradient reaches the features.
    """

    minutes: float = 0.0
    pictures: int = 0
    seed: int = 0
    frozen: float = 0.12
    full: float = 0.92
    rate: float = 1e-3
    backbone_rate: float = 0.15
    batch: int = 4
    prompts: int = 12
    image_size: int = IMAGE_SIZE
    whole_every: int = 2
    warm: bool = False


class Run:
    """Model, optimiser and counters of a training run in one process."""

    def __init__(self, plan: Plan, rank: int = 0, world: int = 1, pretrained: bool = True) -> None:
        self.plan, self.rank, self.world = plan, rank, world
        torch.manual_seed(plan.seed)
        model = EdgeTamModel(build_config(plan.image_size)).eval()
        if pretrained:
            load_imagenet_weights(model)
        fold_batchnorm(model)
        initialise(model, _first_pictures(), plan.seed)
        self.trainee = Trainee(model)
        self.trainee.gelu = "tanh"
        self.affinity = nn.Conv2d(WIDTH, 32, 1)
        self.groups = self._parameters()
        self.optimiser = torch.optim.AdamW(
            [
                {"params": self.groups[0], "weight_decay": 0.02},
                {"params": self.groups[1], "weight_decay": 0.0},
                {"params": self.groups[2], "weight_decay": 0.0},
            ],
            lr=0.0,
            betas=(0.9, 0.98),
        )
        self.parameters = [p for group in self.groups for p in group]
        self.average = {k: v.clone() for k, v in model.state_dict().items()}
        self.step, self.seen, self.seconds = 0, 0, 0.0
        self.curve: list[dict[str, float]] = []

    def _parameters(self) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
        """Weights, biases and norms, backbone; what never learns gets no gradient."""
        model = self.trainee.model
        model.requires_grad_(False)
        backbone = model.vision_encoder.backbone.timm_model
        deep = []
        for stage in list(backbone.blocks)[FIRST_TRAINED_STAGE:]:
            for name, parameter in stage.named_parameters():
                # A folded normalisation keeps its bias only.
                if not (name.split(".")[-2].startswith("bn") and name.endswith("weight")):
                    deep.append(parameter)
        untrained = ("vision_encoder.backbone", "prompt_encoder.mask_embed", "pred_obj_score")
        weights, others = [], []
        for name, parameter in model.named_parameters():
            if not any(part in name for part in untrained):
                (weights if parameter.ndim > 1 and "embed" not in name else others).append(
                    parameter
                )
        weights += list(self.affinity.parameters())
        for parameter in weights + others + deep:
            parameter.requires_grad_(True)
        return weights, others, deep

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0..1."""
        plan = self.plan
        spent = self.seen / plan.pictures if plan.pictures else self.seconds / (60 * plan.minutes)
        return min(spent, 1.0)

    def rate(self) -> float:
        """Learning rate of this step."""
        warm = min(1.0, (self.step + 1) / 100)
        return self.plan.rate * warm * 0.5 * (1 + math.cos(math.pi * self.progress))

    def train_step(self, sources: Sequence[Source]) -> dict[str, float]:
        """One optimiser step over all workers; returns the averages of this worker's log."""
        started = time.monotonic()
        plan, progress = self.plan, self.progress
        deep = progress >= plan.frozen
        last = progress >= plan.full
        whole = last or (deep and self.step % plan.whole_every == 1)
        window = plan.image_size if whole else min(WINDOW, plan.image_size)
        count = max(1, plan.batch // 2) if whole else plan.batch
        rng = np.random.default_rng((plan.seed, self.step, self.rank))
        samples = [
            draw_sample(rng, sources, window, plan.image_size, plan.prompts) for _ in range(count)
        ]
        loss, log = self._loss(samples, deep, reduced=not last and has_fast_bfloat16())
        loss.backward()
        self._reduce()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        rate = self.rate()
        for group, factor in zip(
            self.optimiser.param_groups, (1, 1, plan.backbone_rate), strict=True
        ):
            group["lr"] = rate * factor
        if deep and not last:
            # The backbone starts gently: its optimiser state is empty when it thaws.
            self.optimiser.param_groups[2]["lr"] *= min(1.0, (progress - plan.frozen) / 0.03 + 0.02)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        decay = min(EMA, (self.step + 1) / (self.step + 10))
        for name, value in self.trainee.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
        self.step += 1
        self.seen += count * self.world
        self.seconds += self._agree(time.monotonic() - started)
        return {k: float(v) for k, v in log.items()} | {"rate": rate}

    def _loss(
        self, samples: Sequence[Sample], deep: bool, reduced: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        stack = {
            name: torch.from_numpy(np.stack([getattr(s, name) for s in samples]))
            for name in ("image", "offset", "coordinates", "labels", "targets", "empty")
        }
        images = normalise(stack["image"])
        encoded = self.trainee.encode(images, grad=deep, reduced=reduced)
        logits, iou = self.trainee.decode(
            encoded, stack["offset"], stack["coordinates"], stack["labels"]
        )
        early = 0.0 if self.plan.warm else max(0.0, 1 - self.progress / 0.15)
        certain = stack["labels"][..., 0] == BOX_START
        loss, log = prompt_loss(logits, iou, stack["targets"], stack["empty"], certain, early)
        objects = np.stack([s.objects[::4, ::4].astype(np.int64) for s in samples])
        generator = torch.Generator().manual_seed(self.step * self.world + self.rank)
        fresh = self.plan.warm and self.step < AFFINITY_ALONE
        pyramid = encoded[3].detach() if fresh else encoded[3]
        pairs = affinity_loss(self.affinity(pyramid), torch.from_numpy(objects), generator)
        log["affinity"] = pairs.detach()
        return loss + 0.3 * pairs, log

    def _reduce(self) -> None:
        """Average the gradients over the workers."""
        if self.world == 1:
            return
        live = [p for p in self.parameters if p.grad is not None]
        flat = torch.cat([p.grad.flatten() for p in live])
        dist.all_reduce(flat)
        flat /= self.world
        for p, part in zip(live, flat.split([p.numel() for p in live]), strict=True):
            p.grad.copy_(part.view_as(p))

    def _agree(self, seconds: float) -> float:
        """The first worker's clock, so that all workers change phase at the same step."""
        if self.world == 1:
            return seconds
        shared = torch.tensor([seconds], dtype=torch.float64)
        dist.broadcast(shared, 0)
        return float(shared)

    def save(self, path: Path) -> None:
        """Write a checkpoint; the old one stays until the new one is whole."""
        state = {
            "plan": asdict(self.plan),
            "model": self.trainee.model.state_dict(),
            "average": self.average,
            "affinity": self.affinity.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "counters": {"step": self.step, "seen": self.seen, "seconds": self.seconds},
            "curve": self.curve,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".partial")
        torch.save(state, temporary)
        temporary.replace(path)

    def load_weights(self, path: Path) -> None:
        """Start anew from the averaged weights of a checkpoint, or from a model directory.

        Args:
            path: file written by `save`, or `save_pretrained` directory of this architecture,
                which has no affinity head: the new one stays.

        Raises:
            ValueError: the directory's model is for another image size.
        """
        if path.is_dir():
            model = EdgeTamModel.from_pretrained(path)
            size = int(model.config.prompt_encoder_config.image_size)
            if size != self.plan.image_size:
                raise ValueError(f"{path} is for {size} pixels, this run {self.plan.image_size}")
            weights = model.state_dict()
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            weights = state["average"]
            self.affinity.load_state_dict(state["affinity"])
        self.trainee.model.load_state_dict(weights)
        self.average = {k: v.clone() for k, v in self.trainee.model.state_dict().items()}

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.trainee.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.affinity.load_state_dict(state["affinity"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seen, self.seconds = (
            state["counters"][k] for k in ("step", "seen", "seconds")
        )
        self.curve = state["curve"]


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32 as the processor does."""
    return ((images.float() / 255 - PIXEL_MEAN) / PIXEL_STD).permute(0, 3, 1, 2)


def _first_pictures() -> Tensor:
    scenes = [make_scene(SCENE_SEED + i, size=(WINDOW, WINDOW)).image for i in range(16)]
    return normalise(torch.from_numpy(np.stack(scenes)))


def _draw_scene(seed: int) -> tuple[int, Scene]:
    return seed, make_scene(seed, size=(SCENE_SIDE, SCENE_SIDE))


def draw_scenes(count: int, workers: int) -> dict[int, Scene]:
    """The scenes of a run by seed, drawn by several processes."""
    seeds = range(SCENE_SEED, SCENE_SEED + count)
    with mp.get_context("fork").Pool(workers) as pool:
        return dict(pool.imap_unordered(_draw_scene, seeds, chunksize=8))


def find_sources(options: argparse.Namespace) -> list[Source]:
    """Sources named on the command line: own folders, the project's data, scenes."""
    sources = []
    if len(options.images) != len(options.labels):
        raise SystemExit("error: give as many --labels folders as --images folders")
    for images, labels in zip(options.images, options.labels, strict=True):
        shares = (1.0 / len(options.images),) * 2
        name = images.parent.name or "own"
        sources.append(
            folder_source(name, (images, labels), shares, options.complete, options.recolour,
                          (0.5, 1.3), 0.3, options.hold_out)
        )  # fmt: skip
    root = options.data
    if root is not None and (root / "nuclei" / "train").is_dir():
        folder = root / "nuclei" / "train"
        folders = (folder / "images", folder / "labels")
        sources.append(
            folder_source(
                "nuclei", folders, (0.6, 0.45), True, True, (0.7, 1.3), 0.2, options.hold_out
            )
        )
    if root is not None and (root / "photos" / "train").is_dir():
        # Most objects of a photograph are larger than a window: they are learnt from whole ones.
        for name, shares in PHOTO_SHARES.items():
            folder = root / "photos" / "train" / name
            folders = (folder / "images", folder / "labels")
            sources.append(folder_source(name, folders, shares, False, False, (0.5, 1.1)))
    if options.scenes:
        cache = draw_scenes(options.scenes, options.workers)
        shares = (0.26, 0.25) if sources else (1.0, 1.0)
        sources.append(scene_source(shares, options.scenes, SCENE_SEED, SCENE_SIDE, cache))
    if not sources:
        raise SystemExit("error: nothing to train on\nfix: give --images and --labels, or --scenes")
    return sources


def work(rank: int, options: argparse.Namespace, plan: Plan, sources: list[Source]) -> None:
    """One worker: train until the budget is spent, saving checkpoints as it goes."""
    torch.set_num_threads(max(1, options.threads // options.workers))
    if options.workers > 1:
        address = f"file://{(options.out / 'rendezvous').resolve()}"
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=options.workers)
    run = Run(plan, rank, options.workers, pretrained=not options.weights)
    checkpoint = options.out / "checkpoint.pt"
    if checkpoint.is_file() and options.resume:
        run.load(checkpoint)
    elif options.weights:
        run.load_weights(options.weights)
    sums: dict[str, float] = {}
    last_log, last_save = run.step, time.monotonic()
    while run.progress < 1:
        for name, value in run.train_step(sources).items():
            sums[name] = sums.get(name, 0.0) + value
        if rank == 0 and (run.step % options.log_every == 0 or run.progress >= 1):
            steps = run.step - last_log
            entry = {k: round(v / steps, 5) for k, v in sums.items()}
            entry |= {"step": run.step, "seen": run.seen, "seconds": round(run.seconds, 1),
                      "progress": round(run.progress, 4)}  # fmt: skip
            run.curve.append(entry)
            print(json.dumps(entry), flush=True)
            sums, last_log = {}, run.step
        if rank == 0 and time.monotonic() - last_save > 60 * options.save_minutes:
            run.save(checkpoint)
            last_save = time.monotonic()
    if rank == 0:
        run.save(checkpoint)
    if options.workers > 1:
        dist.destroy_process_group()


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Command line of the trainer."""
    default_data = Path(__file__).resolve().parents[3] / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--images", type=Path, action="append", default=[], help="folder of pictures (repeatable)")
    add("--labels", type=Path, action="append", default=[],
        help="folder of instance label maps of the same names, one for each --images")  # fmt: skip
    add("--partly-labelled", dest="complete", action="store_false",
        help="label 0 of --labels may hide objects nobody labelled")  # fmt: skip
    add("--recolour", action="store_true", help="change colours of --images at will (microscopy)")
    add("--data", type=Path, default=default_data if default_data.is_dir() else None,
        help="root with nuclei/train and photos/train (default: ../shared/data)")  # fmt: skip
    add("--no-data", dest="data", action="store_const", const=None, help="leave --data out")
    add("--hold-out", type=int, default=0,
        help="leave out about one in so many pictures (--images, nuclei/train)")  # fmt: skip
    add("--scenes", type=int, default=1800, help="number of procedural scenes")
    add("--out", type=Path, required=True, help="folder of the checkpoint")
    add("--no-resume", dest="resume", action="store_false", help="ignore a checkpoint in --out")
    add(
        "--weights",
        type=Path,
        help="start from the averaged weights of this checkpoint, or from this model directory",
    )
    add("--minutes", type=float, default=90.0, help="training time, pauses not counted")
    add("--images-seen", type=int, default=0, help="budget in pictures in place of --minutes")
    add("--frozen", type=float, default=Plan.frozen, help="progress at which the backbone thaws")
    add("--full", type=float, default=Plan.full, help="progress at which whole pictures start")
    add("--whole-every", type=int, default=Plan.whole_every,
        help="before --full, every so many steps have whole pictures")  # fmt: skip
    add("--rate", type=float, default=Plan.rate, help="peak learning rate")
    add("--batch", type=int, default=Plan.batch, help="windows per step and worker")
    add("--prompts", type=int, default=Plan.prompts, help="prompts per window")
    add("--seed", type=int, default=0)
    add("--workers", type=int, default=1, help="processes with averaged gradients")
    add("--threads", type=int, default=os.cpu_count() or 1, help="threads in all")
    add("--save-minutes", type=float, default=3.0, help="time between checkpoints")
    add("--log-every", type=int, default=20, help="steps between lines of the log")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train."""
    options = parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "rendezvous").unlink(missing_ok=True)
    plan = Plan(
        minutes=0.0 if options.images_seen else options.minutes,
        pictures=options.images_seen,
        seed=options.seed,
        frozen=options.frozen,
        full=options.full,
        rate=options.rate,
        batch=options.batch,
        prompts=options.prompts,
        whole_every=options.whole_every,
        warm=options.weights is not None,
    )
    sources = find_sources(options)
    if options.workers == 1:
        work(0, options, plan, sources)
    else:
        mp.start_processes(
            work, (options, plan, sources), nprocs=options.workers, start_method="fork"
        )


if __name__ == "__main__":
    main()
