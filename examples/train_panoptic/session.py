"""What training runs share: budget, schedule, averaged weights, checkpoints and the log."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Plan", "Pool", "Session", "budget_options", "train"]

Drawn = TypeVar("Drawn")


class Plan(Protocol):
    """What every plan says; see the plans themselves."""

    minutes: float
    pictures: int
    seed: int
    rate: float
    batch: int
    pool: int


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


class Session:
    """Weights, optimiser and counters of a run in one process: all that its checkpoint holds."""

    def __init__(
        self,
        plan: Any,  # noqa: ANN401 (a frozen dataclass with the fields of Plan)
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


def train(run: Session, step: Callable[[], dict[str, float]], options: argparse.Namespace) -> None:
    """Train until the budget is spent, saving checkpoints as it goes.

    Args:
        run: new, or loaded from its checkpoint.
        step: one step of the optimiser; returns numbers for the log.
        options: of `budget_options`.
    """
    checkpoint = options.out / "checkpoint.pt"
    sums: dict[str, float] = {}
    last_log, last_save = run.step, time.monotonic()
    while run.progress < 1:
        rate = run.rate
        for name, value in (step() | {"rate": rate}).items():
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


def budget_options(parser: argparse.ArgumentParser, plan: type[Plan]) -> None:
    """Options of a run's budget, and of what is kept of it."""
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
