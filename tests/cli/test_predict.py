"""`segcli predict` as a user runs it: subprocesses, files, pipes and exit codes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import LOOSE_FLAGS, blobs, environment, segcli
from PIL import Image

FORMATS = ["labels", "masks", "amg", "sa1b", "coco", "coco-dataset", "yolo"]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of an output folder but the manifest, which holds times."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def records(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_format_mirrors_the_input(sam_dir, picture_folder, tmp_path):
    """One run writes all formats; equal names in different folders do not collide."""
    (picture_folder / "b" / "2.png").write_bytes((picture_folder / "b" / "1.png").read_bytes())
    flags = [f"--format={name}" for name in FORMATS]
    call = ["predict", "imgs", "-o", "out", "-m", sam_dir, *LOOSE_FLAGS, *flags, "--overlay"]
    done = segcli(*call, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    out = tmp_path / "out"
    for name in ("a/1.png", "b/1.png", "b/2.jpg.png", "b/2.png.png"):
        assert (out / "labels" / name).is_file()
        with Image.open(out / "overlay" / name) as overlay:
            assert overlay.size == (64, 48)
    found = records((out / "segments.ndjson").read_text())
    assert [r["path"] for r in found] == ["a/1.png", "b/1.png", "b/2.jpg", "b/2.png"]
    labels = np.asarray(Image.open(out / "labels" / "a" / "1.png"))
    assert labels.max() <= len(found[0]["segments"])
    assert (out / "amg" / "a" / "1" / "metadata.csv").is_file()
    assert (out / "sa1b" / "a" / "1.json").is_file()
    assert (out / "yolo" / "a" / "1.txt").is_file()
    assert json.loads((out / "coco.json").read_text())
    assert json.loads((out / "coco-dataset.json").read_text())["images"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["run"]["counts"]["ok"] == 4
    assert manifest["model"]["weights"].startswith("sha256:")
    again = segcli(*call, cwd=tmp_path)
    assert "4 of 4 pictures are done already" in again.stderr


def test_bad_files_are_error_records(sam_dir, picture_folder, tmp_path):
    """Empty, foreign, truncated and missing files fail alone; exit code 3; a fix redoes them."""
    good = (picture_folder / "b" / "1.png").read_bytes()
    (picture_folder / "cut.png").write_bytes(good[: len(good) // 2])
    (picture_folder / "empty.jpg").write_bytes(b"")
    (picture_folder / "text.png").write_text("no picture")
    call = ["predict", "imgs", "-o", "out", "-m", sam_dir, *LOOSE_FLAGS]
    done = segcli(*call, cwd=tmp_path)
    assert done.returncode == 3
    found = records((tmp_path / "out" / "segments.ndjson").read_text())
    status = {r["path"]: r["status"] for r in found}
    assert {p for p, s in status.items() if s == "error"} == {"cut.png", "empty.jpg", "text.png"}
    assert "cut.png: damaged or truncated" in done.stderr
    for name in ("cut.png", "empty.jpg", "text.png"):
        (picture_folder / name).write_bytes(good)
    mended = segcli(*call, "--json", cwd=tmp_path)
    assert mended.returncode == 0, mended.stderr
    summary = records(mended.stdout)[-1]
    assert (summary["ok"], summary["skipped"], summary["errors"]) == (3, 3, 0)
    segcli(*call[:3], "whole", *call[4:], cwd=tmp_path)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_killed_runs_continue_to_the_same_bytes(sam_dir, tmp_path):
    """SIGKILL at random moments, then the same command: byte for byte an unbroken run."""
    folder = tmp_path / "imgs"
    folder.mkdir()
    for i in range(30):
        Image.fromarray(blobs(i, 40, 50)).save(folder / f"{i:02}.png")
    (folder / "07.png").write_bytes(b"damaged")
    flags = [*LOOSE_FLAGS, "--overlay", "--format=labels", "--format=masks", "--format=coco"]

    def command(out: str) -> list[str]:
        return ["predict", "imgs", "-o", out, "-m", str(sam_dir), *flags]

    assert segcli(*command("whole"), cwd=tmp_path).returncode == 3
    chance = random.Random(4)
    killed = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-m", "segcli", *command("broken")],
            cwd=tmp_path,
            env=environment(),
            stderr=subprocess.DEVNULL,
        )
        journal = tmp_path / "broken" / "segments.ndjson"
        before = journal.read_bytes().count(b"\n") if journal.exists() else 0
        wanted = before + chance.randint(1, 6)
        while process.poll() is None:
            if journal.exists() and journal.read_bytes().count(b"\n") >= wanted:
                time.sleep(chance.random() * 0.01)
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        killed += process.wait() == -signal.SIGKILL
    assert killed >= 2
    final = segcli(*command("broken"), cwd=tmp_path)
    assert final.returncode == 3
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_other_settings_are_refused(sam_dir, picture_folder, tmp_path):
    """A folder made with other settings is left alone, and the difference is shown."""
    call = ["predict", "imgs/a", "-o", "out", "-m", sam_dir]
    assert segcli(*call, *LOOSE_FLAGS, cwd=tmp_path).returncode == 0
    before = contents(tmp_path / "out")
    other = segcli(*call, *LOOSE_FLAGS, "--max-masks=1", cwd=tmp_path)
    assert other.returncode == 2
    assert "max_masks: 4 there, 1 now" in other.stderr
    assert contents(tmp_path / "out") == before
    redone = segcli(*call, *LOOSE_FLAGS, "--max-masks=1", "--overwrite", cwd=tmp_path)
    assert redone.returncode == 0, redone.stderr
    (found,) = records((tmp_path / "out" / "segments.ndjson").read_text())
    assert len(found["segments"]) == 1


@pytest.mark.parametrize("name", ["labels/x.png", "coco.json", "overlay/x.png"])
def test_foreign_output_folder_is_left_alone(sam_dir, picture_folder, tmp_path, name):
    """A folder with results of someone else's is not written into."""
    foreign = tmp_path / "out" / name
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    flags = ["--format=labels", "--format=coco", "--overlay"]
    done = segcli("predict", "imgs", "-o", "out", "-m", sam_dir, *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert f"already holds '{name.split('/')[0]}'" in done.stderr
    assert foreign.read_text() == "mine"


def test_overwrite_removes_only_once_all_is_ready(sam_dir, picture_folder, tmp_path):
    """--overwrite that cannot start leaves earlier results; one that can removes all of them."""
    call = ["predict", "imgs/a", "-o", "out", "-m", sam_dir, *LOOSE_FLAGS]
    assert segcli(*call, "--format=coco", cwd=tmp_path).returncode == 0
    before = contents(tmp_path / "out")
    failed = segcli(*call, "--overwrite", "--device", "cuda:7", cwd=tmp_path)
    assert failed.returncode == 2
    assert contents(tmp_path / "out") == before
    import fcntl

    with (tmp_path / "out" / "manifest.json").open(), Folder(tmp_path / "out") as folder:
        fcntl.flock(folder, fcntl.LOCK_EX)
        busy = segcli(*call, "--overwrite", cwd=tmp_path)
        assert busy.returncode == 2
        assert "another segcli" in busy.stderr
    assert contents(tmp_path / "out") == before
    (tmp_path / "out" / "notes.txt").write_text("mine")
    redone = segcli(*call, "--format=labels", "--overwrite", cwd=tmp_path)
    assert redone.returncode == 0, redone.stderr
    assert set(contents(tmp_path / "out")) == {"labels/1.png", "notes.txt", "segments.ndjson"}


class Folder:
    """An open folder, for locking."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> int:
        self.handle = os.open(self.path, os.O_RDONLY)
        return self.handle

    def __exit__(self, *_) -> None:
        os.close(self.handle)


def test_a_changed_picture_is_done_again(sam_dir, picture_folder, tmp_path):
    """Another picture under the same name, even of the same size in bytes, is not skipped."""
    call = ["predict", "imgs", "-o", "out", "-m", sam_dir, *LOOSE_FLAGS, "--json"]
    for seed in (1, 2):
        Image.fromarray(blobs(seed)).save(picture_folder / "a" / "1.bmp")
        done = segcli(*call, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        summary = records(done.stdout)[-1]
        assert (summary["ok"], summary["skipped"]) == ((4, 0) if seed == 1 else (1, 3))


def test_other_inputs_join_a_folder(sam_dir, picture_folder, tmp_path):
    """A second run over other pictures adds its records; those of the first stay."""
    Image.fromarray(blobs(5)).save(tmp_path / "1.jpg")
    call = ["-o", "out", "-m", sam_dir, *LOOSE_FLAGS]
    assert segcli("predict", "imgs/a", *call, cwd=tmp_path).returncode == 0
    first = (tmp_path / "out" / "labels" / "1.png").read_bytes()
    assert segcli("predict", "1.jpg", *call, cwd=tmp_path).returncode == 0
    found = records((tmp_path / "out" / "segments.ndjson").read_text())
    assert {r["path"]: r["outputs"] for r in found} == {
        "1.png": ["labels/1.png"],
        "1.jpg": ["labels/1.jpg.png"],
    }
    assert (tmp_path / "out" / "labels" / "1.png").read_bytes() == first


def test_name_that_is_not_utf8(sam_dir, picture_folder, tmp_path):
    """A file name from another encoding is a picture like any other."""
    name = os.fsdecode(b"caf\xe9.png")
    Image.fromarray(blobs(5)).save(picture_folder / name)
    call = ["predict", "imgs", "-o", "out", "-m", sam_dir, *LOOSE_FLAGS, "--json"]
    done = segcli(*call, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert name in {r.get("path") for r in records(done.stdout)}
    assert records(segcli(*call, cwd=tmp_path).stdout)[-1]["skipped"] == 4


def test_full_standard_output(sam_dir, picture_folder, tmp_path):
    """A full device behind stdout is a named failure with exit code 3."""
    line = f"{sys.executable} -m segcli predict imgs -o - -m {sam_dir} > /dev/full"
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "cannot write to standard output" in done.stderr
    assert "bug" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imgs"], "no output"),
        (["nowhere", "-o", "out"], "nowhere"),
        (["imgs", "-o", "out", "--model", "tyni"], "did you mean 'tiny'"),
        (["imgs", "-o", "out", "--format", "label"], "did you mean 'labels'"),
        (["imgs", "-o", "out", "--points-per-side", "0"], "points-per-side"),
        (["imgs", "-o", "out", "--device", "tpu"], "tpu"),
        (["imgs", "-o", "out", "--preset", "nope"], "nope"),
        (["imgs", "-o", "out", "--backend", "transformers", "--single-mask"], "--single-mask"),
        (["imgs", "-o", "imgs/a/1.png"], "is a file"),
        (["imgs", "-o", "imgs"], "is the output folder"),
        (["imgs", "-o", ""], "no output"),
        (["imgs", "-o", "-", "--overlay"], "--overlay writes files"),
        (["imgs", "-o", "out", "-0"], "-0"),
        (["imgs", "-o", "out", "--device", "cpu:"], "cpu:"),
        (["imgs", "-o", "out", "--mask-threshold", "nan"], "mask-threshold"),
        (["imgs", "-o", "out", "--model", "foo bar/x"], "not a Hub id"),
    ],
)
def test_usage_errors(picture_folder, tmp_path, arguments, message):
    """What cannot be done is said before a model loads, with exit code 2 and no traceback."""
    done = segcli("predict", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_missing_model_is_said_quickly(picture_folder, tmp_path):
    """A model that is not here is an error with the way to get it, without loading torch."""
    environ = {**environment(), "HF_HOME": str(tmp_path / "hub")}
    environ.pop("HF_HUB_CACHE", None)
    code = (
        "import sys; from segcli.cli.app import app\n"
        "sys.argv = ['segcli', 'predict', 'imgs', '-o', 'out', '-m', 'sam-vit-base']\n"
        "try:\n    app()\nfinally:\n    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "segcli models pull sam-vit-base" in done.stderr


def test_dry_run_writes_nothing(sam_dir, picture_folder, tmp_path):
    """--dry-run prints the plan and leaves no trace."""
    done = segcli("predict", "imgs", "-o", "out", "-m", sam_dir, "-n", "--json", cwd=tmp_path)
    assert done.returncode == 0
    plan = json.loads(done.stdout)
    assert (plan["images"], plan["todo"]) == (3, 3)
    assert [i["path"] for i in plan["items"]] == ["a/1.png", "b/1.png", "b/2.jpg"]
    assert not (tmp_path / "out").exists()


def test_picture_on_standard_input(sam_dir, picture_folder, tmp_path):
    """A picture's bytes on stdin, records on stdout, nothing on disk."""
    data = (picture_folder / "a" / "1.png").read_bytes()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "segcli",
            "predict",
            "-",
            "-o",
            "-",
            "-m",
            str(sam_dir),
            *LOOSE_FLAGS,
        ],
        cwd=tmp_path,
        env=environment(),
        input=data,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, summary = records(done.stdout.decode())
    assert (first["path"], first["status"], summary["status"]) == ("stdin", "ok", "summary")
    assert [p.name for p in tmp_path.iterdir()] == ["imgs"]


