"""The knobs of class-aware models; names and defaults are transformers' where it has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from segcli.errors import ConfigError, closest
from segcli.models.layers import layered

__all__ = ["TASKS", "ClassSettings", "Task", "class_settings"]

Task = Literal["semantic", "instance", "panoptic"]
TASKS: tuple[Task, ...] = ("semantic", "instance", "panoptic")


@dataclass(frozen=True, slots=True)
class ClassSettings:
    """How a class-aware model's output becomes segments.

    Attributes:
        task: ``semantic`` gives each pixel a class, ``instance`` finds countable things, which may
            overlap, ``panoptic`` gives each pixel to one thing or one kind of stuff.
        threshold: objects of lower score are dropped; semantic maps have no use for it.
        mask_threshold: probability from which a pixel is inside a mask.
        overlap_mask_area_threshold: panoptic only: a segment that keeps no more than this share of
            its own mask, because better ones cover it, is dropped.
        keep: the category ids to keep; None: all.
        window: side in pixels of the sliding window in which models of pixels look at pictures
            that are larger; 0: look at the picture as a whole.
        window_overlap: share of a window that it has in common with the next one.
    """

    task: Task = "panoptic"
    threshold: float = 0.5
    mask_threshold: float = 0.5
    overlap_mask_area_threshold: float = 0.8
    keep: tuple[int, ...] | None = None
    window: int = 0
    window_overlap: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values that have no meaning.

        Raises:
            ConfigError: a value is out of range.
        """
        if self.task not in TASKS:
            raise ConfigError(
                f"--task has no choice '{self.task}'",
                fix=closest(str(self.task), TASKS) or f"one of {', '.join(TASKS)}",
            )
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(
                    f"--{name.replace('_', '-')} {value:g} is out of range",
                    fix=f"use a value from {low:g} to {high:g}",
                )
        if 0 < self.window < _LEAST_WINDOW:
            raise ConfigError(
                f"--window {self.window} is too small",
                fix=f"at least {_LEAST_WINDOW}, or 0 for the whole picture",
            )


_LEAST_WINDOW = 32
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("threshold", 0, 1),
    ("mask_threshold", 0, 1),
    ("overlap_mask_area_threshold", 0, 1),
    ("window", 0, 1e6),
    ("window_overlap", 0, 0.9),
)


def class_settings(*layers: Mapping[str, Any]) -> ClassSettings:
    """Settings from layers of values, later layers winning.

    Raises:
        ConfigError: a name is unknown, or a value out of range.
    """
    return ClassSettings(**layered(ClassSettings, layers))
