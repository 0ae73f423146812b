"""How far the points of one outline are from another, counted by distance.

Most outlines are close to each other, so whole outlines are moved by one short step after the
other, and what meets is counted. What is left is searched for point by point.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.masks.bitmaps import holds, positions

__all__ = ["CLEARANCE", "Counts", "count_distances"]

Counts = dict[float, list[int]]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Spacing = tuple[float, float]

CLEARANCE = 6
"""Columns by which masks are moved, at most."""

_SMALL, _WORTH = 1 << 15, 1 << 11
_FEW_ROWS = 8


def count_distances(
    counts: Counts, targets: int, kinds: Sequence[int], stride: int, spacing: Spacing
) -> None:
    """Count points by kind and by their distance to the nearest target.

    Args:
        counts: distance → number of points of each kind; those found are added.
        targets: packed (H, W) mask, at least one bit set.
        kinds: for each kind, its points as a packed mask; no point is of two kinds.
        stride: bits from row to row of all masks, with `CLEARANCE`.
        spacing: distance between neighbouring rows and between neighbouring columns.

    Raises:
        ValueError: there is no target.
    """
    if not targets:
        raise ValueError("there is no target to measure a distance to")
    left = _count_near(counts, targets, kinds, stride, spacing)
    if not left:
        return
    places = positions(left)
    distances = _search(positions(targets), places, stride, spacing)
    values, where = np.unique(distances, return_inverse=True)
    where *= len(kinds)
    for i, kind in enumerate(kinds[1:], start=1):
        where[holds(kind, places)] += i
    found = np.bincount(where, minlength=len(values) * len(kinds))
    for value, row in zip(values.tolist(), found.reshape(-1, len(kinds)).tolist(), strict=True):
        _add(counts, value, row)


def _add(counts: Counts, distance: float, found: list[int]) -> None:
    if distance in counts:
        found = [a + b for a, b in zip(counts[distance], found, strict=True)]
    counts[distance] = found


def _count_near(
    counts: Counts, targets: int, kinds: Sequence[int], stride: int, spacing: Spacing
) -> int:
    """Count the points close to a target; return the others."""
    left = 0
    for kind in kinds:
        left |= kind
    area = targets.bit_length()
    above_and_below = [targets]
    for distance, steps in _steps(spacing):
        reached = 0
        for down, right in steps:
            while down >= len(above_and_below):
                far = len(above_and_below) * stride
                above_and_below.append(targets << far | targets >> far)
            moved = above_and_below[down]
            reached |= moved << right | moved >> right if right else moved
        reached &= left
        found = [(reached & kind).bit_count() for kind in kinds] if reached else [0]
        if reached:
            left ^= reached
            _add(counts, distance, found)
        # A step costs as much as the picture is large; a search, as many points as there are.
        if not left or area > _SMALL + _WORTH * sum(found):
            break
    return left


@lru_cache(maxsize=8)
def _steps(spacing: Spacing) -> list[tuple[float, list[tuple[int, int]]]]:
    """Rows and columns to places around one, grouped by distance, nearest first.

    All that are nearer than any place more than `CLEARANCE` rows or columns away.
    """
    rows, columns = np.indices((CLEARANCE + 1, CLEARANCE + 1)).reshape(2, -1)
    lengths = _lengths(rows, columns, spacing)
    near = np.flatnonzero(lengths < (CLEARANCE + 1) * min(spacing))
    groups: dict[float, list[tuple[int, int]]] = {}
    for i in near[np.argsort(lengths[near], kind="stable")].tolist():
        groups.setdefault(float(lengths[i]), []).append((int(rows[i]), int(columns[i])))
    return list(groups.items())


def _lengths(
    rows: npt.NDArray[np.integer[Any]], columns: npt.NDArray[np.integer[Any]], spacing: Spacing
) -> Floats:
    """Lengths of steps of rows and columns, with the rounding of scipy's distance transform."""
    down, right = rows * spacing[0], columns * spacing[1]
    lengths: Floats = np.sqrt(down * down + right * right)
    return lengths


def _search(targets: Places, sources: Places, stride: int, spacing: Spacing) -> Floats:
    """Distance (N,) of each source to the nearest target.

    Few sources look through the rows around them; for many a tree of the targets is worth it.
    """
    distances = np.zeros(len(sources))
    left, reach = np.arange(len(sources)), _FEW_ROWS
    while (more := min(len(targets) // len(left), 4 * reach)) > reach:
        reach = more
        found = _search_rows(targets, sources[left], reach, stride, spacing)
        distances[left] = found
        left = left[found > (reach + 1) * spacing[0]]
        if not len(left):
            return distances
    distances[left] = _search_tree(targets, sources[left], stride, spacing)
    return distances


def _search_rows(
    targets: Places, sources: Places, reach: int, stride: int, spacing: Spacing
) -> Floats:
    """Distance of each source to the nearest target at most `reach` rows away, or infinity."""
    rows = np.arange(-reach, reach + 1)
    places = sources[:, None] + rows * stride
    nowhere = stride << 32
    targets = np.concatenate(([-nowhere], targets, [nowhere]))
    after = np.searchsorted(targets, places)
    nearest = np.full(places.shape, np.inf)
    for side in (targets[after - 1], targets[after]):
        lengths = _lengths(rows, side - places, spacing)
        lengths[side // stride != places // stride] = np.inf
        np.minimum(nearest, lengths, out=nearest)
    found: Floats = nearest.min(axis=1)
    return found


def _search_tree(targets: Places, sources: Places, stride: int, spacing: Spacing) -> Floats:
    from scipy.spatial import cKDTree  # noqa: PLC0415 (slow to import)

    there = np.column_stack(np.divmod(targets, stride))
    here = np.column_stack(np.divmod(sources, stride))
    tree = cKDTree(there * spacing, balanced_tree=False, compact_nodes=False)
    _, nearest = tree.query(here * spacing)
    # From whole numbers, so that a distance does not depend on where in the image it lies.
    steps = here - there[nearest]
    return _lengths(steps[:, 0], steps[:, 1], spacing)
