"""From queries to segments: as the paper has it, and no worse than transformers' own way."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from segcli.masks.rle import decode
from segcli.models.classes import queries, resample
from segcli.models.classes.queries import (
    QueryOutput,
    classes_of_queries,
    objects_of_queries,
    panoptic_of_queries,
)
from segcli.models.classes.settings import ClassSettings

SIZE = (150, 210)


def class_logits(classes: list[int], scores: list[float], count: int = 3) -> torch.Tensor:
    """(Q, count + 1) logits whose softmax gives each query its class at its score."""
    rows = []
    for label, score in zip(classes, scores, strict=True):
        row = torch.full((count + 1,), (1 - score) / count)
        row[label] = score
        rows.append(row.log())
    return torch.stack(rows)


def ellipses(seed: int, count: int, height: int, width: int, clear: float) -> list[np.ndarray]:
    """Signed fields whose zero line is an ellipse: logits as a good model gives them."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] + 0.5
    fields = []
    for _ in range(count):
        cy, cx = random.uniform(0.15, 0.85, 2) * (height, width)
        ry, rx = random.uniform(0.04, 0.25, 2) * (height, width)
        fields.append((1 - np.hypot((y - cy) / ry, (x - cx) / rx)) * clear * min(ry, rx))
    return fields


def small(fields: list[np.ndarray], step: int) -> torch.Tensor:
    """Fields seen at a lower resolution, as masks of models are."""
    big = torch.from_numpy(np.stack(fields)).float()[None]
    return torch.nn.functional.interpolate(
        big, scale_factor=1 / step, mode="area", recompute_scale_factor=False
    )[0]


def stock(output: QueryOutput) -> SimpleNamespace:
    return SimpleNamespace(
        class_queries_logits=output.classes[None], masks_queries_logits=output.masks[None].clone()
    )


def processor():
    from transformers import Mask2FormerImageProcessor

    return Mask2FormerImageProcessor()


