"""Runs through the rows of `--per-image` and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segcli.errors import InputError, UsageError
from segcli.evaluate import EvalSettings, evaluate
from segcli.evaluate.compare import compare
from segcli.evaluate.result import Failure
from segcli.evaluate.run_files import Recorder, is_run_file, read_runs
from segcli.evaluate.runs import score_run
from segcli.formats.classes import ClassList
from segcli.metrics import MetricOptions


def write_run(path: Path, sources, settings: EvalSettings, families=None) -> Path:
    """Evaluate, and write the rows as the command does."""
    options = settings.metric_options
    recorder = Recorder(settings.protocol, options, families)
    lines = []
    done = evaluate(*sources, settings, on_image=lambda row: lines.append(recorder.record(row)))
    lines += [failure.to_record() for failure in done.failures]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("protocol", ["instance", "binary"])
def test_rows_compare_as_the_masks_do(tmp_path, memory, disc_maps, protocol):
    """Every score, delta and interval is the same from rows as from masks, COCO AP included."""
    gt = memory("instance", disc_maps(8))
    preds = [memory("instance", disc_maps(8, shift)) for shift in (1, 2)]
    settings = EvalSettings(protocol=protocol)
    runs = [score_run(f"{i}", (pred, gt), settings) for i, pred in enumerate(preds)]
    direct = compare(*runs, resamples=50)
    files = [
        str(write_run(tmp_path / f"{i}.ndjson", (pred, gt), settings))
        for i, pred in enumerate(preds)
    ]
    stored = compare(*read_runs(*files), resamples=50)
    assert stored.scores.keys() == direct.scores.keys()
    for name, delta in direct.scores.items():
        assert stored.scores[name].to_json() == delta.to_json()
    assert stored.changes == direct.changes
    assert protocol == "binary" or direct.scores["ap"].delta < 0


def test_options_travel_with_the_rows(tmp_path, memory, disc_maps):
    """Runs scored with other options are refused; the same options are read back."""
    gt, pred = memory("instance", disc_maps(3)), memory("instance", disc_maps(3, 1))
    files = [
        str(
            write_run(
                tmp_path / f"{ratio}.ndjson",
                (pred, gt),
                EvalSettings(protocol="binary", boundary_ratio=ratio, families=("boundary",)),
                ("boundary",),
            )
        )
        for ratio in (0.05, 0.1)
    ]
    with pytest.raises(UsageError, match="scored in different ways") as caught:
        read_runs(*files)
    assert "boundary_ratio 0.05" in caught.value.why
    one, other = read_runs(files[0], files[0])
    assert compare(one, other, resamples=5).scores["boundary_iou.pooled"].delta == 0


def test_the_families_both_have_are_compared(tmp_path, memory, disc_maps):
    """A family that one run lacks is named, not guessed."""
    gt, pred = memory("instance", disc_maps(3)), memory("instance", disc_maps(3, 1))
    files = [
        str(
            write_run(
                tmp_path / f"{len(families)}.ndjson",
                (pred, gt),
                EvalSettings(protocol="instance", families=families),
                families,
            )
        )
        for families in (("matching",), ("matching", "foreground"))
    ]
    found = compare(*read_runs(*files), resamples=5)
    assert "f1_50.pooled" in found.scores
    assert "foreground.iou.pooled" not in found.scores
    assert any("no foreground" in note for note in found.notes)


def test_failures_are_read_back(tmp_path, memory, disc_maps):
    """Images that were not scored are known, and why."""
    maps = disc_maps(3)
    gt, pred = memory("instance", maps), memory("instance", {**maps, "01.png": None})
    settings = EvalSettings(protocol="binary")
    broken = str(write_run(tmp_path / "a.ndjson", (pred, gt), settings))
    whole = str(write_run(tmp_path / "b.ndjson", (gt, gt), settings))
    found = compare(*read_runs(broken, whole), resamples=5)
    assert found.alone == ((), ("01.png",))
    assert [f.error for f in found.failures[0]] == ["01.png: cannot be decoded"]
    unmatched = Failure("x", "x", None, "x: has no ground truth", unmatched=True).to_record()
    with Path(whole).open("a") as file:
        file.write(json.dumps(unmatched) + "\n")
    _, run = read_runs(broken, whole)
    assert (run.failures, [f.name for f in run.left_out]) == ((), ["x"])


def test_class_names_are_not_repeated_in_every_row(memory):
    """Rows stay small: the class list is not among the options or the sums."""
    maps = {"a.png": np.zeros((4, 4), np.uint8)}
    names = {0: "background", 1: "cell"}
    settings = EvalSettings(protocol="semantic", classes=ClassList(names))
    recorder = Recorder("semantic", MetricOptions(class_names=names))
    rows = []
    sides = memory("semantic", maps), memory("semantic", maps)
    evaluate(*sides, settings, on_image=lambda row: rows.append(recorder.record(row)))
    assert rows[0]["sums"]["classes"]["matrix"] == [[16]]
    assert "cell" not in json.dumps(rows)


def test_a_run_file_is_told_by_its_first_line(tmp_path):
    """Records of masks, other JSON and folders are no runs."""
    path = tmp_path / "rows.ndjson"
    path.write_text('{"schema": "segcli.eval-image/1"}\n')
    assert is_run_file(str(path))
    path.write_text('{"schema": "segcli.image/1"}\n')
    assert not is_run_file(str(path))
    path.write_text("no json")
    assert not is_run_file(str(path))
    assert not is_run_file(str(tmp_path))


ROW = {
    "schema": "segcli.eval-image/1",
    "status": "ok",
    "name": "a",
    "pred": "a.png",
    "gt": "a.png",
    "protocol": "binary",
    "options": {},
    "sums": {"overlap": {"tp": 1}},
}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "holds no image"),
        ([{**ROW, "schema": "other"}], "its schema is not"),
        ([{k: v for k, v in ROW.items() if k != "sums"}], "it lacks 'sums'"),
        ([{**ROW, "protocol": "guess"}], "its protocol is 'guess'"),
        ([{**ROW, "options": {"spaces": 1}}], "unknown fields"),
        ([{**ROW, "sums": {"overlap": {"tp": "x"}}}], "invalid literal"),
        ([ROW, ROW], "comes twice"),
        ([ROW, {**ROW, "gt": "b", "protocol": "semantic"}], "another way"),
    ],
)
def test_damaged_rows_are_named(tmp_path, rows, words):
    """A file that cannot be compared is one error, with the line and what would work."""
    path = tmp_path / "rows.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError) as caught:
        read_runs(str(path), str(path))
    assert words in f"{caught.value.message} {caught.value.why}"
    assert "--per-image" in caught.value.fix


def test_a_missing_file_is_named(tmp_path):
    """A path that is not there is an error that names it."""
    with pytest.raises(InputError, match="cannot be read as a run"):
        read_runs(str(tmp_path / "none"), str(tmp_path / "none"))


def test_rows_of_shards_are_rows_of_the_whole(tmp_path, memory, disc_maps):
    """Files of rows can be put one after the other: results add."""
    maps, shifted = disc_maps(6), disc_maps(6, 1)
    settings = EvalSettings(protocol="binary")
    texts = []
    for number, keys in enumerate((list(maps), list(maps)[:2], list(maps)[2:])):
        sides = [memory("instance", {k: m[k] for k in keys}) for m in (shifted, maps)]
        texts.append(write_run(tmp_path / f"{number}.ndjson", sides, settings).read_text())
    joined = tmp_path / "joined.ndjson"
    joined.write_text(texts[2] + texts[1])
    found = compare(*read_runs(str(tmp_path / "0.ndjson"), str(joined)), resamples=20)
    assert found.images == 6
    assert {d.delta for d in found.scores.values()} == {0}
