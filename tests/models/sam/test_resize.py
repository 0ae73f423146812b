"""The way from logits to pixels, axis by axis, against torch's interpolation."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from segcli.models.sam.resize import Axis, resizer

SIDE = st.integers(1, 24)


@st.composite
def ways(draw) -> tuple[int, int, int, int]:
    """Rows of the logits, of the model's input, of the picture inside it, and of the picture."""
    low, middle, size = draw(SIDE), draw(SIDE), draw(st.integers(1, 60))
    if draw(st.booleans()):
        return low, low, low, size
    return low, middle, draw(st.integers(1, middle)), size


def interpolated(rows: torch.Tensor, way: tuple[int, int, int, int]) -> torch.Tensor:
    """(low, n) → (size, n) in the two steps of the reference implementations, in float64."""
    _, middle, kept, size = way
    made = rows.double().T[None]
    if middle != made.shape[-1]:
        made = functional.interpolate(made, middle, mode="linear")
    return functional.interpolate(made[..., :kept], size, mode="linear")[0].T


def columns_of(way: tuple[int, int, int, int]) -> Axis:
    low, middle, kept, size = ((1, n) for n in way)
    return resizer(low, middle, kept, size).columns


def dense(axis: Axis, low: int) -> torch.Tensor:
    """(n, low): what each of the n takes of each row of the logits."""
    return torch.zeros(len(axis.indices), low).scatter_add_(1, axis.indices, axis.weights)


@given(ways(), st.integers(0, 99))
def test_apply_is_interpolation(way, seed):
    """Weighted sums of rows are what enlarging, cutting off the padding and resizing gives."""
    rows = torch.randn(way[0], 3, generator=torch.Generator().manual_seed(seed))
    axis, expected = columns_of(way), interpolated(rows, way)
    found = axis.apply(rows, 0, way[3])
    assert torch.allclose(found.double(), expected, atol=1e-5)
    start, stop = way[3] // 3, max(way[3] // 3, way[3] - 1)
    assert torch.equal(axis.apply(rows, start, stop), found[start:stop])


@given(ways())
def test_rows_of_an_axis_are_neighbours(way):
    """Each row is made of neighbours, ascending and inside the logits; weights sum to 1."""
    axis = columns_of(way)
    assert axis.indices.min() >= 0
    assert axis.indices.max() < way[0]
    assert (axis.indices.diff(dim=1) == 1).all()
    assert torch.allclose(axis.weights.sum(1), torch.ones(way[3]), atol=1e-5)


@given(ways())
def test_needed_is_all_that_counts(way):
    """What lies behind the needed rows, as the padding of a picture, changes nothing."""
    axis, rows = columns_of(way), torch.randn(way[0], 2)
    changed = rows.clone()
    changed[axis.needed :] = 1e6
    assert torch.equal(axis.apply(rows, 0, way[3]), axis.apply(changed, 0, way[3]))


@given(ways(), st.data())
def test_reach_misses_nothing(way, data):
    """Whatever is made of some logits is within their reach."""
    axis = columns_of(way)
    first = data.draw(st.integers(0, way[0] - 1))
    last = data.draw(st.integers(first, way[0] - 1))
    start, stop = axis.reached_by(first, last)
    touched = torch.nonzero(dense(axis, way[0])[:, first : last + 1].any(1)).flatten().tolist()
    assert 0 <= start <= stop <= way[3]
    assert set(touched) <= set(range(start, stop))


@pytest.mark.parametrize(("size", "nodes", "rows"), [(60, 48, 1.25), (48, 48, 1.0), (30, 30, 1.0)])
def test_nodes_are_the_fewer_of_two(size, nodes, rows):
    """Rows are known at the model's input's rows or at the picture's own, whichever are fewer."""
    plan = resizer((16, 16), (64, 64), (48, 64), (size, 80))
    assert len(plan.nodes.indices) == nodes
    assert (plan.rows_per_node, plan.height) == (rows, size)
    assert len(plan.columns.indices) == 80
