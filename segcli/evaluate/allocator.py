"""How the process gets its memory: kept for the next image rather than handed back after each."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

# From glibc's malloc.h. Blocks beyond the first limit, which cannot be larger, get pages of their
# own, which go back when they are freed; free memory beyond the second goes back as well.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_BLOCK = 1 << 25
_MOST_KEPT = 1 << 28


def keep_freed_memory() -> bool:
    """Let this process keep up to 256 MiB of freed memory; return whether it could be told.

    Each image takes some megabytes for a few milliseconds. By default glibc hands them back each
    time, and the kernel gives them out again page by page, filled with zeros: on a virtual machine
    that takes up to a third of the time of decoding. The peak of memory is not changed. It is a
    decision about the whole process, so whoever owns that makes it; other C libraries are left as
    they are.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    limits = ((_MMAP_THRESHOLD, _LARGEST_BLOCK), (_TRIM_THRESHOLD, _MOST_KEPT))
    return all(mallopt(name, limit) == 1 for name, limit in limits)
