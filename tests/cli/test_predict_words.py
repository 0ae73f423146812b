"""`segcli predict --text`: folder → masks of what words name → files → scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import segcli
from PIL import Image
from word_models import clipseg_in, grounding_dino_in, sam3_in

LOOSE = ["--box-threshold", "0.01"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("words")
    return {
        "dino": grounding_dino_in(root / "dino"),
        "mm": grounding_dino_in(root / "mm", mm=True),
        "sam3": sam3_in(root / "sam3"),
        "clipseg": clipseg_in(root / "clipseg"),
    }


@pytest.mark.parametrize("name", ["dino", "mm", "sam3", "clipseg"])
def test_folder_to_scores(models, sam_dir, picture_folder, tmp_path, name):
    """Each family: a folder in, records with names, boxes and scores out, and eval reads them."""
    chosen = ["--model", models[name]]
    if name in ("dino", "mm"):
        chosen = ["--model", sam_dir, "--detector", models[name], "--text-threshold", "0"]
    (tmp_path / "more.txt").write_text("cat\n\n")
    loose = ["--mask-threshold", "0.3"] if name == "clipseg" else LOOSE
    call = ["predict", "imgs", "-o", "out", *chosen, "--text", "bright disc", "--text-file",
            "more.txt", *loose, "--format", "coco-dataset", "--format", "labels"]  # fmt: skip
    done = segcli(*call, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "out" / "segments.ndjson").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [r["status"] for r in records] == ["ok"] * 3
    assert records[0]["categories"] == {"1": "bright disc", "2": "cat"}
    found = [segment for record in records for segment in record["segments"]]
    assert found
    for segment in found:
        assert segment["category_name"] == {1: "bright disc", 2: "cat"}[segment["category"]]
        assert 0 < segment["score"] <= 1
        assert (segment["predicted_iou"] is not None) == (name in ("dino", "mm"))
        assert ("prompt" in segment) == (name != "clipseg")
    dataset = json.loads((tmp_path / "out" / "coco-dataset.json").read_text())
    assert [c["name"] for c in dataset["categories"]] == ["bright disc", "cat"]
    truth = tmp_path / "gt"
    for path in sorted((tmp_path / "out" / "labels").rglob("*.png")):
        target = truth / path.relative_to(tmp_path / "out" / "labels")
        target.parent.mkdir(parents=True, exist_ok=True)
        values = np.zeros((48, 64), np.uint16)
        values[10:30, 10:40] = 1
        Image.fromarray(values).save(target)
    scored = segcli("eval", "out", "gt", "--json", cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["metrics"]
    again = segcli(*call, cwd=tmp_path)
    assert "3 done before" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "cat", "-m", "tiny"], "makes no masks of words"),
        (["--text", "cat", "-m", "{dino}"], "makes no masks of words"),
        (["--text", "cat", "-m", "tiny", "--detector", "{clipseg}"], "finds no boxes of words"),
        (["--text", "cat", "-m", "{clipseg}", "--detector", "{dino}"], "turn boxes into masks"),
        (["-m", "{clipseg}"], "looks for words"),
        (["-m", "{dino}"], "looks for words"),
        (["--text", "cat", "-m", "{clipseg}", "--box-threshold", "0.5"], "--box-threshold"),
        (["--text", "cat", "-m", "{sam3}", "--text-threshold", "0.5"], "--text-threshold"),
        (["--text", "cat", "-m", "{sam3}", "--cascade", "1"], "--cascade"),
        (["--text", "cat", "-m", "{sam3}", "--points-per-side", "3"], "--points-per-side"),
        (["--text", "cat", "--text", "cat", "-m", "{sam3}"], "given twice"),
        (["--text-file", "nowhere.txt", "-m", "{sam3}"], "cannot read the texts"),
        (["--box-threshold", "0.5"], "is for words"),
        (["--detector", "{dino}"], "is for words"),
        (["--text", "cat", "-m", "{sam3}", "--box-threshold", "2"], "out of range"),
    ],
)
def test_usage_errors(models, picture_folder, tmp_path, arguments, message):
    """What words cannot do is said before a model loads, with exit code 2 and no traceback."""
    given = [argument.format(**models) for argument in arguments]
    done = segcli("predict", "imgs", "-o", "-", *given, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
