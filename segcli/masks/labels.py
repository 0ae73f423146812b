"""Between label maps and segments, both ways, without a dense mask per segment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from segcli.masks.coded import masks_of
from segcli.masks.rle import decode, encode_runs, merge, runs
from segcli.records import Segment, Segmentation

__all__ = [
    "foreground",
    "label_map_from_segments",
    "label_map_of",
    "rank_score",
    "segments_from_label_map",
    "segments_of",
]

Overlap = Literal["score", "small-on-top", "large-on-top"]
BoolMask = npt.NDArray[np.bool_]


def rank_score(segment: Segment, default: float = float("-inf")) -> float:
    """The number a segment is ranked by: its score, else its predicted IoU, else `default`."""
    if segment.score is not None:
        return segment.score
    return default if segment.predicted_iou is None else segment.predicted_iou


def segments_from_label_map(values: npt.NDArray[Any]) -> tuple[Segment, ...]:
    """One segment for each value of a label map, 0 left out.

    The map is walked once and the masks are never made dense, so the cost is that of the pixels,
    whatever the number of objects.

    Args:
        values: (H, W) integers or bools.

    Returns:
        Segments in ascending order of value, each with `id` = its value, its area and tight box.

    Raises:
        ValueError: `values` does not have two axes.
    """
    if values.ndim != 2:
        raise ValueError(f"a label map has two axes (H, W), got shape {values.shape}")
    height, width = values.shape
    flat = values.T.ravel()
    if flat.size == 0:
        return ()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate((np.zeros(1, dtype=np.int64), edges))
    stops = np.concatenate((edges, np.full(1, flat.size, dtype=np.int64)))
    labels = flat[starts]
    inside = np.flatnonzero(labels != 0)
    order = inside[np.argsort(labels[inside], kind="stable")]
    labels, starts, stops = labels[order], starts[order], stops[order]
    cuts = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    groups = zip(np.split(starts, cuts), np.split(stops, cuts), strict=True)
    if len(labels) == 0:
        return ()
    ids = labels[np.concatenate((np.zeros(1, dtype=np.int64), cuts))].tolist()
    return tuple(
        _segment(first, behind, int(value), height, width)
        for value, (first, behind) in zip(ids, groups, strict=True)
    )


def _segment(
    starts: npt.NDArray[np.int64],
    stops: npt.NDArray[np.int64],
    value: int,
    height: int,
    width: int,
) -> Segment:
    ends = stops - 1
    x0, x1 = int(starts[0]) // height, int(ends[-1]) // height + 1
    if bool((starts // height != ends // height).any()):
        y0, y1 = 0, height
    else:
        y0, y1 = int((starts % height).min()), int((ends % height).max()) + 1
    return Segment(
        mask=encode_runs(starts, stops, height, width),
        area=int((stops - starts).sum()),
        box_xywh=(float(x0), float(y0), float(x1 - x0), float(y1 - y0)),
        id=value,
    )


def label_map_from_segments(
    segments: Sequence[Segment], height: int, width: int, overlap: Overlap = "score"
) -> npt.NDArray[np.integer[Any]]:
    """Flatten segments into an instance label map.

    Args:
        segments: their masks are (height, width).
        height: rows of the map.
        width: columns of the map.
        overlap: who keeps a pixel that several claim: the best score, the smallest or the largest
            segment. Ties go to the earlier segment.

    Returns:
        (H, W) uint16, or uint32 beyond 65535 segments: segment i has the value i + 1, 0 is
        background. A segment covered by others does not occur.

    Raises:
        ValueError: a mask has another size.
    """
    dtype = np.uint16 if len(segments) <= np.iinfo(np.uint16).max else np.uint32
    columns = np.zeros(height * width, dtype=dtype)
    for index in _bottom_to_top(segments, overlap):
        mask = segments[index].mask
        if (mask.height, mask.width) != (height, width):
            raise ValueError(
                f"segment {index} is {mask.width}x{mask.height}, the map is {width}x{height}"
            )
        starts, stops = runs(mask)
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
            columns[start:stop] = index + 1
    return np.ascontiguousarray(columns.reshape(width, height).T)


def _bottom_to_top(segments: Sequence[Segment], overlap: Overlap) -> list[int]:
    height_of: dict[str, Callable[[Segment], float]] = {
        "score": rank_score,
        "small-on-top": lambda segment: -segment.area,
        "large-on-top": lambda segment: segment.area,
    }
    if overlap not in height_of:
        raise ValueError(f"unknown overlap policy {overlap!r}")
    height = height_of[overlap]
    return sorted(range(len(segments)), key=lambda i: (height(segments[i]), -i))


def label_map_of(
    segmentation: Segmentation, overlap: Overlap = "score"
) -> npt.NDArray[np.integer[Any]]:
    """The label map of a result: the one it holds, else its segments flattened.

    Args:
        segmentation: either view will do; segments win where both are present.
        overlap: see `label_map_from_segments`.

    Returns:
        (H, W) integers.
    """
    if segmentation.labels is not None and not segmentation.segments:
        return segmentation.labels.values
    image = segmentation.image
    return label_map_from_segments(segmentation.segments, image.height, image.width, overlap)


def segments_of(segmentation: Segmentation) -> Sequence[Segment]:
    """The segments of a result: those it holds, else one for each value of its label map.

    A value of a semantic map becomes the segment's category; 0 is background in every kind.
    """
    labels = segmentation.labels
    if segmentation.segments or labels is None:
        return segmentation.segments
    found = segments_from_label_map(labels.values)
    if labels.kind != "semantic":
        return found
    names = segmentation.categories
    return tuple(
        Segment(
            mask=segment.mask,
            area=segment.area,
            box_xywh=segment.box_xywh,
            category=segment.id,
            category_name=names.get(segment.id or 0),
            id=segment.id,
        )
        for segment in found
    )


def foreground(segmentation: Segmentation) -> BoolMask:
    """Everything that is not background, as one mask.

    Args:
        segmentation: a label map counts where it is not 0; else the union of all segments, crowd
            regions too. Pixels to ignore are left out.

    Returns:
        (H, W) bool.
    """
    image, labels = segmentation.image, segmentation.labels
    inside: BoolMask
    if labels is not None:
        inside = labels.values != 0
    elif segmentation.segments:
        inside = decode(merge(masks_of(segmentation.segments)))
    else:
        inside = np.zeros((image.height, image.width), dtype=bool)
    return inside if segmentation.ignore is None else inside & ~decode(segmentation.ignore)
