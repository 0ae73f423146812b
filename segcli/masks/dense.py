"""A mask that is there as pixels, where an RLE is asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from segcli.masks.rle import encode
from segcli.records import RLE

__all__ = ["DenseRLE"]


class DenseRLE(RLE):
    """An RLE that keeps its mask, and encodes it only when somebody reads the counts.

    Encoding and decoding take longer than what is counted in the pixels of most pictures. Equal to
    any other RLE of the same mask; pickled as an ordinary one.

    Attributes:
        mask: (H, W) bool; not to be changed.
    """

    __slots__ = ("_coded", "mask")
    mask: npt.NDArray[np.bool_]
    _coded: str | None

    def __init__(self, mask: npt.NDArray[np.bool_]) -> None:
        height, width = mask.shape
        values = {"height": height, "width": width, "mask": mask, "_coded": None}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def counts(self) -> str:
        """COCO's compressed string."""
        if self._coded is None:
            object.__setattr__(self, "_coded", encode(self.mask).counts)
        assert self._coded is not None
        return self._coded

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RLE):
            return NotImplemented
        return (self.height, self.width, self.counts) == (other.height, other.width, other.counts)

    def __hash__(self) -> int:
        return hash((self.height, self.width, self.counts))

    def __repr__(self) -> str:
        return f"RLE(height={self.height}, width={self.width}, counts={self.counts!r})"

    def __reduce__(self) -> tuple[type[RLE], tuple[int, int, str]]:
        return RLE, (self.height, self.width, self.counts)
