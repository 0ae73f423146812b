"""Which sums consist of numbers that add, and putting them together again."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segcli.metrics.base import ExactSum, MetricOptions, Sums
from segcli.metrics.coco_ap import CocoSums
from segcli.metrics.matching import MatchingSums
from segcli.metrics.numbers import numbers, put, understood
from segcli.metrics.overlap import Overlap
from segcli.metrics.semantic import Semantic


class Blank(Sums):
    def add(self, other: Sums) -> None:
        pass

    def compute(self) -> dict[str, float]:
        return {}


@dataclass
class Rich(Blank):
    """Every kind of field that can be understood."""

    count: int = 0
    share: float = 0.0
    exact: Fraction = field(default_factory=Fraction)
    mean: ExactSum = field(default_factory=ExactSum)
    fixed: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 2), np.int64))
    both: tuple[int, int] = (0, 0)
    each: list[Fraction] = field(default_factory=lambda: [Fraction()] * 2)
    by_class: dict[int, dict[str, ExactSum]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    things: frozenset[int] | None = None
    prefix: str = ""


@dataclass
class Growing(Blank):
    values: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass
class Missing(Blank):
    lowest: float | None = None


@dataclass
class Anything(Blank):
    judge: Any = None


def rich() -> Rich:
    mean = ExactSum()
    mean.push(0.1)
    return Rich(
        count=3,
        share=0.5,
        exact=Fraction(1, 3),
        mean=mean,
        fixed=np.array([[1, 0], [0, 2]]),
        both=(4, 5),
        each=[Fraction(1, 4), Fraction()],
        by_class={7: {"iou": mean}, 8: {"iou": ExactSum()}},
        names={7: "cat", 8: "dog"},
        things=frozenset({7}),
        prefix="x.",
    )


@pytest.mark.parametrize("zero", [Rich(), MatchingSums(), Overlap("a.").zero()])
def test_counts_are_understood(zero):
    """Numbers, fixed arrays, tables by key and words to be kept."""
    assert understood(zero)


@pytest.mark.parametrize(
    "zero", [Growing(), Missing(), Anything(), CocoSums(), Semantic(MetricOptions()).zero()]
)
def test_what_cannot_be_told_is_not_guessed(zero):
    """Arrays that grow, numbers that may be missing and unknown types are not taken for counts."""
    assert not understood(zero)


def test_numbers_and_back():
    """Numbers are found where they are, and put back give the same sums; words are kept."""
    found = dict(numbers(rich()))
    assert found["exact",] == Fraction(1, 3)
    assert found["fixed", 3] == 2
    assert found["by_class", 7, "iou", "count"] == 1
    again = put(rich(), found, Rich())
    assert dict(numbers(again)) == found
    assert (again.prefix, again.things, again.names) == ("x.", frozenset({7}), rich().names)
    assert type(again.exact) is Fraction
    assert again.fixed.dtype == np.int64


def test_a_class_without_a_count_is_left_out():
    """A class that no drawn image has is no class with zero counts; a known one stays."""
    assert set(put(rich(), dict(numbers(rich())), Rich()).by_class) == {7}
    known = Rich(by_class={8: {"iou": ExactSum()}})
    assert set(put(rich(), {}, known).by_class) == {8}
