"""`segcli eval` as a real process: streams and exit codes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COMMAND = [sys.executable, "-m", "segcli", "eval"]
ROOT = Path(__file__).parents[2]


def segcli(*words, stdin: bytes = b"", cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, words)]
    done = subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, check=False)
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def save(folder: Path, **maps: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, values in maps.items():
        Image.fromarray(values).save(folder / f"{stem}.png")
    return folder


def binary(columns: int, width: int = 10) -> np.ndarray:
    """A mask of 0 and 255 whose first columns are inside."""
    values = np.zeros((8, width), np.uint8)
    values[:, :columns] = 255
    return values


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two images of binary masks: IoU 0.5 and 1, pooled 9/13."""
    return (
        save(tmp_path / "pred", a=binary(4), b=binary(5)),
        save(tmp_path / "gt", a=binary(8), b=binary(5)),
    )


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    """Instance label maps of two images."""
    one = np.zeros((30, 40), np.uint16)
    one[2:12, 2:12], one[15:28, 10:35] = 1, 2
    return save(tmp_path / "objects", x=one, y=np.roll(one, 3))


def test_a_table_is_printed(folders):
    """Scores go to stdout, what was found out to stderr, and all pairs scored is exit code 0."""
    done = segcli(*folders)
    assert done.returncode == 0
    assert ["iou", "0.6923", "0.7500"] in [line.split() for line in done.stdout.splitlines()]
    assert "binary masks" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_json_is_one_object_and_nothing_else(folders):
    """`--json` writes exactly one JSON object to stdout; names are paths in `.metrics`."""
    done = segcli(*folders, "--json")
    result = json.loads(done.stdout)
    assert result["schema"] == "segcli.eval/1"
    assert result["metrics"]["iou"] == {"pooled": 9 / 13, "mean_of_images": 0.75}
    assert result["counts"]["images"] == 2
    assert (result["failures"], result["gates"]) == ([], [])
    assert segcli(*folders, "--json", "--workers", 1).stdout == done.stdout


def test_quiet_leaves_only_data(folders):
    """`-q` says nothing on stderr when nothing failed."""
    assert segcli(*folders, "-q", "--json").stderr == ""


def test_verbose_names_the_worst_images(folders):
    """`-v` adds the images that score lowest."""
    assert "lowest iou" in segcli(*folders, "-v").stdout


def test_an_unmatched_file_is_exit_code_3(folders):
    """Unmatched files are listed and the rest is scored; `--missing skip` makes it a warning."""
    pred, gt = folders
    (pred / "b.png").rename(pred / "stray.png")
    done = segcli(pred, gt, "--json")
    assert done.returncode == 3
    assert [f["error"] for f in json.loads(done.stdout)["failures"]] == [
        "stray.png: has no ground truth",
        "b.png: has no prediction",
    ]
    assert "b.png: has no prediction" in done.stderr
    skipped = segcli(pred, gt, "--missing", "skip", "--json")
    assert skipped.returncode == 0
    assert len(json.loads(skipped.stdout)["left_out"]) == 2
    assert "left out" in skipped.stderr
    empty = segcli(pred, gt, "--missing", "empty", "--json")
    assert json.loads(empty.stdout)["metrics"]["iou"]["mean_of_images"] == 0.25


def test_a_mask_at_model_resolution_is_an_error_naming_both_sizes(folders):
    """A size mismatch is never resized silently."""
    pred, gt = folders
    save(pred, b=binary(2, width=5))
    done = segcli(pred, gt)
    assert done.returncode == 3
    assert "5x8" in done.stderr
    assert "10x8" in done.stderr
    assert "--resize-pred nearest" in done.stderr
    assert segcli(pred, gt, "--resize-pred", "nearest").returncode == 0


