"""Pairs are made by name, never by position."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.errors import InputError, UsageError
from segcli.evaluate.pairing import pair_keys, stream_rule

NAMES = st.lists(st.text("abc12", min_size=1, max_size=3), unique=True, max_size=6)


def pairs(pred, gt, match=None):
    return [(p, g) for _, p, g in pair_keys(pred, gt, match).pairs]


def test_by_stem_with_folders():
    """Suffixes may differ and folders must agree: a/1.jpg is a/1.png and never b/1.png."""
    found = pair_keys(["a/1.jpg", "b/1.jpg", "c/9.jpg"], ["a/1.png", "b/1.png", "d/9.png"])
    assert [p[1:] for p in found.pairs] == [("a/1.jpg", "a/1.png"), ("b/1.jpg", "b/1.png")]
    assert (found.pred_only, found.gt_only) == (("c/9.jpg",), ("d/9.png",))
    assert found.words == "stem"


@given(NAMES, NAMES, st.randoms())
def test_order_changes_nothing(pred, gt, random):
    """The pairs do not depend on the order of either list, and equal stems always pair."""
    preds, gts = [f"{n}.jpg" for n in pred], [f"{n}.png" for n in gt]
    found = pair_keys(preds, gts)
    if common := set(pred) & set(gt):
        assert {name for name, _, _ in found.pairs} == common
    random.shuffle(preds)
    random.shuffle(gts)
    assert pair_keys(preds, gts) == found


@given(NAMES, NAMES)
def test_nothing_is_lost(pred, gt):
    """Every path is in a pair or named as left over, on both sides."""
    preds, gts = [f"{n}.jpg" for n in pred], [f"{n}.png" for n in gt]
    found = pair_keys(preds, gts)
    assert sorted([*(p for _, p, _ in found.pairs), *found.pred_only]) == sorted(preds)
    assert sorted([*(g for _, _, g in found.pairs), *found.gt_only]) == sorted(gts)


LEARNT = {
    "a suffix of the ground truth": (
        ["a.jpg", "b.jpg"],
        ["a_mask.png", "b_mask.png"],
        "'_mask' stripped from the ground truth",
    ),
    "a suffix of each side": (
        ["x/1_pred.png", "x/2_pred.png"],
        ["x/1_gt.png", "x/2_gt.png"],
        "'_pred' stripped from the predictions and '_gt' stripped from the ground truth",
    ),
    "Cityscapes": (
        ["ulm/ulm_0_1_leftImg8bit.png", "ulm/ulm_0_2_leftImg8bit.png"],
        ["ulm/ulm_0_1_gtFine_labelIds.png", "ulm/ulm_0_2_gtFine_labelIds.png"],
        "'_gtFine_labelIds'",
    ),
    "one file and a word everyone uses": (["x.jpg"], ["x_mask.png"], "'_mask'"),
    "an unknown suffix that all have": (
        ["1.png", "2.png"],
        ["1-zebra.png", "2-zebra.png"],
        "-zebra",
    ),
    "other folders": (["a/1.png", "a/2.png"], ["1.png", "b/2.png"], "without folders"),
}


@pytest.mark.parametrize("case", LEARNT)
def test_what_sets_one_side_apart_is_learnt_and_said(case):
    """When no stem is on both sides, a suffix of one whole side, or its folders, are left out."""
    pred, gt, words = LEARNT[case]
    found = pair_keys(pred, gt)
    assert [(p, g) for _, p, g in found.pairs] == list(zip(pred, gt, strict=True))
    assert words in found.words


NOT_LEARNT = {
    "one file and numbers": (["img_01.png"], ["img_02.png"]),
    "one file and unknown words": (["cat_left.png"], ["cat_right.png"]),
    "only some have the suffix": (["1.png", "2.png"], ["1_mask.png", "2_other.png"]),
    "some stems are on both sides": (["a.png", "b.png"], ["a.png", "b_mask.png"]),
    "names that folders tell apart": (["a/1.png", "b/1.png"], ["c/1.png", "d/1.png"]),
}


@pytest.mark.parametrize("case", NOT_LEARNT)
def test_ambiguous_names_are_not_paired(case):
    """What could be meant in several ways is left over, to be listed."""
    pred, gt = NOT_LEARNT[case]
    found = pair_keys(pred, gt)
    assert {(p, g) for _, p, g in found.pairs} <= {("a.png", "a.png")}
    assert found.gt_only


def test_a_name_twice_names_both_files():
    """x.jpg and x.png are one stem: refused, both named, with a way out."""
    with pytest.raises(InputError, match=r"predictions hold 'x' twice: x.jpg and x.png") as caught:
        pair_keys(["x.jpg", "x.png"], ["x.png"])
    assert "--match" in caught.value.fix
    with pytest.raises(InputError, match="ground truth"):
        pair_keys(["x.png"], ["x.jpg", "x.png"])


def test_by_regular_expression():
    """The one group is the name; a path without it is left over."""
    found = pair_keys(["p-07.png", "p-08.png", "odd.png"], ["07/gt.png", "09/gt.png"], r"(\d+)")
    assert found.pairs == (("07", "p-07.png", "07/gt.png"),)
    assert found.pred_only == ("odd.png", "p-08.png")


@pytest.mark.parametrize("match", ["(", "nogroup", "(a)(b)"])
def test_a_bad_regular_expression_is_a_usage_error(match):
    """Malformed, or not exactly one group: said before anything is read."""
    with pytest.raises(UsageError, match="--match"):
        pair_keys(["a"], ["a"], match)


def test_pages_are_images_of_their_own():
    """Pages of one file pair with files that carry the page's number."""
    assert pairs(["x.tif#page=0", "x.tif#page=1"], ["x_page0.png", "x_page1.png"]) == [
        ("x.tif#page=0", "x_page0.png"),
        ("x.tif#page=1", "x_page1.png"),
    ]


