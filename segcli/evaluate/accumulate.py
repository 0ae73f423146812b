"""Running totals of an evaluation: they add, so shards of one data set give the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from segcli.metrics import Metric, Pair, Sums
from segcli.metrics.base import MEAN_OF_IMAGES, POOLED, ExactSum, Row
from segcli.metrics.exact import exact_sums

__all__ = ["Accumulator", "Measured", "measure"]

_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Measured:
    """The sums of one image.

    Attributes:
        sums: one of each metric.
        pixels: pixels of the image.
        ignored: of these, how many do not count.
        resized: whether the prediction was resized.
        same_file: whether both sides were read from one file.
    """

    sums: tuple[Sums, ...]
    pixels: int
    ignored: int
    resized: bool = False
    same_file: bool = False


def measure(
    metrics: Sequence[Metric], pair: Pair, *, resized: bool = False, one_file: bool = False
) -> Measured:
    """Measure one pair by each metric.

    Args:
        metrics: what is measured.
        pair: both sides of one image.
        resized: whether the prediction was resized.
        one_file: whether both sides were read from one file.

    Raises:
        PairError: a metric cannot score the pair.
    """
    sums = tuple(metric.measure(pair) for metric in metrics)
    return Measured(sums, pair.pixels, pair.ignored_pixels, resized, one_file)


class Accumulator:
    """Sums over images, one of each metric, and the means of what each image scores.

    Attributes:
        images: images added.
        resized: of these, how many predictions were resized.
        same_files: of these, how many have both sides from one file.
        pixels: pixels of all images.
        ignored: of these, how many did not count.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.images = 0
        self.resized = 0
        self.same_files = 0
        self.pixels = 0
        self.ignored = 0
        self._metrics = tuple(metrics)
        self._sums = [metric.zero() for metric in metrics]
        self._sums_of_images = {
            name: ExactSum() for m in self._metrics if m.averaged for name in m.undefined
        }
        self._latest: list[list[float]] = []

    def add(self, measured: Measured) -> dict[str, float]:
        """Add one image; return its own scores by name, NaN where undefined."""
        own: dict[str, float] = {}
        for metric, total, sums in zip(self._metrics, self._sums, measured.sums, strict=True):
            total.add(sums)
            if metric.averaged:
                own.update(sums.compute())
        self._latest.append([own[name] for name in self._sums_of_images])
        if len(self._latest) >= _AT_ONCE:
            self._sum_latest()
        self.images += 1
        self.resized += measured.resized
        self.same_files += measured.same_file
        self.pixels += measured.pixels
        self.ignored += measured.ignored
        return own

    @property
    def _means(self) -> dict[str, ExactSum]:
        self._sum_latest()
        return self._sums_of_images

    def _sum_latest(self) -> None:
        """Add the scores of the latest images: many at once are many times quicker."""
        if not self._latest:
            return
        scores, self._latest = np.array(self._latest, np.float64), []
        defined = ~np.isnan(scores)
        once = np.ones((1, len(scores)), np.int64)
        (totals,) = exact_sums(once, np.where(defined, scores, 0.0))
        counts, images = defined.sum(axis=0).tolist(), len(scores)
        for mean, total, count in zip(self._sums_of_images.values(), totals, counts, strict=True):
            mean.add(ExactSum(Fraction(total), count, images - count))

    def merge(self, other: Accumulator) -> None:
        """Add the totals of other images, measured by the same metrics."""
        for mine, theirs in zip(self._sums, other._sums, strict=True):
            mine.add(theirs)
        for name, mean in other._means.items():
            self._means[name].add(mean)
        self.images += other.images
        self.resized += other.resized
        self.same_files += other.same_files
        self.pixels += other.pixels
        self.ignored += other.ignored

    def scores(self) -> dict[str, float]:
        """Every data-set score by its dotted name, NaN where undefined."""
        scores: dict[str, float] = {}
        for metric, total in zip(self._metrics, self._sums, strict=True):
            for name, value in total.compute().items():
                if not metric.averaged:
                    scores[name] = value
                    continue
                scores[f"{name}.{POOLED}"] = value
                scores[f"{name}.{MEAN_OF_IMAGES}"] = self._means[name].mean
        return scores

    def undefined_images(self) -> dict[str, int]:
        """How many images each mean of images leaves out because its score is undefined there."""
        return {name: mean.undefined for name, mean in self._means.items() if mean.undefined}

    def counts(self) -> dict[str, int]:
        """Whole numbers of all metrics, by name."""
        return {name: n for total in self._sums for name, n in total.counts().items()}

    def tables(self) -> dict[str, list[Row]]:
        """Tables of all metrics; rows of one table with the same first column are joined."""
        tables: dict[str, dict[object, Row]] = {}
        for total in self._sums:
            for name, rows in total.tables().items():
                for row in rows:
                    first = next(iter(row.values()))
                    tables.setdefault(name, {}).setdefault(first, {}).update(row)
        return {name: list(rows.values()) for name, rows in tables.items()}

    def notes(self) -> list[str]:
        """What has to be said about the sums of all metrics."""
        return list(dict.fromkeys(note for total in self._sums for note in total.notes()))

    def conventions(self) -> dict[str, str]:
        """The choices behind the numbers, by topic."""
        return {k: v for metric in self._metrics for k, v in metric.conventions().items()}

    def headlines(self) -> list[str]:
        """The first convention of each metric, as a line for people."""
        firsts = [next(iter(metric.conventions().items())) for metric in self._metrics]
        return [f"{topic}: {words}" for topic, words in firsts]

    def lower_is_better(self) -> list[str]:
        """Names of the scores that are errors rather than merits, in the order shown."""
        return [n for m in self._metrics for n in m.undefined if n in m.lower_is_better]

    def reasons(self) -> dict[str, str]:
        """Every data-set score's dotted name → the reason when it is undefined."""
        return {k: v for metric in self._metrics for k, v in metric.names().items()}
