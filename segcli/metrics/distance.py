"""Distances between outlines: Hausdorff, HD95 in both definitions, ASSD and NSD.

Two families of tools measure different things, and both are here under their own names:

- `hd`, `hd95_pooled_percentile` and `assd` run over border pixels (those with a 4-neighbour outside
  of the mask), each counting once, as medpy's `hd`, `hd95` and `assd`;
- `hd95` and `nsd_*` run over the corners of the pixel grid through which the contour passes, each
  weighing the length of its piece of contour, as `compute_robust_hausdorff` and
  `compute_surface_dice_at_tolerance` of DeepMind's surface-distance (Nikolov et al. 2018).

The state counts points by their distance, so that percentiles too are exact over any number of
images, and do not depend on their order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segcli.masks.boundaries import (
    CONTOUR_PIECES,
    border_pixels,
    contour_codes,
    contour_points,
    distances_to,
    window_around,
)
from segcli.metrics.base import BoolMask, Metric, MetricOptions, Pair, Sums

__all__ = ["Distance", "DistanceSums", "Tally", "measure_distances"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Spacing = tuple[float, float]

_SHARE = 0.95
_UNSETTLED = 1 << 16
_NO_PIECES = np.zeros_like(CONTOUR_PIECES)
_MEASURED = np.hstack((CONTOUR_PIECES, _NO_PIECES))
_ALONE = np.hstack((_NO_PIECES, CONTOUR_PIECES))
_EMPTY = "neither side has foreground, so there is no outline"


@dataclass(slots=True)
class Tally:
    """How many points lie at each distance.

    Attributes:
        kinds: how many kinds of points are told apart.
        parts: distances (K,) float64 and counts (K, kinds) int64 of points at them, in any order.
        unsettled: distances in all parts together that may occur twice.
    """

    kinds: int
    parts: list[tuple[Floats, Integers]] = field(default_factory=list)
    unsettled: int = 0

    @classmethod
    def of(cls, distances: Floats, codes: npt.NDArray[np.uint8], worth: Integers) -> Tally:
        """Tally points.

        Args:
            distances: (N,) float64, at least 0.
            codes: (N,) uint8, below the number of rows of `worth`.
            worth: (R, C) int64, what a point of each code counts for.
        """
        joint = codes.astype(np.intp)
        # Most points are often at distance 0, and sorting is the cost.
        apart = np.flatnonzero(distances)
        values, where = np.unique(distances[apart], return_inverse=True)
        joint[apart] += len(worth) * (where + 1)
        values = np.concatenate((np.zeros(1), values))
        by_code = np.bincount(joint, minlength=len(worth) * len(values))
        counts = by_code.reshape(len(values), len(worth)) @ worth
        first = 0 if counts[0].any() else 1
        return cls(worth.shape[1], [(values[first:], counts[first:])])

    def add(self, other: Tally) -> None:
        """Add other points."""
        self.parts += other.parts
        self.unsettled += sum(len(distances) for distances, _ in other.parts)
        if self.parts and self.unsettled > _UNSETTLED + 2 * len(self.parts[0][0]):
            self.settled()

    def settled(self) -> tuple[Floats, Integers]:
        """Distances (K,), ascending, each once, and counts (K, kinds) of points at them."""
        if len(self.parts) != 1:
            empty = np.zeros(0), np.zeros((0, self.kinds), np.int64)
            distances, counts = (np.concatenate(p) for p in zip(empty, *self.parts, strict=True))
            values, where = np.unique(distances, return_inverse=True)
            added = np.zeros((len(values), self.kinds), np.int64)
            np.add.at(added, where, counts)
            self.parts, self.unsettled = [(values, added)], 0
        return self.parts[0]


def _pixels() -> Tally:
    return Tally(1)


def _pieces() -> Tally:
    return Tally(_MEASURED.shape[1])


@dataclass(slots=True)
class DistanceSums(Sums):
    """Points of outlines by their distance to the other outline.

    Attributes:
        spacing: distance between neighbouring rows and between neighbouring columns.
        tolerances: distances within which a piece of contour counts as found.
        border: border pixels of both sides, each by its distance to the other side's border.
        pred: pieces of the prediction's contour: vertical, horizontal, half diagonals; and the same
            three where the other side is empty.
        gt: pieces of the ground truth's contour, likewise.
        one_sided: images with foreground on one side only.
    """

    spacing: Spacing = (1.0, 1.0)
    tolerances: tuple[float, ...] = ()
    border: Tally = field(default_factory=_pixels)
    pred: Tally = field(default_factory=_pieces)
    gt: Tally = field(default_factory=_pieces)
    one_sided: int = 0

    def add(self, other: Sums) -> None:
        """Add points of other images."""
        assert isinstance(other, DistanceSums)
        self.border.add(other.border)
        self.pred.add(other.pred)
        self.gt.add(other.gt)
        self.one_sided += other.one_sided

    def compute(self) -> dict[str, float]:
        """All distances in the unit of the spacing, NSD in 0..1; NaN without any outline."""
        names = _names(self.tolerances)
        distances, border = self.border.settled()
        if not len(distances):
            return dict.fromkeys(names, math.nan)
        pixels = border[:, 0]
        contours = [self._lengths(tally) for tally in (self.pred, self.gt)]
        values = (
            float(distances[-1]),
            max(_directed(distances, lengths) for distances, lengths, _ in contours),
            _percentile(distances, pixels),
            float(distances @ pixels) / int(pixels.sum()),
            *(_found(contours, tolerance) for tolerance in self.tolerances),
        )
        return dict(zip(names, values, strict=True))

    def _lengths(self, tally: Tally) -> tuple[Floats, Floats, Floats]:
        """Distances, ascending, the length of contour at each, and of it what was measured."""
        rows, columns = self.spacing
        pieces = np.array((rows, columns, 0.5 * math.sqrt(rows**2 + columns**2)))
        distances, counts = tally.settled()
        measured, alone = (counts[:, kinds] @ pieces for kinds in (slice(0, 3), slice(3, 6)))
        return distances, measured + alone, measured

    def counts(self) -> dict[str, int]:
        """Images whose distances are no measurements."""
        return {"one_side_empty": self.one_sided}

    def notes(self) -> list[str]:
        """How images with an empty side were scored."""
        if not self.one_sided:
            return []
        said = f"{self.one_sided} images have foreground on one side only"
        return [f"{said}: their distances are the image's diagonal and their NSD is 0"]


def _directed(distances: Floats, lengths: Floats) -> float:
    """The distance within which 95 % of a contour's length lies."""
    reached = np.cumsum(lengths)
    return float(distances[np.searchsorted(reached / reached[-1], _SHARE)])


