"""LabelMe's shapes: from a shape to a mask, and from a mask to shapes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcli.errors import MaskError
from segcli.masks.rle import decode, encode, from_polygons
from segcli.records import RLE, Segment

__all__ = ["Shape", "mask_shape", "shapes_of"]

_CROWD = "iscrowd"


class Shape:
    """One shape of a file, as a mask.

    Attributes:
        index: its place in the file.
        label: its class.
        group: shapes of one group and label are one object; None: an object of its own.
        crowd: whether it stands for many objects.
        mask: its pixels.
    """

    __slots__ = ("crowd", "group", "index", "label", "mask")

    def __init__(self, index: int, shape: Mapping[str, Any], size: tuple[int, int]) -> None:
        self.index = index
        self.label = str(shape["label"])
        self.group = shape.get("group_id")
        self.crowd = bool((shape.get("flags") or {}).get(_CROWD))
        try:
            self.mask = _rasterised(shape, size)
        except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
            raise MaskError(
                f"shape {index} ({self.label}) is malformed",
                why=repr(error),
                fix="draw it anew, or take it out",
            ) from error


def _rasterised(shape: Mapping[str, Any], size: tuple[int, int]) -> RLE:
    height, width = size
    kind = shape.get("shape_type") or "polygon"
    points = np.array(shape["points"], dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError("its points are not pairs of numbers")
    if kind == "mask":
        return encode(_pasted(shape["mask"], points, size))
    if kind == "circle":
        (x, y), edge = points[0], points[1]
        rows, columns = np.ogrid[:height, :width]
        squared = (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2
        return encode(squared <= ((edge - points[0]) ** 2).sum())
    if kind == "rectangle":
        if len(points) < 2:
            raise ValueError(f"a rectangle of {len(points)} points")
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        points = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    elif kind != "polygon":
        raise ValueError(f"the shape_type {kind!r} is unknown")
    if len(points) < 3:
        raise ValueError(f"a polygon of {len(points)} points")
    return from_polygons([points.ravel().tolist()], height, width)


def _pasted(
    coded: str, points: npt.NDArray[np.float64], size: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """A mask of the shape's box, pasted into the image."""
    with Image.open(io.BytesIO(base64.b64decode(coded, validate=True))) as picture:
        part = np.asarray(picture.convert("L")) > 0
    x, y = np.rint(points.min(axis=0)).astype(int).tolist()
    mask = np.zeros(size, dtype=bool)
    place = mask[y : y + part.shape[0], x : x + part.shape[1]]
    if min(x, y) < 0 or place.shape != part.shape:
        raise ValueError(
            f"its mask of {part.shape[1]}x{part.shape[0]} at {x}, {y} leaves the image"
        )
    place[...] = part
    return mask


def shapes_of(segment: Segment, label: str, number: int) -> list[dict[str, Any]]:
    """A polygon for each part of a segment; a mask where polygons cannot hold its holes."""
    # scipy is loaded only by who needs it: its import takes longer than most commands.
    from segcli.masks.polygons import outer_contours, polygon_area  # noqa: PLC0415

    mask = decode(segment.mask)
    contours = outer_contours(mask)
    flags = {_CROWD: True} if segment.iscrowd else {}
    if not contours:
        return []
    if sum(map(polygon_area, contours)) != np.count_nonzero(mask):
        return [mask_shape(mask, label, flags)]
    group = number + 1 if len(contours) > 1 else None
    return [
        _shape(label, corners.tolist(), group, "polygon", flags=flags, mask=None)
        for corners in contours
    ]


def mask_shape(
    mask: npt.NDArray[np.bool_], label: str, flags: Mapping[str, bool]
) -> dict[str, Any]:
    """A shape of the type mask: a box, and the (H, W) mask's part within it as a PNG.

    Args:
        mask: at least one pixel is set.
        label: its class.
        flags: LabelMe's own, by name.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom = int(rows[0]), int(rows[-1])
    left, right = int(columns[0]), int(columns[-1])
    buffer = io.BytesIO()
    part = mask[top : bottom + 1, left : right + 1]
    Image.fromarray(part.astype(np.uint8) * np.uint8(255)).save(buffer, "PNG")
    coded = base64.b64encode(buffer.getvalue()).decode("ascii")
    corners = [[float(left), float(top)], [float(right), float(bottom)]]
    return _shape(label, corners, None, "mask", flags=flags, mask=coded)


def _shape(
    label: str,
    points: list[list[float]],
    group: int | None,
    kind: str,
    **others: object,
) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": group,
        "description": "",
        "shape_type": kind,
        **others,
    }
