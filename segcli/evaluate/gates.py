"""Gates: scores that must be reached, and the one place that decides the exit code."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from segcli.errors import GateError, InputError, ItemError, UsageError, closest
from segcli.evaluate.result import SCHEMA, Evaluation, plain
from segcli.metrics import ALIASES
from segcli.metrics.base import MEAN_OF_IMAGES, POOLED

__all__ = ["Gate", "GateResult", "Verdict", "decide", "parse_gates", "read_baseline"]

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition.

    Attributes:
        metric: the dotted name.
        kind: "under" fails below the limit, "over" above it, "drop" below baseline - allowance.
        limit: the bound on the score.
        option: the words it was asked for with.
    """

    metric: str
    kind: Literal["under", "over", "drop"]
    limit: float
    option: str


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether one condition holds.

    Attributes:
        metric: the dotted name.
        value: the score, or None when undefined.
        limit: the bound.
        option: the words it was asked for with.
        met: whether it holds; an undefined score never does.
    """

    metric: str
    value: float | None
    limit: float
    option: str
    met: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a whole evaluation.

    Attributes:
        exit_code: 0, or 3 when images were not scored, or else 4 when a gate was not met.
        line: the outcome in one line.
        gates: each condition's result.
    """

    exit_code: int
    line: str
    gates: tuple[GateResult, ...]

    def records(self) -> list[dict[str, Any]]:
        """The gates as JSON objects."""
        return [asdict(gate) for gate in self.gates]


def parse_gates(
    under: Iterable[str],
    over: Iterable[str],
    max_drop: Iterable[str],
    baseline: Mapping[str, float | None] | None,
    names: Collection[str],
    lower: Collection[str] = (),
) -> tuple[Gate, ...]:
    """Gates from their options' words, checked before anything is scored.

    Args:
        under: `metric=limit`, fails below.
        over: `metric=limit`, fails above.
        max_drop: `metric=allowance`, fails when lower than the baseline by more.
        baseline: an earlier evaluation's scores by dotted name.
        names: the scores this evaluation will have.
        lower: those that are the better the lower they are: a drop of these is no loss.

    Raises:
        UsageError: malformed words, an unknown metric, or a drop without a baseline.
    """
    drops = list(max_drop)
    if bool(drops) != (baseline is not None):
        raise UsageError(
            "--max-drop and --baseline need each other",
            why="a drop is measured from an earlier result",
            fix="segcli eval PRED GT --baseline previous.json --max-drop miou=0.01",
        )
    gates = [_gate("under", "--fail-under", words, names) for words in under]
    gates += [_gate("over", "--fail-over", words, names) for words in over]
    for words in drops:
        gate = _gate("drop", "--max-drop", words, names)
        if gate.metric in lower:
            raise UsageError(
                f"{gate.option}: {gate.metric} is the better the lower it is",
                why="a drop is a gain there, and this gate would guard against gains",
                fix=f"--fail-over {gate.metric}=LIMIT",
            )
        before = (baseline or {}).get(gate.metric)
        if before is None:
            raise UsageError(
                f"{gate.option}: the baseline has no number for {gate.metric}",
                why="it was made with another protocol, or the score was undefined",
                fix="make the baseline again: segcli eval PRED GT --json > previous.json",
            )
        gates.append(Gate(gate.metric, "drop", before - gate.limit, gate.option))
    return tuple(gates)


def _gate(
    kind: Literal["under", "over", "drop"], flag: str, words: str, names: Collection[str]
) -> Gate:
    name, equals, number = words.partition("=")
    metric = ALIASES.get(name.strip(), name.strip())
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not equals or not math.isfinite(limit):
        raise UsageError(
            f"{flag} {words!r} is not METRIC=NUMBER", fix=f"{flag} {_example(names)}=0.75"
        )
    if f"{metric}.{POOLED}" in names:
        raise UsageError(
            f"{flag} {words!r}: '{metric}' is given in two ways",
            why=f"{metric}.{POOLED} divides once for the data set, {metric}.{MEAN_OF_IMAGES} in "
            "each image; they differ",
            fix=f"{flag} {metric}.{POOLED}={number}",
        )
    if metric not in names:
        raise UsageError(
            f"{flag} {words!r}: there is no metric '{name.strip()}' in this protocol",
            why=closest(metric, names) or f"there are {', '.join(names)}",
            fix=f"{flag} {_closest_name(metric, names)}={number}",
        )
    return Gate(metric, kind, limit, f"{flag} {words}")


def _closest_name(metric: str, names: Collection[str]) -> str:
    hint = closest(metric, names)
    return hint.split("'")[1] if hint else _example(names)


def _example(names: Collection[str]) -> str:
    return next(iter(names), "METRIC")


def read_baseline(path: str) -> dict[str, float | None]:
    """Scores by dotted name from an earlier `segcli eval --json`.

    Raises:
        InputError: the file cannot be read or is no such result.
    """
    try:
        document = json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a baseline", why=str(error)) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(
            f"{path}: is no result of segcli eval",
            why=f"its schema is not '{SCHEMA}'",
            fix=f"segcli eval PRED GT --json > {path}",
        )
    return dict(_flat(document.get("metrics", {}), ""))


def _flat(tree: Mapping[str, Any], above: str) -> Iterable[tuple[str, float | None]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def decide(evaluation: Evaluation, gates: Iterable[Gate] = ()) -> Verdict:
    """Judge an evaluation: which gates are met, the line to print, and the exit code.

    Images that were not scored weigh more than gates: what is missing could change any score.
    """
    results = tuple(_judge(gate, evaluation.metrics[gate.metric]) for gate in gates)
    missed = [gate for gate in results if not gate.met]
    lines = []
    if not evaluation.complete:
        lines.append(f"{len(evaluation.failures)} images failed or unmatched")
    if results:
        lines.append(f"{len(results) - len(missed)} of {len(results)} gates met")
    lines += [_missed(gate) for gate in missed]
    code = 0 if not missed else GateError.exit_code
    code = code if evaluation.complete else ItemError.exit_code
    return Verdict(code, "; ".join(lines) or "all pairs scored", results)


def _judge(gate: Gate, value: float) -> GateResult:
    # A score that differs from the limit by rounding alone has reached it.
    if gate.kind == "over":
        met = value <= gate.limit + _ROUNDING
    else:
        met = value >= gate.limit - _ROUNDING
    return GateResult(gate.metric, plain(value), gate.limit, gate.option, met)


def _missed(gate: GateResult) -> str:
    value = "undefined" if gate.value is None else f"{gate.value:.6g}"
    return f"{gate.option} not met: {gate.metric} is {value} (limit {gate.limit:.6g})"