def _found(contours: Sequence[tuple[Floats, Floats, Floats]], tolerance: float) -> float:
    """The share of the length of all contours that lies within a distance."""
    found = math.fsum(float(measured[d <= tolerance].sum()) for d, _, measured in contours)
    return found / math.fsum(float(lengths.sum()) for _, lengths, _ in contours)


def _percentile(distances: Floats, counts: Integers) -> float:
    """The 95th percentile of counted distances, between neighbours in proportion (as numpy's)."""
    reached = np.cumsum(counts)
    position = (int(reached[-1]) - 1) * _SHARE
    below = math.floor(position)
    ranks = np.minimum((below, below + 1), reached[-1] - 1)
    low, high = distances[np.searchsorted(reached, ranks, side="right")].tolist()
    share = position - below
    return float(low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share))


def _names(tolerances: Sequence[float]) -> list[str]:
    found = [f"nsd_{tolerance:.12g}".replace(".", "_") for tolerance in tolerances]
    return ["hd", "hd95", "hd95_pooled_percentile", "assd", *found]


def measure_distances(
    pred: BoolMask,
    gt: BoolMask,
    spacing: Spacing = (1.0, 1.0),
    tolerances: tuple[float, ...] = (1.0, 2.0),
) -> DistanceSums:
    """Measure the distances between the outlines of two masks of one image.

    Where one mask is empty, each point of the other counts for both, as far away as the image's
    diagonal: no distance in the image is larger.

    Args:
        pred: (H, W) bool, what was predicted.
        gt: (H, W) bool, what is true.
        spacing: distance between neighbouring rows and between neighbouring columns.
        tolerances: distances within which a piece of contour counts as found.

    Raises:
        ValueError: the shapes differ.
    """
    if pred.shape != gt.shape:
        raise ValueError(f"masks of shapes {pred.shape} and {gt.shape} cannot be compared")
    sums = DistanceSums(spacing, tolerances)
    window = window_around(pred | gt)
    if window is None:
        return sums
    farthest = math.hypot(gt.shape[0] * spacing[0], gt.shape[1] * spacing[1])
    pred, gt = pred[window], gt[window]
    sums.one_sided = int(not pred.any() or not gt.any())
    if sums.one_sided:
        pred = gt = pred | gt
    borders = border_pixels(pred), border_pixels(gt)
    codes = contour_codes(pred), contour_codes(gt)
    corners = contour_points(codes[0]), contour_points(codes[1])
    apart, along = (
        [distances_to(points[1 - i], points[i], spacing) for i in (0, 1)]
        for points in (borders, corners)
    )
    if sums.one_sided:
        for distances in (*apart, *along):
            distances.fill(farthest)
    both = np.concatenate(apart)
    sums.border = Tally.of(both, np.zeros(len(both), np.uint8), np.ones((1, 1), np.int64))
    pieces = _ALONE if sums.one_sided else _MEASURED
    sums.pred, sums.gt = (Tally.of(along[i], codes[i][corners[i]], pieces) for i in (0, 1))
    return sums