def test_rows_equal_a_whole_resize():
    """Any band of rows is what interpolating the whole map gives, larger or smaller."""
    torch.manual_seed(0)
    maps = torch.randn(5, 23, 31)
    for height, width in ((150, 210), (23, 31), (11, 17), (24, 31)):
        whole = torch.nn.functional.interpolate(
            maps[None], size=(height, width), mode="bilinear", align_corners=False
        )[0]
        for start, stop in ((0, height), (3, 9), (height - 1, height)):
            rows = resample.resized_rows(maps, height, width, start, stop)
            torch.testing.assert_close(rows, whole[:, start:stop], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("limit", [1, 5000, 1 << 24])
def test_bands_change_nothing(monkeypatch, limit):
    """All three tasks give the same segments whatever fits in memory at once."""
    fields = ellipses(3, 4, *SIZE, clear=0.3)
    output = QueryOutput(class_logits([0, 1, 2, 0], [0.9, 0.8, 0.95, 0.7]), small(fields, 5))

    def results():
        settings = ClassSettings("panoptic", overlap_mask_area_threshold=0.2)
        return (
            panoptic_of_queries(output, *SIZE, settings, frozenset({2})),
            objects_of_queries(output, *SIZE, settings, frozenset({0, 1})),
            classes_of_queries(output, *SIZE).tolist(),
        )

    before = results()
    monkeypatch.setattr(resample, "PIXELS_AT_ONCE", limit)
    monkeypatch.setattr(queries, "PIXELS_AT_ONCE", limit)
    assert results() == before


def test_memory_does_not_grow_with_the_picture(monkeypatch):
    """100 queries over 12 megapixels: no tensor of all of them at full size is ever made."""
    made = []
    original = resample.resized_rows

    def counted(*arguments):
        rows = original(*arguments)
        made.append(rows.numel())
        return rows

    monkeypatch.setattr(queries, "resized_rows", counted)
    output = QueryOutput(class_logits([0] * 100, [0.9] * 100), torch.randn(100, 8, 8))
    monkeypatch.setattr(resample, "PIXELS_AT_ONCE", 1 << 22)
    height, width = 600, 4000
    panoptic_of_queries(output, height, width, ClassSettings(), frozenset())
    assert sum(made) == 100 * height * width
    assert max(made) <= 1 << 22


def test_panoptic_equals_transformers_where_it_is_right():
    """Clear masks that do not meet, at the size transformers works at: the same segments."""
    fields = [f.copy() for f in ellipses(5, 3, 384, 384, clear=1.0)]
    third = 384 // 3
    for number, field in enumerate(fields):
        # Each keeps to its own third.
        away = np.ones(384, bool)
        away[number * third + 8 : (number + 1) * third - 8] = False
        field[:] = -30
        field[100:220, ~away] = 30
    # transformers gives pixels of no mask to one as well, so one mask has all the rest.
    rest = -np.max(fields, axis=0)
    output = QueryOutput(
        class_logits([0, 1, 1, 2], [0.9, 0.8, 0.7, 0.95]),
        torch.from_numpy(np.stack([*fields, rest])).float(),
    )
    found = panoptic_of_queries(output, 384, 384, ClassSettings(), frozenset({2}))
    theirs = processor().post_process_panoptic_segmentation(
        stock(output), label_ids_to_fuse={2}, target_sizes=[(384, 384)]
    )[0]
    assert len(found) == len(theirs["segments_info"]) == 4
    for info in theirs["segments_info"]:
        mask = theirs["segmentation"].numpy() == info["id"]
        (same,) = [s for s in found if s.category == info["label_id"] and s.area == mask.sum()
                   and (decode(s.mask) == mask).all()]  # fmt: skip
        assert same.score == pytest.approx(info["score"], abs=1e-5)


def test_semantic_equals_transformers_on_clear_masks():
    """Where masks are certain, both ways give each pixel the same class but for borders."""
    fields = ellipses(8, 3, 384, 384, clear=2.0)
    rest = -np.max(fields, axis=0)
    output = QueryOutput(
        class_logits([0, 1, 1, 2], [0.99] * 4),
        torch.from_numpy(np.stack([*fields, rest])).float(),
    )
    ours = classes_of_queries(output, 384, 384)
    theirs = processor().post_process_semantic_segmentation(stock(output), [(384, 384)])[0].numpy()
    assert (ours == theirs).mean() > 0.9999


def test_the_better_of_two_objects_keeps_its_pixels():
    """Stock processing lets a later query overwrite a better one; here both masks stay whole."""
    fields = ellipses(2, 1, *SIZE, clear=1.0)
    second = np.roll(fields[0], 12, axis=1)
    output = QueryOutput(
        class_logits([0, 1], [0.998, 0.908]),
        torch.from_numpy(np.stack([fields[0], second])).float(),
    )
    settings = ClassSettings("instance")
    found = objects_of_queries(output, *SIZE, settings, None)
    assert [s.category for s in found] == [0, 1]
    assert [s.score for s in found] == sorted((s.score for s in found), reverse=True)
    truth = fields[0] > 0
    assert (decode(found[0].mask) == truth).all()
    theirs = processor().post_process_instance_segmentation(stock(output), target_sizes=[SIZE])[0]
    best = max(theirs["segments_info"], key=lambda s: s["score"])
    left = (theirs["segmentation"].numpy() == best["id"])[truth].mean()
    assert left < 0.9


@pytest.mark.parametrize("size", [(150, 210), (384, 384), (600, 800), (1000, 640)])
def test_masks_are_no_worse_than_transformers(size):
    """On objects of known shape the mean IoU with the truth is never below transformers'."""
    ours, theirs = [], []
    for seed in range(6):
        height, width = size
        fields = ellipses(seed, 1, height // 10 * 10, width // 10 * 10, clear=0.5)
        truth = fields[0] > 0
        output = QueryOutput(class_logits([1], [0.95]), small(fields, 10))
        (found,) = objects_of_queries(output, *truth.shape, ClassSettings("instance"), None)
        other = processor().post_process_instance_segmentation(
            stock(output), target_sizes=[truth.shape]
        )[0]
        for mask, scores in (
            (decode(found.mask), ours),
            (other["segmentation"].numpy() == 0, theirs),
        ):
            scores.append((mask & truth).sum() / (mask | truth).sum())
    assert np.mean(ours) >= np.mean(theirs)
    if size != (384, 384):
        assert np.mean(ours) > np.mean(theirs)


def test_pixels_of_no_mask_stay_void():
    """Stock processing gives every pixel to some segment, even where no mask holds it."""
    fields = ellipses(4, 2, *SIZE, clear=1.0)
    output = QueryOutput(
        class_logits([0, 1], [0.9, 0.9]), torch.from_numpy(np.stack(fields)).float()
    )
    found = panoptic_of_queries(
        output, *SIZE, ClassSettings(overlap_mask_area_threshold=0.0), frozenset()
    )
    inside = np.max(fields, axis=0) >= 0
    covered = np.sum([decode(s.mask) for s in found], axis=0)
    assert (covered == inside).all()
    theirs = processor().post_process_panoptic_segmentation(
        stock(output), label_ids_to_fuse=set(), target_sizes=[SIZE],
        overlap_mask_area_threshold=0.0,
    )[0]  # fmt: skip
    assert (theirs["segmentation"].numpy() > 0)[~inside].any()


def test_stuff_is_one_segment_and_things_are_many():
    """Two masks of a stuff class are joined, two of a thing are not; the score is the mean."""
    first = torch.full((1, 20, 20), -9.0)
    first[:, :, :5] = 9
    second = first.flip(2)
    masks = torch.cat([first, second])
    output = QueryOutput(class_logits([2, 2], [0.9, 0.7]), masks)
    (joined,) = panoptic_of_queries(output, 20, 20, ClassSettings(), frozenset({2}))
    assert joined.area == 200
    assert joined.score == pytest.approx(0.8, abs=1e-4)
    apart = panoptic_of_queries(output, 20, 20, ClassSettings(), frozenset())
    assert [s.area for s in apart] == [100, 100]
    assert [s.score for s in apart] == pytest.approx([0.9, 0.7], abs=1e-4)


def test_segments_that_are_mostly_covered_are_dropped():
    """What keeps no more than the threshold's share of its own mask is no segment."""
    masks = torch.full((2, 20, 20), -9.0)
    masks[0, :, :10] = 9
    masks[1, :, 2:12] = 9
    output = QueryOutput(class_logits([0, 1], [0.99, 0.6]), masks)
    found = panoptic_of_queries(output, 20, 20, ClassSettings(), frozenset())
    assert [s.category for s in found] == [0]
    loose = ClassSettings(overlap_mask_area_threshold=0.1)
    both = panoptic_of_queries(output, 20, 20, loose, frozenset())
    assert [(s.category, s.area) for s in both] == [(0, 200), (1, 40)]


def test_nothing_certain_is_nothing():
    """Below the threshold, or of no object, there are no segments; empty masks are none."""
    empty = torch.full((2, 8, 8), -9.0)
    full = -empty
    unsure = QueryOutput(class_logits([0, 3], [0.4, 0.9]), full)
    settings = ClassSettings()
    assert panoptic_of_queries(unsure, 30, 40, settings, frozenset()) == ()
    assert objects_of_queries(unsure, 30, 40, settings, None) == ()
    hollow = QueryOutput(class_logits([0, 1], [0.9, 0.9]), empty)
    assert panoptic_of_queries(hollow, 30, 40, settings, frozenset()) == ()
    zero = ClassSettings(threshold=0.0)
    assert objects_of_queries(hollow, 30, 40, zero, None) == ()


def test_objects_are_countable_things():
    """Stuff is no object: a query's best class among the things counts."""
    output = QueryOutput(class_logits([2, 0], [0.9, 0.8]), torch.full((2, 8, 8), 9.0))
    found = objects_of_queries(output, 8, 8, ClassSettings("instance"), frozenset({0, 1}))
    assert [s.category for s in found] == [0]
