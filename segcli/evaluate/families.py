"""Which families of scores are measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from segcli.errors import UsageError, closest
from segcli.metrics import (
    ALIASES,
    MetricOptions,
    Protocol,
    default_families,
    families_of,
    metrics_for,
)

__all__ = ["choose_families", "gated_names", "image_score_names", "lower_scores", "score_names"]

ALL = "all"


def choose_families(
    protocol: Protocol,
    wanted: Collection[str],
    options: MetricOptions,
    needed: Iterable[str] = (),
) -> tuple[str, ...]:
    """The families to measure, in the order they are shown.

    Args:
        protocol: what is compared.
        wanted: names of families; empty: the default ones; "all": every one.
        options: what the metrics need to know.
        needed: scores that gates ask for: the families that have them are measured as well.

    Raises:
        UsageError: the protocol has no family of that name.
    """
    known = [family.name for family in families_of(protocol)]
    for name in wanted:
        if name not in (ALL, *known):
            raise UsageError(
                f"--metrics: the protocol {protocol} has no family '{name}'",
                why=f"there are {', '.join(known)}, and {ALL}",
                fix=closest(name, known) or f"--metrics {ALL}",
            )
    chosen = set(known if ALL in wanted else wanted or default_families(protocol))
    for score in needed:
        chosen |= {name for name in known if score in score_names(protocol, options, (name,))}
    return tuple(name for name in known if name in chosen)


def score_names(
    protocol: Protocol,
    options: MetricOptions | None = None,
    families: Collection[str] | None = None,
) -> list[str]:
    """The dotted names of a protocol's scores, in the order they are shown.

    Args:
        protocol: what is compared.
        options: what the metrics need to know; None: their defaults.
        families: names of the families; None: the default ones.
    """
    metrics = metrics_for(protocol, options or MetricOptions(), families)
    return [name for metric in metrics for name in metric.names()]


def image_score_names(
    protocol: Protocol,
    options: MetricOptions | None = None,
    families: Collection[str] | None = None,
) -> list[str]:
    """The names of the scores that each image has, in order; arguments as in `score_names`."""
    metrics = metrics_for(protocol, options or MetricOptions(), families)
    return [name for metric in metrics if metric.averaged for name in metric.undefined]


def lower_scores(
    protocol: Protocol, options: MetricOptions, families: Collection[str] | None = None
) -> set[str]:
    """Dotted names of the scores that are the better the lower they are."""
    return {
        name
        for metric in metrics_for(protocol, options, families)
        for name in metric.names()
        if name in metric.lower_is_better or name.rpartition(".")[0] in metric.lower_is_better
    }


def gated_names(words: Iterable[str]) -> list[str]:
    """The scores that gates `metric=limit` name, aliases resolved."""
    names = [word.partition("=")[0].strip() for word in words]
    return [ALIASES.get(name, name) for name in names]
