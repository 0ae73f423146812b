"""Tables and rows of a comparison."""

from __future__ import annotations

import csv
import io
import math
import re

import pytest
from rich.console import Console

from segcli.evaluate.comparison import Change, ClassChange, Comparison, Delta
from segcli.evaluate.result import Interval
from segcli.report.comparison import comparison_csv, print_comparison

NONE = Delta(math.nan, math.nan, Interval(math.nan, math.nan, 9), math.nan, math.nan, math.nan)
ROSE = Delta(0.5, 0.75, Interval(0.125, 0.375, 2), 0.96, 0.04, 0.08)


def comparison(**changes) -> Comparison:
    given = {
        "protocol": "semantic",
        "runs": ("old/", "new/"),
        "images": 12,
        "scores": {"miou.pooled": ROSE, "mdice.pooled": NONE},
        "undefined": {"mdice.pooled": "no class occurs"},
        "classes": (ClassChange(3, "sky", {"iou.pooled": ROSE, "dice.pooled": NONE}),),
        "headline": "miou",
        "changes": (Change("a.png", 0.25, 0.75), Change("folder/b.png", 0.5, 0.125)),
        "unchanged": 9,
        "incomparable": 1,
        "alone": ((), ()),
        "failures": ((), ()),
        "left_out": ((), ()),
        "params": {"bootstrap": {"level": 0.95, "resamples": 1000, "seed": 0}},
    }
    return Comparison(**{**given, **changes})


def printed(found: Comparison, **console) -> str:
    text = io.StringIO()
    print_comparison(Console(file=text, **console), found)
    return text.getvalue()


def lines_of(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_what_is_compared_comes_first():
    """Runs, images, the interval's method and its seed are said before the numbers."""
    head = printed(comparison()).split("metric")[0]
    for words in (
        "A: old/",
        "B: new/",
        "12 images scored in both",
        "95 % percentile of a paired bootstrap over images, 1000 resamples, seed 0",
        "images by miou: 1 rose, 1 fell, 9 unchanged, 1 undefined",
    ):
        assert words in head


def test_each_score_is_a_row():
    """A, B, the signed difference, its interval and the share of resamples; n/a has a reason."""
    text = printed(comparison())
    rose = ["0.5000", "0.7500", "+0.2500", "+0.1250", "to", "+0.3750", "96.0", "%"]
    assert ["miou.pooled", *rose] in lines_of(text)
    assert ["mdice.pooled", "n/a", "n/a", "n/a", "n/a", "n/a"] in lines_of(text)
    assert ["3", "sky", *rose] in lines_of(text)
    assert "n/a mdice.pooled: no class occurs" in text


@pytest.mark.parametrize("width", [66, 80])
def test_a_narrow_terminal_breaks_no_name_and_no_number(width):
    """What does not fit beside the names stands below, beside the names again."""
    long = "hd95_pooled_percentile.mean_of_images"
    console = {"width": width, "force_terminal": True, "no_color": True}
    text = re.sub(r"\x1b\[[0-9;]*m", "", printed(comparison(scores={long: ROSE}), **console))
    assert max(map(len, text.splitlines())) <= width
    lines = lines_of(text)
    assert [long, "0.5000", "0.7500", "+0.2500"] in lines
    assert [long, "+0.1250", "to", "+0.3750", "96.0", "%"] in lines


def test_the_images_that_changed_most_are_named():
    """Both directions, with their folders."""
    text = printed(comparison())
    assert ["a.png", "0.2500", "0.7500", "+0.5000"] in lines_of(text)
    assert ["folder/b.png", "0.5000", "0.1250", "-0.3750"] in lines_of(text)
    assert "rose most, miou" in text
    assert "fell most" not in printed(comparison(changes=()))


def test_a_file_gets_plain_text():
    """Without a terminal there is no escape code and no broken row."""
    text = printed(comparison(), width=20)
    assert "\x1b" not in text
    assert text.isascii()
    assert "\x1b" in printed(comparison(), force_terminal=True)


def test_scores_without_an_image_score():
    """Where images have no score of their own, none are ranked."""
    text = printed(comparison(headline="", changes=(), classes=()))
    assert "images by" not in text
    assert "per class" not in text


@pytest.mark.parametrize(
    ("metric", "label", "cells"),
    [
        ("miou.pooled", "", ["0.5", "0.75", "0.25", "0.125", "0.375", "2", "0.96", "0.04", "0.08"]),
        ("mdice.pooled", "", ["", "", "", "", "", "9", "", "", ""]),
        (
            "iou.pooled",
            "sky",
            ["0.5", "0.75", "0.25", "0.125", "0.375", "2", "0.96", "0.04", "0.08"],
        ),
    ],
)
def test_csv_holds_every_number(metric, label, cells):
    """One row a score, undefined is empty, classes after the data set."""
    rows = list(csv.reader(io.StringIO(comparison_csv(comparison()))))
    assert rows[0][:5] == ["metric", "class", "a", "b", "delta"]
    assert [metric, label, *cells] in rows
    assert all(len(row) == len(rows[0]) for row in rows)