def test_gates_decide_the_exit_code(folders):
    """Met is 0, missed is 4, unknown is 2 with the closest name; the words are on stderr."""
    assert segcli(*folders, "--fail-under", "iou.pooled=0.69").returncode == 0
    missed = segcli(*folders, "--fail-under", "iou.pooled=0.7", "--json")
    assert missed.returncode == 4
    assert "iou.pooled is 0.692308" in missed.stderr
    assert json.loads(missed.stdout)["gates"][0]["met"] is False
    assert segcli(*folders, "--fail-over", "iou.mean_of_images=0.7").returncode == 4
    unknown = segcli(*folders, "--fail-under", "iou.poled=0.5")
    assert unknown.returncode == 2
    assert "iou.pooled" in unknown.stderr
    assert unknown.stdout == ""
    (folders[0] / "b.png").unlink()
    assert segcli(*folders, "--fail-under", "iou.pooled=0.9").returncode == 3


def test_a_baseline_guards_against_a_drop(folders, tmp_path):
    """A result of `--json` is the baseline of the next run."""
    baseline = tmp_path / "previous.json"
    baseline.write_text(segcli(*folders, "--json").stdout)
    gate = ["--baseline", baseline, "--max-drop", "dice.pooled=0.01"]
    assert segcli(*folders, *gate).returncode == 0
    save(folders[0], b=binary(1))
    assert segcli(*folders, *gate).returncode == 4


def test_rows_and_scores_go_to_files(folders, tmp_path):
    """`--per-image` and `--csv` write files, beside the table on stdout."""
    rows, scores = tmp_path / "out" / "rows.csv", tmp_path / "scores.csv"
    done = segcli(*folders, "--per-image", rows, "--csv", scores)
    assert "mean of images" in done.stdout
    assert [row["iou"] for row in csv.DictReader(rows.read_text().splitlines())] == ["0.5", "1.0"]
    assert "iou.pooled,,,0.69" in scores.read_text()


def test_rows_on_stdout_are_ndjson(folders):
    """`--per-image -` streams one JSON record an image and nothing else."""
    done = segcli(*folders, "--per-image", "-")
    assert [json.loads(line)["metrics"]["iou"] for line in done.stdout.splitlines()] == [0.5, 1.0]


def test_scores_on_stdout_are_csv(folders):
    """`--csv -` writes the table and nothing else."""
    assert segcli(*folders, "--csv", "-").stdout.startswith("metric,class,threshold,value\niou.")