def test_ctrl_c(sam_dir, picture_folder, tmp_path):
    """Ctrl-C ends with 130, no traceback, and what was finished is kept and continued."""
    for i in range(200):
        Image.fromarray(blobs(i, 40, 50)).save(picture_folder / f"{i:03}.png")
    call = ["predict", "imgs", "-o", "out", "-m", str(sam_dir), *LOOSE_FLAGS]
    process = subprocess.Popen(
        [sys.executable, "-m", "segcli", *call],
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        # Started from a background job, the tests would hand on an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    journal = tmp_path / "out" / "segments.ndjson"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    kept = journal.read_bytes().count(b"\n")
    plan = json.loads(segcli(*call, "-n", "--json", cwd=tmp_path).stdout)
    assert plan["todo"] == 203 - kept


@pytest.mark.parametrize("size", [1500, 6000])
def test_full_disk(sam_dir, picture_folder, tmp_path, size):
    """A disk that fills up ends the run with a message, and the same command continues."""
    limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    code = (
        f"{limit}\nimport signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from segcli.cli.app import app\nsys.argv = ['segcli', *sys.argv[1:]]\napp()\n"
    )
    for i in range(12):
        Image.fromarray(blobs(i)).save(picture_folder / f"{i}.png")
    call = ["predict", "imgs", "-o", "out", "-m", str(sam_dir), *LOOSE_FLAGS]
    full = subprocess.run(
        [sys.executable, "-c", code, *call],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert full.returncode == 3, full.stderr
    assert "error: cannot write" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list((tmp_path / "out").rglob("*.part"))
    done = segcli(*call, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(records((tmp_path / "out" / "segments.ndjson").read_text())) == 15


def test_coco_ids_come_from_the_ground_truth(sam_dir, picture_folder, tmp_path):
    """--gt gives COCO results the ids of the ground truth; a picture it lacks is an error."""
    images = [
        {"id": 70 + i, "file_name": n, "height": 48, "width": 64}
        for i, n in enumerate(["a/1.png", "b/1.png", "2.jpg"])
    ]
    gt = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    call = ["predict", "imgs", "-m", sam_dir, *LOOSE_FLAGS, "--format=coco", "--gt=gt.json"]
    done = segcli(*call, "-o", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert {r["image_id"] for r in results} == {70, 71, 72}
    Image.fromarray(blobs(0)).save(picture_folder / "other.png")
    missing = segcli(*call, "-o", "out2", cwd=tmp_path)
    assert missing.returncode == 2
    assert "other.png" in missing.stderr
