"""The smaller commands: models, config, doctor, convert, version, completion."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from helpers import environment, segcli
from PIL import Image

import segcli as package


def test_version():
    """--version prints name and number on stdout."""
    done = segcli("--version")
    assert (done.returncode, done.stdout) == (0, f"segcli {package.__version__}\n")


def test_models_list_and_info():
    """The catalogue names sizes and licences; info tells where the bundled model lies."""
    listed = json.loads(segcli("models", "list", "--json").stdout)["models"]
    by_name = {m["name"]: m for m in listed}
    assert by_name["tiny"]["present"]
    assert all(m["licence"] and m["megabytes"] for m in listed)
    assert "sam-vit-base" in segcli("models", "list").stdout
    info = json.loads(segcli("models", "info", "tiny", "--json").stdout)
    assert info["weights"].startswith("sha256:")
    assert info["generate"]["multimask"] is False
    assert info["prompts"]["clip_to_box"] is True
    told = segcli("models", "info", "tiny").stdout
    assert "tasks: everything, prompts" in told
    assert "multimask: single" in told
    unknown = segcli("models", "info", "tyni")
    assert unknown.returncode == 2
    assert "did you mean 'tiny'" in unknown.stderr


def test_models_info_before_it_is_fetched():
    """What the catalogue knows of a model that is not here: size, licence, tasks, defaults."""
    done = segcli("models", "info", "sam3", "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["present"], facts["hub_id"]) == (0, False, "facebook/sam3")
    assert facts["tasks"] == ["everything", "prompts", "words"]
    assert facts["generate"]["pred_iou_thresh"] == 0.8
    assert "segcli models pull sam3" in done.stderr


def test_models_list_breaks_no_names(monkeypatch):
    """In a narrow terminal every checkpoint and short name can still be copied."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = segcli("models", "list").stdout
    listed = json.loads(segcli("models", "list", "--json").stdout)
    names = [m["name"] for m in listed["models"]] + [f["type"] for f in listed["families"]]
    names += [f["example"] for f in listed["families"] if f["example"]]
    assert not [name for name in names if name not in shown]
    rows = {m["name"]: m for m in listed["models"]}
    assert rows["tiny-panoptic"]["tasks"] == ["semantic", "instance", "panoptic"]
    assert rows["sam3"]["family"] == "sam3_tracker"


def test_models_pull_offline():
    """Pulling without a network is an error with a way out, not a traceback or a hang."""
    done = segcli("models", "pull", "sam-vit-base")
    assert done.returncode == 2
    assert "could not download" in done.stderr
    assert "Traceback" not in done.stderr


def test_config_show(tmp_path):
    """Every effective setting with its source, for people and for programs."""
    (tmp_path / "segcli.toml").write_text("[predict]\nmax-masks = 7\n")
    shown = segcli("config", "show", cwd=tmp_path).stdout
    assert "max-masks = 7   # segcli.toml" in shown
    rows = json.loads(segcli("config", "show", "--json", cwd=tmp_path).stdout)["predict"]
    assert rows["max-masks"] == {"value": 7, "source": "segcli.toml"}
    assert rows["model"] == {"value": "tiny", "source": "built-in"}
    evaluation = json.loads(segcli("config", "show", "eval", "--json", cwd=tmp_path).stdout)
    assert evaluation["eval"]["protocol"]["source"] == "built-in"
    assert segcli("config", "show", "predikt").returncode == 2


def test_presets_are_listed():
    """The presets that `--preset` takes."""
    assert "fast" in segcli("config", "presets").stdout.split()


def test_doctor():
    """A sound installation is said to be one."""
    done = segcli("doctor", "--json")
    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout)
    assert report["ok"]
    assert {"torch", "transformers"} <= {c["name"] for c in report["checks"]}


@pytest.mark.parametrize("target", ["masks", "coco-dataset", "yolo", "amg", "sa1b"])
def test_convert(tmp_path, target):
    """Label maps become any other format, and what is lost is said."""
    labels = np.zeros((20, 30), np.uint16)
    labels[2:9, 3:12] = 1
    labels[10:18, 15:28] = 2
    (tmp_path / "gt" / "a").mkdir(parents=True)
    Image.fromarray(labels).save(tmp_path / "gt" / "a" / "x.png")
    done = segcli("convert", "gt", "new", "--to", target, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 images, 2 segments" in done.stderr
    back = segcli("convert", "new", "back", "--to", "labels", cwd=tmp_path)
    if target == "yolo":
        assert "cannot hold everything" in done.stderr
        return
    assert back.returncode == 0, back.stderr
    (found,) = (tmp_path / "back").rglob("*.png")
    assert np.array_equal(np.asarray(Image.open(found)), labels)


def test_unknown_option_names_the_closest():
    """A misspelt option is a usage error with the right one."""
    done = segcli("predict", "--modle", "tiny")
    assert done.returncode == 2
    assert "--model" in done.stderr


def test_completion_is_light():
    """Shell completion answers without numpy or torch."""
    code = (
        "import sys, atexit\n"
        "from segcli.cli.app import app\n"
        "sys.argv = ['segcli']\n"
        "def check():\n"
        "    assert not {'torch', 'numpy'} & set(sys.modules), 'heavy'\n"
        "    print('light')\n"
        "atexit.register(check)\n"
        "app(prog_name='segcli')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(_SEGCLI_COMPLETE="complete_bash", COMP_WORDS="segcli pre", COMP_CWORD="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "predict" in done.stdout
    assert "light" in done.stdout
