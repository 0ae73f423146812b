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

from segcli.masks.bitmaps import pack, stride_of
from segcli.masks.boundaries import border_pixels, contour_corners, window_around
from segcli.masks.nearest import CLEARANCE, Counts, count_distances
from segcli.metrics.base import BoolMask, Metric, MetricOptions, Pair, Sums

__all__ = ["Distance", "DistanceSums", "Tally", "measure_distances"]

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Spacing = tuple[float, float]

_SHARE = 0.95
_ROUNDING = 1e-12
_UNSETTLED = 1 << 16
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
    def of(cls, counts: Counts, kinds: int) -> Tally:
        """Tally points by distance and kind."""
        distances = sorted(counts)
        table = np.array([counts[distance] for distance in distances], np.int64)
        return cls(kinds, [(np.array(distances), table)])

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
    border: Tally = field(default_factory=lambda: Tally(1))
    pred: Tally = field(default_factory=lambda: Tally(6))
    gt: Tally = field(default_factory=lambda: Tally(6))
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
            max(_directed(at, reached) for at, reached, _ in contours),
            _percentile(distances, pixels),
            float(distances @ pixels) / int(pixels.sum()),
            *(_found(contours, tolerance) for tolerance in self.tolerances),
        )
        return dict(zip(names, values, strict=True))

    def _lengths(self, tally: Tally) -> tuple[Floats, Floats, Floats]:
        """Distances, ascending; the length of contour within each; of it what was measured."""
        rows, columns = self.spacing
        pieces = np.array((rows, columns, 0.5 * math.sqrt(rows**2 + columns**2)))
        distances, counts = tally.settled()
        lengths = counts.cumsum(axis=0).reshape(-1, 2, 3) @ pieces
        return distances, lengths.sum(axis=1), lengths[:, 0]

    def counts(self) -> dict[str, int]:
        """Images whose distances are no measurements."""
        return {"one_side_empty": self.one_sided}

    def notes(self) -> list[str]:
        """How images with an empty side were scored."""
        if not self.one_sided:
            return []
        said = f"{self.one_sided} images have foreground on one side only"
        return [f"{said}: their distances are the image's diagonal and their NSD is 0"]


def _directed(distances: Floats, reached: Floats) -> float:
    """The distance within which 95 % of a contour's length lies."""
    # A share of exactly 19/20 is enough, whichever way the sum of its lengths was rounded.
    return float(distances[(reached / reached[-1]).searchsorted(_SHARE - _ROUNDING)])


def _found(contours: Sequence[tuple[Floats, Floats, Floats]], tolerance: float) -> float:
    """The share of the length of all contours that lies within a distance."""
    found = 0.0
    for distances, _, measured in contours:
        within = int(distances.searchsorted(tolerance, side="right"))
        found += float(measured[within - 1]) if within else 0.0
    return found / sum(float(reached[-1]) for _, reached, _ in contours)


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
    window = window_around(pred, gt)
    if window is None:
        return sums
    farthest = math.hypot(gt.shape[0] * spacing[0], gt.shape[1] * spacing[1])
    pred, gt = pred[window], gt[window]
    sums.one_sided = int(not pred.any() or not gt.any())
    stride = stride_of(gt.shape[1], CLEARANCE)
    if sums.one_sided:
        _count_alone(sums, pack(pred | gt, stride), stride, farthest)
    else:
        _count_both(sums, pack(pred, stride), pack(gt, stride), stride)
    return sums


def _count_both(sums: DistanceSums, pred: int, gt: int, stride: int) -> None:
    """Count the points of two outlines by their distance to the other outline."""
    borders = border_pixels(pred, stride), border_pixels(gt, stride)
    corners = contour_corners(pred, stride), contour_corners(gt, stride)
    lines = [one | two | three | four for one, two, three, four in corners]
    border: Counts = {}
    contours: tuple[Counts, Counts] = {}, {}
    for i in (0, 1):
        count_distances(border, borders[1 - i], borders[i : i + 1], stride, sums.spacing)
        count_distances(contours[i], lines[1 - i], corners[i], stride, sums.spacing)
    sums.border = Tally.of(border, 1)
    sums.pred, sums.gt = (Tally.of(_pieces(contour), 6) for contour in contours)


def _count_alone(sums: DistanceSums, bits: int, stride: int, distance: float) -> None:
    """Count the points of one outline for both sides, at one distance."""
    sums.border = Tally.of({distance: [2 * border_pixels(bits, stride).bit_count()]}, 1)
    corners = [own.bit_count() for own in contour_corners(bits, stride)]
    pieces = {at: row[3:] + row[:3] for at, row in _pieces({distance: corners}).items()}
    sums.pred, sums.gt = Tally.of(pieces, 6), Tally.of(pieces, 6)


def _pieces(corners: Counts) -> Counts:
    """From corners by kind to pieces of contour, measured, and none that were not."""
    return {
        distance: [vertical, horizontal, one + 2 * two, 0, 0, 0]
        for distance, (vertical, horizontal, one, two) in corners.items()
    }


class Distance(Metric):
    """The outline of the foreground, as one mask."""

    def __init__(self, options: MetricOptions) -> None:
        self._spacing = options.spacing
        self._tolerances = options.tolerances
        self.undefined = dict.fromkeys(_names(options.tolerances), _EMPTY)
        self.lower_is_better = frozenset(n for n in self.undefined if not n.startswith("nsd_"))

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
        scale = f"in units of --spacing {rows:g} x {columns:g} (rows x columns)"
        unit = "in pixels" if self._spacing == (1.0, 1.0) else scale
        return {
            "distance": f"{unit}; hd95: the larger of the two directed 95th percentiles "
            "(surface-distance); hd95_pooled_percentile: the percentile of both directions "
            "together (medpy)",
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
