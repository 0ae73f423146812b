"""Runs in files: the rows of `segcli eval --per-image RUN.ndjson`, written and read back.

They carry the sums of each image, so data-set scores, and those of any draw of images, can be had
from them without the masks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from segcli.errors import InputError, UsageError
from segcli.evaluate.bootstrap import Sample
from segcli.evaluate.result import IMAGE_SCHEMA, Failure, ImageRow
from segcli.evaluate.runs import Run
from segcli.metrics import (
    PROTOCOLS,
    Metric,
    MetricOptions,
    Protocol,
    Sums,
    families_of,
    metrics_for,
)
from segcli.metrics.coco_ap import CocoSums
from segcli.metrics.coco_stored import restore_matches, store_matches
from segcli.metrics.stored import Json, restore, store

__all__ = ["Recorder", "is_run_file", "read_runs"]

_AGAIN = "segcli eval PRED GT --per-image RUN.ndjson"


class Recorder:
    """Makes the JSON record of an image that another run can be compared with.

    Args:
        protocol: what is compared.
        options: what the metrics know; class names are not repeated in every row.
        families: names of the families measured; None: the default ones.
    """

    def __init__(
        self,
        protocol: Protocol,
        options: MetricOptions | None = None,
        families: Sequence[str] | None = None,
    ) -> None:
        options = options or MetricOptions()
        metrics = _by_family(protocol, options, families)
        self._zeros = {name: metric.zero() for name, metric in metrics.items()}
        unnamed = replace(options, class_names=None)
        self._run: Json = {"protocol": protocol, "options": store(unnamed, MetricOptions())}

    def record(self, row: ImageRow) -> Json:
        """The image's record, with `sums` by family; null where they cannot be stored."""
        pairs = zip(self._zeros.items(), row.sums, strict=True)
        sums = {name: _store_sums(sums, zero) for (name, zero), sums in pairs}
        return {**row.to_record(), **self._run, "sums": sums}


def _store_sums(sums: Sums, zero: Sums) -> Json | None:
    if isinstance(sums, CocoSums) and isinstance(zero, CocoSums):
        return store_matches(sums, zero)
    return store(sums, zero)


def _restore_sums(data: Json, zero: Sums) -> Sums:
    return restore_matches(data, zero) if isinstance(zero, CocoSums) else restore(data, zero)


def _by_family(
    protocol: Protocol, options: MetricOptions, families: Sequence[str] | None
) -> dict[str, Metric]:
    metrics = metrics_for(protocol, options, families)
    known = families_of(protocol)
    names = [f.name for f in known if (f.default if families is None else f.name in families)]
    return dict(zip(names, metrics, strict=True))


def is_run_file(path: str) -> bool:
    """Whether a file holds the rows of `segcli eval --per-image`, told by its first line."""
    try:
        with Path(path).open("rb") as file:
            first = json.loads(file.readline(1 << 24) or b"null")
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and first.get("schema") == IMAGE_SCHEMA


@dataclass(slots=True)
class _Stored:
    """The rows of one file."""

    path: str
    protocol: Protocol | None = None
    options: MetricOptions = field(default_factory=MetricOptions)
    rows: list[Json] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    @property
    def families(self) -> dict[str, bool]:
        """Name of each family → whether every image has its sums."""
        names = self.rows[0]["sums"] if self.rows else {}
        return {n: all(row["sums"].get(n) is not None for row in self.rows) for n in names}


def read_runs(a: str, b: str) -> tuple[Run, Run]:
    """Read two files of rows back, each with the families of scores that both have.

    Args:
        a: a file of `segcli eval --per-image`, NDJSON.
        b: another.

    Raises:
        InputError: a file cannot be read, is no such file, or lacks the sums.
        UsageError: the two were scored in different ways.
    """
    first, second = _read(a), _read(b)
    if (first.protocol, first.options) != (second.protocol, second.options):
        raise UsageError(
            f"{a} and {b} were scored in different ways",
            why=f"{_ways(first)}; {_ways(second)}",
            fix="segcli compare PRED_A PRED_B --gt GT, which scores both in one way",
        )
    common = [n for n, whole in first.families.items() if whole and second.families.get(n)]
    if not common:
        raise InputError(
            f"{a} and {b} have no family of scores in common that rows can carry",
            fix="segcli compare PRED_A PRED_B --gt GT",
        )
    return _run(first, common), _run(second, common)


