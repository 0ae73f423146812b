"""COCO run-length encoding, and what can be read off it without decoding.

Encoding, decoding and rasterising are hotcoco's (byte-identical with pycocotools); this module is
the only place that calls them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from hotcoco import mask as _coco

from segcli.errors import MaskError
from segcli.masks.counts import lots, run_lengths
from segcli.records import RLE, Segment

__all__ = [
    "BoolMask",
    "Box",
    "Positions",
    "decode",
    "encode",
    "encode_runs",
    "from_coco",
    "from_polygons",
    "join_touching",
    "measure",
    "merge",
    "runs",
    "runs_of",
    "segment_from_mask",
    "segment_from_rle",
    "to_coco",
]

BoolMask = npt.NDArray[np.bool_]
Box = tuple[float, float, float, float]
Positions = npt.NDArray[np.int64]
_NO_RUNS = np.zeros(0, dtype=np.int64)
_NO_BOX = (0.0, 0.0, 0.0, 0.0)
_OVERFLOW = 1 << 32
_WORTHWHILE = 4


def encode(mask: npt.NDArray[Any]) -> RLE:
    """Encode one (H, W) mask of bool, uint8 or any number (non-zero = inside)."""
    if mask.ndim != 2:
        raise ValueError(f"a mask has two axes (H, W), got shape {mask.shape}")
    height, width = mask.shape
    if mask.size == 0:
        return RLE(height, width, "")
    counts: bytes = _coco.encode(np.asfortranarray(mask, dtype=bool))["counts"]
    return RLE(height, width, counts.decode("ascii"))


def decode(rle: RLE) -> BoolMask:
    """Decode to a boolean (H, W) mask.

    Raises:
        MaskError: the counts are damaged.
    """
    try:
        decoded: npt.NDArray[np.uint8] = _coco.decode(to_coco(rle))
    except ValueError as error:
        raise _damaged(rle, str(error)) from error
    return decoded.astype(bool, order="C")


def encode_runs(starts: Positions, stops: Positions, height: int, width: int) -> RLE:
    """Encode a mask given as its runs, without ever making it dense.

    Args:
        starts: (R,) first positions of the runs in column-major order (y + H * x), ascending.
        stops: (R,) positions behind their ends; no run touches the next.
        height: rows of the mask.
        width: columns of the mask.
    """
    edges = np.empty(2 * len(starts) + 2, dtype=np.int64)
    edges[0], edges[-1] = 0, height * width
    edges[1:-1:2], edges[2:-1:2] = starts, stops
    counts = np.diff(edges)
    if counts[-1] == 0 and len(counts) > 1:
        counts = counts[:-1]
    coded = _coco.rle_to_string({"size": [height, width], "counts": counts})
    return RLE(height, width, _text(coded if isinstance(coded, (str, bytes)) else coded["counts"]))


def runs(rle: RLE) -> tuple[Positions, Positions]:
    """The runs of a mask, read from its counts without decoding it.

    Returns:
        starts and stops, each (R,) int64: positions in column-major order (y + H * x), half-open.

    Raises:
        MaskError: the counts are damaged, or do not cover the mask.
    """
    counts = _counts(rle)
    edges = np.cumsum(counts)
    total = int(edges[-1]) if len(edges) else 0
    if total != rle.height * rle.width or (len(counts) and int(counts.min()) < 0):
        raise _damaged(rle, f"its runs cover {total} pixels")
    return edges[:-1:2], edges[1::2]


def runs_of(rles: Sequence[RLE]) -> tuple[Positions, Positions, Positions]:
    """The runs of several masks of one size, several times quicker than those of each.

    Returns:
        owner, starts and stops, each (R,) int64: index of the mask, then as `runs`; mask by mask.

    Raises:
        MaskError: the counts of one are damaged, or do not cover the mask.
        ValueError: sizes differ.
    """
    if len({(rle.height, rle.width) for rle in rles}) > 1:
        raise ValueError("masks of different sizes have no places in common")
    found = [(_NO_RUNS, _NO_RUNS, _NO_RUNS)]
    for first, behind in lots([rle.counts for rle in rles]):
        owner, starts, stops = _runs_at_once(rles[first:behind])
        found.append((owner + first, starts, stops))
    owner, starts, stops = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return owner, starts, stops


def _runs_at_once(rles: Sequence[RLE]) -> tuple[Positions, Positions, Positions]:
    pixels = rles[0].height * rles[0].width
    read = run_lengths([rle.counts for rle in rles]) if len(rles) >= _WORTHWHILE else None
    if read is not None:
        lengths, counts = read
        edges, behind = np.cumsum(lengths), np.cumsum(counts)
        covered = np.array_equal(edges[behind - 1], pixels * np.arange(1, len(rles) + 1))
        if covered and int(lengths.min()) >= 0:
            # A mask begins outside: each second of its lengths is of a run inside.
            inside = np.repeat((behind - counts) % 2 == 1, counts)
            inside[1::2] ^= True
            stops = edges[inside]
            owner = np.repeat(np.arange(len(rles)), counts // 2)
            starts = stops - lengths[inside]
            return owner, starts - owner * pixels, stops - owner * pixels
    # Few are quicker one by one, and one that is damaged says so itself.
    each = [runs(rle) for rle in rles]
    owner = np.repeat(np.arange(len(rles)), [len(starts) for starts, _ in each])
    return owner, np.concatenate([s for s, _ in each]), np.concatenate([s for _, s in each])


def _counts(rle: RLE) -> Positions:
    if not rle.counts:
        return _NO_RUNS
    found = run_lengths([rle.counts])
    if found is None:
        raise _damaged(rle, "its characters are not COCO's")
    return found[0]


def _damaged(rle: RLE, why: str) -> MaskError:
    return MaskError(f"damaged RLE of {rle.width}x{rle.height} pixels", why=why)


def to_coco(rle: RLE) -> dict[str, Any]:
    """The dictionary that COCO tools take: ``{"size": [H, W], "counts": str}``."""
    return {"size": [rle.height, rle.width], "counts": rle.counts}


def from_coco(segmentation: Any, height: int, width: int) -> RLE:  # noqa: ANN401 (parsed JSON)
    """Read any COCO ``segmentation``: compressed or uncompressed RLE, or a list of polygons.

    Args:
        segmentation: the parsed JSON value.
        height: rows of the image.
        width: columns of the image.

    Raises:
        MaskError: the value is none of the three, or its size is not the image's.
    """
    if isinstance(segmentation, list):
        return from_polygons(segmentation, height, width)
    try:
        rows, columns = map(int, segmentation["size"])
        counts = segmentation["counts"]
    except (TypeError, KeyError, ValueError) as error:
        raise MaskError(
            "a COCO segmentation is neither a polygon list nor an RLE", why=repr(error)
        ) from error
    if (rows, columns) != (height, width):
        raise MaskError(
            f"an RLE of {columns}x{rows} pixels belongs to an image of {width}x{height}",
            why="masks are compared pixel by pixel, so both must have the image's size",
            fix="save masks at the size of the original image, not of the model's input",
        )
    if isinstance(counts, list):
        return _from_counts(counts, height, width)
    if not isinstance(counts, (str, bytes)):
        raise MaskError(f"RLE counts are a {type(counts).__name__}, not a string or a list")
    return _checked(RLE(height, width, _text(counts)))


def _checked(rle: RLE) -> RLE:
    """The RLE itself, if its counts cover the mask.

    The union with an empty mask is the same string exactly then, if it is in its usual form: much
    quicker to tell than adding the runs up, which is left for the others.
    """
    try:
        union: bytes = _coco.merge([to_coco(rle), _empty(rle.height, rle.width)])["counts"]
    except ValueError as error:
        raise _damaged(rle, str(error)) from error
    if union != rle.counts.encode("latin-1", "replace"):
        runs(rle)
    return rle


@lru_cache(maxsize=16)
def _empty(height: int, width: int) -> dict[str, Any]:
    return to_coco(encode_runs(_NO_RUNS, _NO_RUNS, height, width))


def _from_counts(counts: list[Any], height: int, width: int) -> RLE:
    try:
        lengths = np.asarray(counts, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise MaskError("uncompressed RLE counts are no list of integers") from error
    if lengths.ndim != 1 or bool((lengths < 0).any()) or int(lengths.sum()) != height * width:
        raise MaskError(f"an uncompressed RLE does not cover its {width}x{height} pixels")
    edges = np.cumsum(lengths)
    starts, stops = edges[:-1:2], edges[1::2]
    filled = stops > starts
    return encode_runs(*join_touching(starts[filled], stops[filled]), height, width)


def join_touching(starts: Positions, stops: Positions) -> tuple[Positions, Positions]:
    """Ascending runs (R,) with those that touch the next made one, as `encode_runs` needs them."""
    apart = starts[1:] != stops[:-1]
    first = np.concatenate((np.ones(min(len(starts), 1), dtype=bool), apart))
    last = np.concatenate((apart, np.ones(min(len(starts), 1), dtype=bool)))
    return starts[first], stops[last]


def from_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> RLE:
    """Rasterise polygons as COCO does and take their union.

    Args:
        polygons: each a flat list x0, y0, x1, y1, … in pixels; beside others, one of fewer than
            three points covers nothing.
        height: rows of the image.
        width: columns of the image.

    Raises:
        MaskError: a polygon is no flat list of finite numbers, or has an odd number of them; or
            none has three points.
    """
    try:
        listed = [[float(v) for v in polygon] for polygon in polygons]
    except (TypeError, ValueError) as error:
        raise MaskError("a polygon is no flat list of numbers", why=str(error)) from error
    for polygon in listed:
        if len(polygon) % 2:
            raise MaskError(f"a polygon has an odd number of coordinates, {len(polygon)}")
        if not np.isfinite(polygon).all():
            raise MaskError("a polygon has a coordinate that is not finite")
    usable = [polygon for polygon in listed if len(polygon) >= 6]
    if not usable:
        raise MaskError(
            "no polygon has three points" if listed else "there is no polygon",
            why="a box or a line alone covers no pixel; the object would be there without a mask",
        )
    parts = [_coco.frPyObjects([polygon], height, width)[0] for polygon in usable]
    return RLE(height, width, _text(_coco.merge(parts)["counts"]))


def merge(rles: Sequence[RLE]) -> RLE:
    """The union of masks of one size.

    Raises:
        ValueError: there is none, or sizes differ.
    """
    if not rles:
        raise ValueError("there is nothing to merge")
    height, width = rles[0].height, rles[0].width
    if any((r.height, r.width) != (height, width) for r in rles):
        raise ValueError("masks of different sizes have no union")
    return RLE(height, width, _text(_coco.merge([to_coco(r) for r in rles])["counts"]))


def segment_from_rle(rle: RLE, **fields: Any) -> Segment:  # noqa: ANN401 (Segment's own fields)
    """A Segment whose area and tight half-open box are measured from the mask itself.

    Raises:
        MaskError: the counts are damaged.
    """
    ((area, box),) = measure([rle])
    return Segment(mask=rle, area=area, box_xywh=box, **fields)


def measure(rles: Sequence[RLE]) -> list[tuple[int, Box]]:
    """Area in pixels and tight half-open box (xywh) of each mask; (0, 0, 0, 0) for an empty one.

    Raises:
        MaskError: the counts of one are damaged.
    """
    coded = [to_coco(rle) for rle in rles]
    # In a list an area has 32 bits, which one of a larger mask would overflow.
    small = all(rle.height * rle.width < _OVERFLOW for rle in rles)
    try:
        areas = _coco.area(coded).tolist() if small else [int(_coco.area(c)) for c in coded]
        boxes = _coco.to_bbox(coded).tolist()
    except ValueError as error:
        if len(rles) > 1:
            return [measure([rle])[0] for rle in rles]
        raise _damaged(rles[0], str(error)) from error
    return [(area, tuple(box) if area else _NO_BOX) for area, box in zip(areas, boxes, strict=True)]


def segment_from_mask(mask: npt.NDArray[Any], **fields: Any) -> Segment:  # noqa: ANN401
    """A Segment from one (H, W) mask."""
    return segment_from_rle(encode(mask), **fields)


def _text(counts: str | bytes) -> str:
    return counts.decode("ascii") if isinstance(counts, bytes) else counts
