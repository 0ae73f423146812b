"""Settings of prompts: layers and what is refused."""

from __future__ import annotations

import pytest

from segcli.errors import ConfigError, ModelError
from segcli.models.answer_settings import AnswerSettings, answer_settings
from segcli.models.catalog import find


def test_later_layers_win():
    """The model's own defaults hold until something is given."""
    own = find("tiny").prompt_defaults
    assert answer_settings(own) == AnswerSettings(clip_to_box=True, connected=True)
    later = {"clip_to_box": False, "connected": False, "cascade": 2}
    assert answer_settings(own, later) == AnswerSettings(cascade=2)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"multimask": "bets"}, "did you mean 'best'"),
        ({"cascade": -1}, "cascade"),
        ({"cascade": 101}, "cascade"),
        ({"points_per_batch": -1}, "points-per-batch"),
        ({"cascade": 1, "multimask": "all"}, "exclude each other"),
        ({"clip": True}, "did you mean 'clip_to_box'"),
    ],
)
def test_refused(values, said):
    """Values without meaning are named."""
    with pytest.raises(ConfigError) as caught:
        answer_settings(values)
    assert said in f"{caught.value.message} {caught.value.fix}"


def test_wrong_settings_of_a_model_are_said(sam_dir, tmp_path):
    """A segcli.json with an unknown setting of prompts is an error that names the file."""
    folder = tmp_path / "model"
    folder.mkdir()
    for file in sam_dir.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "segcli.json").write_text('{"prompt": {"clip_box": true}}')
    with pytest.raises(ModelError, match=r"segcli\.json"):
        find(str(folder))
