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
_SIZES = {"small": 1, "medium": 2, "large": 3}


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


def twelve(curves: Sequence[Curves]) -> dict[str, float]:
    """The twelve numbers of a set of classes, NaN where the ground truth has no such object."""
    if not curves:
        return dict.fromkeys(TWELVE, math.nan)
    precision = np.stack([p for p, _ in curves])
    recall = np.stack([r for _, r in curves])
    scores = {
        "ap": _mean(precision[..., 0, 2]),
        "ap50": _mean(precision[:, 0, :, 0, 2]),
        "ap75": _mean(precision[:, 5, :, 0, 2]),
        "ar1": _mean(recall[..., 0, 0]),
        "ar10": _mean(recall[..., 0, 1]),
        "ar100": _mean(recall[..., 0, 2]),
    }
    for size, index in _SIZES.items():
        scores[f"ap_{size}"] = _mean(precision[..., index, 2])
        scores[f"ar_{size}"] = _mean(recall[..., index, 2])
    return {name: scores[name] for name in TWELVE}


def _mean(values: Floats) -> float:
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else math.nan
