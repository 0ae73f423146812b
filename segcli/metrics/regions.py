"""Partitions of an image against those of one or several annotators.

Variation of information (Meilă 2007), the probabilistic Rand index (Unnikrishnan et al. 2007) and
segmentation covering, as the region benchmarks of BSDS500 (Arbeláez et al. 2011) use them. The
means of images of the first two and the pooled covering are that benchmark's numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from segcli.errors import PairError
from segcli.masks.labels import label_map_of
from segcli.masks.rle import decode
from segcli.metrics.base import Metric, MetricOptions, Pair, Sums, ratio
from segcli.metrics.contingency import Contingency, contingency
from segcli.records import Segmentation

__all__ = ["Partition", "PartitionSums", "compare_partitions"]

_NO_PIXEL = "no pixel counts (0/0)"

Integers = npt.NDArray[np.int64]


@dataclass(slots=True)
class PartitionSums(Sums):
    """What images and their annotators add up to; each annotation counts its own pixels.

    Attributes:
        annotations: ground truths compared with.
        pixels: pixels that count, of all annotations.
        split: sum over pixels of the bits that tell its predicted region, its true one known.
        merge: the other way round.
        pairs: pairs of pixels of one annotation.
        agreed: of these, how many are together, or apart, on both sides.
        covered: sum over true regions of pixels times the best IoU of a predicted region.
        pred_pixels: pixels of the predictions that count for an annotator.
        pred_covered: as covered, for predicted regions and the true regions of all annotators.
        regions: predicted and true regions.
    """

    annotations: int = 0
    pixels: int = 0
    split: Fraction = field(default_factory=Fraction)
    merge: Fraction = field(default_factory=Fraction)
    pairs: int = 0
    agreed: int = 0
    covered: Fraction = field(default_factory=Fraction)
    pred_pixels: int = 0
    pred_covered: Fraction = field(default_factory=Fraction)
    regions: tuple[int, int] = (0, 0)

    def add(self, other: Sums) -> None:
        """Add other images."""
        assert isinstance(other, PartitionSums)
        self.annotations += other.annotations
        self.pixels += other.pixels
        self.split += other.split
        self.merge += other.merge
        self.pairs += other.pairs
        self.agreed += other.agreed
        self.covered += other.covered
        self.pred_pixels += other.pred_pixels
        self.pred_covered += other.pred_covered
        self.regions = (self.regions[0] + other.regions[0], self.regions[1] + other.regions[1])

    def compute(self) -> dict[str, float]:
        """The six ratios."""
        return {
            "voi": _quotient(self.split + self.merge, self.pixels),
            "voi_split": _quotient(self.split, self.pixels),
            "voi_merge": _quotient(self.merge, self.pixels),
            "rand": ratio(self.agreed, self.pairs),
            "covering": _quotient(self.covered, self.pixels),
            "covering_pred": _quotient(self.pred_covered, self.pred_pixels),
        }

    def counts(self) -> dict[str, int]:
        """Annotations and regions."""
        return {
            "annotations": self.annotations,
            "pred_regions": self.regions[0],
            "gt_regions": self.regions[1],
        }


def _quotient(total: Fraction, count: int) -> float:
    return float(total / count) if count else math.nan


def compare_partitions(
    pred: npt.NDArray[np.integer],
    gts: Iterable[tuple[npt.NDArray[np.integer], npt.NDArray[np.bool_] | None]],
) -> PartitionSums:
    """Compare one partition with those of the annotators of the same image.

    Args:
        pred: (H, W) region ids, any integers; every value is a region, 0 too.
        gts: of each annotator (H, W) region ids, and (H, W) bool, the pixels that count, None
            being all.

    Returns:
        Sums whose `compute()` gives voi = voi_split + voi_merge (bits, 0 is best; split is the
        entropy of the predicted region given the true one, merge the reverse), rand (0..1),
        covering of the ground truth by the prediction, and covering_pred, the reverse (0..1). With
        several annotators: means over them; covering_pred takes the best region of any of them.

    Raises:
        ValueError: the shapes differ.
    """
    sums = PartitionSums()
    best: dict[int, tuple[int, float]] = {}
    for gt, counted in gts:
        table = contingency(gt, pred, counted)
        sums.add(_against_one(table, best))
    sums.pred_pixels = sum(pixels for pixels, _ in best.values())
    sums.pred_covered = _exact(pixels * iou for pixels, iou in best.values())
    sums.regions = (len(best), sums.regions[1])
    return sums


def _against_one(table: Contingency, best: dict[int, tuple[int, float]]) -> PartitionSums:
    """The sums of one annotator; pixels and best IoU of each predicted region go into `best`."""
    truths, gt = np.unique(table.first, return_inverse=True)
    guesses, pred = np.unique(table.second, return_inverse=True)
    gt_areas = _areas(gt, table.pixels, len(truths))
    pred_areas = _areas(pred, table.pixels, len(guesses))
    ious = table.pixels / (gt_areas[gt] + pred_areas[pred] - table.pixels)
    gt_best, pred_best = np.zeros(len(truths)), np.zeros(len(guesses))
    np.maximum.at(gt_best, gt, ious)
    np.maximum.at(pred_best, pred, ious)
    rows = (guesses.tolist(), pred_areas.tolist(), pred_best.tolist())
    for region, area, iou in zip(*rows, strict=True):
        most, highest = best.get(region, (0, 0.0))
        best[region] = max(most, area), max(highest, iou)
    pixels = int(table.pixels.sum())
    pairs = pixels * (pixels - 1) // 2
    # Pairs that are together on one side only.
    apart = _squares(gt_areas) + _squares(pred_areas) - 2 * _squares(table.pixels)
    return PartitionSums(
        annotations=1,
        pixels=pixels,
        split=_exact((table.pixels * np.log2(gt_areas[gt] / table.pixels)).tolist()),
        merge=_exact((table.pixels * np.log2(pred_areas[pred] / table.pixels)).tolist()),
        pairs=pairs,
        agreed=pairs - apart // 2,
        covered=_exact((gt_areas * gt_best).tolist()),
        regions=(0, len(truths)),
    )


def _areas(index: Integers, pixels: Integers, size: int) -> Integers:
    areas = np.zeros(size, np.int64)
    np.add.at(areas, index, pixels)
    return areas


def _squares(counts: Integers) -> int:
    """The sum of squares, in whole numbers without a limit."""
    return sum(n * n for n in counts.tolist())


def _exact(values: Iterable[float]) -> Fraction:
    return Fraction(math.fsum(values))


class Partition(Metric):
    """Regions of the whole image, whatever they are called."""

    undefined = MappingProxyType(
        {
            "voi": _NO_PIXEL,
            "voi_split": _NO_PIXEL,
            "voi_merge": _NO_PIXEL,
            "rand": "fewer than two pixels count (0/0)",
            "covering": _NO_PIXEL,
            "covering_pred": _NO_PIXEL,
        }
    )
    lower_is_better = frozenset({"voi", "voi_split", "voi_merge"})

    def __init__(self, options: MetricOptions) -> None:
        del options

    def zero(self) -> Sums:
        """No regions."""
        return PartitionSums()

    def measure(self, pair: Pair) -> Sums:
        """Regions of one image, against each annotator."""
        gts = [(_regions(pair.gt), pair.counted)]
        for other in pair.others:
            _check_size(pair.gt, other)
            counted = None if other.ignore is None else ~decode(other.ignore)
            gts.append((_regions(other), counted))
        return compare_partitions(_regions(pair.pred), gts)

    def conventions(self) -> dict[str, str]:
        """Units, and how annotators and images are averaged."""
        return {
            "regions": "voi in bits (log2; 0 is best), rand and covering 0..1; each value of a map "
            "is a region, 0 too",
            "regions_voi": "voi = voi_split (entropy of the predicted region given the true one) "
            "+ voi_merge (the reverse)",
            "regions_covering": "covering: true regions by their best predicted one, IoU weighed "
            "by pixels; covering_pred: predicted regions by the best one of any annotator",
            "regions_annotators": "an image's voi, rand and covering are means over its "
            "annotators; rand is then the probabilistic Rand index",
            "regions_average": "mean_of_images: BSDS' voi and rand; pooled: weighed by pixels "
            "(rand: pairs of pixels) of every annotation, BSDS' covering",
            "regions_overlap": "segments that overlap are painted, the best score on top; pixels "
            "without a segment are one region",
        }


def _regions(side: Segmentation) -> npt.NDArray[np.integer]:
    return label_map_of(side) if side.labels is None else side.labels.values


def _check_size(gt: Segmentation, other: Segmentation) -> None:
    one, two = ((s.image.width, s.image.height) for s in (gt, other))
    if one != two:
        raise PairError(
            f"{gt.image.source or gt.image.key} is {one[0]}x{one[1]}, but another annotation of it "
            f"is {two[0]}x{two[1]}: {other.image.source or other.image.key}",
            why="annotators of one image divide the same pixels",
            fix="leave one of the annotations out",
        )
