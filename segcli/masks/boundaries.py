"""Boundaries of masks and label maps in the definitions that benchmarks use, and distances to them.

Each definition has its own function. What lies outside of the image is another class (background).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "CONTOUR_PIECES",
    "border_pixels",
    "boundary_pixels",
    "boundary_width",
    "contour_codes",
    "contour_points",
    "distances_to",
    "edge_pixels",
    "window_around",
]

BoolMask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

CONTOUR_PIECES = np.array(
    [
        *((0, 0, 0), (0, 0, 1), (0, 0, 1), (0, 1, 0)),
        *((0, 0, 1), (1, 0, 0), (0, 0, 2), (0, 0, 1)),
        *((0, 0, 1), (0, 0, 2), (1, 0, 0), (0, 0, 1)),
        *((0, 1, 0), (0, 0, 1), (0, 0, 1), (0, 0, 0)),
    ],
    dtype=np.int64,
)
"""(16, 3) pieces of contour at a corner, by its code: vertical, horizontal, half diagonals."""

_MOST_SEARCHED = 1 / 32
_AROUND = 4
_RING, _LOOKS = 8, 1 << 16


def boundary_width(height: int, width: int, ratio: float) -> int:
    """How many pixels deep a boundary is: a share of the diagonal, rounded, at least 1."""
    return max(1, round(ratio * math.sqrt(height * height + width * width)))


def boundary_pixels(labels: npt.NDArray[Any], radius: int) -> BoolMask:
    """Pixels near another value: the boundaries of all classes of a map at once.

    For each value this is its mask minus the mask eroded `radius` times by a 3x3 square, as in
    Boundary IoU (Cheng et al. 2021), with everything outside of the image taken as another value.

    Args:
        labels: (H, W) bool or integers.
        radius: depth of the boundary in pixels, at least 1.

    Returns:
        (H, W) bool, True where the window of 2 * radius + 1 pixels square holds another value or
        leaves the image.
    """
    height, width = labels.shape
    side = 2 * radius + 1
    near = np.ones(labels.shape, bool)
    if height < side or width < side:
        return near
    # A window holds one value exactly when each of its rows does and its middle column does.
    in_row = _all_in_a_row((labels[:, 1:] == labels[:, :-1]).T, side - 1).T
    middle = labels[:, radius : width - radius]
    same = _all_in_a_row(in_row, side)
    same &= _all_in_a_row(middle[1:] == middle[:-1], side - 1)
    np.logical_not(same, out=near[radius : height - radius, radius : width - radius])
    return near


def _all_in_a_row(flags: BoolMask, length: int) -> BoolMask:
    """Whether `length` flags from each on, along the first axis, are True; shorter by the rest."""
    done = 1
    while done < length:
        # Doubling: the number of passes grows with the logarithm of the length.
        step = min(done, length - done)
        flags = flags[:-step] & flags[step:]
        done += step
    return flags


def window_around(mask: BoolMask, margin: int = 0) -> tuple[slice, slice] | None:
    """Rows and columns of the box around a mask, wider by a margin within the image; None if empty.

    Outside of the box is background, so boundaries are the same when a mask is cut to it.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    down, right = (
        slice(max(int(at[0]) - margin, 0), int(at[-1]) + 1 + margin) for at in (rows, columns)
    )
    return down, right


def border_pixels(mask: BoolMask) -> BoolMask:
    """Pixels of a (H, W) mask with a 4-neighbour that is not, as medpy's surface distances."""
    padded = _padded(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1]
    inside &= padded[1:-1, :-2]
    inside &= padded[1:-1, 2:]
    return mask & ~inside


def edge_pixels(mask: BoolMask) -> BoolMask:
    """Pixels of a (H, W) mask that differ from the next to the right, below, or both (DAVIS).

    The boundary of `seg2bmap` of the Berkeley benchmark (Martin et al. 2004) and of DAVIS. The
    image's own border is no boundary: a mask that fills the image has none.
    """
    edges = np.zeros(mask.shape, bool)
    right, below = mask[:, :-1] ^ mask[:, 1:], mask[:-1] ^ mask[1:]
    edges[:, :-1] |= right
    edges[:-1] |= below
    edges[:-1, :-1] |= mask[:-1, :-1] ^ mask[1:, 1:]
    return edges


def contour_codes(mask: BoolMask) -> npt.NDArray[np.uint8]:
    """Which of the four pixels around each corner of the pixel grid are in a mask.

    Args:
        mask: (H, W) bool.

    Returns:
        (H + 1, W + 1) uint8: 8 (above left) + 4 (above right) + 2 (below left) + 1 (below right).
        The contour passes where this is neither 0 nor 15, as in DeepMind's surface-distance.
    """
    padded = _padded(mask, 1).view(np.uint8)
    pairs = padded[:, :-1] * np.uint8(2) + padded[:, 1:]
    codes: npt.NDArray[np.uint8] = pairs[:-1] * np.uint8(4) + pairs[1:]
    return codes


