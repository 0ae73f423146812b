"""Running out of memory: fewer prompts at once, a warning, the same masks."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from helpers import blobs

from segcli.masks.rle import decode
from segcli.models.sam.decoder import Decoder
from segcli.models.sam.generate import generate
from segcli.models.sam.memory import HostCopy, prompts_at_once, with_less_at_once
from segcli.models.sam.prompts import prompt_points
from segcli.models.settings import generate_settings

# The words of torch's CPU allocator, as torch 2.6 to 2.14 have them on Linux and elsewhere.
ALLOCATOR = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 8796093022208 bytes. Error code 12 (Cannot allocate memory)"
)
ELSEWHERE = "DefaultCPUAllocator: not enough memory: you tried to allocate 1000 bytes."
SHORTAGES = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(ALLOCATOR),
    RuntimeError(ELSEWHERE),
]


def limited(most: int, error: Exception, sizes: list[int]):
    """A function of prompts that fails above so many, and notes how many it was asked for."""

    def function(prompts):
        sizes.append(len(prompts))
        if len(prompts) > most:
            raise error
        return [10 * p for p in prompts]

    return function


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda e: type(e).__name__)
def test_halves(error, caplog):
    """Prompts are asked in halves, and in halves of these, and the results keep their order."""
    sizes: list[int] = []
    with caplog.at_level(logging.WARNING):
        found = with_less_at_once(limited(2, error, sizes), range(3, 13))
    assert found == [10 * p for p in range(3, 13)]
    assert sizes == [10, 5, 2, 3, 1, 2, 5, 2, 3, 1, 2]
    assert len(caplog.records) == 5
    assert "out of memory with 10 prompts at once: going on with 5" in caplog.text


def test_nothing_happens_where_memory_suffices(caplog):
    """With enough memory the function is called once, and nobody is warned."""
    sizes: list[int] = []
    assert with_less_at_once(limited(9, MemoryError(), sizes), [4, 2]) == [40, 20]
    assert sizes == [2]
    assert not caplog.records


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda e: type(e).__name__)
def test_a_single_prompt_too_many(error):
    """Where there is not enough for one prompt, that is said, with the cause."""
    with pytest.raises(MemoryError, match="not enough memory for a single prompt") as caught:
        with_less_at_once(limited(0, error, []), range(4))
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("no"), KeyError("k")])
def test_other_errors_pass(error):
    """An error that is not a shortage of memory is not tried again."""
    sizes: list[int] = []
    with pytest.raises(type(error)) as caught:
        with_less_at_once(limited(1, error, sizes), range(4))
    assert caught.value is error
    assert sizes == [4]


def test_torch_says_what_is_looked_for():
    """What torch raises where the CPU has not enough memory is taken for a shortage."""
    asked = []

    def function(prompts):
        asked.append(len(prompts))
        return [torch.empty(1 << 50, dtype=torch.uint8)] if len(prompts) > 1 else [prompts[0]]

    assert with_less_at_once(function, range(2)) == [0, 1]
    assert asked == [2, 1, 1]


def test_prompts_at_once():
    """The user's number is taken as it is; else as many as the cache holds, and at least one."""
    embedding = torch.zeros(1, 256, 64, 64)
    assert prompts_at_once(embedding, 7) == 7
    assert prompts_at_once(embedding, 100_000) == 100_000
    assert prompts_at_once(embedding, 0) == 4
    assert prompts_at_once(embedding.bfloat16(), 0) == 8
    assert prompts_at_once(torch.zeros(1, 128, 32, 32), 0) == 32
    assert prompts_at_once(torch.zeros(1, 256, 256, 256), 0) == 1


def test_host_copy_on_the_cpu():
    """A tensor on the CPU is there already: it is the tensor itself."""
    tensor = torch.arange(6).view(2, 3)
    copy = HostCopy(tensor)
    assert copy.wait() is tensor
    assert copy.wait() is tensor


@pytest.fixture
def scarce(monkeypatch):
    """Let decoding fail above a number of prompts; gives the sizes that were asked for."""
    whole, sizes = Decoder.predict, []

    def limit(most: int) -> list[int]:
        def predict(self, prompts, *, multimask):
            sizes.append(len(prompts.points))
            if len(prompts.points) > most:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return whole(self, prompts, multimask=multimask)

        monkeypatch.setattr(Decoder, "predict", predict)
        return sizes

    return limit


LOOSE = generate_settings(
    {"points_per_side": 6, "pred_iou_thresh": 0, "stability_score_thresh": 0, "box_nms_thresh": 1}
)


def test_segments_are_the_same_with_less_memory(runtime_of, scarce, caplog):
    """Segment-everything goes on with fewer prompts and finds the same segments."""
    expected = generate(runtime_of("sam"), blobs(1), LOOSE)
    assert not caplog.records
    sizes = scarce(5)
    found = generate(runtime_of("sam"), blobs(1), LOOSE)
    assert max(sizes) > 5
    assert "going on with" in caplog.text
    assert len(expected) > 20
    found, expected = (sorted(x, key=lambda s: (s.point_xy, s.score)) for x in (found, expected))
    assert [s.point_xy for s in found] == [s.point_xy for s in expected]
    for ours, theirs in zip(found, expected, strict=True):
        assert abs(ours.score - theirs.score) < 1e-5
        different = decode(ours.mask) != decode(theirs.mask)
        assert different.mean() < 1e-3


def test_answers_are_the_same_with_less_memory(runtime_of, scarce):
    """Prompted masks come in the order of the points, however few are decoded at once."""
    points = np.random.default_rng(0).uniform(0, 40, (9, 2))
    expected = list(prompt_points(runtime_of("sam"), blobs(1), points, LOOSE))
    scarce(2)
    found = list(prompt_points(runtime_of("sam"), blobs(1), points, LOOSE))
    assert [[s.point_xy for s in a] for a in found] == [[s.point_xy for s in a] for a in expected]
    for ours, theirs in zip(sum(found, ()), sum(expected, ()), strict=True):
        assert (decode(ours.mask) != decode(theirs.mask)).mean() < 1e-3


def test_not_enough_for_a_single_prompt(runtime_of, scarce):
    """Where even one prompt is too many, segment-everything says so."""
    scarce(0)
    with pytest.raises(MemoryError, match="a single prompt"):
        generate(runtime_of("sam"), blobs(1), LOOSE)
