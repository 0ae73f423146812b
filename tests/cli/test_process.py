"""What a command decides for its whole process."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys

import pytest

from segcli.cli import process as module
from segcli.cli import scoring
from segcli.cli.process import settle
from segcli.errors import UsageError
from segcli.evaluate import EvalConfig

FAULTS = """
import resource, sys
import numpy as np
from segcli.cli.process import settle
settled = settle() if sys.argv[1] == "settled" else False
for turn in range(20):
    held = [np.ones(1 << 20) for _ in range(8)]
    del held
    before = before if turn > 10 else resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(int(settled), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.fixture(autouse=True)
def as_before():
    before = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.set_threshold(*before[0])
    sys.setswitchinterval(before[1])


def test_freed_memory_is_used_again():
    """Pictures of 8 MiB get the pages of those before them, rather than new ones each time."""

    def run(how: str) -> tuple[int, int]:
        command = [sys.executable, "-c", FAULTS, how]
        settled, faults = subprocess.check_output(command, text=True).split()
        return int(settled), int(faults)

    settled, few = run("settled")
    if not settled:
        pytest.skip("this C library cannot be told")
    _, many = run("as it was")
    assert few * 10 < many


def test_garbage_is_collected_less_often():
    """Parsing many objects starts no collection after each few hundred."""
    settle()
    assert gc.get_threshold()[0] >= 10_000
    assert gc.isenabled()


def test_threads_take_short_turns():
    """A thread between two files does not wait as long as a file takes."""
    settle()
    assert sys.getswitchinterval() <= 0.001


def test_other_systems_are_left_alone(monkeypatch):
    """Without glibc nothing is asked of the C library."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not settle()
    monkeypatch.setattr(module.sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("was asked"))
    assert not settle()


def test_eval_settles_its_process(tmp_path, monkeypatch):
    """Whoever opens both sides for a command does so before."""
    asked = []
    monkeypatch.setattr(scoring, "settle", lambda: asked.append(True))
    with pytest.raises(UsageError):
        scoring.open_scoring(EvalConfig(), str(tmp_path / "none"), str(tmp_path / "none"))
    assert asked
