"""How much is decoded at once, the way to the CPU, and what is done when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

__all__ = ["HostCopy", "prompts_at_once", "with_less_at_once"]

_log = logging.getLogger(__name__)

# Each core works on so many bytes of image as seen by prompts: they should stay in the cache.
_CACHE = 16 << 20
# A prompt on a GPU needs about so many times its image: intermediate results, masks, the next one.
_SHARE, _MOST = 24, 256
_Result = TypeVar("_Result")


class HostCopy:
    """A tensor on its way to the CPU; on the CPU it is there already."""

    def __init__(self, tensor: torch.Tensor) -> None:
        """Start the copy, without waiting for the GPU to get that far."""
        self._tensor, self._arrived = tensor, None
        if tensor.device.type == "cuda":
            self._tensor = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._tensor.copy_(tensor, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record()

    def wait(self) -> torch.Tensor:
        """The tensor on the CPU."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._tensor.cpu()


def prompts_at_once(embedding: torch.Tensor, asked: int) -> int:
    """How many prompts to decode at once.

    Args:
        embedding: (1, C, h, w) of the image.
        asked: the user's number; 0 leaves the choice to the machine.
    """
    if asked:
        return asked
    each = embedding.numel() * embedding.element_size()
    if embedding.device.type != "cuda":
        return max(1, _CACHE // each)
    free, _ = torch.cuda.mem_get_info(embedding.device)
    return max(1, min(_MOST, free // 2 // (_SHARE * each)))


def with_less_at_once(
    function: Callable[[Sequence[int]], list[_Result]], prompts: Sequence[int]
) -> list[_Result]:
    """Results for prompts, asked for in halves where memory does not suffice for all.

    Args:
        function: gives the results for some of the prompts, in order.
        prompts: numbers of the prompts.

    Raises:
        MemoryError: there is not enough for a single prompt.
    """
    try:
        return function(prompts)
    except (MemoryError, RuntimeError) as error:
        if not _is_shortage(error):
            raise
        if len(prompts) == 1:
            raise MemoryError("there is not enough memory for a single prompt") from error
    # The failed attempt's tensors live as long as its exception: only here are they freed.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(prompts) // 2
    _log.warning("out of memory with %d prompts at once: going on with %d", len(prompts), half)
    return [
        *with_less_at_once(function, prompts[:half]),
        *with_less_at_once(function, prompts[half:]),
    ]


def _is_shortage(error: Exception) -> bool:
    """Whether torch or Python ran out of memory; torch's CPU allocator has no type of its own."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return "not enough memory" in str(error) or "can't allocate memory" in str(error)
