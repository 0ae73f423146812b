"""Which settings and formats a class-aware run has."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from segcli.errors import ConfigError, UsageError
from segcli.formats.classes import read_class_list
from segcli.models.catalog import ModelRef
from segcli.models.classes.facts import ClassFacts, kept_categories, renumbered
from segcli.models.classes.families import UNET
from segcli.models.classes.settings import ClassSettings, class_settings
from segcli.models.settings import GenerateSettings
from segcli.predict.settings import PredictSettings

__all__ = ["chosen_formats", "refuse_class_options", "settings_for", "with_class_ids"]

_FORMATS = {"semantic": "semantic", "instance": "labels", "panoptic": "coco-panoptic"}
# U-Nets see pictures at their own size; the window is what their training pictures are near to.
_UNET_WINDOW = {"window": 512, "window_overlap": 0.25}
_QUERIES_LACK = ("window", "window_overlap")
_UNUSED: dict[str, tuple[str, ...]] = {
    "semantic": ("threshold", "overlap_mask_area_threshold"),
    "instance": ("overlap_mask_area_threshold",),
    "panoptic": (),
}


def with_class_ids(model: ModelRef, settings: PredictSettings) -> ModelRef:
    """The model, its classes numbered as the settings want.

    Raises:
        InputError: the class list cannot be read.
        ConfigError: it does not have all of the model's classes.
    """
    if model.classes is None or settings.class_ids is None:
        return model
    listed = read_class_list(settings.class_ids)
    return replace(model, classes=renumbered(model.classes, listed, settings.class_ids))


def settings_for(model: ModelRef, settings: PredictSettings) -> ClassSettings | None:
    """The effective settings of a class-aware model, or None for one that is prompted.

    Raises:
        ConfigError: a setting is wrong, or the model has no such class.
        UsageError: the model cannot do the task, or an option would be ignored.
    """
    facts = model.classes
    given = settings.class_values()
    if facts is None:
        refuse_class_options(model, settings)
        return None
    task = settings.task or facts.task
    if task not in facts.tasks:
        raise UsageError(
            f"model '{model.name}' cannot do --task {task}",
            why=f"it can do {' and '.join(facts.tasks)}: {facts.why}",
            fix=f"--task {facts.task}, or another model: segcli models list",
        )
    _refuse_ignored(model, facts, task, settings)
    family = _UNET_WINDOW if facts.family.name == UNET else {}
    card: dict[str, Any] = {
        name: model.card[name]
        for name in ("threshold", "mask_threshold", "overlap_mask_area_threshold", "window",
                     "window_overlap")
        if name in model.card
    }  # fmt: skip
    keep = kept_categories(facts, settings.classes)
    return class_settings(family, card, given, {"task": task, "keep": keep})


def chosen_formats(settings: PredictSettings, effective: object) -> tuple[str, ...]:
    """The formats asked for, or the one that holds most of what the results are.

    Raises:
        UsageError: a format cannot hold the results.
    """
    if not isinstance(effective, ClassSettings):
        return settings.format or ("labels",)
    formats = settings.format or (_FORMATS[effective.task],)
    if effective.task == "semantic" and "labels" in formats:
        raise UsageError(
            "--format labels holds objects, and --task semantic finds classes",
            fix="--format semantic",
        )
    return formats


def refuse_class_options(model: ModelRef, settings: PredictSettings) -> None:
    """Options of class-aware models mean nothing to one that is prompted.

    Raises:
        UsageError: one was given.
    """
    own = {f.name for f in fields(GenerateSettings)}
    given = [name for name in settings.class_values() if name not in own]
    given += [name for name in ("classes", "palette", "class_ids") if getattr(settings, name)]
    if given:
        raise UsageError(
            f"--{_flag(given[0])} needs a class-aware model, and '{model.name}' has no classes",
            fix="--model tiny-panoptic, or another of segcli models list",
        )


def _refuse_ignored(
    model: ModelRef, facts: ClassFacts, task: str, settings: PredictSettings
) -> None:
    """Options that would be accepted and ignored.

    Raises:
        UsageError: one was given.
    """
    known = {f.name for f in fields(ClassSettings)}
    foreign = [name for name in settings.generate_values() if name not in known]
    asking = ("cascade", "clip_to_box", "detector", "box_threshold", "text_threshold")
    foreign += [name for name in asking if getattr(settings, name) is not None]
    if settings.backend != "segcli":
        foreign.append("backend")
    if foreign:
        raise UsageError(
            f"--{_flag(foreign[0])} is of segment-everything, and '{model.name}' finds classes",
            why=f"it is a {facts.family.name} model",
            fix="leave it out, or --model tiny",
        )
    given = settings.class_values()
    unused = [name for name in _UNUSED[task] if name in given]
    if facts.family.output == "queries":
        unused += [name for name in _QUERIES_LACK if name in given]
        if task == "semantic" and "mask_threshold" in given:
            unused.append("mask_threshold")
    if unused:
        raise ConfigError(
            f"--{_flag(unused[0])} would be ignored: {facts.family.name} with --task {task} has no "
            "use for it",
            fix="leave it out",
        )


def _flag(name: str) -> str:
    return name.replace("_", "-")