class Distance(Metric):
    """The outline of the foreground, as one mask."""

    def __init__(self, options: MetricOptions) -> None:
        self._spacing = options.spacing
        self._tolerances = options.tolerances
        self.undefined = dict.fromkeys(_names(options.tolerances), _EMPTY)

    def zero(self) -> Sums:
        """No outline."""
        return DistanceSums(self._spacing, self._tolerances)

    def measure(self, pair: Pair) -> Sums:
        """Outlines of one image; pixels that do not count are background on both sides."""
        pred, gt = pair.pred_foreground, pair.gt_foreground
        if pair.counted is not None:
            pred, gt = pred & pair.counted, gt & pair.counted
        return measure_distances(pred, gt, self._spacing, self._tolerances)

    def conventions(self) -> dict[str, str]:
        """Which outline, which percentile, which unit, and the empty cases."""
        rows, columns = self._spacing
        pixels = self._spacing == (1.0, 1.0)
        return {
            "distance": "hd95: the larger of the two directed 95th percentiles (surface-distance); "
            "hd95_pooled_percentile: the percentile of both directions together (medpy)",
            "distance_unit": "pixels"
            if pixels
            else f"the unit of the spacing: {rows:g} between rows, {columns:g} between columns",
            "distance_outline": "hd, hd95_pooled_percentile, assd: border pixels (4-neighbours), "
            "each counted once (medpy); hd95, nsd: corners of the pixel grid on the contour, "
            "weighed by its length (surface-distance); the image's border counts as outline",
            "assd": "the mean over the border pixels of both sides together",
            "nsd": "share of both contours' length within the tolerance of the other: "
            + ", ".join(f"{tolerance:.12g}" for tolerance in self._tolerances),
            "distance_empty": "foreground on neither side: undefined, left out; on one: its "
            "outline counts for both sides, at the image's diagonal, and NSD is 0",
            "distance_void": "pixels that do not count are background on both sides",
            "distance_pooled": "points of all images taken together: hd is the largest distance "
            "of any image",
        }
