"""The run lengths of many masks at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcli.errors import MaskError
from segcli.masks.counts import known_whole, lots, run_lengths
from segcli.masks.rle import encode, runs
from segcli.records import RLE


def is_whole(text: str, pixels: int) -> bool:
    """As the runs of one mask alone tell."""
    try:
        runs(RLE(1, pixels, text))
    except MaskError:
        return False
    return True


def test_lengths_are_those_of_the_columns():
    """By hand: two masks, of an odd and an even number of lengths, beside each other."""
    first = np.zeros((4, 4), bool)
    first[1:3, 1] = first[0, 3] = True
    texts = [encode(mask).counts for mask in (first, np.ones((2, 2)) > 0, first)]
    lengths, counts = run_lengths(texts)
    assert lengths.tolist() == [5, 2, 5, 1, 3, 0, 4, 5, 2, 5, 1, 3]
    assert counts.tolist() == [5, 2, 5]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("0123456789:;<=>?@NOPQRSTo", max_size=12), min_size=1, max_size=6))
def test_what_is_known_to_be_whole_is_whole(texts):
    """Nothing damaged is taken for whole, and what is whole is found among others that are."""
    pixels = [24] * len(texts)
    known = known_whole(texts, pixels)
    whole = [is_whole(text, 24) for text in texts]
    assert all(one for one, said in zip(whole, known, strict=True) if said)
    good = [text for text, one in zip(texts, whole, strict=True) if one]
    assert all(known_whole(good, [24] * len(good)))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), wrong=st.integers(0, 29), change=st.sampled_from([-1, 1]))
def test_a_wrong_size_is_found_wherever_it_is(seed, wrong, change):
    """One pixel too many or too few makes False of exactly that mask."""
    rng = np.random.default_rng(seed)
    texts = [encode(rng.random((9, 7)) > 0.5).counts for _ in range(30)]
    pixels = [63 + change * (place == wrong) for place in range(30)]
    assert known_whole(texts, pixels) == [place != wrong for place in range(30)]


@pytest.mark.parametrize("most", [1, 40, 1 << 17])
def test_how_much_is_worked_on_at_once_changes_nothing(monkeypatch, most):
    """Lots are not empty, leave nothing out, and give what all give together."""
    rng = np.random.default_rng(1)
    texts = [encode(rng.random((9, 7)) > 0.5).counts for _ in range(20)] + ["0"]
    monkeypatch.setattr("segcli.masks.counts._CHARACTERS_AT_ONCE", most)
    ranges = list(lots(texts))
    assert [place for first, behind in ranges for place in range(first, behind)] == [*range(21)]
    assert all(first < behind for first, behind in ranges)
    assert known_whole(texts, [63] * 21) == [*[True] * 20, False]


def test_nothing_is_whole_where_there_is_nothing():
    """No mask gives no answer, and an empty text is damaged."""
    assert known_whole([], []) == []
    assert known_whole([""], [4]) == [False]
    assert run_lengths([""]) is None
