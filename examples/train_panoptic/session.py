"""What training runs share: budget, schedule, averaged weights, checkpoints and the log."""

from __future__ import annotations

import argparse
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Plan", "Pool", "Session", "parsed_plan", "train"]

Drawn = TypeVar("Drawn")


@dataclass(frozen=True)
class Plan:
    """What decides any run.

    Attributes:
        minutes: budget in processor time a thread; or
        pictures: budget in pictures, 0 = by time.
        seed: of every random draw.
        rate: peak learning rate of new layers.
        batch: pictures a step.
        pool: scenes kept at once; each step replaces one by a new one.
    """

    minutes: float = 90.0
    pictures: int = 0
    seed: int = 0
    rate: float = 1e-3
    batch: int = 8
    pool: int = 400


SomePlan = TypeVar("SomePlan", bound=Plan)


class Pool(Generic[Drawn]):
    """Scenes to draw from; what it holds is a function of the number of scenes replaced."""

    def __init__(self, draw: Callable[[int], Drawn], size: int, step: int) -> None:
        """Draw the scenes that are there at a step.

        Args:
            draw: from a number to its scene.
            size: scenes kept at once.
            step: each step replaces one by a new one.
        """
        self._draw, self.size = draw, size
        self.scenes = [
            draw(slot + size * ((step - slot + size - 1) // size)) for slot in range(size)
        ]

    def replace(self, step: int) -> None:
        """Draw the new scene of a step in place of the oldest."""
        self.scenes[step % self.size] = self._draw(self.size + step)


class Session(ABC, Generic[SomePlan, Drawn]):
    """Weights, optimiser and counters of a run in one process: all that its checkpoint holds."""

    def __init__(
        self,
        plan: SomePlan,
        trainee: nn.Module,
        model: nn.Module,
        groups: list[tuple[list[nn.Parameter], float]],
        decay: float,
    ) -> None:
        """Begin.

        Args:
            plan: budget and rates.
            trainee: all that learns.
            model: the part of it that is kept, of which an average is kept as well.
            groups: parameters, and their weight decay.
            decay: of the average of the weights, a step.
        """
        self.plan, self.trainee, self.model, self.decay = plan, trainee, model, decay
        self.optimiser = torch.optim.AdamW(
            [{"params": group, "weight_decay": weight} for group, weight in groups],
            lr=plan.rate,
            betas=(0.9, 0.98),
        )
        self.average = {k: v.clone() for k, v in model.state_dict().items()}
        self.step, self.seen, self.seconds = 0, 0, 0.0
        self.curve: list[dict[str, float]] = []

    @abstractmethod
    def train_step(self, pool: Pool[Drawn]) -> dict[str, float]:
        """One step of the optimiser on pictures of a pool; returns numbers for the log."""

    def advance(self, pool: Pool[Drawn]) -> dict[str, float]:
        """A step, and a new scene in the pool; returns numbers for the log."""
        log = {"rate": self.rate} | self.train_step(pool)
        pool.replace(self.step - 1)
        return log

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0..1."""
        plan = self.plan
        spent = self.seen / plan.pictures if plan.pictures else self.seconds / (60 * plan.minutes)
        return min(spent, 1.0)

    @property
    def rate(self) -> float:
        """Learning rate of this step: warm-up, then cosine to 0."""
        warm = min(1.0, (self.step + 1) / 100)
        return float(self.plan.rate * warm * 0.5 * (1 + math.cos(math.pi * self.progress)))

    def learn(self, loss: Tensor, started: float, factors: tuple[float, ...]) -> None:
        """One step of the optimiser.

        Args:
            loss: a number.
            started: processor time at which the step began: a machine that is busy, or a pause,
                must not end the run.
            factors: of the learning rate, for each group.
        """
        loss.backward()
        groups = self.optimiser.param_groups
        nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
        for group, factor in zip(groups, factors, strict=True):
            group["lr"] = self.rate * factor
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        decay = min(self.decay, (self.step + 1) / (self.step + 10))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
        self.step += 1
        self.seen += self.plan.batch
        self.seconds += (time.process_time() - started) / torch.get_num_threads()

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


def train(
    run: Session[SomePlan, Drawn], draw: Callable[[int], Drawn], options: argparse.Namespace
) -> None:
    """Train until the budget is spent, from the checkpoint if there is one, and save as it goes.

    Args:
        run: new.
        draw: from a number to its scene.
        options: of `parsed_plan`.
    """
    checkpoint = options.out / "checkpoint.pt"
    if checkpoint.is_file():
        run.load(checkpoint)
    pool = Pool(draw, run.plan.pool, run.step)
    sums: dict[str, float] = {}
    last_log, last_save = run.step, time.monotonic()
    while run.progress < 1:
        for name, value in run.advance(pool).items():
            sums[name] = sums.get(name, 0.0) + value
        if run.step % options.log_every == 0 or run.progress >= 1:
            steps = run.step - last_log
            entry = {k: round(v / steps, 5) for k, v in sums.items()}
            entry |= {"step": run.step, "seen": run.seen, "seconds": round(run.seconds, 1),
                      "progress": round(run.progress, 4)}  # fmt: skip
            run.curve.append(entry)
            print(json.dumps(entry), flush=True)
            sums, last_log = {}, run.step
        if time.monotonic() - last_save > 60 * options.save_minutes:
            run.save(checkpoint)
            last_save = time.monotonic()
    run.save(checkpoint)


def parsed_plan(
    plan: type[SomePlan], title: str, arguments: Sequence[str] | None
) -> tuple[SomePlan, argparse.Namespace]:
    """The plan of a command line, and its other options."""
    parser = argparse.ArgumentParser(description=title)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the checkpoint")
    add("--minutes", type=float, default=plan.minutes, help="training time, of the processor")
    add("--images-seen", type=int, default=0, help="budget in pictures in place of --minutes")
    add("--rate", type=float, default=plan.rate, help="peak learning rate")
    add("--batch", type=int, default=plan.batch, help="pictures a step")
    add("--pool", type=int, default=plan.pool, help="scenes kept at once")
    add("--seed", type=int, default=0)
    add("--threads", type=int, default=1)
    add("--save-minutes", type=float, default=3.0, help="time between checkpoints")
    add("--log-every", type=int, default=20, help="steps between lines of the log")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    own = {name: getattr(options, name) for name in ("seed", "rate", "batch", "pool")}
    minutes = 0.0 if options.images_seen else options.minutes
    return plan(minutes=minutes, pictures=options.images_seen, **own), options
