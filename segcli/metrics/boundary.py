"""How well outlines agree: boundary IoU, and DAVIS' J, F and J&F, from pixel counts.

Boundary IoU is that of Cheng et al. 2021 (boundary-iou-api); J and F are those of Perazzi et al.
2016 as the toolkit davis2017-evaluation computes them, its rules for empty masks included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np

from segcli.masks.bitmaps import dilate_by_disk, erode_by_square, pack, stride_of
from segcli.masks.boundaries import boundary_width, edge_pixels, window_around
from segcli.metrics.base import BoolMask, Metric, MetricOptions, Pair, Sums, ratio

__all__ = ["Boundary", "BoundarySums", "count_boundaries"]

DAVIS_TOLERANCE = 0.008
_NO_IMAGE = "no image was scored"


@dataclass(slots=True)
class BoundarySums(Sums):
    """Pixels of masks, of their boundaries and of their edges.

    Attributes:
        boundary_both: in the boundary of the prediction and of the ground truth.
        boundary_either: in one of them at least.
        mask_both: in both masks.
        mask_either: in one of them at least.
        pred_edge: on the prediction's edge.
        pred_edge_found: of these, near the ground truth's edge.
        gt_edge: on the ground truth's edge.
        gt_edge_found: of these, near the prediction's edge.
        images: images added.
        images_empty: of these, with foreground on neither side.
    """

    boundary_both: int = 0
    boundary_either: int = 0
    mask_both: int = 0
    mask_either: int = 0
    pred_edge: int = 0
    pred_edge_found: int = 0
    gt_edge: int = 0
    gt_edge_found: int = 0
    images: int = 0
    images_empty: int = 0

    def add(self, other: Sums) -> None:
        """Add pixels of other images."""
        assert isinstance(other, BoundarySums)
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def compute(self) -> dict[str, float]:
        """Boundary IoU, J, F and their mean, each in 0..1.

        boundary_iou is NaN where neither side has foreground; J and F are 1 there, as in DAVIS.
        """
        j, f = self._region(), self._contour()
        return {
            "boundary_iou": ratio(self.boundary_both, self.boundary_either),
            "davis_j": j,
            "davis_f": f,
            "davis_j_and_f": (j + f) / 2,
        }

    def _region(self) -> float:
        if not self.images:
            return math.nan
        return self.mask_both / self.mask_either if self.mask_either else 1.0

    def _contour(self) -> float:
        if not self.images:
            return math.nan
        if not self.pred_edge or not self.gt_edge:
            return float(self.pred_edge == self.gt_edge)
        precision = self.pred_edge_found / self.pred_edge
        recall = self.gt_edge_found / self.gt_edge
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    def notes(self) -> list[str]:
        """How many images DAVIS' rule for empty masks gives a full score."""
        if not self.images_empty:
            return []
        images = "1 image has" if self.images_empty == 1 else f"{self.images_empty} images have"
        rule = "davis_j and davis_f are 1 there, as in DAVIS; IoU, Dice and boundary IoU leave"
        which = "it" if self.images_empty == 1 else "them"
        return [f"{images} foreground on neither side: {rule} {which} out"]


def count_boundaries(pred: BoolMask, gt: BoolMask, boundary_ratio: float = 0.02) -> BoundarySums:
    """Count the pixels of two masks of one image, of their boundaries and of their edges.

    Args:
        pred: (H, W) bool, what was predicted.
        gt: (H, W) bool, what is true.
        boundary_ratio: depth of the boundary as a share of the image's diagonal.

    Raises:
        ValueError: the shapes differ.
    """
    if pred.shape != gt.shape:
        raise ValueError(f"masks of shapes {pred.shape} and {gt.shape} cannot be compared")
    sums = BoundarySums(images=1)
    # Wide enough for the edges that lie beside a mask.
    window = window_around(pred, gt, margin=1)
    if window is None:
        sums.images_empty = 1
        return sums
    depth = boundary_width(gt.shape[0], gt.shape[1], boundary_ratio)
    reach = math.ceil(DAVIS_TOLERANCE * np.linalg.norm(gt.shape))
    stride = stride_of(gt[window].shape[1], reach)
    image = pack(np.ones_like(gt[window]), stride)
    one, other = pack(pred[window], stride), pack(gt[window], stride)
    pred_rim, gt_rim = (bits ^ erode_by_square(bits, depth, stride) for bits in (one, other))
    sums.boundary_both = (pred_rim & gt_rim).bit_count()
    sums.boundary_either = (pred_rim | gt_rim).bit_count()
    sums.mask_both, sums.mask_either = (one & other).bit_count(), (one | other).bit_count()
    edges = edge_pixels(one, image, stride), edge_pixels(other, image, stride)
    near = [dilate_by_disk(edge, reach, stride) for edge in edges]
    sums.pred_edge, sums.gt_edge = (edge.bit_count() for edge in edges)
    sums.pred_edge_found, sums.gt_edge_found = (
        (edges[i] & near[1 - i]).bit_count() for i in (0, 1)
    )
    # A mask that fills the image has no edge: against an empty one the toolkit would give F = 1.
    sums.gt_edge += int(not sums.gt_edge and not one)
    sums.pred_edge += int(not sums.pred_edge and not other)
    return sums


class Boundary(Metric):
    """The outline of the foreground, as one mask."""

    undefined = MappingProxyType(
        {
            "boundary_iou": "neither side has foreground (0/0)",
            "davis_j": _NO_IMAGE,
            "davis_f": _NO_IMAGE,
            "davis_j_and_f": _NO_IMAGE,
        }
    )

    def __init__(self, options: MetricOptions) -> None:
        self._ratio = options.boundary_ratio

    def zero(self) -> Sums:
        """No image."""
        return BoundarySums()

    def measure(self, pair: Pair) -> Sums:
        """Pixels of one image; those that do not count are background on both sides."""
        pred, gt = pair.pred_foreground, pair.gt_foreground
        if pair.counted is not None:
            pred, gt = pred & pair.counted, gt & pair.counted
        return count_boundaries(pred, gt, self._ratio)

    def conventions(self) -> dict[str, str]:
        """What a boundary is, and the empty cases."""
        return {
            "boundary": f"boundary IoU: a mask minus its erosion by {self._ratio:g} of the "
            "image's diagonal (3x3 square, rounded, at least 1 pixel); the image's border counts",
            "boundary_empty": "boundary IoU: foreground on neither side: undefined; on one: 0",
            "boundary_void": "pixels that do not count are background on both sides, so their "
            "edge is a boundary",
            "davis": "J: IoU; F: F1 of edge pixels (seg2bmap) within a disk of "
            f"{DAVIS_TOLERANCE:g} of the diagonal, rounded up; the image's border is no edge; "
            "J&F: their mean; all foreground is one object",
            "davis_empty": "foreground on neither side: J and F are 1, as in DAVIS; on one: 0",
            "davis_pooled": "pixels summed over images before the ratios; DAVIS itself quotes the "
            "mean of images",
        }
