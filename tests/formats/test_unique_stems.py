"""Names of results: no two images share one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.formats.base import free_stem, unique_stems

CASES = {
    "apart": (["a/x.jpg", "b/x.jpg"], ["a/x", "b/x"]),
    "suffixes": (["x.jpg", "x.png"], ["x.jpg", "x.png"]),
    "a whole name is a stem": (["x.jpg", "x.png", "x.jpg.png"], ["x.jpg", "x.png", "x.jpg.png"]),
    "case": (["X.jpg", "x.png"], ["X.jpg", "x.png"]),
    "only case": (["X.jpg", "x.jpg"], ["X.jpg", "x.jpg_2"]),
    "pages": (["x.tif#page=0", "x.tif#page=1"], ["x_page0", "x_page1"]),
    "folders": (["x.y/", "x.y.png"], ["x.y", "x.y.png"]),
    "twice": (["x.jpg", "x.jpg"], ["x.jpg", "x.jpg_2"]),
}


@pytest.mark.parametrize("case", CASES)
def test_names_are_stems_or_else_whole(case):
    """The stem; where it is shared the whole name; where that is shared too, a number."""
    keys, names = CASES[case]
    assert unique_stems(keys) == names


@given(st.lists(st.sampled_from([f"{a}{b}{c}" for a in "xX" for b in (".jpg", ".png", "", "_2")
                                 for c in ("", ".png", "_2", "/")])))  # fmt: skip
def test_no_two_names_are_equal(keys):
    """However the keys look, names differ by more than case, all at once or one by one."""
    assert len({name.casefold() for name in unique_stems(keys)}) == len(keys)
    taken: set[str] = set()
    assert len({free_stem(key, taken).casefold() for key in keys}) == len(keys) == len(taken)
