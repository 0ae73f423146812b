"""What a user can choose about an evaluation."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

from segcli.errors import ConfigError, closest
from segcli.evaluate.pair_list import PairList, read_pairs
from segcli.formats.classes import ClassList, read_class_list
from segcli.metrics import MetricOptions, Protocol
from segcli.records import LabelKind

__all__ = ["EvalConfig", "EvalSettings", "Missing", "Resize", "kind_from", "settings_from"]

Missing = Literal["error", "skip", "empty"]
Resize = Literal["nearest"]

_MOST_WORKERS = 8
_LEAST_RESAMPLES = 100
_MOST_CLICKS = 100
_DEFAULTS = MetricOptions()


@dataclass(frozen=True, slots=True)
class EvalSettings:
    """Choices that change the numbers, and how many files are read at once.

    Attributes:
        protocol: what is compared; None lets the ground truth decide.
        families: the families of scores; empty: the protocol's default ones; "all": all of them.
        ignore_index: label value of the ground truth that does not count.
        reduce_zero_label: take 0 in the ground truth's class maps as void, and every other class
            id as one less.
        classes: the classes there are; a value outside them is an error.
        label_divisor: panoptic label maps: value = class * divisor + object.
        class_agnostic: take all objects as one class, whatever categories they carry.
        boundary_ratio: see `MetricOptions`.
        spacing: see `MetricOptions`.
        tolerances: see `MetricOptions`.
        clicks: see `MetricOptions`.
        resamples: bootstrap resamples for confidence intervals; 0 gives none.
        seed: of the resampling.
        match: regular expression with one group, searched in each path: equal groups are a pair.
        listed: the pairs themselves, or None to pair by name.
        missing: what a file without its counterpart is: an error, left out, or an empty prediction.
        resize_pred: how predictions of another size are fitted; None makes them errors.
        workers: files read at once.
    """

    protocol: Protocol | None = None
    families: tuple[str, ...] = ()
    ignore_index: int | None = None
    reduce_zero_label: bool = False
    classes: ClassList | None = None
    label_divisor: int = 1000
    class_agnostic: bool = False
    boundary_ratio: float = _DEFAULTS.boundary_ratio
    spacing: tuple[float, float] = _DEFAULTS.spacing
    tolerances: tuple[float, ...] = _DEFAULTS.tolerances
    clicks: int = _DEFAULTS.clicks
    resamples: int = 0
    seed: int = 0
    match: str | None = None
    listed: PairList | None = None
    missing: Missing = "error"
    resize_pred: Resize | None = None
    workers: int = 2

    @property
    def scored_classes(self) -> ClassList | None:
        """The classes as they are scored and predicted: after the zero label is reduced."""
        if self.classes is None or not self.reduce_zero_label:
            return self.classes
        return self.classes.zero_reduced()

    @property
    def metric_options(self) -> MetricOptions:
        """What the metrics need to know of these choices."""
        classes = self.scored_classes
        return MetricOptions(
            class_names=None if classes is None else classes.names,
            ignored=frozenset() if classes is None else classes.ignored,
            things=None if classes is None else classes.things,
            ignore_index=self.ignore_index,
            class_agnostic=self.class_agnostic,
            boundary_ratio=self.boundary_ratio,
            spacing=self.spacing,
            tolerances=self.tolerances,
            clicks=self.clicks,
        )


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """The settings of `segcli eval` as flags, environment and TOML files state them.

    Attributes:
        protocol: "auto", or the name of one.
        metrics: families of scores, or "all"; empty: the protocol's default ones.
        kind: what label values mean on both sides, or "auto".
        pred_kind: the same for the predictions alone.
        gt_kind: the same for the ground truth alone.
        pred_format: format of the predictions, or "auto".
        gt_format: format of the ground truth, or "auto".
        ignore_index: see `EvalSettings`.
        reduce_zero_label: see `EvalSettings`.
        class_names: a class list: a file, or the name of one that ships; or None.
        label_divisor: see `EvalSettings`.
        class_agnostic: see `EvalSettings`.
        annotator: ground truth by further annotators.
        boundary_ratio: see `MetricOptions`.
        spacing: distance between neighbouring pixels: one number, or rows and columns apart.
        tolerance: see `MetricOptions.tolerances`.
        clicks: see `MetricOptions`.
        ci: give 95 % confidence intervals.
        resamples: how many resamples they rest on.
        seed: of the resampling.
        match: see `EvalSettings`.
        pairs: a file that lists the pairs, or None.
        missing: see `EvalSettings`.
        resize_pred: "none" or "nearest".
        workers: files read at once; 0 takes the number of processors, at most 8.
        fail_under: gates `metric=limit`.
        fail_over: gates `metric=limit`.
        baseline: an earlier result, or None.
        max_drop: gates `metric=allowance` against the baseline.
    """

    protocol: str = "auto"
    kind: str = "auto"
    pred_kind: str = "auto"
    gt_kind: str = "auto"
    pred_format: str = "auto"
    gt_format: str = "auto"
    metrics: tuple[str, ...] = ()
    ignore_index: int | None = None
    reduce_zero_label: bool = False
    class_names: str | None = None
    label_divisor: int = 1000
    class_agnostic: bool = False
    annotator: tuple[str, ...] = ()
    boundary_ratio: float = _DEFAULTS.boundary_ratio
    spacing: tuple[str, ...] = ("1",)
    tolerance: tuple[str, ...] = ("1", "2")
    clicks: int = _DEFAULTS.clicks
    ci: bool = False
    resamples: int = 1000
    seed: int = 0
    match: str | None = None
    pairs: str | None = None
    missing: str = "error"
    resize_pred: str = "none"
    workers: int = 0
    fail_under: tuple[str, ...] = ()
    fail_over: tuple[str, ...] = ()
    baseline: str | None = None
    max_drop: tuple[str, ...] = ()


def settings_from(config: EvalConfig) -> EvalSettings:
    """Check words and read the class names.

    Raises:
        ConfigError: a word is not one of its choices, or a number is out of range.
        InputError: the file of class names cannot be read.
    """
    _check_numbers(config)
    classes = None if config.class_names is None else read_class_list(config.class_names)
    protocol = _one_of("--protocol", config.protocol, Protocol, "auto")
    resize = _one_of("--resize-pred", config.resize_pred, Resize, "none")
    missing = _one_of("--missing", config.missing, Missing)
    return EvalSettings(
        protocol=cast("Protocol | None", protocol),
        families=config.metrics,
        ignore_index=config.ignore_index,
        reduce_zero_label=config.reduce_zero_label,
        classes=classes,
        label_divisor=config.label_divisor,
        class_agnostic=config.class_agnostic,
        boundary_ratio=config.boundary_ratio,
        spacing=_spacing(config),
        tolerances=tuple(sorted(set(_lengths("--tolerance", config.tolerance, least=0.0)))),
        clicks=config.clicks,
        resamples=config.resamples if config.ci else 0,
        seed=config.seed,
        match=config.match,
        listed=None if config.pairs is None else read_pairs(config.pairs),
        missing=cast("Missing", missing),
        resize_pred=cast("Resize | None", resize),
        workers=config.workers or min(_MOST_WORKERS, os.cpu_count() or 1),
    )


def _check_numbers(config: EvalConfig) -> None:
    if config.workers < 0:
        raise ConfigError(f"--workers {config.workers} is negative", fix="--workers 4")
    if config.resamples < _LEAST_RESAMPLES:
        raise ConfigError(
            f"--resamples {config.resamples} are too few",
            why="the ends of a 95 % interval rest on a fortieth of them each",
            fix="--resamples 1000",
        )
    if config.seed < 0:
        raise ConfigError(f"--seed {config.seed} is negative", fix="--seed 0")
    if not 0 < config.boundary_ratio < 1:
        raise ConfigError(
            f"--boundary-ratio {config.boundary_ratio} is no share of the image's diagonal",
            fix=f"--boundary-ratio {_DEFAULTS.boundary_ratio}",
        )
    if not 1 <= config.clicks <= _MOST_CLICKS:
        raise ConfigError(
            f"--clicks {config.clicks} is out of range",
            why=f"an object takes from 1 to {_MOST_CLICKS} clicks",
            fix="--clicks 5",
        )
    if config.label_divisor < 2:
        raise ConfigError(
            f"--label-divisor {config.label_divisor} leaves no room for objects",
            fix="--label-divisor 1000",
        )


def _spacing(config: EvalConfig) -> tuple[float, float]:
    """Between rows and between columns."""
    spacing = _lengths("--spacing", config.spacing)
    if len(spacing) > 2:
        raise ConfigError(
            f"--spacing {','.join(config.spacing)} has {len(spacing)} numbers",
            why="pictures have rows and columns",
            fix="--spacing 0.5 (both), or --spacing 0.5,0.4 (rows, columns)",
        )
    return spacing[0], spacing[-1]


def kind_from(config: EvalConfig, side: Literal["pred", "gt"]) -> LabelKind | None:
    """What one side's label values are said to mean, or None to let the files decide.

    Raises:
        ConfigError: the word is no kind.
    """
    both = _one_of("--kind", config.kind, LabelKind, "auto")
    word = config.pred_kind if side == "pred" else config.gt_kind
    own = _one_of(f"--{side}-kind", word, LabelKind, "auto")
    return cast("LabelKind | None", own or both)


def _lengths(flag: str, words: Sequence[str], least: float | None = None) -> tuple[float, ...]:
    """Numbers above 0, or from `least` on; at least one."""
    found = []
    for word in words:
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        enough = number > 0 if least is None else number >= least
        if not enough or math.isinf(number):
            raise ConfigError(f"{flag}: '{word}' is no length", fix=f"{flag} 1")
        found.append(number)
    if not found:
        raise ConfigError(f"{flag} names no number", fix=f"{flag} 1")
    return tuple(found)


def _one_of(flag: str, word: str, choices: object, neutral: str | None = None) -> str | None:
    """The word if it is a choice, or None if it is the neutral one."""
    known = [*([neutral] if neutral else []), *get_args(choices)]
    if word not in known:
        hint = closest(word, known)
        suggested = hint.split("'")[1] if hint else known[0]
        raise ConfigError(
            f"{flag} has no choice '{word}'",
            why=f"there are {', '.join(known)}",
            fix=f"{flag} {suggested}",
        )
    return None if word == neutral else word
