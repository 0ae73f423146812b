"""Resampled confusion matrices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from segcli.metrics.base import MEAN_OF_IMAGES, POOLED, Metric, Sums
from segcli.metrics.confusion import RATIOS, Matrix, per_class
from segcli.metrics.exact import Weights, weighted_means
from segcli.metrics.resample import Resampled, Resampler
from segcli.metrics.semantic import ConfusionSums

__all__ = ["ConfusionResampler"]

_AT_ONCE = 50

Positions = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Image:
    """What one image adds.

    Attributes:
        classes: (K,) its class ids.
        truths: (P,) position among them of the true class, of each pair of classes that occurs.
        guesses: (P,) the same of the predicted class.
        pixels: (P,) pixels of each pair.
        ratios: (K, ratios) its own scores.
    """

    classes: tuple[int, ...]
    truths: Positions
    guesses: Positions
    pixels: npt.NDArray[np.int64]
    ratios: npt.NDArray[np.float64]


class ConfusionResampler(Resampler):
    """Keeps the pairs of classes that occur in each image: few, however many classes there are."""

    def __init__(self, metric: Metric) -> None:
        zero = metric.zero()
        assert isinstance(zero, ConfusionSums)
        self._zero = zero
        self._images: list[_Image] = []

    def keep(self, sums: Sums) -> None:
        """Keep the matrix of one image."""
        assert isinstance(sums, ConfusionSums)
        truths, guesses = (found.astype(np.int32) for found in np.nonzero(sums.matrix))
        found = per_class(sums.matrix)
        ratios = np.stack([found[name] for name in RATIOS], axis=1)
        pixels = sums.matrix[truths, guesses]
        self._images.append(_Image(sums.classes, truths, guesses, pixels, ratios))

    def resample(self, weights: Weights) -> Resampled:
        """Weigh the matrices, and score what they add up to."""
        classes = tuple(sorted({c for image in self._images for c in image.classes}))
        result, count = Resampled(), len(weights)
        ratios = {name: np.full((len(classes), count), np.nan) for name in RATIOS}
        for i, matrix in enumerate(self._drawn(classes, weights)):
            scores = replace(self._zero, classes=classes, matrix=matrix).compute()
            for name, value in scores.items():
                result.scores.setdefault(name, np.full(count, np.nan))[i] = value
            for name, values in per_class(matrix).items():
                ratios[name][:, i] = values
        means = self._means(classes, weights)
        names = self._zero.class_names or {}
        for i, number in enumerate(classes):
            if number in self._zero.left_out:
                continue
            columns = {f"{name}.{POOLED}": ratios[name][i] for name in RATIOS}
            columns |= {f"{name}.{MEAN_OF_IMAGES}": means[:, i, j] for j, name in enumerate(RATIOS)}
            result.classes[number, names.get(number)] = columns
        return result

    def _drawn(self, classes: tuple[int, ...], weights: Weights) -> Iterator[Matrix]:
        """The matrix of each draw, over all classes."""
        from scipy import sparse  # noqa: PLC0415 (slow to import)

        size = len(classes)
        codes = []
        for image in self._images:
            places = np.searchsorted(classes, image.classes)
            codes.append(places[image.truths] * size + places[image.guesses])
        starts = np.cumsum([0, *(len(own) for own in codes)])
        pixels = np.concatenate([image.pixels for image in self._images])
        flat = (pixels, np.concatenate(codes).astype(np.int64), starts)
        stacked = sparse.csr_array(flat, shape=(len(codes), size * size)).T.tocsr()
        for start in range(0, len(weights), _AT_ONCE):
            for row in (stacked @ weights[start : start + _AT_ONCE].T).T:
                yield row.reshape(size, size)

    def _means(self, classes: tuple[int, ...], weights: Weights) -> npt.NDArray[np.float64]:
        """(B, classes, ratios) means of images, which the matrices of data sets cannot tell."""
        scores = np.full((len(self._images), len(classes), len(RATIOS)), np.nan)
        for own, image in zip(scores, self._images, strict=True):
            own[np.searchsorted(classes, image.classes)] = image.ratios
        means = weighted_means(weights, scores.reshape(len(scores), -1))
        return means.reshape(len(weights), *scores.shape[1:])
