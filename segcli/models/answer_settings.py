"""The knobs of prompted objects, and where their defaults come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from segcli.errors import ConfigError, closest
from segcli.models.layers import layered

__all__ = ["MULTIMASK", "AnswerSettings", "Multimask", "answer_settings"]

Multimask = Literal["best", "all", "single"]
MULTIMASK: tuple[Multimask, ...] = ("best", "all", "single")
_MOST_PASSES = 100


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How an object that a user prompts for is answered.

    Attributes:
        multimask: "best": the mask of highest predicted IoU of the three of a single point, and
            the single mask of any other prompt, as the authors of SAM advise; "all": always the
            three masks; "single": always the single mask.
        cascade: how many times the mask is refined: it is asked for again together with the
            low-resolution logits of the mask before. The points of an object are the clicks of a
            session, in their order: with P points and N refinements the first pass has the box,
            where there is one, and max(1, P - N) points (with a box max(0, P - N)); each pass
            has one point more, and the last pass all of them. Where the first points lie outside
            of the object, the first pass has those up to the first one inside. Refined masks are
            single ones; the first pass is answered as `multimask` says.
        clip_to_box: a mask asked for with a box has no pixel outside of the box.
        connected: of a mask asked for with points inside keep only the pieces on which they lie,
            or the largest one if none does.
        mask_threshold: logit above which a pixel is inside.
        points_per_batch: prompts decoded at once; changes memory and speed, not results. 0 leaves
            it to the machine.
    """

    multimask: Multimask = "best"
    cascade: int = 0
    clip_to_box: bool = False
    connected: bool = False
    mask_threshold: float = 0.0
    points_per_batch: int = 0

    def __post_init__(self) -> None:
        """Refuse values that have no meaning.

        Raises:
            ConfigError: a value is out of range, or two contradict each other.
        """
        if self.multimask not in MULTIMASK:
            raise ConfigError(
                f"--multimask has no choice '{self.multimask}'",
                fix=closest(str(self.multimask), MULTIMASK) or f"one of {', '.join(MULTIMASK)}",
            )
        if not 0 <= self.cascade <= _MOST_PASSES:
            raise ConfigError(
                f"--cascade {self.cascade} is out of range",
                fix=f"use a value from 0 to {_MOST_PASSES}",
            )
        if self.points_per_batch < 0:
            raise ConfigError(
                f"--points-per-batch {self.points_per_batch} is out of range",
                fix="use a value at least 0",
            )
        if self.cascade and self.multimask == "all":
            raise ConfigError(
                "--cascade and --multimask all exclude each other",
                why="a refined prompt has one mask: that of the logits it was given",
                fix="--multimask best, or leave --cascade out",
            )


def answer_settings(*layers: Mapping[str, Any]) -> AnswerSettings:
    """Settings from layers of values, later layers winning.

    Raises:
        ConfigError: a name is unknown, or a value out of range.
    """
    return AnswerSettings(**layered(AnswerSettings, layers))
