"""Traced masks against masks that are painted: torch's interpolation and transformers' measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from transformers.models.sam import image_processing_sam as stock

from segcli.masks.rle import decode
from segcli.models.sam import trace as tracing
from segcli.models.sam.resize import Resizer, resizer
from segcli.models.sam.trace import Frame, Traced, trace

Size = tuple[int, int]
SIDES = st.tuples(st.integers(1, 9), st.integers(1, 9))
LARGER = st.tuples(st.integers(1, 40), st.integers(1, 40))


@dataclass(frozen=True)
class Way:
    """The sizes that logits pass on their way to a picture, and where that lies."""

    low: Size
    middle: Size
    kept: Size
    size: Size
    frame: Frame

    @property
    def resizer(self) -> Resizer:
        return resizer(self.low, self.middle, self.kept, self.size)

    def painted(self, plane: torch.Tensor) -> torch.Tensor:
        """Logits at the picture's size, by the steps of the reference implementations, float64."""
        values = plane.double()[None, None]
        if self.middle != self.low:
            values = functional.interpolate(values, self.middle, mode="bilinear")
        values = values[..., : self.kept[0], : self.kept[1]]
        return functional.interpolate(values, self.size, mode="bilinear")[0, 0]

    def framed(self, mask: torch.Tensor) -> np.ndarray:
        """A mask of the picture in the whole image."""
        whole = np.zeros((self.frame.height, self.frame.width), dtype=bool)
        top, left = self.frame.top, self.frame.left
        whole[top : top + self.size[0], left : left + self.size[1]] = mask.numpy()
        return whole


def way_of(low: Size, size: Size, middle: Size | None = None, kept: Size | None = None) -> Way:
    """A way to a picture that is all of the image."""
    middle = middle or low
    return Way(low, middle, kept or middle, size, Frame(0, 0, *size))


@st.composite
def ways(draw) -> Way:
    """Squashed or padded, enlarged or reduced, all of an image or a crop."""
    low, size = draw(SIDES), draw(LARGER)
    middle = kept = low
    if draw(st.booleans()):
        middle = draw(st.sampled_from([(4 * low[0], 4 * low[1]), draw(LARGER)]))
        kept = tuple(draw(st.integers(1, n)) for n in middle)
    left, top, right, bottom = (draw(st.sampled_from([0, 0, 1, 7])) for _ in range(4))
    frame = Frame(left, top, top + size[0] + bottom, left + size[1] + right)
    return Way(low, middle, kept, size, frame)


@st.composite
def planes(draw, low: Size) -> torch.Tensor:
    """Logits: noise, whole numbers (many of them a cutoff), a disc, or few rows of noise."""
    kind = draw(st.sampled_from(["noise", "whole", "disc", "rows"]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 9999)))
    noise = torch.randn(low, generator=generator) * 2
    if kind == "whole":
        return noise.round()
    if kind == "disc":
        y, x = torch.meshgrid(*(torch.arange(n) for n in low), indexing="ij")
        return 2.5 - torch.hypot(y - low[0] / 2, x - low[1] / 3) * 2
    if kind == "rows":
        noise[torch.rand(low[0], generator=generator) < 0.6] = -5
    return noise


CUTOFF = st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(-2, 2, width=32))
OFFSET = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 2, width=32))


def assert_traced(way: Way, plane: torch.Tensor, threshold: float, offset: float) -> Traced:
    """A traced mask is the painted one but for pixels as near the cutoff as float32 rounds."""
    traced = trace(way.resizer, way.frame, plane, threshold=threshold, offset=offset)
    values = way.painted(plane)
    rounding = 1e-5 * max(1.0, float(plane.abs().max()))

    def doubtful(cutoff: float) -> torch.Tensor:
        return (values - cutoff).abs() <= rounding

    found = decode(traced.rle)
    wrong = found != way.framed(values > threshold)
    assert not (wrong & ~way.framed(doubtful(threshold))).any()
    high, low = threshold + offset, threshold - offset
    assert abs(traced.inner - int((values > high).sum())) <= int(doubtful(high).sum())
    assert abs(traced.outer - int((values > low).sum())) <= int(doubtful(low).sum())
    if not (doubtful(high) | doubtful(low)).any():
        expected = stock._compute_stability_score(values[None], threshold, offset)
        assert np.array_equal(traced.stability, float(expected[0]), equal_nan=True)
    assert (traced.starts < traced.stops).all()
    assert (traced.starts[1:] > traced.stops[:-1]).all()
    expected = stock._batched_mask_to_box(torch.from_numpy(found))
    assert traced.inclusive_box.dtype == np.float32
    assert traced.inclusive_box.tolist() == expected.tolist()
    return traced


@given(ways(), st.data(), CUTOFF, OFFSET, st.sampled_from([1, 50, 1 << 17]))
def test_traced_is_painted(way, data, threshold, offset, at_once):
    """Mask, areas at both cutoffs, stability and box are those of the painted mask.

    However the logits get to the picture, whatever the cutoff, and however many columns at a time.
    """
    plane = data.draw(planes(way.low))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "_VALUES_AT_ONCE", at_once)
        assert_traced(way, plane, threshold, offset)


