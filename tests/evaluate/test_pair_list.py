"""An explicit list pairs exactly what it says, and a wrong row is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.errors import InputError, UsageError
from segcli.evaluate.pair_list import ListedPair, PairList, list_rule, read_pairs
from segcli.evaluate.pairing import rule_of, stream_rule_of

NAMES = st.lists(st.text("abc12", min_size=1, max_size=3), unique=True, min_size=1, max_size=6)


def listed(*rows: tuple[str, str]) -> PairList:
    pairs = (ListedPair(number, *row) for number, row in enumerate(rows, 1))
    return PairList("pairs.csv", tuple(pairs))


def pairs(rule, preds, gts):
    """(prediction, ground truth) by equal names, as the job makes them."""
    names = {rule.gt(g): g for g in rule.gts(gts)}
    return [(p, names[rule.pred(p)]) for p in rule.preds(preds)]


FILES = {
    "CSV with a header": "pred,gt\na.png,x.png\nb.png,y.png\n",
    "CSV without": "a.png,x.png\nb.png,y.png\n",
    "a header in another order, with more columns": "gt,iou,pred\nx.png,0.5,a.png\ny.png,1,b.png\n",
    "TSV": "pred\tgt\na.png\tx.png\nb.png\ty.png\n",
    "blank lines and blanks": "\npred, gt\n\na.png , x.png\n\nb.png,y.png",
    "a byte order mark": "\ufeffpred,gt\na.png,x.png\nb.png,y.png\n",
    "NDJSON": '{"pred": "a.png", "gt": "x.png"}\n\n{"gt": "y.png", "pred": "b.png", "n": 1}\n',
    "quoted": 'pred,gt\n"a.png",x.png\nb.png,"y.png"\n',
}


@pytest.mark.parametrize("case", FILES)
def test_every_form_of_a_list_is_read(tmp_path, case):
    """CSV, TSV and NDJSON, with a header or without."""
    path = tmp_path / "pairs"
    path.write_text(FILES[case], encoding="utf-8")
    assert [(p.pred, p.gt) for p in read_pairs(path).rows] == [
        ("a.png", "x.png"),
        ("b.png", "y.png"),
    ]


WRONG = {
    "no pair at all": ("pred,gt\n", "lists no pairs"),
    "nothing": ("", "lists no pairs"),
    "one column": ("pred,gt\na.png,x.png\nb.png\n", "row 3: has no pred, or no gt"),
    "an empty cell": ("pred,gt\na.png,\n", "row 2: has no pred, or no gt"),
    "three columns without a header": ("a,b,c\n", "row 1: has 3 columns and is no header"),
    "a path twice": ("a,x\nb,y\na,z\n", "row 3: the prediction a is in row 1 already"),
    "a ground truth twice": ("a,x\nb,x\n", "row 2: the ground truth x is in row 1 already"),
    "broken JSON": ('{"pred": "a", "gt": "x"}\n{"pred"\n', "row 2: is not JSON"),
    "another record": ('{"pred": "a"}\n', "row 1: has no pred, or no gt"),
    "a number for a path": ('{"pred": 1, "gt": "x"}\n', "row 1: has no pred, or no gt"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_list_names_file_and_row(tmp_path, case):
    """One line says which row of which file is wrong."""
    text, said = WRONG[case]
    path = tmp_path / "pairs.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_pairs(path)
    assert caught.value.message.startswith(str(path))
    assert said in caught.value.message


def test_a_list_that_cannot_be_read_is_named(tmp_path):
    """A missing file and one that is no text."""
    with pytest.raises(InputError, match="cannot be read as a list of pairs"):
        read_pairs(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="cannot be read as a list of pairs"):
        read_pairs(tmp_path / "x.csv")


PATHS = {
    "as they are": ("a/1.png", "m/1.tif"),
    "behind the folder that was given": ("out/a/1.png", "labels/m/1.tif"),
    "absolute": ("/data/out/a/1.png", "/data/labels/m/1.tif"),
    "stems": ("a/1", "m/1"),
    "with a dot": ("./a/1.png", "./m/1.tif"),
}


@pytest.mark.parametrize("case", PATHS)
def test_paths_may_be_written_as_users_write_them(case):
    """Relative to a side, or behind a folder that all rows share."""
    rule = list_rule(listed(PATHS[case]), ["a/1.png", "b/1.png"], ["m/1.tif", "n/1.tif"])
    assert pairs(rule, ["a/1.png", "b/1.png"], ["m/1.tif", "n/1.tif"]) == [("a/1.png", "m/1.tif")]
    assert rule.words == ("list pairs.csv, 1 predictions and 1 ground truths not in it left aside")


def test_folders_that_stand_for_images_are_found_without_their_slash():
    """A folder of object masks is listed by its name."""
    rule = list_rule(listed(("img1", "x.png")), ["img1/", "img2/"], ["x.png"])
    assert rule.preds(["img1/", "img2/"]) == ["img1/"]


def test_two_files_of_one_stem_can_be_told_apart():
    """x.png and x.tif, which names alone cannot pair, have names of their own."""
    gts = ["x.png", "x.tif"]
    rule = list_rule(listed(("a.png", "x.tif"), ("b.png", "x.png")), ["a.png", "b.png"], gts)
    assert pairs(rule, ["a.png", "b.png"], gts) == [("a.png", "x.tif"), ("b.png", "x.png")]


def test_a_path_that_is_not_there_is_named_with_the_closest():
    """The row, the side, and what may have been meant."""
    with pytest.raises(InputError, match=r"row 2: there is no ground truth cell_7.png") as caught:
        list_rule(listed(("a.png", "cell_1.png"), ("b.png", "cell_7.png")), ["a.png", "b.png"],
                  ["cell_1.png", "cell_77.png"])  # fmt: skip
    assert "cell_" in caught.value.fix


def test_rows_of_different_folders_do_not_meet_in_one_file():
    """One prefix is left out for all rows: train/1.png is not val/1.png."""
    rows = listed(("train/1.png", "1.png"), ("val/2.png", "2.png"))
    with pytest.raises(InputError, match=r"row 2: there is no prediction val/2\.png"):
        list_rule(rows, ["1.png", "2.png"], ["1.png", "2.png"])


def test_two_rows_that_mean_one_file_are_refused():
    """A stem and the whole path of one file."""
    rows = listed(("a.png", "x.png"), ("a", "y.png"))
    with pytest.raises(InputError, match=r"row 2: means a.png, as row 1 does"):
        list_rule(rows, ["a.png"], ["x.png", "y.png"])


@given(NAMES, st.randoms())
def test_the_order_of_rows_and_files_changes_nothing(names, random):
    """A list in any order, over files in any order, makes the same pairs."""
    rows = [(f"p{n}.png", f"g{n}.png") for n in names]
    preds, gts = [p for p, _ in rows], [g for _, g in rows]
    wanted = sorted(rows)
    random.shuffle(preds)
    random.shuffle(gts)
    random.shuffle(rows)
    assert sorted(pairs(list_rule(listed(*rows), preds, gts), preds, gts)) == wanted


def test_a_stream_is_paired_by_the_list(memory, disc_maps):
    """Predictions whose paths are not known before are looked up one by one."""
    rule = stream_rule_of(["x.png", "y.png"], None, listed(("a/1.jpg", "y.png")))
    assert rule.pred("a/1.jpg") == rule.pred("a/1.png") == rule.gt("y.png") == "y"
    assert rule.pred("b/1.jpg") is None
    assert rule.gts(["x.png", "y.png"]) == ["y.png"]


def test_a_list_and_a_pattern_exclude_each_other(memory, disc_maps):
    """Two ways to pair are one too many."""
    side = memory("instance", disc_maps(1))
    with pytest.raises(UsageError, match="two ways to pair"):
        rule_of(side, side, r"(\d+)", listed(("00.png", "00.png")))
    with pytest.raises(UsageError, match="two ways to pair"):
        stream_rule_of(["00.png"], r"(\d+)", listed(("00.png", "00.png")))
