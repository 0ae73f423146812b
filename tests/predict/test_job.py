"""The loop: order, failures that stay alone, and one picture in memory at a time."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from helpers import blobs
from PIL import Image

from segcli.errors import WriteError
from segcli.inputs import find_images
from segcli.masks.rle import segment_from_mask
from segcli.predict.job import Job, run
from segcli.predict.outputs import NoOutputs
from segcli.predict.plan import plan_items


def bright(pixels: np.ndarray):
    return (segment_from_mask(pixels.max(axis=2) > 100, score=1.0),)


@pytest.fixture
def items(tmp_path):
    for i in range(12):
        Image.fromarray(blobs(i)).save(tmp_path / f"{i:02}.png")
    (tmp_path / "05.png").write_bytes(b"damaged")
    return plan_items(find_images([str(tmp_path)]).images)


def test_records_come_in_order_and_failures_stay_alone(items):
    """A damaged picture is an error record in its place; all others are done."""
    records = list(run(Job(bright, "fake", NoOutputs()), items))
    assert [r["path"] for r in records] == [f"{i:02}.png" for i in range(12)]
    assert [i for i, r in enumerate(records) if r["status"] == "error"] == [5]


def test_model_failure_is_one_error_record(items):
    """A picture the model fails on does not stop the others."""

    def picky(pixels):
        if np.array_equal(pixels, blobs(3)):
            raise RuntimeError("out of memory")
        return bright(pixels)

    records = list(run(Job(picky, "fake", NoOutputs()), items))
    assert [i for i, r in enumerate(records) if r["status"] == "error"] == [3, 5]
    assert "out of memory" in records[3]["error"]["why"]


def test_failure_to_keep_ends_the_run(items):
    """When results cannot be kept, the run stops at once and says so."""

    class Full(NoOutputs):
        def commit(self, *_):
            raise WriteError("the disk is full")

    with pytest.raises(WriteError):
        list(run(Job(bright, "fake", Full()), items))


def test_few_pictures_are_in_memory(items):
    """However long the list, only the pictures in flight are held."""
    alive: list[weakref.ref] = []
    most = 0

    def watching(pixels):
        nonlocal most
        alive.append(weakref.ref(pixels))
        gc.collect()
        most = max(most, sum(ref() is not None for ref in alive))
        return bright(pixels)

    assert len(list(run(Job(watching, "fake", NoOutputs()), items))) == 12
    assert most <= 5


def test_closing_early_stops_the_work(items):
    """A consumer that stops reading stops the model."""
    seen = []

    def counting(pixels):
        seen.append(1)
        return bright(pixels)

    records = run(Job(counting, "fake", NoOutputs()), items)
    next(records)
    records.close()
    assert len(seen) <= 4