def _ways(stored: _Stored) -> str:
    options = store(stored.options, MetricOptions()) or {}
    said = [f"{name} {value}" for name, value in options.items()]
    return ", ".join([f"{stored.path}: protocol {stored.protocol}", *said])


def _run(stored: _Stored, families: Sequence[str]) -> Run:
    assert stored.protocol is not None
    metrics = _by_family(stored.protocol, stored.options, families)
    sample = Sample(tuple(metrics.values()))
    for number, row in enumerate(stored.rows, 1):
        sample.add(_image_row(row, metrics, f"{stored.path}: image {number}"))
    lacking = {
        name: "its sums do not fit into rows: give the predictions and --gt"
        if not whole
        else "the other run has none of it"
        for name, whole in stored.families.items()
        if name not in families
    }
    params = {"rows": stored.path, "options": store(stored.options, MetricOptions())}
    # Rows do not tell whether unmatched files were to be left out.
    failures = tuple(f for f in stored.failures if not f.unmatched)
    left_out = tuple(f for f in stored.failures if f.unmatched)
    return Run(stored.path, stored.protocol, sample, failures, left_out, params, lacking)


def _image_row(record: Json, metrics: Mapping[str, Metric], where: str) -> ImageRow:
    try:
        stored = record["sums"]
        sums = {name: _restore_sums(stored[name], m.zero()) for name, m in metrics.items()}
        scores = _own_scores(sums, metrics)
    except (ValueError, IndexError) as error:
        raise _unfit(where, f"its sums {error}") from error
    return ImageRow(record["name"], record["pred"], record["gt"], scores, tuple(sums.values()))


def _own_scores(sums: Mapping[str, Sums], metrics: Mapping[str, Metric]) -> dict[str, float]:
    own: dict[str, float] = {}
    for name, metric in metrics.items():
        if metric.averaged:
            own.update(sums[name].compute())
    return own


def _read(path: str) -> _Stored:
    stored = _Stored(path)
    for number, record in _records(path):
        where = f"{path}:{number}"
        try:
            if record["status"] == "ok":
                _take(stored, record, where)
            else:
                known = {
                    name: record[name] for name in ("name", "pred", "gt", "error", "why", "fix")
                }
                failure = Failure(**known, unmatched=record["status"] == "unmatched")
                stored.failures.append(failure)
        except KeyError as error:
            raise _unfit(where, f"it lacks {error}") from error
    if not stored.rows:
        raise InputError(f"{path}: holds no image that was scored", fix=_AGAIN)
    return stored


def _take(stored: _Stored, record: Json, where: str) -> None:
    protocol, sums = record["protocol"], record["sums"]
    if protocol not in PROTOCOLS or not isinstance(sums, dict):
        raise _unfit(where, f"its protocol is {protocol!r}")
    try:
        options = restore(record["options"], MetricOptions())
    except ValueError as error:
        raise _unfit(where, f"its options {error}") from error
    if stored.rows and (protocol, options) != (stored.protocol, stored.options):
        raise _unfit(where, "it was scored in another way than the images before")
    if record["gt"] in stored.seen:
        raise _unfit(where, f"{record['gt']} comes twice")
    stored.seen.add(record["gt"])
    stored.protocol, stored.options = protocol, options
    stored.rows.append(record)


def _records(path: str) -> Iterator[tuple[int, Json]]:
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{path}: cannot be read as a run", why=str(error)) from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise _unfit(f"{path}:{number}", str(error)) from error
        if not isinstance(record, dict) or record.get("schema") != IMAGE_SCHEMA:
            raise _unfit(f"{path}:{number}", f"its schema is not '{IMAGE_SCHEMA}'")
        yield number, record


def _unfit(where: str, why: str) -> InputError:
    return InputError(
        f"{where}: is no row of segcli eval --per-image that can be compared", why=why, fix=_AGAIN
    )
