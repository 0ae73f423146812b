"""The benchmark of scores: it runs, and the tools that it compares agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "eval.py"
ROW = re.compile(r"\| ([^|]+) \| [\d.]+ \|.*\| ([\d.e+-]+|inf) of (\d+) scores")


def run(*options: str, path: Path | None = None) -> str:
    """What the script prints for a few tiny images; modules in `path` hide installed ones."""
    small = ["--pairs", "4", "--size", "64", "--repeats", "1", "--threads", "1"]
    environment = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    command = [sys.executable, str(SCRIPT), *small, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_tool_computes_the_same_scores_and_memory_is_told():
    """The gaps printed beside the seconds are rounding errors: all tools did the same work."""
    for package in ("hotcoco", "pycocotools"):
        pytest.importorskip(package)
    parts = ("miou", "ap", "ap-loaded", "pq", "boundary-ap")
    chosen = ("--peers", "folders", "pycocotools", "boolean")
    printed = run("--only", *parts, "memory", *chosen)
    titles = re.findall(r"^## ([\w-]+):", printed, re.MULTILINE)
    assert titles == [*parts, "memory"]
    rows = ROW.findall(printed)
    commands = [tool.startswith("whole process") for tool, _, _ in rows]
    assert commands == [True, False, True, False, False, True, False, True, False], printed
    assert all(float(gap) < 1e-9 and int(scores) > 8 for _, gap, scores in rows), printed
    peaks = re.findall(r"^\| (\d+) \| (\d+) \|$", printed, re.MULTILINE)
    assert [int(images) for images, _ in peaks] == [1, 4]
    assert all(10 < int(mebibytes) < 4096 for _, mebibytes in peaks)


def test_a_tool_that_is_not_installed_is_named(tmp_path):
    """Without surface-distance its row is missing, and a line says how to get it."""
    (tmp_path / "surface_distance.py").write_text("raise ImportError\n")
    printed = run("--only", "hd95", path=tmp_path)
    assert "surface-distance is not installed: pip install surface-distance." in printed
    assert "| surface-distance |" not in printed


def test_loading_is_measured_both_ways():
    """A turn of the benchmark of loading: three rows of seconds, none of them nothing."""
    command = [sys.executable, str(SCRIPT.with_name("start.py")), "--repeats", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = re.findall(r"^(.+): least ([\d.]+) s, median [\d.]+ s$", done.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == ["import torch", "segcli", "transformers"]
    assert all(float(seconds) > 0 for _, seconds in rows)