def contour_points(codes: npt.NDArray[np.uint8]) -> BoolMask:
    """Corners of the pixel grid through which the contour passes."""
    passes: BoolMask = (codes != 0) & (codes != 15)
    return passes


def distances_to(
    targets: BoolMask, sources: BoolMask, spacing: tuple[float, float] = (1.0, 1.0)
) -> Floats:
    """Distance of each source to the nearest target.

    Looks around each source first, since most outlines are close to each other; what is left costs
    a search in a tree of the targets, or one distance transform where much is left.

    Args:
        targets: (H, W) bool, at least one True.
        sources: (H, W) bool.
        spacing: distance between neighbouring rows and between neighbouring columns.

    Returns:
        (N,) float64, one for each True of `sources`, in row-major order.

    Raises:
        ValueError: there is no target.
    """
    if not targets.any():
        raise ValueError("there is no target to measure a distance to")
    at = np.flatnonzero(sources)
    distances = np.zeros(len(at))
    apart = np.flatnonzero(~targets.ravel()[at])
    apart = _look_around(targets, at, apart, spacing, distances)
    if len(apart) > _MOST_SEARCHED * targets.size:
        from scipy.ndimage import distance_transform_edt  # noqa: PLC0415 (slow to import)

        everywhere: Floats = distance_transform_edt(~targets, sampling=spacing)
        return everywhere.ravel()[at]
    if len(apart):
        distances[apart] = _search(np.flatnonzero(targets), at[apart], targets.shape[1], spacing)
    return distances


def _look_around(
    targets: BoolMask, at: Places, apart: Places, spacing: tuple[float, float], distances: Floats
) -> Places:
    """Fill in the distances of sources with a target close by; return those that have none.

    Args:
        targets: (H, W) bool.
        at: (N,) flat positions of the sources.
        apart: indices into `at` of those that are no target themselves.
        spacing: distance between neighbouring rows and between neighbouring columns.
        distances: (N,), changed in place.
    """
    width, row = targets.shape[1], targets.shape[1] + 2 * _AROUND
    flat = _padded(targets, _AROUND).ravel()
    rows, columns = np.divmod(at[apart], width)
    here = (rows + _AROUND) * row + columns + _AROUND
    steps, lengths = _steps(spacing)
    places, done = steps @ (row, 1), 0
    while len(apart) and done < len(places):
        # What is not next to a target is looked around in one go, if it is little.
        until = done + (max(_RING, _LOOKS // len(apart)) if done else _RING)
        hits = flat[here[:, None] + places[done:until]]
        first = hits.argmax(axis=1)
        hit = hits[np.arange(len(hits)), first]
        distances[apart[hit]] = lengths[done:until][first[hit]]
        apart, here, done = apart[~hit], here[~hit], until
    return apart


def _padded(mask: BoolMask, margin: int) -> BoolMask:
    wider = np.zeros((mask.shape[0] + 2 * margin, mask.shape[1] + 2 * margin), bool)
    wider[margin:-margin, margin:-margin] = mask
    return wider


@lru_cache(maxsize=8)
def _steps(spacing: tuple[float, float]) -> tuple[npt.NDArray[np.intp], Floats]:
    """Steps (N, 2) in rows and columns to places around one, nearest first, and their lengths.

    All that are nearer than any place more than `_AROUND` rows or columns away.
    """
    reach = np.arange(-_AROUND, _AROUND + 1)
    steps = np.stack(np.meshgrid(reach, reach, indexing="ij"), axis=-1).reshape(-1, 2)
    lengths = _lengths(steps, spacing)
    order = np.argsort(lengths, kind="stable")[1:]
    near = order[lengths[order] < (_AROUND + 1) * min(spacing)]
    return steps[near], lengths[near]


def _lengths(steps: npt.NDArray[np.integer[Any]], spacing: tuple[float, float]) -> Floats:
    """Lengths of (..., 2) steps in rows and columns, with the rounding of scipy's transform."""
    down, right = steps[..., 0] * spacing[0], steps[..., 1] * spacing[1]
    lengths: Floats = np.sqrt(down * down + right * right)
    return lengths


def _search(targets: Places, sources: Places, width: int, spacing: tuple[float, float]) -> Floats:
    from scipy.spatial import cKDTree  # noqa: PLC0415 (slow to import)

    there = np.column_stack(np.divmod(targets, width))
    here = np.column_stack(np.divmod(sources, width))
    tree = cKDTree(there * spacing, balanced_tree=False, compact_nodes=False)
    _, nearest = tree.query(here * spacing)
    # From whole numbers, so that a distance does not depend on where in the image it lies.
    return _lengths(here - there[nearest], spacing)
