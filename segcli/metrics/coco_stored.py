"""The matches behind COCO AP as JSON data: what of an image is needed to rank it among others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from segcli.metrics.coco_ap import CocoSums
from segcli.metrics.coco_greedy import MatchedImage
from segcli.metrics.coco_resample import matches_of
from segcli.metrics.stored import Json, restore, store

__all__ = ["restore_matches", "store_matches"]

_MATCHES = "matches"
_SHAPE = (4, 10)


def store_matches(sums: CocoSums, zero: CocoSums) -> Json:
    """What is known of one image's objects, and how they were matched.

    Args:
        sums: the sums of one image.
        zero: the sums of no image by the same metric.
    """
    about = store(replace(sums, evaluators={}, images=[]), zero)
    found = [{"class": c, **_stored(matches)} for c, matches in matches_of(sums).items()]
    return {**(about or {}), _MATCHES: found}


def restore_matches(data: Json, zero: CocoSums) -> CocoSums:
    """The sums of one image, matched: fit for resampling, not for adding to sums of masks.

    Raises:
        ValueError: the data do not fit.
    """
    sums = restore({name: value for name, value in data.items() if name != _MATCHES}, zero)
    try:
        evaluators = {item["class"]: [_restored(item)] for item in data[_MATCHES]}
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"have no matches: {error}") from error
    return replace(sums, evaluators=evaluators)


def _stored(matches: MatchedImage) -> Json:
    return {
        "index": matches.index,
        "scores": matches.scores.tolist(),
        # One digit a detection, for each of four sizes and ten thresholds.
        "outcomes": "".join(map(str, matches.outcomes.ravel().tolist())),
        "truths": matches.truths.tolist(),
    }


def _restored(item: Mapping[str, Any]) -> MatchedImage:
    digits = np.frombuffer(item["outcomes"].encode("ascii"), np.uint8) - ord("0")
    scores = np.array(item["scores"], np.float64)
    outcomes = digits.reshape((*_SHAPE, len(scores)))
    return MatchedImage(item["index"], scores, outcomes, np.array(item["truths"], np.int64))