MISTAKES = {
    "two writers on stdout": (["PRED", "GT", "--json", "--csv", "-"], "standard output"),
    "an unknown protocol": (["PRED", "GT", "--protocol", "instnce"], "--protocol instance"),
    "an unknown format": (["PRED", "GT", "--gt-format", "lables"], "labels"),
    "a missing folder": (["PRED", "NOWHERE"], "NOWHERE"),
    "ground truth on stdin": (["PRED", "-"], "standard input"),
    "all of a mask ignored": (["PRED", "GT", "--ignore-index", "255"], "255"),
    "nothing in common": (["PRED", "GT", "--match", "(z)"], "none of 2 predictions"),
    "no such baseline": (["PRED", "GT", "--baseline", "x.json", "--max-drop", "iou=0"], "x.json"),
    "a place that cannot be written": (["PRED", "GT", "--csv", "gt/a.png/x.csv"], "written"),
}


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_exit_code_2_before_anything_is_scored(tmp_path, case):
    """What cannot be done is said in one place, with a fix, and stdout stays empty."""
    words, hint = MISTAKES[case]
    done = segcli(*({"PRED": "pred", "GT": "gt"}.get(word, word) for word in words), cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert hint in done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_objects_are_scored_as_objects(objects):
    """Instance label maps get COCO AP, matching and foreground scores, conventions said."""
    done = segcli(objects, objects, "--json")
    result = json.loads(done.stdout)
    assert result["metrics"]["ap"] == pytest.approx(1)
    assert result["metrics"]["f1_50"]["pooled"] == 1
    assert result["metrics"]["foreground"]["iou"]["pooled"] == 1
    assert len(result["per_threshold"]) == 10
    assert "ranks by order only" in done.stderr


def records(folder: Path) -> bytes:
    from segcli.formats import open_source
    from segcli.formats.ndjson import to_line, to_record
    from segcli.masks.labels import segments_of
    from segcli.records import Segmentation

    lines = [
        to_line(to_record(Segmentation(image=side.image, segments=segments_of(side))))
        for _, side in open_source(folder)
    ]
    return "".join(lines).encode()


def test_records_come_down_a_pipe(objects):
    """`-` reads records of ours; an error record among them is a failed image and exit code 3."""
    stream = records(objects)
    done = segcli("-", objects, "--json", stdin=stream)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["f1_50"]["pooled"] == 1
    first, second = stream.decode().splitlines()
    broken = {**json.loads(second), "status": "error"}
    failed = segcli("-", objects, "--json", stdin=f"{first}\n{json.dumps(broken)}\n".encode())
    assert failed.returncode == 3
    failures = json.loads(failed.stdout)["failures"]
    assert [(f["gt"], f["unmatched"]) for f in failures] == [("y.png", False)]


def test_nothing_on_stdin_is_said(objects):
    """A pipe whose first half wrote nothing leaves every ground truth unmatched: exit code 3."""
    done = segcli("-", objects, "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["metrics"]["ap"] is None


def test_settings_come_from_a_file(folders, tmp_path):
    """`--config` sets what flags do not; an unknown key names the closest."""
    config = tmp_path / "ci.toml"
    config.write_text('[eval]\nfail-under = ["iou.pooled=0.9"]\n')
    assert segcli(*folders, "--config", config).returncode == 4
    assert segcli(*folders, "--config", config, "--fail-under", "iou.pooled=0.1").returncode == 0
    config.write_text("[eval]\nignore-indx = 3\n")
    done = segcli(*folders, "--config", config)
    assert done.returncode == 2
    assert "ignore_index" in done.stderr


def test_eval_never_loads_a_model(folders):
    """Scoring imports neither torch nor transformers."""
    code = (
        "import sys; from segcli.cli.app import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'timm'} & set(sys.modules)"
    )
    words = [sys.executable, "-c", code, "eval", *map(str, folders), "--json"]
    subprocess.run(words, check=True, capture_output=True, cwd=ROOT)


def test_the_golden_set_end_to_end(shared_data):
    """The command gives COCO's published numbers, and keeps them apart from class-agnostic ones."""
    folder = shared_data / "coco_fakesegm100"
    sides = [
        folder / "instances_val2014_fakesegm100_results.json",
        folder / "instances_val2014_100.json",
    ]
    done = segcli(*sides, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["metrics"]["ap"] == pytest.approx(0.3195452758576433, abs=1e-9)
    agnostic = json.loads(segcli(*sides, "--json", "--class-agnostic").stdout)
    assert agnostic["metrics"]["ap"] != pytest.approx(0.3195452758576433, abs=1e-3)
    assert "class-agnostic, as asked for" in " ".join(agnostic["notes"])


def test_real_nuclei_scored_against_themselves(shared_data):
    """120 real label maps: every score that is defined is perfect."""
    labels = shared_data / "nuclei" / "test" / "labels"
    done = segcli(labels, labels, "--json")
    result = json.loads(done.stdout)
    assert result["counts"]["images"] == 120
    assert result["metrics"]["f1_75"] == {"pooled": 1.0, "mean_of_images": 1.0}
    assert result["metrics"]["ap"] == pytest.approx(1)


def test_files_that_cannot_be_written_are_found_before_scoring(folders, tmp_path):
    """A folder for --per-image, or one file for two tables, is exit code 2 and scores nothing."""
    done = segcli(*folders, "--per-image", tmp_path / "pred")
    assert (done.returncode, done.stdout) == (2, "")
    assert "is a folder" in done.stderr
    same = tmp_path / "rows.csv"
    done = segcli(*folders, "--csv", same, "--per-image", same)
    assert (done.returncode, same.exists()) == (2, False)
    assert "both write to" in done.stderr
