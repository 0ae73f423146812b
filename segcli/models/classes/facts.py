"""What a class-aware checkpoint can do and which classes it knows, told by its files alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segcli.errors import ConfigError, ModelError, closest
from segcli.formats.classes import ClassList, class_list_names, read_class_list
from segcli.models.classes.families import ClassFamily, class_family
from segcli.models.classes.settings import TASKS, Task

__all__ = ["ClassFacts", "class_facts", "kept_categories", "matching_list"]

_WORDS = re.compile(r"[^a-z0-9]+")
# A list names a model's classes when it has at least this share of them.
_ALIKE = 0.95


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """A class-aware checkpoint.

    Attributes:
        family: its family.
        tasks: what it can be asked for.
        task: what it was trained for.
        why: what says so.
        categories: name by category id, in the order of the model's labels.
        things: category ids of countable things; None: nothing says which are.
        offset: category id of the model's label 0; the others follow.
    """

    family: ClassFamily
    tasks: tuple[Task, ...]
    task: Task
    why: str
    categories: Mapping[int, str]
    things: frozenset[int] | None
    offset: int = 0


def class_facts(name: str, config: Mapping[str, Any], card: Mapping[str, Any]) -> ClassFacts | None:
    """What a model directory says of itself.

    The task it was trained for is, in this order: the ``task`` of segcli.json; semantic, where the
    family has no other; the one of the words semantic, instance and panoptic that stands in the
    model's name; panoptic. A model trained on classes alone, or on objects alone, can do nothing
    else; ``tasks`` of segcli.json overrules that. Things are those of segcli.json, or of the class
    list of segcli (COCO, Cityscapes, …) whose names the model's classes have.

    Args:
        name: how the model was asked for.
        config: its config.json, with its image processor's as `image_processor`.
        card: its segcli.json, or empty.

    Returns:
        None when the model is not class-aware.

    Raises:
        ModelError: the files contradict themselves.
    """
    family = class_family(config)
    if family is None:
        return None
    task, why = _trained_for(family, name, config, card)
    tasks = family.tasks if task == "panoptic" or family.name == "oneformer" else (task,)
    if "tasks" in card:
        tasks = tuple(t for t in TASKS if t in card["tasks"])
    if task not in tasks:
        raise ModelError(
            f"model '{name}' is said to be for the task '{task}', which is none of its own",
            why=f"a {family.name} model can do {', '.join(family.tasks)}",
            fix="correct task and tasks in its segcli.json",
        )
    offset = int(card.get("first_class_id", 0))
    categories = {label + offset: text for label, text in _labels(name, config, card).items()}
    return ClassFacts(family, tasks, task, why, categories, _things(categories, card), offset)


def _trained_for(
    family: ClassFamily, name: str, config: Mapping[str, Any], card: Mapping[str, Any]
) -> tuple[Task, str]:
    stated = card.get("task")
    if stated is not None:
        if stated not in TASKS:
            raise ModelError(
                f"segcli.json of model '{name}' has the unknown task '{stated}'",
                fix=f"one of {', '.join(TASKS)}",
            )
        return stated, "its segcli.json says so"
    if family.tasks == ("semantic",):
        return "semantic", f"{family.name} gives each pixel a class"
    if (config.get("image_processor") or {}).get("do_split_image"):
        return "semantic", "its processor splits pictures, as models of classes alone do"
    for text in (name, str(config.get("_name_or_path", ""))):
        words = _WORDS.split(text.lower().rpartition("/")[2])
        if found := [task for task in TASKS if task in words]:
            return found[0], f"its name says {found[0]}"
    return "panoptic", f"what {family.name} models are for, where nothing else is said"


def _labels(name: str, config: Mapping[str, Any], card: Mapping[str, Any]) -> dict[int, str]:
    """Name by label, from 0; numbers where nothing names them."""
    listed = card.get("classes")
    if listed is None:
        given = config.get("id2label") or {}
        listed = {int(number): str(text) for number, text in given.items()}
    elif not isinstance(listed, Mapping):
        listed = dict(enumerate(str(text) for text in listed))
    else:
        listed = {int(number): str(text) for number, text in listed.items()}
    if config.get("_model_class") and "encoder_name" in config:
        count = int(config.get("classes", 1))
        # One channel is the foreground; the background is the absence of it.
        count = 2 if count == 1 else count
        default = {0: "background", 1: "foreground"} if count == 2 else {}
        listed = listed or {i: default.get(i, f"class_{i}") for i in range(count)}
        if len(listed) != count:
            raise ModelError(
                f"segcli.json of model '{name}' names {len(listed)} classes, and it has {count}",
                fix="list each class, background first",
            )
    count = int(config.get("num_labels") or 0) if not listed else 0
    return dict(sorted(listed.items())) or {i: f"LABEL_{i}" for i in range(count or 2)}


def _things(categories: Mapping[int, str], card: Mapping[str, Any]) -> frozenset[int] | None:
    stated = card.get("things")
    if stated is not None:
        return frozenset(n for n, text in categories.items() if text in stated or n in stated)
    known = matching_list(categories.values())
    if known is None or known.things is None:
        return None
    things = {_plain(known.names[n]) for n in known.things}
    return frozenset(n for n, text in categories.items() if _plain(text) in things)


def matching_list(names: Sequence[str] | Any) -> ClassList | None:  # noqa: ANN401 (any iterable)
    """The class list of segcli that has nearly all of these names; the shortest one, or None."""
    wanted = {_plain(text) for text in names}
    found = []
    for known in class_list_names():
        listed = read_class_list(known)
        have = {_plain(text) for text in listed.names.values()}
        if wanted and len(wanted & have) >= _ALIKE * len(wanted):
            found.append((len(have), known, listed))
    return min(found, key=lambda entry: entry[:2])[2] if found else None


def _plain(text: str) -> str:
    return text.strip().casefold().replace("_", " ")


def kept_categories(facts: ClassFacts, wanted: Sequence[str]) -> tuple[int, ...] | None:
    """The category ids that ``--classes`` names, or None for all.

    Args:
        facts: the model's classes.
        wanted: names, whatever their case, or ids; each may join several by commas.

    Raises:
        ConfigError: the model has no such class.
    """
    if not wanted:
        return None
    by_name = {_plain(text): number for number, text in facts.categories.items()}
    kept = set()
    for entry in (part.strip() for text in wanted for part in _parts(text, by_name)):
        number = by_name.get(_plain(entry))
        if number is None and entry.isdecimal() and int(entry) in facts.categories:
            number = int(entry)
        if number is None:
            names = list(facts.categories.values())
            raise ConfigError(
                f"--classes: the model has no class '{entry}'",
                why=f"it has {len(names)}: {', '.join(names[:8])}{', …' if names[8:] else ''}",
                fix=closest(_plain(entry), by_name) or "segcli models info NAME lists them",
            )
        kept.add(number)
    return tuple(sorted(kept))


def _parts(text: str, by_name: Mapping[str, int]) -> list[str]:
    """A text at its commas, unless it is a class's name as it is."""
    return [text] if _plain(text) in by_name else [p for p in text.split(",") if p.strip()]
