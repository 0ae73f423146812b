"""What is suggested for files that do not pair has been tried."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.evaluate.name_hints import differ_in_case, suggest_match, versions_of_one
from segcli.evaluate.pairing import pair_keys

HELPED = {
    "only some have the suffix": (["a.png", "b.png"], ["a.png", "b_mask.png"], 2),
    "known words on both sides": (
        ["a_pred.png", "b_pred.png"],
        ["a_gt.png", "b_gt.png", "c.png"],
        2,
    ),
    "leading zeros": (["1.png", "10.png"], ["01.png", "10.png"], 2),
    "a prefix": (["pred1.png", "pred2.png"], ["gt1.png", "gt2.png"], 2),
    "a folder an image": (["a/mask.png", "b/mask.png"], ["a.png", "b.png"], 2),
    "folder and suffix": (["v/a.png", "v/b.png"], ["a_gt.png", "b_gt.png"], 2),
    "an apostrophe": (["it's_pred.png", "b_pred.png"], ["it's.png", "b.png", "c_gt.png"], 2),
}


@pytest.mark.parametrize("case", HELPED)
def test_the_pattern_pairs_what_it_promises(case):
    """Whoever follows the suggestion gets these pairs."""
    pred, gt, count = HELPED[case]
    before = len(pair_keys(pred, gt).pairs)
    found = pair_keys(pred, gt, suggest_match(pred, gt, 0 if before == count else before))
    assert len(found.pairs) == count


LEFT = {
    "frames of a film": (["1_2.png", "2_2.png"], ["1_3.png", "2_3.png"]),
    "two splits": (["train/1.png", "train/2.png"], ["val/1.png", "val/2.png"]),
    "nothing in common": (["cat.png"], ["dog.png"]),
}


@pytest.mark.parametrize("case", LEFT)
def test_what_does_not_belong_together_is_not_suggested(case):
    """No pattern is better than a wrong one."""
    assert suggest_match(*LEFT[case], 0) == ""


@given(
    st.lists(st.text("ab1_.-(/'", min_size=1, max_size=8), unique=True, max_size=5),
    st.lists(st.text("ab1_.-(/'", min_size=1, max_size=8), unique=True, max_size=5),
)
def test_any_names_give_a_pattern_that_works_or_none(pred, gt):
    """A suggestion is a regular expression with one group that pairs more than nothing."""
    pattern = suggest_match(pred, gt, 0)
    if pattern:
        assert re.compile(pattern).groups == 1
        assert pair_keys(pred, gt, pattern).pairs


def test_names_that_differ_in_case_are_found():
    """The first such pair, or None."""
    assert differ_in_case(["x.png", "A/b.png"], ["a/B.PNG"]) == ("A/b.png", "a/B.PNG")
    assert differ_in_case(["x.png"], ["y.png"]) is None


def test_versions_of_one_image_are_counted():
    """Known endings that most images share; names that merely end alike are images."""
    paths = [f"ulm_{i}_gtFine_{w}.png" for i in range(3) for w in ("labelIds", "color")]
    assert versions_of_one(paths) == {"_color": 3, "_labelIds": 3}
    assert versions_of_one(["cat_left.png", "cat_right.png"]) == {}
    assert versions_of_one(["a_mask.png", "b_mask.png", "c_gt.png"]) == {}
    assert versions_of_one([]) == {}
