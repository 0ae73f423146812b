"""From low-resolution mask logits to the image's pixels, as weighted sums of rows and columns.

The reference implementations enlarge to the model's input by bilinear interpolation, cut the
padding off and resize to the image, over the whole image. Both steps are linear and separable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

__all__ = ["Axis", "Resizer", "resizer"]


@dataclass(frozen=True, slots=True)
class Axis:
    """How an axis is made of one of the logits.

    Attributes:
        indices: (n, k) int64: the k rows (or columns) of the logits that each of the n is made of;
            neighbours, ascending.
        weights: (n, k) float32.
    """

    indices: torch.Tensor
    weights: torch.Tensor

    @property
    def needed(self) -> int:
        """How many rows of the logits, from the first, the axis is made of."""
        return int(self.indices.max()) + 1

    def reached_by(self, first: int, last: int) -> tuple[int, int]:
        """Half-open range of what is made of any logits from `first` to `last` inclusive."""
        start = np.searchsorted(self.indices[:, -1].numpy(), first, side="left")
        stop = np.searchsorted(self.indices[:, 0].numpy(), last, side="right")
        return int(start), int(stop)

    def apply(self, source: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """What is made, from `start` to `stop`, of (m, l) source rows: (stop - start, l)."""
        indices, weights = self.indices[start:stop], self.weights[start:stop, :, None]
        made = source.index_select(0, indices[:, 0]).mul_(weights[:, 0])
        for tap in range(1, indices.shape[1]):
            made.addcmul_(source.index_select(0, indices[:, tap]), weights[:, tap])
        return made


@dataclass(frozen=True, slots=True)
class Resizer:
    """From low-resolution logits to the pixels of an image.

    Attributes:
        columns: from the logits' columns to the image's.
        nodes: from the logits' rows to rows between which the image's are interpolated; the image's
            own where those are fewer.
        rows_per_node: how many rows of the image lie between two nodes; 1 if nodes are rows.
        height: rows of the image.
    """

    columns: Axis
    nodes: Axis
    rows_per_node: float
    height: int


def resizer(
    low: tuple[int, int],
    middle: tuple[int, int],
    kept: tuple[int, int],
    size: tuple[int, int],
) -> Resizer:
    """Plan the way of logits; all sizes are (rows, columns).

    Args:
        low: of the logits.
        middle: of the model's input; `low` where a model's logits are resized at once.
        kept: how much of the input is the image; the rest is padding.
        size: of the image.
    """
    columns = _axis(_enlarged(low[1], middle[1], kept[1]), size[1])
    rows = _enlarged(low[0], middle[0], kept[0])
    nodes = min(rows.shape[1], size[0])
    return Resizer(columns, _axis(rows, nodes), size[0] / nodes, size[0])


def _enlarged(low: int, middle: int, kept: int) -> torch.Tensor:
    """(low, kept): what each row of the model's input takes of each row of the logits."""
    return _interpolated(torch.eye(low), middle)[:, :kept]


def _interpolated(rows: torch.Tensor, size: int) -> torch.Tensor:
    if rows.shape[1] == size:
        return rows
    return functional.interpolate(rows[None], size, mode="linear", align_corners=False)[0]


def _axis(shares: torch.Tensor, size: int) -> Axis:
    """The few rows that count of (low, n) shares interpolated to (low, size)."""
    each = _interpolated(shares, size).T
    low = each.shape[1]
    taken = each != 0
    first = taken.int().argmax(1)
    last = low - 1 - taken.flip(1).int().argmax(1)
    span = int((last - first).max()) + 1
    # Neighbours to the left of the border stand in for those beyond it, with no weight.
    first = first.clamp_(max=low - span)
    indices = first[:, None] + torch.arange(span)
    return Axis(indices, each.gather(1, indices).contiguous())