@pytest.mark.parametrize("at_once", [1, 100, 1000])
def test_strips_change_nothing(monkeypatch, at_once):
    """Columns made a few at a time give the same runs and areas as all at once."""
    way = way_of((16, 16), (90, 70), (64, 64), (64, 50))
    plane = torch.randn(16, 16, generator=torch.Generator().manual_seed(3))
    whole = trace(way.resizer, way.frame, plane, threshold=0.1, offset=0.5)
    monkeypatch.setattr(tracing, "_VALUES_AT_ONCE", at_once)
    parts = trace(way.resizer, way.frame, plane, threshold=0.1, offset=0.5)
    assert len(whole.starts) > 50
    assert np.array_equal(whole.starts, parts.starts)
    assert np.array_equal(whole.stops, parts.stops)
    assert (whole.inner, whole.outer) == (parts.inner, parts.outer)


WAYS = [
    way_of((4, 4), (9, 13)),
    way_of((4, 4), (3, 2)),
    way_of((4, 4), (30, 20), (16, 16), (16, 11)),
    way_of((4, 4), (1, 1), (16, 16), (16, 16)),
]


@pytest.mark.parametrize("way", WAYS)
def test_empty(way):
    """A mask without a pixel: no runs, no box; no stability if the outer one is empty as well."""
    traced = assert_traced(way, torch.full((4, 4), -3.0), 0.0, 1.0)
    assert not len(traced.starts)
    assert np.isnan(traced.stability)
    traced = assert_traced(way, torch.full((4, 4), -0.5), 0.0, 1.0)
    assert not len(traced.starts)
    assert traced.stability == 0


@pytest.mark.parametrize("way", WAYS)
def test_full(way):
    """A mask of all pixels is one run, which goes on from column to column."""
    traced = assert_traced(way, torch.full((4, 4), 3.0), 0.0, 1.0)
    assert (traced.starts.tolist(), traced.stops.tolist()) == ([0], [way.size[0] * way.size[1]])
    assert traced.stability == 1


def test_full_columns():
    """Runs that go on in the next column are one, and their box is as high as the picture."""
    plane = torch.full((4, 4), -3.0)
    plane[:, 1:3] = 3
    traced = assert_traced(way_of((4, 4), (4, 4)), plane, 0.0, 1.0)
    assert (traced.starts.tolist(), traced.stops.tolist()) == ([4], [12])
    assert traced.inclusive_box.tolist() == [1, 0, 2, 3]


def test_full_columns_of_a_crop():
    """In a crop, full columns are apart in the image, unless it is as high as the image."""
    way = Way((4, 4), (4, 4), (4, 4), (4, 4), Frame(2, 1, 6, 8))
    assert len(assert_traced(way, torch.ones(4, 4), 0.0, 0.5).starts) == 4
    way = Way((4, 4), (4, 4), (4, 4), (4, 4), Frame(2, 0, 4, 8))
    traced = assert_traced(way, torch.ones(4, 4), 0.0, 0.5)
    assert (traced.starts.tolist(), traced.stops.tolist()) == ([8], [24])


@pytest.mark.parametrize("place", [(0, 0), (3, 0), (1, 2), (3, 3)])
def test_one_pixel(place):
    """A mask of one pixel, in a corner or not, has that pixel's box."""
    plane = torch.full((4, 4), -3.0)
    plane[place] = 3
    traced = assert_traced(way_of((4, 4), (4, 4)), plane, 0.0, 1.0)
    row, column = place
    assert (traced.starts.tolist(), traced.stops.tolist()) == (
        [4 * column + row],
        [4 * column + row + 1],
    )
    assert traced.inclusive_box.tolist() == [column, row, column, row]


def test_peaks_between_rows_are_no_pixels():
    """Where logits pass the cutoff between two rows of the picture only, there is no pixel."""
    way = way_of((3, 1), (6, 1))
    plane = torch.tensor([[-1.0], [0.05], [-1.0]])
    assert way.painted(plane).max() < 0
    traced = assert_traced(way, plane, 0.0, 0.0)
    assert not len(traced.starts)
    assert traced.outer == 0


@pytest.mark.parametrize("ends", [[-1.0, 3.0], [3.0, -1.0]])
def test_a_pixel_at_the_cutoff_itself_is_outside(ends):
    """Inside is above the cutoff: a pixel whose logit is the cutoff is not, as in painted masks."""
    way, plane = way_of((2, 1), (4, 1)), torch.tensor(ends)[:, None]
    painted = way.painted(plane).flatten().tolist()
    assert sorted(painted) == [-1, 0, 2, 3]
    traced = trace(way.resizer, way.frame, plane, threshold=0.0, offset=0.0)
    assert decode(traced.rle).flatten().tolist() == [value > 0 for value in painted]
    assert (traced.inner, traced.outer) == (2, 2)


@pytest.mark.parametrize("size", [(3000, 7), (7, 3000)])
def test_large_pictures(size):
    """Over thousands of rows or columns the border is where interpolation has it."""
    generator = torch.Generator().manual_seed(5)
    assert_traced(way_of((8, 8), size), torch.randn(8, 8, generator=generator), 0.0, 0.3)
    way = way_of((8, 8), size, (32, 32), (32, 20))
    assert_traced(way, torch.randn(8, 8, generator=generator), 0.0, 0.3)


@pytest.mark.parametrize("rows", range(60, 300, 40))
def test_logits_at_the_cutoff_itself(rows):
    """A plateau at the cutoff, which rounding of the weights lifts above it, stays where it is.

    It must not be taken for a mask that is cut off by the picture's border.
    """
    cutoff = 1.2578125
    plane = torch.full((16, 16), cutoff)
    plane[7:9, 4:9] = 6
    way = way_of((16, 16), (rows, 38), (64, 64))
    traced = assert_traced(way, plane, cutoff, 0.0)
    mask = decode(traced.rle)
    assert not mask[: rows // 3].any()
    assert not mask[-rows // 3 :].any()
