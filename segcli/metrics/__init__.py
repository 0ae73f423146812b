"""What is measured. One file per family; a new one is a file here and a line in the registry."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import get_args

from segcli.metrics.base import Metric, MetricOptions, Pair, Protocol, Sums
from segcli.metrics.boundary import Boundary
from segcli.metrics.clicks import Clicks
from segcli.metrics.coco_ap import CocoAp
from segcli.metrics.coco_boundary import CocoBoundaryAp
from segcli.metrics.distance import Distance
from segcli.metrics.matching import Matching
from segcli.metrics.overlap import Overlap
from segcli.metrics.panoptic import Panoptic
from segcli.metrics.points import Points
from segcli.metrics.proposals import BestOverlap, ProposalRecall
from segcli.metrics.regions import Partition
from segcli.metrics.semantic import Semantic
from segcli.metrics.semantic_boundary import SemanticBoundary

__all__ = [
    "ALIASES",
    "PROTOCOLS",
    "REGISTRY",
    "Family",
    "Metric",
    "MetricOptions",
    "Pair",
    "Protocol",
    "Sums",
    "default_families",
    "families_of",
    "metrics_for",
]

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@dataclass(frozen=True, slots=True)
class Family:
    """One family of scores under one protocol.

    Attributes:
        protocol: under which it is measured.
        name: the word after `--metrics`.
        make: builds it.
        default: whether it is measured when nothing is asked for; the costly ones are not.
    """

    protocol: Protocol
    name: str
    make: Callable[[MetricOptions], Metric]
    default: bool = True


REGISTRY: tuple[Family, ...] = (
    Family("binary", "overlap", lambda _: Overlap()),
    Family("binary", "boundary", Boundary, default=False),
    Family("binary", "distance", Distance, default=False),
    Family("semantic", "classes", Semantic),
    Family("semantic", "boundary", SemanticBoundary, default=False),
    Family("instance", "coco", CocoAp),
    Family("instance", "matching", Matching),
    Family("instance", "foreground", lambda _: Overlap("foreground.")),
    Family("instance", "boundary", CocoBoundaryAp, default=False),
    Family("panoptic", "pq", Panoptic),
    Family("proposals", "recall", ProposalRecall),
    Family("proposals", "best_overlap", BestOverlap),
    Family("regions", "partition", Partition),
    Family("points", "points", lambda o: Points(o) if o.clicks == 1 else Clicks(o)),
)

ALIASES = {
    "map": "ap",
    "miou": "miou.pooled",
    "mdice": "mdice.pooled",
    "pq": "pq.pooled",
    "hd95": "hd95.mean_of_images",
    "fwiou": "fwiou.pooled",
}
"""Short names that every benchmark uses in one sense only."""


def families_of(protocol: Protocol) -> tuple[Family, ...]:
    """All families of a protocol, in the order they are shown."""
    return tuple(family for family in REGISTRY if family.protocol == protocol)


def default_families(protocol: Protocol) -> tuple[str, ...]:
    """Names of the families that are measured when nothing is asked for."""
    return tuple(family.name for family in families_of(protocol) if family.default)


def metrics_for(
    protocol: Protocol, options: MetricOptions, families: Collection[str] | None = None
) -> tuple[Metric, ...]:
    """The metrics of a protocol, in the order they are shown.

    Args:
        protocol: what is compared.
        options: what the metrics need to know.
        families: names of the families wanted; None: the default ones.
    """
    wanted = default_families(protocol) if families is None else families
    return tuple(f.make(options) for f in families_of(protocol) if f.name in wanted)
