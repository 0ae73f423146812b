"""Scores as rows for machines: CSV of a data set, and one record an image."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from segcli.evaluate.result import Evaluation, Failure, ImageRow, plain

__all__ = ["ImageWriter", "RowFormat", "scores_csv"]

RowFormat = Literal["ndjson", "csv"]
_PLACE = ("status", "name", "pred", "gt")


def scores_csv(evaluation: Evaluation) -> str:
    """All scores as CSV: metric, class, threshold, value; an undefined value is empty.

    Rows of the data set come first, then one for each score of each class and each threshold. Where
    intervals were asked for, those of the data set have their ends in two more columns, low and
    high.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ends = ["low", "high"] if evaluation.intervals else []
    writer.writerow(["metric", "class", "threshold", "value", *ends])
    for name, value in evaluation.metrics.items():
        interval = evaluation.intervals.get(name)
        found = [plain(getattr(interval, end)) if interval else None for end in ends]
        writer.writerow([name, "", "", plain(value), *found])
    blank = [None] * len(ends)
    for row in evaluation.tables.get("per_class", []):
        label = row["class"] if row.get("name") is None else row["name"]
        for name, value in row.items():
            if name not in {"class", "name"}:
                writer.writerow([name, label, "", _cell(value), *blank])
    for row in evaluation.tables.get("per_threshold", []):
        for name, value in row.items():
            if name != "threshold":
                writer.writerow([name, "", f"{row['threshold']:.2f}", _cell(value), *blank])
    return text.getvalue()


class ImageWriter:
    """Writes one row an image as soon as it is scored, so that none is kept.

    Args:
        write: takes each line, with its newline.
        style: NDJSON, or CSV with a header.
        names: the scores an image has, in order.
        record: makes the NDJSON record of an image.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        style: RowFormat,
        names: Sequence[str],
        record: Callable[[ImageRow], dict[str, Any]] = ImageRow.to_record,
    ) -> None:
        self._write = write
        self._style = style
        self._names = names
        self._record = record
        if style == "csv":
            self._write(_line([*_PLACE, *names, "error"]))

    def image(self, row: ImageRow) -> None:
        """Write an image that was scored."""
        if self._style == "csv":
            scores = [plain(row.scores[name]) for name in self._names]
            self._write(_line(["ok", row.name, row.pred, row.gt, *scores, ""]))
        else:
            self._write(_json(self._record(row)))

    def failure(self, failure: Failure) -> None:
        """Write an image that was not."""
        record = failure.to_record()
        if self._style == "csv":
            empty = [None] * len(self._names)
            self._write(_line([*(record[c] for c in _PLACE), *empty, failure.error]))
        else:
            self._write(_json(record))


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n"


def _line(values: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _cell(value: Any) -> Any:  # noqa: ANN401 (a cell of any table)
    return plain(value) if isinstance(value, float) else value
