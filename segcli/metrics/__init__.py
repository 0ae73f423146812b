"""What is measured. One file per family; a new one is a file here and a line in the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from segcli.metrics.base import Metric, MetricOptions, Pair, Protocol, Sums
from segcli.metrics.coco_ap import CocoAp
from segcli.metrics.matching import Matching
from segcli.metrics.overlap import Overlap
from segcli.metrics.semantic import Semantic

__all__ = [
    "ALIASES",
    "PROTOCOLS",
    "REGISTRY",
    "Metric",
    "MetricOptions",
    "Pair",
    "Protocol",
    "Sums",
    "metrics_for",
]

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

REGISTRY: tuple[tuple[Protocol, Callable[[MetricOptions], Metric]], ...] = (
    ("binary", lambda _: Overlap()),
    ("semantic", Semantic),
    ("instance", CocoAp),
    ("instance", Matching),
    ("instance", lambda _: Overlap("foreground.")),
)

ALIASES = {
    "map": "ap",
    "miou": "miou.pooled",
    "mdice": "mdice.pooled",
}
"""Short names that every benchmark uses in one sense only."""


def metrics_for(protocol: Protocol, options: MetricOptions) -> tuple[Metric, ...]:
    """The metrics of a protocol, in the order they are shown."""
    return tuple(make(options) for name, make in REGISTRY if name == protocol)
