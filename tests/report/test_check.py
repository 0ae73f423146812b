"""A dry look as tables for people."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
from rich.console import Console

from segcli.evaluate.check_report import CheckReport, Pairs, SideReport
from segcli.evaluate.looks import Look, SideLooks
from segcli.evaluate.pair_looks import PairLook, PairLooks
from segcli.evaluate.traps import Finding
from segcli.report.check import print_check


def side(kind="semantic", **fields) -> SideReport:
    looks = SideLooks()
    look = {
        "key": "a.png",
        "size": (8, 10),
        "storage": "8-bit grey PNG",
        "values": {0: 70, 3: 10},
        "void": 4,
        "areas": np.array([10.0]),
        "scores": np.array([0.25, 0.5]),
        "categories": Counter({3: 2}),
        "names": {3: "cat"},
        "zero_ids": 0,
        **fields,
    }
    looks.add(Look(**look))
    return SideReport("folder", "labels", kind, False, 2, 1, looks)


def report(**fields) -> CheckReport:
    pairs = PairLooks()
    pairs.add(PairLook("a.png", "a.tif", (8, 10), (8, 10), tp=3, fp=1, fn=1, tn=75))
    made = {
        "protocol": "semantic",
        "protocol_why": "the ground truth is semantic",
        "looked_at": "all files",
        "pred": side(),
        "gt": side(),
        "pairing": Pairs("stem", ("b.png",), (), 0, (("a.png", "a.tif"),), pairs),
        "findings": (
            Finding("unmatched", "error", "1 prediction without ground truth", "lost", "rename it"),
            Finding("kind-guessed", "note", "a guess", "it may be wrong"),
        ),
        "failures": (),
        **fields,
    }
    return CheckReport(**made)


def printed(made: CheckReport, **console) -> str:
    out = io.StringIO()
    print_check(Console(file=out, **console), made)
    return out.getvalue()


def test_both_sides_stand_side_by_side():
    """Counts, kind, sizes, storage, values, void, areas and scores in two columns."""
    lines = [" ".join(line.split()) for line in printed(report()).splitlines()]
    assert "images 2, 1 unreadable 2, 1 unreadable" in lines
    assert "format labels: semantic (a guess) labels: semantic (a guess)" in lines
    assert "sizes 10x8 (1) 10x8 (1)" in lines
    assert "stored as 8-bit grey PNG (1) 8-bit grey PNG (1)" in lines
    assert "values 0, 3 (cat) 0, 3 (cat)" in lines
    assert "void 5 % 5 %" in lines
    assert any(line.startswith("scores 0.25 to 0.5") for line in lines)


def test_pairs_and_findings_follow():
    """Rule, example, what is left over; then each finding with its reason and fix."""
    text = printed(report())
    assert "1 pair by stem" in text
    assert "a.png - a.tif" in text
    assert "1 prediction without ground truth: b.png" in text
    assert "error: 1 prediction without ground truth\n  why: lost\n  fix: rename it\n" in text
    assert "note: a guess\n  why: it may be wrong\n" in text
    assert "1 error, 0 warnings, 1 note; looked at all files" in text


def test_a_row_without_content_is_left_out():
    """No scores, no categories, no void: no empty lines for them."""
    bare = side(void=0, scores=np.array([]), categories=Counter(), names={})
    text = printed(report(pred=bare, gt=bare))
    assert not any(line.startswith(("void", "scores", "categories")) for line in text.splitlines())


def test_a_file_gets_plain_text():
    """No escape codes, and no line broken by a narrow window; a terminal gets the same words."""
    plain = printed(report(), width=20)
    assert "\x1b" not in plain
    assert "8-bit grey PNG (1)" in plain
    assert "why: lost" in printed(report(), force_terminal=True, width=200)


def test_objects_are_shown_as_ranges():
    """Of instances, ids are a range and objects a count."""
    text = printed(report(pred=side("instance"), gt=side("instance")))
    assert "0 to 3, at most 2 in an image (a.png)" in text
    assert "1: 1 to 1, mean 1 an image" in text
