"""Scores for people and for machines."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace

import pytest
from rich.console import Console

from segcli.evaluate import Evaluation, Failure, ImageRow
from segcli.evaluate.result import Interval
from segcli.report.rows import ImageWriter, scores_csv
from segcli.report.table import print_evaluation, score_rows, worst_images


def evaluation() -> Evaluation:
    return Evaluation(
        protocol="semantic",
        metrics={"ap": 0.25, "miou.pooled": 0.75, "miou.mean_of_images": math.nan},
        undefined={"miou.mean_of_images": "no class occurs on either side (0/0)"},
        counts={"images": 2, "failed": 1},
        tables={
            "per_class": [
                {"class": 0, "name": "a, b", "iou.pooled": 0.5, "gt_pixels": 3},
                {"class": 1, "name": None, "iou.pooled": math.nan, "gt_pixels": 0},
            ]
        },
        params={
            "protocol_why": "asked for",
            "ignore_index": 255,
            "lower_is_better": [],
            "ignored_percent": 12.5,
            "pairing": {
                "rule": "stem",
                "pairs": 2,
                "predictions_without_ground_truth": 1,
                "ground_truth_without_prediction": 0,
                "taken_as_empty": 0,
            },
            "sizes": {"mismatch": "error"},
        },
        headlines=("classes: absent ones dropped",),
    )


def printed(**console) -> str:
    out = io.StringIO()
    row = ImageRow("folder/worst", "p", "g", {"miou": 0.125})
    print_evaluation(Console(file=out, **console), evaluation(), [row])
    return out.getvalue()


def test_the_table_shows_both_averages_side_by_side():
    """Pooled and mean of images stand in one line, undefined ones with their reason below."""
    lines = [line.split() for line in printed(width=40).splitlines()]
    assert ["miou", "0.7500", "n/a"] in lines
    assert ["ap", "0.2500"] in lines
    assert any("no class occurs on either side" in line for line in printed().splitlines())


def test_the_header_states_the_conventions():
    """Pairs, unmatched files, void and conventions come before the numbers."""
    head = printed().split("metric")[0]
    for words in ("2 images scored, 1 not", "2 pairs by stem", "1 unmatched", "12.5 % (255)"):
        assert words in head
    assert "classes: absent ones dropped" in head


def test_classes_and_the_worst_images_have_tables():
    """Each class has a row, named where a name is known; the worst images follow."""
    text = printed()
    assert "a, b" in text
    assert "gt pixels" in text
    assert ["folder/worst", "0.1250"] in [line.split() for line in text.splitlines()]


def test_a_file_gets_plain_text():
    """Without a terminal there is no escape code, and a row is never broken over lines."""
    text = printed(width=20)
    assert "\x1b" not in text
    assert text.isascii()
    assert ["0", "a,", "b", "0.5000", "3"] in [line.split() for line in text.splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_shows_every_number_whole(width):
    """Columns that do not fit stand in a further part, beside the class; no line is too long."""
    scores = ("iou", "dice", "precision", "recall")
    columns = [f"{name}.{scope}" for name in scores for scope in ("pooled", "mean_of_images")]
    rows = [
        {"class": i, "name": name, **{c: (i + j) / 100 for j, c in enumerate(columns)}}
        for i, name in enumerate(("traffic light", None))
    ]
    shown = replace(
        evaluation(),
        tables={"per_class": rows},
        intervals={"miou.pooled": Interval(-123.25, 456.5)},
    )
    out = io.StringIO()
    print_evaluation(Console(file=out, width=width, force_terminal=True, no_color=True), shown)
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "-123.2500 to 456.5000" in text
    words = text.split()
    for row in rows:
        assert all(f"{row[column]:.4f}" in words for column in columns)
    parts = text.count("traffic light")
    assert parts == text.count("class  name") >= (1 if width == 80 else 2)


def test_the_header_says_how_intervals_were_made():
    """Whoever quotes an interval needs the method, the resamples and the seed."""
    bootstrap = {"resamples": 500, "seed": 7}
    shown = replace(evaluation(), params=evaluation().params | {"bootstrap": bootstrap})
    out = io.StringIO()
    print_evaluation(Console(file=out), shown)
    assert "percentile bootstrap over images, 500 resamples, seed 7" in out.getvalue()


def test_score_rows_keep_the_order_of_the_metrics():
    """Scores without an average keep their place."""
    rows = score_rows(evaluation().metrics)
    assert [(row.name, row.pooled) for row in rows] == [("ap", 0.25), ("miou", 0.75)]
    assert rows[0].mean_of_images is None


def test_the_worst_images_come_first():
    """Undefined ones are not the worst; ties go by name."""
    rows = [
        ImageRow(n, n, n, {"iou": v})
        for n, v in (("d", 0.5), ("c", math.nan), ("b", 0.1), ("a", 0.5))
    ]
    assert [row.name for row in worst_images(rows, "binary", 2)] == ["b", "a"]
    assert [row.name for row in worst_images(rows, "binary", 2, {"iou"})] == ["a", "d"]


def test_csv_holds_every_number():
    """Data-set scores and class scores are rows of one table; undefined is empty."""
    rows = list(csv.reader(io.StringIO(scores_csv(evaluation()))))
    assert rows[0] == ["metric", "class", "threshold", "value"]
    assert ["miou.pooled", "", "", "0.75"] in rows
    assert ["miou.mean_of_images", "", "", ""] in rows
    assert ["iou.pooled", "a, b", "", "0.5"] in rows
    assert ["iou.pooled", "1", "", ""] in rows


def test_csv_holds_the_intervals_that_were_asked_for():
    """Their ends stand beside the value; rows without one stay empty there, and as wide."""
    intervals = {"miou.pooled": Interval(0.5, 0.875)}
    rows = list(csv.reader(io.StringIO(scores_csv(replace(evaluation(), intervals=intervals)))))
    assert rows[0][-2:] == ["low", "high"]
    assert ["miou.pooled", "", "", "0.75", "0.5", "0.875"] in rows
    assert ["ap", "", "", "0.25", "", ""] in rows
    assert {len(row) for row in rows} == {6}


@pytest.mark.parametrize("style", ["ndjson", "csv"])
def test_one_row_an_image(style):
    """Scored and failed images are rows of one shape, undefined scores null or empty."""
    lines: list[str] = []
    writer = ImageWriter(lines.append, style, ["iou", "foreground.dice"])
    writer.image(ImageRow("a", "a.png", "a.tif", {"iou": 0.5, "foreground.dice": math.nan}))
    writer.failure(Failure("b", "b.png", None, "has no ground truth", unmatched=True))
    if style == "csv":
        header, scored, failed = csv.DictReader(lines).fieldnames, *csv.DictReader(lines)
        assert header == ["status", "name", "pred", "gt", "iou", "foreground.dice", "error"]
        assert (scored["iou"], scored["foreground.dice"]) == ("0.5", "")
        assert (failed["status"], failed["error"]) == ("unmatched", "has no ground truth")
        return
    scored, failed = map(json.loads, lines)
    assert scored["metrics"] == {"iou": 0.5, "foreground": {"dice": None}}
    assert (failed["status"], failed["gt"]) == ("unmatched", None)
    assert scored["schema"] == failed["schema"] == "segcli.eval-image/1"
