"""How the process of a command uses memory and threads; other programs are left as they are."""

from __future__ import annotations

import ctypes
import gc
import os
import sys

__all__ = ["settle"]

# From glibc's malloc.h. Blocks beyond the first limit, which cannot be larger, get pages of their
# own, which go back when they are freed; free memory beyond the second goes back as well. Threads
# take turns at the heaps of the third.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENAS = -1, -3, -8
_LARGEST_BLOCK = 1 << 25
_MOST_KEPT = 1 << 28

_NEW_OBJECTS = 200_000
_TURN_SECONDS = 0.0005


def settle() -> bool:
    """Keep freed memory, look for garbage in cycles less often, and let threads take short turns.

    Each image, and each prompt of a model, takes some megabytes for a few milliseconds. By default
    glibc hands them back each time, and the kernel gives them out again page by page, filled with
    zeros: on a virtual machine that takes up to a third of the time of decoding. Up to 256 MiB are
    kept. There is a heap for two cores: by default each thread has one of its own, and keeps in it
    what it once needed. Files of COCO are parsed to many objects, which Python would look through
    again and again; none of them are in cycles. Threads that decode for milliseconds need Python
    for some microseconds in between, and would wait for it longer than they work.

    These are decisions about a whole process, so only who owns it makes them.

    Returns:
        Whether the memory is kept: other C libraries than glibc are left as they are.
    """
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])
    sys.setswitchinterval(_TURN_SECONDS)
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    heaps = max(2, (os.cpu_count() or 1) // 2)
    limits = (
        (_MMAP_THRESHOLD, _LARGEST_BLOCK), (_TRIM_THRESHOLD, _MOST_KEPT), (_ARENAS, heaps)
    )  # fmt: skip
    return all(mallopt(name, limit) == 1 for name, limit in limits)
