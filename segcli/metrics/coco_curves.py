"""COCO's twelve numbers, from its precision and recall curves.

As `COCOeval.summarize` of pycocotools: means over what is defined (greater than -1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["TWELVE", "Curves", "curves_of", "twelve"]

Floats = npt.NDArray[np.float64]
Curves = tuple[Floats, Floats]

TWELVE = (
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar1",
    "ar10",
    "ar100",
    "ar_small",
    "ar_medium",
    "ar_large",
)
_THRESHOLDS = {"ap": slice(None), "ap50": 0, "ap75": 5}
_LIMITS = {"ar1": 0, "ar10": 1, "ar100": 2}
_SIZES = {"small": 1, "medium": 2, "large": 3}
# Precision has the axes class, threshold, recall, size and limit; recall those without recall.
_PARTS: dict[str, tuple[Any, ...]] = {
    **{name: (slice(None), which, ..., 0, 2) for name, which in _THRESHOLDS.items()},
    **{name: (..., 0, limit) for name, limit in _LIMITS.items()},
    **{
        f"{side}_{size}": (..., which, 2) for side in ("ap", "ar") for size, which in _SIZES.items()
    },
}


def curves_of(accumulated: Mapping[str, Any]) -> Curves:
    """The curves of one class.

    Args:
        accumulated: `COCOeval.eval` of an evaluation of a single class.

    Returns:
        precision (10 thresholds, 101 recalls, 4 sizes, 3 limits) and recall (10, 4, 3); sizes are
        all, small, medium, large; limits 1, 10, 100 detections; -1 where undefined.
    """
    precision = np.asarray(accumulated["precision"])
    recall = np.asarray(accumulated["recall"])
    return precision[:, :, 0], recall[:, 0]


def twelve(curves: Sequence[Curves], names: Sequence[str] = TWELVE) -> dict[str, float]:
    """The twelve numbers of a set of classes, NaN where the ground truth has no such object.

    Args:
        curves: of each class.
        names: those of the numbers that are wanted.
    """
    if not curves:
        return dict.fromkeys(names, math.nan)
    sides = {"ap": np.stack([p for p, _ in curves]), "ar": np.stack([r for _, r in curves])}
    return {name: _mean(sides[name[:2]][_PARTS[name]]) for name in names}


def _mean(values: Floats) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else math.nan
