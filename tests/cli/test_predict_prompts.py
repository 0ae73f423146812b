"""`segcli predict` asked for single objects, as a user runs it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import environment, segcli
from PIL import Image

from segcli.formats import open_source
from segcli.masks.points import central_point
from segcli.masks.rle import decode
from segcli.metrics.points import targets

LINES = [
    {"path": "a/1.png", "points": [[20, 15], [30, 20]], "labels": [1, 0], "category": "cell"},
    {"path": "b/1.png", "boxes": [[5, 5, 30, 30], [20, 10, 60, 40]], "ids": [7, 3]},
]


def segments(text: str) -> dict[str, list[dict]]:
    found = [json.loads(line) for line in text.splitlines()]
    return {r["path"]: r["segments"] for r in found if r.get("status") == "ok"}


def test_points_of_one_picture(sam_dir, picture_folder, tmp_path):
    """Points make one object, boxes one each; the records say what was asked, in its order."""
    call = ["predict", "imgs/a/1.png", "-o", "-", "-m", sam_dir]
    done = segcli(*call, "--point", "20,15", "--point", "30,20,0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    ((one,),) = segments(done.stdout).values()
    assert one["prompt"] == {"points": [[20.0, 15.0, 1], [30.0, 20.0, 0]], "box": None}
    assert one["point"] == [20.0, 15.0]
    assert one["score"] == one["predicted_iou"]
    flags = ["--point", "0.5,0.5", "--normalized", "--multimask", "all"]
    (three,) = segments(segcli(*call, *flags, cwd=tmp_path).stdout).values()
    assert [s["point"] for s in three] == [[32.0, 24.0]] * 3
    boxes = ["--box", "10,10,30,30", "--box", "20,5,60,40", "--clip-to-box", "--cascade", "1"]
    (two,) = segments(segcli(*call, *boxes, cwd=tmp_path).stdout).values()
    assert [s["prompt"]["box"] for s in two] == [[10, 10, 30, 30], [20, 5, 60, 40]]
    for segment, (x0, y0, x1, y1) in zip(two, [(10, 10, 30, 30), (20, 5, 60, 40)], strict=True):
        x, y, width, height = segment["bbox"]
        assert not segment["area"] or (x0 <= x and y0 <= y and x + width <= x1 and y + height <= y1)


def test_prompts_of_a_folder(sam_dir, picture_folder, tmp_path):
    """A file of prompts goes to every format, resumes, and other prompts are other settings."""
    file = tmp_path / "prompts.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    formats = ["labels", "masks", "amg", "sa1b", "coco", "coco-dataset", "yolo"]
    flags = [f"--format={name}" for name in formats]
    call = ["predict", "imgs", "-o", "out", "-m", sam_dir, "--prompts", file, *flags, "--overlay"]
    done = segcli(*call, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = segments(done.stdout)
    assert [len(found[path]) for path in ("a/1.png", "b/1.png", "b/2.jpg")] == [1, 2, 0]
    assert (found["a/1.png"][0]["category"], found["a/1.png"][0]["category_name"]) == (1, "cell")
    assert [s["id"] for s in found["b/1.png"]] == [7, 3]
    (annotated,) = json.loads((tmp_path / "out/sa1b/a/1.json").read_text())["annotations"]
    assert annotated["point_coords"] == [[20.0, 15.0]]
    dataset = json.loads((tmp_path / "out/coco-dataset.json").read_text())
    assert {"id": 1, "name": "cell"} in dataset["categories"]
    stored = open_source(str(tmp_path / "out")).read("a/1.png").segments[0]
    assert stored.prompt_points == ((20.0, 15.0, 1), (30.0, 20.0, 0))
    assert open_source(str(tmp_path / "out")).read("b/1.png").segments[0].prompt_box_xyxy == (
        5, 5, 30, 30,
    )  # fmt: skip
    again = segcli(*call, cwd=tmp_path)
    assert again.returncode == 0
    assert "3 done before" in again.stderr
    file.write_text(file.read_text().replace("[20, 15]", "[21, 15]"))
    refused = segcli(*call, cwd=tmp_path)
    assert refused.returncode == 2
    assert "prompts: 'sha256:" in refused.stderr


def test_list_of_pictures_with_prompts(sam_dir, picture_folder, tmp_path):
    """NDJSON on standard input is the list and what to ask; all kinds of file mean the same."""
    lines = "".join(json.dumps({**line, "path": f"imgs/{line['path']}"}) + "\n" for line in LINES)
    call = [sys.executable, "-m", "segcli", "predict", "-o", "-", "-m", str(sam_dir)]
    piped = subprocess.run(
        [*call, "--files-from", "-"], input=lines, cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert piped.returncode == 0, piped.stderr
    found = segments(piped.stdout)
    assert [len(found[path]) for path in ("a/1.png", "b/1.png")] == [1, 2]
    with (tmp_path / "p.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "x", "y", "label", "x0", "y0", "x1", "y1", "object", "category"])
        table.writerow(["a/1.png", 20, 15, 1, "", "", "", "", "o", "cell"])
        table.writerow(["a/1.png", 30, 20, 0, "", "", "", "", "o", "cell"])
        for box, number in zip(LINES[1]["boxes"], LINES[1]["ids"], strict=True):
            table.writerow(["b/1.png", "", "", "", *box, number, ""])
    by_table = segcli(
        "predict", "imgs", "-o", "-", "-m", sam_dir, "--prompts", "p.csv", cwd=tmp_path
    )
    assert {k: v for k, v in segments(by_table.stdout).items() if v} == found


def test_prompt_outside_of_a_picture(sam_dir, picture_folder, tmp_path):
    """It is that picture's error, with file and line; the others are done, and the code is 3."""
    (tmp_path / "p.csv").write_text("path,x,y\na/1.png,20,15\nb/1.png,64,15\n")
    done = segcli("predict", "imgs", "-o", "-", "-m", sam_dir, "--prompts", "p.csv", cwd=tmp_path)
    assert done.returncode == 3
    records = {r["path"]: r for r in map(json.loads, done.stdout.splitlines()) if "path" in r}
    assert [records[p]["status"] for p in ("a/1.png", "b/1.png", "b/2.jpg")] == [
        "ok",
        "error",
        "ok",
    ]
    error = records["b/1.png"]["error"]
    assert "64,15 lies outside of the picture of 64x48" in error["message"]
    assert "p.csv line 3" in error["why"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imgs", "--point", "1,1"], "3 were given"),
        (["imgs/a/1.png", "--box", "5,5,5,9"], "has no area"),
        (["imgs", "--prompts", "nowhere.csv"], "no such file of prompts"),
        (["imgs", "--prompts", "bad.csv"], "bad.csv line 2: 'x.png' is none of the 3 pictures"),
        (["imgs/a/1.png", "--point", "1,1", "--prompts", "bad.csv"], "and from --prompts"),
        (["imgs", "--each-point"], "nothing is asked for"),
        (["imgs", "--normalized"], "nothing is asked for"),
        (["imgs", "--cascade", "2"], "nothing is asked for"),
        (["imgs", "--multimask", "best"], "nothing is asked for"),
        (["imgs", "--clip-to-box"], "nothing is asked for"),
        (["imgs", "--multimask", "all", "--single-mask"], "contradict"),
        (["imgs/a/1.png", "--point", "1,1", "--points-per-side", "4"], "not for prompts"),
        (["imgs/a/1.png", "--point", "1,1", "--backend", "transformers"], "--backend"),
        (["imgs/a/1.png", "--point", "1,1", "--multimask", "bets"], "did you mean 'best'"),
        (["imgs/a/1.png", "--point", "1,1", "--cascade", "1", "--multimask", "all"], "exclude"),
        (["imgs/a/1.png", "--point", "1,1", "-m", "tiny-panoptic"], "cannot be prompted"),
    ],
)
def test_usage_errors(picture_folder, tmp_path, arguments, message):
    """What cannot be asked is said before a model loads, with exit code 2 and no traceback."""
    (tmp_path / "bad.csv").write_text("path,x,y\nx.png,1,1\n")
    done = segcli("predict", *arguments, "-o", "-", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_nuclei_prompted_from_ground_truth(shared_data, tmp_path):
    """Real pictures: prompts in a file, masks, scores; as if eval had prompted the model itself."""
    data = shared_data / "nuclei" / "test"
    names = sorted(path.stem for path in (data / "labels").glob("*.png"))[:2]
    truth = open_source(str(data / "labels"))
    for name in names:
        for kind in ("images", "labels"):
            (tmp_path / kind).mkdir(exist_ok=True)
            (file,) = (data / kind).glob(f"{name}.*")
            (tmp_path / kind / file.name).symlink_to(file)
    points, boxes = [], []
    for key in (k for k in list(truth.keys()) if k.rpartition(".")[0] in names):
        objects = targets(truth.read(key))
        picture = next(p.name for p in (tmp_path / "images").iterdir() if p.stem == key[:-4])
        asked = [
            {"points": [list(central_point(decode(o.mask)))], "id": int(o.id)} for o in objects
        ]
        points.append({"path": picture, "objects": asked})
        corners = [[x, y, x + w, y + h] for x, y, w, h in (o.box_xywh for o in objects)]
        boxes.append({"path": picture, "boxes": corners, "ids": [int(o.id) for o in objects]})
    for name, lines in (("points", points), ("boxes", boxes)):
        (tmp_path / f"{name}.ndjson").write_text("\n".join(map(json.dumps, lines)))
        which = "all" if name == "points" else "best"
        flags = ["--prompts", f"{name}.ndjson", "--multimask", which]
        done = segcli("predict", "images", "-o", name, *flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    scores = []
    for pred in ("points", "images", "boxes"):
        flags = ["--model", "tiny"] if pred == "images" else []
        done = segcli(
            "eval", pred, "labels", "--protocol", "points", "--json", *flags, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        scores.append(json.loads(done.stdout)["metrics"])
    from_points, by_eval, from_boxes = scores
    assert from_points == by_eval
    by_box, by_point = (m["single_point_miou"]["pooled"] for m in (from_boxes, by_eval))
    assert by_box > by_point > 0.5
    refused = segcli(
        "eval", "points", "labels", "--protocol", "points", "--model", "tiny", cwd=tmp_path
    )
    assert refused.returncode == 2
    assert "holds answers already" in refused.stderr


def test_masks_as_prompts(sam_dir, picture_folder, tmp_path):
    """A mask from a file is a prompt; one of another size is an error of the picture."""
    Image.fromarray(np.eye(48, 64, dtype=np.uint8) * 255).save(tmp_path / "m.png")
    call = ["predict", "imgs/a/1.png", "-o", "-", "-m", sam_dir, "--mask", "m.png"]
    done = segcli(*call, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(segments(done.stdout)["1.png"]) == 1
    Image.fromarray(np.eye(9, dtype=np.uint8) * 255).save(tmp_path / "m.png")
    done = segcli(*call, cwd=tmp_path)
    assert done.returncode == 3
    assert "the mask asked with is 9x9" in done.stdout
