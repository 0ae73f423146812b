"""Gates decide the verdict, its line and the exit code."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from segcli.errors import InputError, UsageError
from segcli.evaluate import Evaluation, Failure, decide, parse_gates, read_baseline, score_names

NAMES = ["miou.pooled", "iou.pooled", "distance"]


def evaluation(failures=(), **metrics) -> Evaluation:
    return Evaluation("binary", metrics, {}, {}, {}, {}, failures=tuple(failures))


def verdict(found: Evaluation, **words):
    asked = {"under": [], "over": [], "max_drop": [], "baseline": None, **words}
    return decide(found, parse_gates(**asked, names=NAMES))


CASES = [
    ({"under": ["miou=0.75"]}, 0.75, 0),
    ({"under": ["miou=0.75"]}, 0.7499, 4),
    ({"under": ["miou.pooled=0.75"]}, math.nan, 4),
    ({"over": ["miou=0.5"]}, 0.5, 0),
    ({"over": ["miou=0.5"]}, 0.51, 4),
    ({"over": ["miou=0.5"]}, math.nan, 4),
    ({"max_drop": ["miou=0.01"], "baseline": {"miou.pooled": 0.76}}, 0.75, 0),
    ({"max_drop": ["miou=0.01"], "baseline": {"miou.pooled": 0.76}}, 0.7499, 4),
    ({"max_drop": ["miou=0"], "baseline": {"miou.pooled": 0.76}}, 0.8, 0),
    ({}, 0.0, 0),
]


@pytest.mark.parametrize(("words", "value", "code"), CASES)
def test_a_limit_is_reached_or_not(words, value, code):
    """At the limit passes, past it fails, undefined always fails; rounding does not decide."""
    found = verdict(evaluation(**{"miou.pooled": value}), **words)
    assert found.exit_code == code
    assert all(gate.met == (code == 0) for gate in found.gates)
    assert ("not met: miou.pooled" in found.line) == (code == 4)


def test_failed_images_weigh_more_than_gates():
    """When images failed and a gate was missed the exit code is 3, and both are said."""
    failure = Failure("a", "a.png", "a.png", "broken")
    found = verdict(evaluation([failure], **{"iou.pooled": 0.1}), under=["iou.pooled=0.5"])
    assert found.exit_code == 3
    assert "1 images failed" in found.line
    assert "not met" in found.line


def test_an_undefined_score_is_null_in_the_record():
    """A gate on NaN gives valid JSON."""
    found = verdict(evaluation(distance=math.nan), over=["distance=8"])
    assert json.loads(json.dumps(found.records(), allow_nan=False))[0]["value"] is None


MISTAKES = [
    ({"under": ["mious=0.7"]}, "miou.pooled"),
    ({"over": ["distanec=0.7"]}, "distance"),
    ({"under": ["miou"]}, "METRIC=NUMBER"),
    ({"under": ["miou=high"]}, "METRIC=NUMBER"),
    ({"under": ["miou=nan"]}, "METRIC=NUMBER"),
    ({"max_drop": ["miou=0.1"]}, "--baseline"),
    ({"baseline": {"miou.pooled": 0.5}}, "--max-drop"),
    ({"max_drop": ["miou=0.1"], "baseline": {"miou.pooled": None}}, "no number"),
    ({"max_drop": ["miou=0.1"], "baseline": {}}, "no number"),
]


@pytest.mark.parametrize(("words", "hint"), MISTAKES)
def test_a_malformed_gate_is_a_usage_error(words, hint):
    """Unknown metrics name the closest one; all mistakes are found before anything is scored."""
    with pytest.raises(UsageError) as caught:
        verdict(evaluation(), **words)
    assert hint in f"{caught.value.message} {caught.value.why} {caught.value.fix}"


def test_a_name_that_means_two_scores_is_a_usage_error():
    """IoU without its average is refused, and both are named."""
    with pytest.raises(UsageError, match="'iou' is given in two ways") as caught:
        parse_gates(["iou=0.9"], [], [], None, [*NAMES, "iou.mean_of_images"])
    assert "iou.mean_of_images" in caught.value.why
    assert caught.value.fix == "--fail-under iou.pooled=0.9"


def test_a_baseline_is_read_from_an_earlier_result(tmp_path: Path):
    """The nested metrics of `--json` become dotted names again."""
    result = evaluation(**{"iou.pooled": 0.5, "ap": 0.25, "foreground.iou.pooled": math.nan})
    path = tmp_path / "previous.json"
    path.write_text(json.dumps(result.to_json()))
    assert read_baseline(str(path)) == {
        "iou.pooled": 0.5,
        "ap": 0.25,
        "foreground.iou.pooled": None,
    }


@pytest.mark.parametrize("content", [None, "{", "[]", '{"schema": "other/1"}'])
def test_what_is_no_result_is_no_baseline(tmp_path: Path, content):
    """A missing, malformed or foreign file is refused by name."""
    path = tmp_path / "previous.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=r"previous\.json"):
        read_baseline(str(path))


@pytest.mark.parametrize("protocol", ["binary", "semantic", "instance"])
def test_every_score_can_be_a_gate(protocol):
    """Each protocol's names are unique, and a path in the JSON: none is a prefix of another."""
    names = score_names(protocol)
    assert len(set(names)) == len(names)
    assert not [(a, b) for a in names for b in names if b.startswith(f"{a}.")]
    parse_gates([f"{name}=0.5" for name in names], [], [], None, names)


def test_a_drop_of_an_error_is_no_loss():
    """`--max-drop` on a score that is the better the lower it is would guard against gains."""
    with pytest.raises(UsageError, match="the better the lower") as caught:
        parse_gates([], [], ["distance=1"], {"distance": 5.0}, NAMES, {"distance"})
    assert caught.value.fix == "--fail-over distance=LIMIT"
