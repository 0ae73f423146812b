"""Settings: precedence, sources, and refusal of unknown names."""

from __future__ import annotations

import pytest

from segcli.config import Layers, preset_names, resolve
from segcli.errors import ConfigError
from segcli.evaluate import EvalConfig
from segcli.predict.settings import PredictSettings

BENCHMARKS = {"ade20k", "cityscapes", "voc"}


def effective(tmp_path, **options):
    options.setdefault("environ", {})
    return resolve("predict", PredictSettings, Layers(folder=tmp_path, **{"flags": {}, **options}))


def test_precedence(tmp_path):
    """Flag > environment > --config > ./segcli.toml > built-in, each with its source."""
    (tmp_path / "segcli.toml").write_text(
        "[predict]\npoints-per-side = 4\nmax-masks = 4\nmodel = 'project'\noverlay = true\n"
    )
    file = tmp_path / "mine.toml"
    file.write_text("[predict]\npoints_per_side = 3\nmax_masks = 3\nmodel = 'file'\n")
    resolved = effective(
        tmp_path,
        flags={"points_per_side": 1, "device": None},
        environ={"SEGCLI_MAX_MASKS": "2", "SEGCLI_POINTS_PER_SIDE": "2", "OTHER": "x"},
        config_file=str(file),
    )
    settings, sources = resolved.settings, resolved.sources
    assert (settings.points_per_side, sources["points_per_side"]) == (1, "flag")
    assert (settings.max_masks, sources["max_masks"]) == (2, "SEGCLI_MAX_MASKS")
    assert (settings.model, sources["model"]) == ("file", str(file))
    assert (settings.overlay, sources["overlay"]) == (True, "segcli.toml")
    assert (settings.device, sources["device"]) == ("auto", "built-in")


def test_environment_values_are_typed(tmp_path):
    """Text from the environment becomes numbers, switches and lists."""
    environ = {
        "SEGCLI_PRED_IOU_THRESH": "0.5",
        "SEGCLI_EXIF": "no",
        "SEGCLI_FORMAT": "labels, coco",
    }
    settings = effective(tmp_path, environ=environ).settings
    assert (settings.pred_iou_thresh, settings.exif) == (0.5, False)
    assert settings.format == ("labels", "coco")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[predict]\npoints-per-sid = 4\n", "points-per-sid"),
        ("[predikt]\n", "predikt"),
        ("[predict]\npoints-per-side = 'many'\n", "whole number"),
        ("[predict]\npoints-per-side = true\n", "whole number"),
        ("[predict]\nmodel = 4\n", "model"),
        ("[predict]\nbackend = 'torch'\n", "backend"),
        ("[predict\n", "TOML"),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, message):
    """Unknown names, wrong types and broken files are errors that name the culprit."""
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        effective(tmp_path, config_file=str(file))


def test_closest_match_is_offered(tmp_path):
    """A misspelt setting comes with the right one."""
    file = tmp_path / "wrong.toml"
    file.write_text("[predict]\npoints-per-sid = 4\n")
    with pytest.raises(ConfigError) as caught:
        effective(tmp_path, config_file=str(file))
    assert "points_per_side" in caught.value.fix


def test_misspelt_variable(tmp_path):
    """An environment variable that is nearly a setting is an error, not ignored."""
    with pytest.raises(ConfigError, match="SEGCLI_POINTS_PER_SIDES"):
        effective(tmp_path, environ={"SEGCLI_POINTS_PER_SIDES": "9"})


def test_unknown_preset(tmp_path):
    """A preset that does not exist is an error."""
    with pytest.raises(ConfigError, match="nope"):
        effective(tmp_path, preset="nope")


@pytest.mark.parametrize("name", preset_names())
def test_shipped_presets_load(tmp_path, name):
    """Every preset in configs/ changes a command's settings; a command it leaves alone refuses."""
    layers = Layers({}, preset=name, environ={}, folder=tmp_path)
    own, other = ("predict", PredictSettings), ("eval", EvalConfig)
    if name in BENCHMARKS:
        own, other = other, own
    assert f"preset {name}" in resolve(*own, layers).sources.values()
    with pytest.raises(ConfigError, match="has no settings for"):
        resolve(*other, layers)
