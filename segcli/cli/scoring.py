"""From the words of a command to two opened sides and checked settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from segcli.cli.process import settle
from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.evaluate import EvalConfig, EvalSettings, Side
    from segcli.formats import Source
    from segcli.metrics import Protocol

    Sides = tuple[Source, Source]

__all__ = ["Scoring", "eval_config", "open_scoring", "refuse_idle"]

_LISTS = ("fail_under", "fail_over", "max_drop", "annotator")


@dataclass(frozen=True, slots=True)
class Scoring:
    """An evaluation, ready to run.

    Attributes:
        settings: their families are the ones that will be measured.
        sources: predictions and ground truth.
        protocol: what will be compared.
    """

    settings: EvalSettings
    sources: tuple[Source, Source]
    protocol: Protocol


def eval_config(given: Mapping[str, Any]) -> EvalConfig:
    """The settings of scoring in effect.

    Args:
        given: a command's parameters by name; those that are no setting of `eval` are left aside.

    Raises:
        ConfigError: a setting is unknown or of the wrong type.
    """
    from segcli.config import Layers, resolve  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.evaluate import EvalConfig  # noqa: PLC0415

    flags = {f.name: given[f.name] for f in fields(EvalConfig) if f.name in given}
    for name in _LISTS:
        flags[name] = tuple(flags[name]) if flags.get(name) else None
    return resolve("eval", EvalConfig, Layers(flags, given["config"], given.get("preset"))).settings


def open_scoring(
    config: EvalConfig, pred: str, gt: str, prompts: Mapping[str, Any] | None = None
) -> Scoring:
    """Open both sides and settle what is measured.

    Args:
        config: the settings in effect.
        pred: path of the predictions; of the pictures, where a model is prompted.
        gt: path of the ground truth.
        prompts: what is said of the model that is prompted: `model`, `device`, `dtype`,
            `feed_mask`.

    Raises:
        UsageError: a side cannot be opened, or cannot be scored so.
    """
    from segcli.evaluate import (  # noqa: PLC0415 (`--version` must stay quick)
        Side,
        choose_families,
        choose_protocol,
        gated_names,
        open_annotators,
        settings_from,
    )
    from segcli.evaluate.settings import kind_from  # noqa: PLC0415

    settle()
    settings = settings_from(config)
    preds = Side(pred, _told(config.pred_format), kind_from(config, "pred"))
    truths = Side(gt, _told(config.gt_format), kind_from(config, "gt"))
    sources = _open(preds, truths, settings, prompts or {})
    sources = open_annotators(*sources, config.annotator, truths, settings)
    protocol, _ = choose_protocol(*sources, settings.protocol)
    needed = gated_names((*config.fail_under, *config.fail_over, *config.max_drop))
    options = settings.metric_options
    families = choose_families(protocol, settings.families, options, needed)
    return Scoring(replace(settings, families=families), sources, protocol)


def _open(pred: Side, gt: Side, settings: EvalSettings, prompts: Mapping[str, Any]) -> Sides:
    from segcli.evaluate import open_sides  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.formats.ndjson import holds_records  # noqa: PLC0415

    answered = settings.protocol == "points" and holds_records(pred.path)
    if settings.protocol == "points" and not answered:
        return _prompted(pred, gt, settings, prompts)
    asked = dict(prompts)
    if settings.clicks > 1:
        asked["clicks"] = settings.clicks
    if asked:
        flag, value = next(iter(asked.items()))
        said = "feed-mask" if flag == "feed_mask" else f"{flag} {value}"
        raise UsageError(
            f"--{said} needs --protocol points and pictures",
            why=f"{pred.path} holds answers already"
            if answered
            else "only there a model makes the predictions",
            fix="segcli eval PICTURES GT --protocol points --model NAME",
        )
    return open_sides(pred, gt, settings)


def _prompted(pred: Side, gt: Side, settings: EvalSettings, prompts: Mapping[str, Any]) -> Sides:
    from segcli.evaluate.points import PromptSettings, open_prompted  # noqa: PLC0415 (torch)

    if settings.resize_pred is not None:
        raise UsageError(
            f"--resize-pred {settings.resize_pred} does not go with --protocol points",
            why="a model is prompted in the pixels of the picture",
            fix="leave --resize-pred out, and give ground truth of the pictures' size",
        )
    if pred.format is not None or pred.kind is not None:
        raise UsageError(
            "--pred-format and --pred-kind do not go with --protocol points",
            why="there are no predictions before the model is prompted",
            fix="leave them out",
        )
    return open_prompted(pred.path, gt, PromptSettings(**prompts), settings)


def refuse_idle(given: Mapping[str, Any], scoring: Scoring) -> None:
    """Refuse options of the command line that would change nothing.

    Args:
        given: a command's parameters by name; presets and configuration files are not among them.
        scoring: what will be measured.

    Raises:
        UsageError: an option has no effect.
    """
    families = scoring.settings.families
    raster = any(s.kind == "panoptic" and s.format == "labels" for s in scoring.sources)
    drawn = given.get("ci", True)
    clicked = scoring.settings.clicks > 1
    needs = {
        "spacing": ("distance" in families, "distances are not measured", "--metrics all"),
        "tolerance": ("distance" in families, "distances are not measured", "--metrics all"),
        "boundary_ratio": ("boundary" in families, "boundaries are not measured", "--metrics all"),
        "label_divisor": (raster, "no side is a panoptic label map", "--kind panoptic"),
        "resamples": (drawn, "there are no intervals", "--ci"),
        "seed": (drawn, "there are no intervals", "--ci"),
        "feed_mask": (clicked, "there is no mask before the first click", "--clicks 5"),
    }
    for name, (used, why, remedy) in needs.items():
        if given.get(name) is not None and not used:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{flag} has no effect here", why=why, fix=f"add {remedy}, or leave {flag} out"
            )


def _told(word: str) -> str | None:
    return None if word == "auto" else word
