"""Pairs of maps as far as scores need them that ask only which values meet, and how often.

Each pair of values then stands once for all pixels that hold it. What a source makes of a value,
and what a view of it is, is done to these few as it would be to the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segcli.formats.base import Source
from segcli.formats.counted_ahead import counted_pair, is_counted_ahead
from segcli.formats.raster_source import RasterSource
from segcli.formats.value_pairs import PairCounter
from segcli.metrics import Metric
from segcli.records import Segmentation

__all__ = ["ValueReader", "Values"]


@dataclass(frozen=True, slots=True)
class Values:
    """Both sides of a pair with a pixel for each pair of values.

    Attributes:
        pred: the prediction, its map (1, N).
        gt: the ground truth, its map (1, N).
        weights: (1, N) how many pixels of the image each of these stands for.
        one_file: whether both were read from one file.
    """

    pred: Segmentation
    gt: Segmentation
    weights: npt.NDArray[np.int64]
    one_file: bool


class ValueReader:
    """Reads pairs of plain PNGs by their values, where all metrics are content with that.

    Args:
        sources: predictions and ground truth.
        metrics: what is measured.
    """

    def __init__(self, sources: tuple[Source, Source], metrics: Sequence[Metric]) -> None:
        pred, gt = sources
        self._sources: tuple[RasterSource, RasterSource] | None = None
        if (
            isinstance(pred, RasterSource)
            and isinstance(gt, RasterSource)
            and all(metric.by_value for metric in metrics)
        ):
            self._sources = pred, gt
        self._counter = PairCounter()

    def read(self, pred_key: str, gt_key: str) -> Values | None:
        """Prediction and ground truth of one image; None where the pixels must be read.

        Raises:
            MaskError: a value does not belong in a file of that kind.
        """
        files = self._files(pred_key, gt_key)
        if files is None or self._sources is None:
            return None
        pred, gt = self._sources
        met = counted_pair(*files) or self._counter.count(*files)
        if met is None:
            return None
        size = met.height, met.width
        truth = gt.read_values(gt_key, met.first, size)
        guess = pred.read_values(pred_key, met.second, size)
        return Values(guess, truth, met.pixels[None], met.one_file)

    def is_ahead(self, pred_key: str | None, gt_key: str) -> bool:
        """Whether other threads count pairs such as this one before they are read."""
        files = None if pred_key is None else self._files(pred_key, gt_key)
        return files is not None and is_counted_ahead(*files)

    def _files(self, pred_key: str, gt_key: str) -> tuple[str, str] | None:
        if self._sources is None:
            return None
        pred, gt = self._sources
        first, second = gt.plain_file(gt_key), pred.plain_file(pred_key)
        return None if first is None or second is None else (first, second)
