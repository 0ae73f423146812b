"""Between class maps and one segment for each class, 0 being a class like any other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.masks.labels import segments_from_label_map
from segcli.masks.rle import decode
from segcli.records import Segment, Segmentation

__all__ = ["class_map", "no_class", "segments_of_classes"]


_BACKGROUND = "background"


def segments_of_classes(values: npt.NDArray[np.integer[Any]]) -> tuple[Segment, ...]:
    """One segment for each class of a (H, W) map, in ascending order, with it as category."""
    found = segments_from_label_map(values + 1)
    return tuple(replace(s, category=(s.id or 0) - 1, id=None) for s in found)


def no_class(result: Segmentation) -> int:
    """The value of pixels without a class: 0, or where 0 is a class the largest of its bytes.

    A class 0 that is named background is what pixels without a class are.
    """
    if result.categories.get(0, _BACKGROUND) == _BACKGROUND:
        return 0
    return 255 if max(result.categories) < 255 else 65535


def class_map(result: Segmentation) -> npt.NDArray[np.integer[Any]]:
    """The (H, W) class map of segments that do not overlap.

    Args:
        result: segments with a category each; its list of categories says whether 0 is one.

    Returns:
        uint8 or, where class ids need it, uint16 or more. Pixels without a class are `no_class`.
    """
    void = no_class(result)
    most = max([void, *result.categories, *(s.category or 0 for s in result.segments)])
    values = np.full((result.image.height, result.image.width), void, np.min_scalar_type(most))
    for segment in result.segments:
        values[decode(segment.mask)] = segment.category or 0
    return values
