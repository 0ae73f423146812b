"""The outcome of comparing two runs, and its JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from segcli.evaluate.result import Failure, Interval, nested, plain
from segcli.metrics import Protocol

__all__ = ["Change", "ClassChange", "Comparison", "Delta", "most_changed"]

SCHEMA = "segcli.compare/1"


@dataclass(frozen=True, slots=True)
class Delta:
    """One score of both runs.

    Attributes:
        a: the score of the first run, NaN where undefined.
        b: the score of the second run.
        interval: of b - a, by paired bootstrap.
        b_higher: share of the resamples, of those in which both are defined, where b is higher.
        a_higher: the same, where a is higher.
        tails: twice the smaller of the shares of resamples with b - a >= 0 and with b - a <= 0, at
            most 1: near 0 when nearly all resamples agree on which run is higher.
    """

    a: float
    b: float
    interval: Interval
    b_higher: float
    a_higher: float
    tails: float

    @property
    def delta(self) -> float:
        """How much higher the second run scores; NaN where one is undefined."""
        return self.b - self.a

    def to_json(self) -> dict[str, Any]:
        """A JSON object, null where undefined."""
        return {
            "a": plain(self.a),
            "b": plain(self.b),
            "delta": plain(self.delta),
            "delta_interval": self.interval.to_json(),
            "share_b_higher": plain(self.b_higher),
            "share_a_higher": plain(self.a_higher),
            "two_sided_tail_share": plain(self.tails),
        }


@dataclass(frozen=True, slots=True)
class ClassChange:
    """The scores of one class.

    Attributes:
        id: the class id.
        name: its name, or None.
        scores: by name.
    """

    id: Any
    name: str | None
    scores: dict[str, Delta]


@dataclass(frozen=True, slots=True)
class Change:
    """The headline score of one image.

    Attributes:
        image: path of its ground truth.
        a: its score in the first run.
        b: its score in the second run.
    """

    image: str
    a: float
    b: float

    @property
    def delta(self) -> float:
        """How much higher the second run scores."""
        return self.b - self.a


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        protocol: how both were scored.
        runs: what they are called.
        images: images that both scored, which alone are compared.
        scores: data-set scores by dotted name.
        undefined: dotted name of each score that a run has undefined → the reason.
        classes: scores by class.
        headline: the score that images are ranked by, or "" when images have none.
        changes: images whose headline score differs, the largest rise first.
        unchanged: images whose headline score is equal.
        incomparable: images whose headline score is undefined in one run at least.
        alone: for each run, the images that only it scored.
        failures: for each run, images not scored although they should have been.
        left_out: for each run, images not scored because one side lacks them.
        skips: for each run, whether to leave those out was asked for.
        params: the conventions, of the runs and of the bootstrap.
        notes: what has to be said aloud.
        warnings: what makes the scores of a run doubtful.
    """

    protocol: Protocol
    runs: tuple[str, str]
    images: int
    scores: dict[str, Delta]
    undefined: dict[str, str]
    classes: tuple[ClassChange, ...]
    headline: str
    changes: tuple[Change, ...]
    unchanged: int
    incomparable: int
    alone: tuple[tuple[str, ...], tuple[str, ...]]
    failures: tuple[tuple[Failure, ...], tuple[Failure, ...]]
    left_out: tuple[tuple[Failure, ...], tuple[Failure, ...]]
    params: dict[str, Any]
    skips: tuple[bool, bool] = (False, False)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether both runs scored every image that they should have, and the same ones."""
        return not self.gaps()

    def gaps(self) -> list[Failure]:
        """What was not compared although it should have been, and why."""
        found, explained = [], set()
        for run, other in ((0, 1), (1, 0)):
            left_out = {f.gt: f for f in self.left_out[other]}
            known = {**left_out, **{f.gt: f for f in self.failures[other]}}
            for image in self.alone[run]:
                if image in left_out and self.skips[other]:
                    continue
                why = f"{'AB'[other]}: {known[image].error}" if image in known else ""
                said = f"{image}: scored in {'AB'[run]} only"
                found.append(Failure(image, None, image, said, why))
                explained.add((other, image))
        for run, failures in enumerate(self.failures):
            others = (f for f in failures if (run, f.gt) not in explained)
            found += [replace(f, error=f"{'AB'[run]}: {f.error}") for f in others]
        return found

    def to_json(self, most: int = 20) -> dict[str, Any]:
        """One JSON object; the same input gives the same bytes.

        Args:
            most: how many of the images that changed most, in each direction.
        """
        up, down = most_changed(self.changes, most)
        return {
            "schema": SCHEMA,
            "protocol": self.protocol,
            "runs": dict(zip("ab", self.runs, strict=True)),
            "metrics": nested({name: delta.to_json() for name, delta in self.scores.items()}),
            "undefined": dict(self.undefined),
            "per_class": [
                {
                    "class": row.id,
                    "name": row.name,
                    **nested({name: delta.to_json() for name, delta in row.scores.items()}),
                }
                for row in self.classes
            ],
            "images": {
                "compared": self.images,
                "headline": self.headline,
                "changed": len(self.changes),
                "unchanged": self.unchanged,
                "undefined": self.incomparable,
                "rose_most": [_change(change) for change in up],
                "fell_most": [_change(change) for change in down],
                "only_in_a": list(self.alone[0]),
                "only_in_b": list(self.alone[1]),
            },
            "params": self.params,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "failures": _by_run(self.failures),
            "left_out": _by_run(self.left_out),
        }


def _by_run(failures: Iterable[Iterable[Failure]]) -> dict[str, list[dict[str, Any]]]:
    return {
        run: [asdict(failure) for failure in own] for run, own in zip("ab", failures, strict=True)
    }


def _change(change: Change) -> dict[str, Any]:
    return {"image": change.image, "a": change.a, "b": change.b, "delta": change.delta}


def most_changed(changes: Iterable[Change], most: int) -> tuple[list[Change], list[Change]]:
    """The images that rose most, and those that fell most, the largest change first."""
    found = list(changes)
    up = [change for change in found if change.delta > 0]
    down = [change for change in reversed(found) if change.delta < 0]
    return up[:most], down[:most]
