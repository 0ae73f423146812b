"""What the files of a checkpoint say of its classes."""

from __future__ import annotations

import json

import pytest

from segcli.errors import ConfigError, ModelError
from segcli.formats.classes import read_class_list
from segcli.models.catalog import find
from segcli.models.classes.facts import class_facts, kept_categories, matching_list
from segcli.models.classes.settings import ClassSettings, class_settings


def config(names) -> dict:
    return {"model_type": "mask2former", "id2label": {str(i): n for i, n in enumerate(names)}}


def test_things_of_known_data_sets():
    """Cityscapes' names tell which classes are things; other names tell nothing."""
    listed = read_class_list("cityscapes-trainids")
    names = [name for n, name in sorted(listed.evaluated.items())]
    facts = class_facts("x", config(names), {})
    assert {facts.categories[n] for n in facts.things} == {
        "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    }  # fmt: skip
    assert class_facts("x", config(["widget", "gadget"]), {}).things is None
    assert matching_list([]) is None


def test_coco_panoptic_things():
    """COCO's 133 panoptic classes: the first 80 are things."""
    listed = read_class_list("coco-panoptic")
    assert len(listed.names) == 133
    assert len(listed.things) == 80
    names = list(listed.names.values())
    facts = class_facts("x", config(names), {})
    assert facts.things == frozenset(range(80))


def test_card_overrules():
    """segcli.json names task, things, classes and the first class id."""
    card = {"task": "instance", "tasks": ["instance", "panoptic"], "things": ["b"],
            "first_class_id": 5}  # fmt: skip
    facts = class_facts("x-semantic", config(["a", "b"]), card)
    assert (facts.task, facts.tasks) == ("instance", ("instance", "panoptic"))
    assert facts.categories == {5: "a", 6: "b"}
    assert facts.things == {6}
    with pytest.raises(ModelError, match="unknown task"):
        class_facts("x", config(["a"]), {"task": "boxes"})
    with pytest.raises(ModelError, match="none of its own"):
        class_facts("x", config(["a"]), {"task": "semantic", "tasks": ["panoptic"]})


def test_kept_classes_by_name_and_id():
    """Names whatever their case, ids, commas; an unknown one is met with the closest name."""
    facts = class_facts("x", config(["wall", "sky, blue", "traffic_light"]), {})
    assert kept_categories(facts, ()) is None
    assert kept_categories(facts, ("Wall", "traffic light")) == (0, 2)
    assert kept_categories(facts, ("sky, blue",)) == (1,)
    assert kept_categories(facts, ("wall,2",)) == (0, 2)
    with pytest.raises(ConfigError, match="no class 'wal'") as caught:
        kept_categories(facts, ("wal",))
    assert "wall" in caught.value.fix
    with pytest.raises(ConfigError, match="no class '7'"):
        kept_categories(facts, ("7",))


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": 1.5}, {"mask_threshold": -0.1}, {"window": 5}, {"window_overlap": 1.0},
     {"task": "all"}, {"no_such": 1}],
)  # fmt: skip
def test_settings_out_of_range(wrong):
    """A value without meaning is refused and named."""
    with pytest.raises(ConfigError) as caught:
        class_settings(wrong)
    assert next(iter(wrong)).replace("_", "-") in str(caught.value).replace("_", "-")
    assert class_settings() == ClassSettings()


def test_a_model_that_makes_no_masks(tmp_path):
    """Other models are refused with the families that would work."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="makes no masks") as caught:
        find(str(tmp_path))
    assert "mask2former" in caught.value.why
    assert "segformer" in caught.value.why
