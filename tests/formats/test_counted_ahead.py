"""What is counted ahead is given to the look and to the score, once, and never when out of date."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segcli.formats import counted_ahead as module
from segcli.formats.counted_ahead import (
    count_ahead,
    counted_pair,
    counted_side,
    is_counted_ahead,
)

Names = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def nothing_left():
    yield
    count_ahead([], 0, 1)


def folders(root: Path, count: int) -> Names:
    names = []
    for side in "ab":
        (root / side).mkdir()
    for i in range(count):
        pair = [root / side / f"{i:03d}.png" for side in "ab"]
        for value, path in enumerate(pair):
            Image.fromarray(np.full((2, 3), 10 * value + i % 10, np.uint8)).save(path)
        names.append((str(pair[0]), str(pair[1])))
    return names


def test_every_pair_is_given_once(tmp_path, monkeypatch):
    """The sample and those that follow it, also beyond how many are counted at once."""
    monkeypatch.setattr(module, "_AHEAD", 2)
    names = folders(tmp_path, 9)
    count_ahead(names, 3, 2)
    for i, (first, second) in enumerate(names):
        assert is_counted_ahead(first, second)
        found = counted_pair(first, second)
        assert found is not None
        assert (found.first.tolist(), found.second.tolist()) == ([i], [10 + i])
        assert found.pixels.tolist() == [6]
        assert counted_pair(first, second) is None


def test_no_more_wait_than_are_wanted(tmp_path, monkeypatch):
    """A folder of a million files must not be counted at once."""
    monkeypatch.setattr(module, "_AHEAD", 2)
    names = folders(tmp_path, 9)
    count_ahead(names, 3, 2)
    assert counted_pair(*names[5]) is None
    assert not is_counted_ahead(*names[5])
    assert counted_pair(*names[0]) is not None
    assert counted_pair(*names[5]) is not None


def test_a_look_sees_both_sides_of_the_sample_and_takes_nothing(tmp_path):
    """Each file of the sample is known by its own path; those behind it are not."""
    names = folders(tmp_path, 4)
    count_ahead(names, 2, 2)
    for side in (0, 1):
        found = counted_side(names[1][side])
        assert found is not None
        pairs, which = found
        assert which == side
        assert pairs.histogram(which)[0].tolist() == [10 * side + 1]
    assert counted_side(names[2][0]) is None
    assert counted_pair(*names[1]) is not None


def test_files_that_changed_since_the_look_are_counted_anew(tmp_path):
    """What was looked at may be old when it is scored."""
    names = folders(tmp_path, 2)
    count_ahead(names, 2, 1)
    assert all(counted_side(path) for pair in names for path in pair)
    os.utime(names[0][1], ns=(1, 1))
    Path(names[1][0]).unlink()
    assert [counted_pair(*pair) for pair in names] == [None, None]


def test_pairs_of_other_files_are_not_given(tmp_path):
    """The first file alone is no pair: several predictions share one ground truth."""
    names = folders(tmp_path, 2)
    count_ahead(names, 2, 1)
    assert counted_pair(names[0][0], names[1][1]) is None
    assert counted_pair(*names[0]) is not None


def test_files_that_cannot_be_counted_say_so(tmp_path):
    """Then others must be at work as well, since pixels must be read."""
    names = folders(tmp_path, 2)
    Image.fromarray(np.zeros((2, 3), np.uint16)).save(names[1][0])
    count_ahead(names, 2, 1)
    assert not is_counted_ahead(*names[0])
    assert counted_pair(*names[0]) is not None
    assert counted_pair(*names[1]) is None
    assert counted_side(names[1][1]) is None


def test_what_was_started_before_is_forgotten(tmp_path):
    """Opening other folders stops it, and whoever still asks gets nothing rather than an error."""
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    before, after = folders(tmp_path / "x", 60), folders(tmp_path / "y", 2)
    count_ahead(before, 50, 1)
    held = module._current
    assert held is not None
    count_ahead(after, 2, 1)
    assert counted_pair(*before[0]) is None
    for pair in before:
        held.pair(*pair)
    assert held.side(before[0][0]) is None
    assert counted_pair(*after[0]) is not None
