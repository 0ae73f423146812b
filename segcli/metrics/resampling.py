"""Which resampler each metric has."""

from __future__ import annotations

from collections.abc import Callable

from segcli.metrics.base import Metric, Sums
from segcli.metrics.coco_ap import CocoSums
from segcli.metrics.coco_resample import CocoResampler
from segcli.metrics.confusion_resample import ConfusionResampler
from segcli.metrics.distance import DistanceSums
from segcli.metrics.distance_resample import DistanceResampler
from segcli.metrics.resample import Additive, Resampler, Summing
from segcli.metrics.semantic import ConfusionSums

__all__ = ["resampler_for"]

_OWN: tuple[tuple[type[Sums], Callable[[Metric], Resampler]], ...] = (
    (CocoSums, CocoResampler),
    (ConfusionSums, ConfusionResampler),
    (DistanceSums, DistanceResampler),
)


def resampler_for(metric: Metric) -> Resampler:
    """What resamples a metric: its own way where it has one, its numbers where they add."""
    zero = metric.zero()
    for kind, own in _OWN:
        if isinstance(zero, kind):
            return own(metric)
    return Additive(metric) if Additive.fits(metric) else Summing(metric)
