"""The pipelines that the command contract promises, as real shells and processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import LOOSE_FLAGS, blobs, environment
from PIL import Image

NEEDS_JQ = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not on this machine")


@pytest.fixture
def shell(tmp_path, sam_dir):
    """Run a line of bash with `segcli` on the path, a small model and three pictures."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command = folder / "segcli"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m segcli "$@"\n')
    command.chmod(0o755)
    for seed, name in enumerate(["a/1.png", "b/1.png", "b/with space.jpg"]):
        picture = tmp_path / "imgs" / name
        picture.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(blobs(seed)).save(picture)
        truth = (tmp_path / "gt" / name).with_suffix(".png")
        truth.parent.mkdir(parents=True, exist_ok=True)
        labels = np.zeros((48, 64), np.uint16)
        labels[8:20, 10:30] = 1
        labels[25:40, 5:25] = 2
        Image.fromarray(labels).save(truth)
    environ = {
        **environment(),
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SEGCLI_MODEL": str(sam_dir),
        **{
            f"SEGCLI_{flag.strip('-').split('=')[0].replace('-', '_').upper()}": flag.split("=")[1]
            for flag in LOOSE_FLAGS
        },
    }

    def run(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run


@NEEDS_JQ
def test_find_to_predict_to_jq(shell, tmp_path):
    """A NUL-separated list goes in, and jq finds the one picture that failed."""
    (tmp_path / "imgs" / "b" / "bad.jpg").write_text("no picture")
    done = shell(
        "set -o pipefail; find imgs -name '*.jpg' -print0 | "
        "segcli predict --files-from - -0 -o out --json | "
        "jq -c 'select(.status==\"error\")'"
    )
    assert done.returncode == 3, done.stderr
    (failed,) = done.stdout.splitlines()
    assert json.loads(failed)["path"] == "bad.jpg"
    assert (tmp_path / "out" / "labels" / "with space.png").is_file()


@NEEDS_JQ
def test_predict_into_eval(shell, tmp_path):
    """Records stream into eval, nothing is written, and the scores equal those of files."""
    done = shell(
        "set -o pipefail; segcli predict imgs -o - | segcli eval - gt --json | jq .metrics"
    )
    assert done.returncode == 0, done.stderr
    streamed = json.loads(done.stdout)
    assert {p.name for p in tmp_path.iterdir()} == {"bin", "imgs", "gt"}
    assert shell("segcli predict imgs -o out").returncode == 0
    from_files = shell("segcli eval out gt --json")
    assert json.loads(from_files.stdout)["metrics"] == streamed


def test_head_closes_the_pipe(shell):
    """A reader that leaves ends predict quietly with 141, and the same command continues."""
    done = shell("segcli predict imgs -o out --json | head -1; echo ${PIPESTATUS[0]} >&2")
    assert json.loads(done.stdout)["path"] == "a/1.png"
    code = done.stderr.splitlines()[-1]
    # A pipe's buffer may take all three records before head has gone.
    assert code in {"141", "0"}, done.stderr
    assert "Traceback" not in done.stderr
    assert "error" not in done.stderr
    again = shell("segcli predict imgs -o out --json | tail -1")
    summary = json.loads(again.stdout)
    assert summary["ok"] + summary["skipped"] == 3


def test_closed_pipe_is_141(shell):
    """With a reader that never reads, the code is 141 for certain."""
    done = shell("segcli predict imgs -o out --json | sleep 0; echo ${PIPESTATUS[0]}")
    assert done.stdout.strip() == "141", done.stderr
    assert "Traceback" not in done.stderr


def test_failed_pictures_make_the_score_incomplete(shell, tmp_path):
    """An error record in the stream is a failed pair for eval: exit code 3, and it is named."""
    (tmp_path / "imgs" / "b" / "1.png").write_text("no picture")
    done = shell("segcli predict imgs -o - | segcli eval - gt --json")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert found["counts"]["images"] == 2
    assert any("b/1" in str(failure) for failure in found["failures"])


def test_gate_after_a_pipe(shell):
    """A gate at the end of a pipe decides the exit code of the line."""
    line = "segcli predict imgs -o - -q | segcli eval - gt -q --fail-under f1_50.pooled="
    assert shell(f"{line}0.999").returncode == 4
    assert shell(f"{line}0").returncode == 0


@pytest.mark.parametrize("name", ["labels", "masks", "amg", "sa1b", "coco", "coco-dataset"])
def test_eval_reads_what_predict_writes(shell, name):
    """Every format that predict writes is recognised by eval and scores like the records."""
    assert shell(f"segcli predict imgs -o out --format {name}").returncode == 0
    path = {"coco": "coco.json", "coco-dataset": "coco-dataset.json"}.get(name, name)
    done = shell(f"segcli eval out/{path} gt --json --protocol instance")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["metrics"]
    if name != "labels":
        records = json.loads(shell("segcli eval out gt --json --protocol instance").stdout)
        assert scores["f1_50"] == records["metrics"]["f1_50"]
        assert scores["foreground"] == records["metrics"]["foreground"]


def test_pycocotools_loads_our_results(shell, tmp_path):
    """COCOeval takes our results unchanged, against a dataset whose ids they carry."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    assert shell("segcli convert gt truth --to coco-dataset").returncode == 0
    dataset = Path(tmp_path / "truth" / "coco-dataset.json")
    content = json.loads(dataset.read_text())
    for image in content["images"]:
        if image["file_name"] == "b/with space.png":
            image["file_name"] = "b/with space.jpg"
    dataset.write_text(json.dumps(content))
    done = shell("segcli predict imgs -o out --format coco --gt truth/coco-dataset.json")
    assert done.returncode == 0, done.stderr
    truth = COCO(str(dataset))
    evaluation = COCOeval(truth, truth.loadRes(str(tmp_path / "out" / "coco.json")), "segm")
    evaluation.params.useCats = 0
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert len(evaluation.stats) == 12
    assert evaluation.stats[8] >= 0
