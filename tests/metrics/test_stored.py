"""Sums through JSON and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from segcli.masks.rle import segment_from_mask
from segcli.metrics import REGISTRY
from segcli.metrics.base import MetricOptions, Pair, Sums
from segcli.metrics.coco_ap import CocoAp
from segcli.metrics.stored import restore, store
from segcli.records import ImageRef, LabelMap, Segmentation

PLAIN = [f for f in REGISTRY if not issubclass(type(f.make(MetricOptions())), CocoAp)]


def pair(protocol: str, index: int) -> Pair:
    """Objects, or their classes, that are predicted roughly."""
    random = np.random.default_rng(index)
    gt = np.kron(random.integers(0, 4, (4, 4)), np.ones((8, 8), np.int32)).astype(np.int32)
    sides = []
    for values in (np.roll(gt, 1, axis=1), gt):
        image = ImageRef(f"{index}.png", *gt.shape)
        segments = tuple(
            segment_from_mask(values == i, id=i, category=i, score=i / 4, predicted_iou=i / 5)
            for i in range(1, 4)
        )
        kind = {"binary": "binary", "semantic": "semantic", "regions": "semantic"}.get(protocol)
        if kind is not None:
            shown = (values > 1).astype(np.uint8) if kind == "binary" else values
            sides.append(Segmentation(image, labels=LabelMap(shown, kind)))
            continue
        labels = LabelMap(values, "panoptic") if protocol == "panoptic" else None
        names = {1: "a", 2: "b", 3: "c"}
        things = frozenset({1})
        sides.append(Segmentation(image, segments, labels, categories=names, things=things))
    return Pair(str(index), index, *sides)


@pytest.mark.parametrize("family", PLAIN, ids=lambda f: f"{f.protocol}-{f.name}")
def test_stored_sums_score_the_same(family):
    """Every family: sums read back from JSON add up to the same scores, to the last bit."""
    metric = family.make(MetricOptions())
    totals = [metric.zero(), metric.zero()]
    for index in range(3):
        sums = metric.measure(pair(family.protocol, index))
        text = json.dumps(store(sums, metric.zero()), allow_nan=False)
        for total, own in zip(
            totals, (sums, restore(json.loads(text), metric.zero())), strict=True
        ):
            total.add(own)
    assert totals[1].compute() == totals[0].compute()
    assert totals[1].tables() == totals[0].tables()
    assert totals[1].counts() == totals[0].counts()


@dataclass
class Holder:
    number: Fraction = field(default_factory=Fraction)
    judge: Any = None


def test_fractions_are_stored_whole():
    """A third has no float: it is written as text."""
    assert store(Holder(Fraction(1, 3)), Holder()) == {"number": "1/3"}
    assert store(Holder(Fraction(1, 4)), Holder()) == {"number": 0.25}
    assert restore({"number": "1/3"}, Holder()) == Holder(Fraction(1, 3))


def test_what_json_cannot_carry_is_not_stored():
    """An object of a foreign type gives None, never half a record."""
    assert store(Holder(judge=object()), Holder()) is None


def test_reading_back_shares_nothing_with_the_zero():
    """Sums read back can be added to without changing those of no image."""
    metric = next(f.make(MetricOptions()) for f in REGISTRY if f.name == "matching")
    zero = metric.zero()
    restored = restore({}, zero)
    assert isinstance(restored, Sums)
    restored.add(metric.measure(pair("instance", 0)))
    assert zero.counts() == metric.zero().counts()


@pytest.mark.parametrize("data", [{"tp": "many"}, {"typo": 1}, {"tp": None}])
def test_data_that_do_not_fit_are_refused(data):
    """A wrong type or an unknown field is an error."""
    metric = next(f.make(MetricOptions()) for f in REGISTRY if f.name == "overlap")
    with pytest.raises(ValueError, match=r"invalid literal|do not fit"):
        restore(data, metric.zero())
