"""COCO's matching in batches of images and blocks of classes, and as one class when it must be."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segcli.masks.rle import segment_from_mask
from segcli.metrics import coco_matches
from segcli.metrics.base import MetricOptions, Pair
from segcli.metrics.coco_ap import CocoAp
from segcli.records import ImageRef, Segmentation

SIDE = 60
FAR_APART = (1, 40, 100_000)


def made(count: int, classes=(1, 2, 3)) -> list[Pair]:
    """Images of a few boxes each, most of them found a little beside where they are."""
    rng = np.random.default_rng(count)
    pairs = []
    for index in range(count):
        gt, pred = [], []
        for _ in range(int(rng.integers(1, 5))):
            mask = np.zeros((SIDE, SIDE), bool)
            y, x = rng.integers(0, 25, 2)
            mask[y : y + rng.integers(8, 35), x : x + 20] = True
            category = int(rng.choice(classes))
            gt.append(segment_from_mask(mask, category=category, iscrowd=rng.random() < 0.1))
            guess = np.roll(mask, int(rng.integers(0, 6)), axis=1)
            guessed = category if rng.random() < 0.8 else int(rng.choice(classes))
            score = float(rng.choice([0.2, 0.5, 0.9]))
            pred.append(segment_from_mask(guess, category=guessed, score=score))
        image = ImageRef(f"{index}.png", SIDE, SIDE)
        both = (Segmentation(image, tuple(side)) for side in (pred, gt))
        pairs.append(Pair(str(index), index, *both))
    return pairs


def nameless(pair: Pair) -> Pair:
    """The same with its first prediction of no category."""
    first, *others = pair.pred.segments
    segments = (replace(first, category=None), *others)
    return replace(pair, pred=replace(pair.pred, segments=segments))


def total_of(pairs, options=None):
    metric = CocoAp(options or MetricOptions())
    total = metric.zero()
    for pair in pairs:
        total.add(metric.measure(pair))
    return total


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """A few images make several batches, as thousands do otherwise."""
    monkeypatch.setattr(coco_matches, "_IMAGES_AT_ONCE", 16)


def same(one, other):
    return one == pytest.approx(other, nan_ok=True, rel=0, abs=0)


@pytest.mark.parametrize("place", [0, 20, 39])
def test_one_object_without_category_makes_all_one_class(place):
    """Wherever it stands, earlier and later images are matched as one class."""
    pairs = made(40)
    pairs[place] = nameless(pairs[place])
    total = total_of(pairs)
    assert total.scope == "class-agnostic"
    assert same(total.compute(), total_of(pairs, MetricOptions(class_agnostic=True)).compute())
    assert not same(total.compute(), total_of(made(40)).compute())


@pytest.mark.parametrize("named", [True, False])
def test_a_bound_on_waiting_images_changes_nothing(monkeypatch, named):
    """Images that may not wait are matched as one class at once, for the same numbers."""
    pairs = made(40)
    if not named:
        pairs[35] = nameless(pairs[35])
    expected = total_of(pairs)
    scores = expected.compute()
    monkeypatch.setattr(coco_matches, "_MOST_WAITING", 0)
    total = total_of(pairs)
    assert same(total.compute(), scores)
    assert total.matches.waiting == []
    assert (expected.matches.as_one is None) == named
    assert total.matches.as_one is not None


def test_classes_far_apart_are_classes_like_others():
    """Ids only tell classes apart: they lie in several blocks here and in one there."""
    one, other = total_of(made(20)), total_of(made(20, FAR_APART))
    assert len(one.matches.blocks) == 1
    assert len(other.matches.blocks) == 3
    assert same(one.compute(), other.compute())
    rows = [total.tables()["per_class"] for total in (one, other)]
    assert [row["class"] for row in rows[1]] == list(FAR_APART)
    assert [row["ap"] for row in rows[0]] == [row["ap"] for row in rows[1]]


def test_heavy_images_are_matched_at_once(monkeypatch):
    """Images whose masks take much memory do not wait for others to come."""
    expected = total_of(made(5)).compute()
    monkeypatch.setattr(coco_matches, "_MOST_FRESH", 1)
    total = total_of(made(5))
    assert total.matches.fresh == []
    assert total.matches.fresh_text == 0
    assert same(total.compute(), expected)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=36, max_size=36), st.sets(st.integers(0, 35)))
def test_shards_of_any_mixture_add_up(shard_of, without):
    """Shards that count classes and shards that cannot give the numbers of one run."""
    pairs = [nameless(p) if p.index in without else p for p in made(36)]
    shards = [total_of([p for p, s in zip(pairs, shard_of, strict=True) if s == n]) for n in (0, 1)]
    total = total_of([p for p, s in zip(pairs, shard_of, strict=True) if s == 2])
    for shard in shards:
        before = copy.deepcopy(shard)
        total.add(shard)
        assert same(shard.compute(), before.compute())
    assert same(total.compute(), total_of(pairs).compute())
    assert total.notes() == total_of(pairs).notes()


def test_numbers_may_be_asked_for_at_any_time():
    """Numbers in between, those before the first true object too, do not change the last ones."""
    first, *others = made(20)
    first = replace(first, gt=replace(first.gt, segments=()))
    metric = CocoAp(MetricOptions())
    total = metric.zero()
    total.add(metric.measure(first))
    assert all(math.isnan(value) for value in total.compute().values())
    for pair in others:
        total.add(metric.measure(pair))
        total.compute()
    assert same(total.compute(), total_of([first, *others]).compute())


def test_nothing_waits_once_classes_cannot_count():
    """By request, or after an object without a category, no image is kept for long."""
    for pairs, options in (
        (made(40), MetricOptions(class_agnostic=True)),
        ([nameless(p) for p in made(40)], MetricOptions()),
    ):
        total = total_of(pairs, options)
        assert (total.matches.waiting, total.matches.blocks) == ([], {})
        assert len(total.matches.fresh) < 16
