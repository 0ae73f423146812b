"""How far scores may be from those of other images of the same kind: the bootstrap over images.

Efron's percentile method (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993): as many
images as there are, drawn with replacement, again and again; the interval holds the middle of the
scores. Images are what is drawn, because pixels and objects of one image are no independent
evidence. `scipy.stats.bootstrap(method="percentile")` is the reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.evaluate.result import ImageRow, Interval
from segcli.metrics import Metric
from segcli.metrics.base import MEAN_OF_IMAGES, POOLED
from segcli.metrics.exact import Weights, weighted_means
from segcli.metrics.resample import Resampled, chained
from segcli.metrics.resampling import resampler_for

__all__ = ["LEVEL", "Sample", "bootstrap_params", "draws", "interval_of", "intervals"]

LEVEL = 0.95
_CELLS_AT_ONCE = 1 << 23

Floats = npt.NDArray[np.float64]


def draws(images: int, resamples: int, seed: int) -> Iterator[Weights]:
    """How often each image stands in each resample, some resamples at a time.

    Args:
        images: N, at least 1.
        resamples: B.
        seed: the same seed gives the same draws.

    Yields:
        (b, N) int64; each row adds up to N, and all b to B. All together may not fit in memory.
    """
    random = np.random.default_rng(seed)
    most = max(1, _CELLS_AT_ONCE // images)
    for start in range(0, resamples, most):
        size = min(most, resamples - start)
        yield random.multinomial(images, np.full(images, 1 / images), size=size)


def interval_of(values: Floats, level: float = LEVEL) -> Interval:
    """The percentile interval of a score's values.

    Args:
        values: (B,) one a resample, NaN where undefined.
        level: the share of resamples inside.
    """
    defined = values[~np.isnan(values)]
    missing = len(values) - len(defined)
    if not len(defined):
        return Interval(math.nan, math.nan, missing)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high), missing)


class Sample:
    """The images of one evaluation, kept so that draws of them can be scored.

    Attributes:
        rows: the images, in the order they came, without their sums.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.rows: list[ImageRow] = []
        self._metrics = tuple(metrics)
        self._resamplers = [resampler_for(metric) for metric in metrics]
        self._own = [name for m in self._metrics if m.averaged for name in m.undefined]
        self._scores: list[list[float]] = []

    def add(self, row: ImageRow) -> None:
        """Keep an image; its sums must be those of the metrics."""
        for resampler, sums in zip(self._resamplers, row.sums, strict=True):
            resampler.keep(sums)
        self._scores.append([row.scores[name] for name in self._own])
        self.rows.append(ImageRow(row.name, row.pred, row.gt, row.scores))

    @property
    def reasons(self) -> dict[str, str]:
        """Every data-set score's dotted name → the reason when it is undefined."""
        return {k: v for metric in self._metrics for k, v in metric.names().items()}

    def resample(self, weights: Weights) -> Resampled:
        """Every data-set score, and those of each class, of some draws.

        Args:
            weights: (B, N) times that each image is taken.
        """
        table = np.array(self._scores, np.float64).reshape(len(self.rows), len(self._own))
        means = weighted_means(weights, table).T
        mean_of = dict(zip(self._own, means, strict=True))
        result = Resampled()
        for metric, resampler in zip(self._metrics, self._resamplers, strict=True):
            found = resampler.resample(weights)
            for name, values in found.scores.items():
                if metric.averaged:
                    result.scores[f"{name}.{POOLED}"] = values
                    result.scores[f"{name}.{MEAN_OF_IMAGES}"] = mean_of[name]
                else:
                    result.scores[name] = values
            _join(result, found)
        return result


def _join(result: Resampled, found: Resampled) -> None:
    """Columns of one class from several metrics belong together, whoever knows its name."""
    named = {key[0]: key for key in result.classes}
    for key, columns in found.classes.items():
        known = named.get(key[0], key)
        joined = {**result.classes.pop(known, {}), **columns}
        result.classes[known if known[1] is not None else key] = joined


def intervals(
    sample: Sample, resamples: int = 1000, seed: int = 0, level: float = LEVEL
) -> dict[str, Interval]:
    """The confidence interval of every data-set score that is defined in some resample.

    Args:
        sample: the images.
        resamples: how many draws.
        seed: of the draws.
        level: the share of resamples inside.
    """
    if not sample.rows:
        return {}
    drawn = chained(sample.resample(some) for some in draws(len(sample.rows), resamples, seed))
    found = {name: interval_of(values, level) for name, values in drawn.scores.items()}
    return {name: interval for name, interval in found.items() if not math.isnan(interval.low)}


def bootstrap_params(resamples: int, seed: int) -> dict[str, Any]:
    """How intervals were made, for the `params` block."""
    return {
        "method": "percentile bootstrap over images: every resample draws as many images as there "
        "are, with replacement",
        "level": LEVEL,
        "resamples": resamples,
        "seed": seed,
        "classes": "those that a resample lacks drop out of its means over classes",
        "undefined_resamples": "left out of intervals and shares, and counted",
    }