STREAMS = {
    "stem": (["a/1.png"], "a/1.jpg", "a/1"),
    "not the name in another folder": (["b/1.png", "b/2.png"], "a/1.jpg", "a/1"),
    "the name where there are no folders": (["1.png", "2.png"], "imgs/1.jpg", "1"),
    "no counterpart": (["1.png", "2.png"], "imgs/3.jpg", "imgs/3"),
    "a suffix that is a known word": (["1_mask.png", "2_mask.png"], "imgs/1.jpg", "1_mask"),
    "a suffix that is none": (["1_x.png", "2_x.png"], "1.jpg", "1"),
    "the stem before the suffix": (["1_mask.png", "2_mask.png"], "1_mask.jpg", "1_mask"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_is_paired_by_what_names_alone_can_tell(case):
    """The name of a prediction does not depend on which one came first."""
    gt, pred, name = STREAMS[case]
    rule = stream_rule(gt)
    assert rule.pred(pred) == name
    assert [rule.gt(key) for key in gt] == [key.rpartition(".")[0] for key in gt]


def test_names_composed_otherwise_are_one():
    """Written by macOS é is two characters, elsewhere one: they look the same, and pair."""
    found = pair_keys(["cafe\u0301.png"], ["caf\u00e9.png"])
    assert found.pairs == (("caf\u00e9", "cafe\u0301.png", "caf\u00e9.png"),)


def test_numbers_are_no_suffix():
    """Picture 2 and picture 3 of each film are not a pair; one number of one side may go."""
    assert pairs(["1_2.png", "2_2.png"], ["1_3.png", "2_3.png"]) == []
    assert pairs(["1_0.png", "2_0.png"], ["1.png", "2.png"]) == [
        ("1_0.png", "1.png"),
        ("2_0.png", "2.png"),
    ]


def test_splits_are_never_mixed():
    """train/1 is not val/1, although names alone would pair; the same split pairs."""
    assert pairs(["train/1.png", "train/2.png"], ["val/1.png", "val/2.png"]) == []
    assert pairs(["out/val/1.png"], ["gt/val/1.png"]) == [("out/val/1.png", "gt/val/1.png")]
