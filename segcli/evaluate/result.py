"""The outcome of an evaluation, and its JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from segcli.metrics import Protocol, Sums
from segcli.metrics.base import Row

__all__ = [
    "HEADLINES",
    "SCHEMA",
    "Evaluation",
    "Failure",
    "ImageRow",
    "Interval",
    "nested",
    "plain",
]

SCHEMA = "segcli.eval/1"
IMAGE_SCHEMA = "segcli.eval-image/1"
HEADLINES: Mapping[Protocol, str] = MappingProxyType(
    {
        "binary": "iou",
        "semantic": "miou",
        "instance": "f1_50",
        "panoptic": "pq",
        "proposals": "best_overlap_miou",
        "regions": "covering",
        "points": "single_point_miou",
    }
)
"""The score by which images are ranked."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One image that was not scored.

    Attributes:
        name: what its pair is called.
        pred: path of the prediction, or None.
        gt: path of the ground truth, or None.
        error: what went wrong.
        why: the reason, or "".
        fix: what to do about it, or "".
        unmatched: True when a side is missing, False when an item could not be read or compared.
    """

    name: str
    pred: str | None
    gt: str | None
    error: str
    why: str = ""
    fix: str = ""
    unmatched: bool = False

    def to_record(self) -> dict[str, Any]:
        """A JSON record of the image, beside those of `ImageRow`."""
        record = asdict(self)
        status = "unmatched" if record.pop("unmatched") else "error"
        return {"schema": IMAGE_SCHEMA, "status": status, **record}


@dataclass(frozen=True, slots=True)
class ImageRow:
    """The scores of one image.

    Attributes:
        name: what the pair is called.
        pred: path of the prediction, or None when it was taken as empty.
        gt: path of the ground truth.
        scores: by name, NaN where undefined.
        sums: what they are ratios of, one of each metric; () when they are not wanted.
    """

    name: str
    pred: str | None
    gt: str
    scores: dict[str, float]
    sums: tuple[Sums, ...] = field(default=(), repr=False)

    def to_record(self) -> dict[str, Any]:
        """A JSON record: `metrics` nested by dotted name, null where undefined."""
        return {
            "schema": IMAGE_SCHEMA,
            "status": "ok",
            "name": self.name,
            "pred": self.pred,
            "gt": self.gt,
            "metrics": nested({name: plain(value) for name, value in self.scores.items()}),
        }


@dataclass(frozen=True, slots=True)
class Interval:
    """A percentile interval.

    Attributes:
        low: the lower end, NaN when the score is undefined in every resample.
        high: the upper end.
        undefined: resamples in which the score is undefined, and which are left out.
    """

    low: float
    high: float
    undefined: int = 0

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        ends = {"low": plain(self.low), "high": plain(self.high)}
        return {**ends, "undefined_resamples": self.undefined}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a data set, with all that is needed to judge them.

    Attributes:
        protocol: what was compared.
        metrics: score by dotted name, NaN where undefined.
        undefined: dotted name of each undefined score → the reason.
        counts: images, pairs and whole numbers behind the scores.
        tables: rows by table name (`per_class`, `per_threshold`).
        params: the conventions.
        headlines: of these, one line a metric.
        failures: images that were not scored although they should have been.
        left_out: images that were not scored because `missing` says so.
        notes: what has to be said aloud: what each side was taken for, and how it was scored.
        warnings: what makes the scores doubtful.
        intervals: confidence intervals by dotted name, where they were asked for.
    """

    protocol: Protocol
    metrics: dict[str, float]
    undefined: dict[str, str]
    counts: dict[str, int]
    tables: dict[str, list[Row]]
    params: dict[str, Any]
    headlines: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    left_out: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every image that should have been scored was."""
        return not self.failures

    def to_json(self, gates: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        """One JSON object; the same input gives the same bytes.

        `metrics` is nested so that a dotted name is a path: `iou.pooled` is `.metrics.iou.pooled`.
        """
        scores = {name: plain(value) for name, value in self.metrics.items()}
        intervals = {name: interval.to_json() for name, interval in self.intervals.items()}
        return {
            "schema": SCHEMA,
            "metrics": nested(scores),
            **({"intervals": nested(intervals)} if intervals else {}),
            "undefined": dict(self.undefined),
            "counts": dict(self.counts),
            **{name: [_plain_row(row) for row in rows] for name, rows in self.tables.items()},
            "params": self.params,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "failures": [asdict(failure) for failure in self.failures],
            "left_out": [asdict(failure) for failure in self.left_out],
            "gates": gates or [],
        }


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """Dotted names as nested objects, in the order given."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *folders, leaf = name.split(".")
        branch = tree
        for folder in folders:
            branch = branch.setdefault(folder, {})
        branch[leaf] = value
    return tree


def plain(value: float) -> float | None:
    """A number for JSON: None for NaN."""
    return None if math.isnan(value) else float(value)


def _plain_row(row: Row) -> Row:
    return nested({k: plain(v) if isinstance(v, float) else v for k, v in row.items()})
