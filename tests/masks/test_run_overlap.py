"""What masks given as runs have in common, against dense masks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segcli.masks.rle import encode
from segcli.masks.run_overlap import Runs, runs_with_sums


@st.composite
def pairs(draw) -> tuple[np.ndarray, np.ndarray]:
    """Two masks of one size: empty, full, of few or many runs."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    shares = (draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])) for _ in range(2))
    random = np.random.default_rng(draw(st.integers(0, 9999)))
    first, second = (random.random((height, width)) < share for share in shares)
    return first, second


def runs_of(mask: np.ndarray) -> Runs:
    return runs_with_sums(encode(mask))


@given(pairs())
def test_area(pair):
    """The area of runs is the number of the mask's pixels."""
    assert runs_of(pair[0]).area == pair[0].sum()


@given(pairs())
def test_holds(pair):
    """A position is held exactly if the mask has the pixel there, column by column."""
    mask = pair[0]
    positions = np.arange(mask.size)
    held = runs_of(mask).holds(positions)
    assert held.dtype == bool
    assert np.array_equal(held, mask.ravel(order="F"))
    shuffled = np.random.default_rng(0).permutation(positions)
    assert np.array_equal(runs_of(mask).holds(shuffled), held[shuffled])


@given(pairs())
def test_shared(pair):
    """Pixels in common are those of both masks, whichever is asked."""
    first, second = map(runs_of, pair)
    shared = (pair[0] & pair[1]).sum()
    assert first.shared_with(second) == shared
    assert second.shared_with(first) == shared
    assert first.shared_with(first) == first.area


def test_empty_and_full():
    """Empty masks have nothing, full ones everything, and neither has anything with the other."""
    empty, full = runs_of(np.zeros((3, 4), bool)), runs_of(np.ones((3, 4), bool))
    assert (empty.area, full.area) == (0, 12)
    assert not empty.holds(np.arange(12)).any()
    assert full.holds(np.arange(12)).all()
    assert not len(full.holds(np.zeros(0, np.int64)))
    assert empty.shared_with(full) == full.shared_with(empty) == empty.shared_with(empty) == 0
    assert full.shared_with(full) == 12
