"""segcli: masks from pictures, and scores from masks."""

from __future__ import annotations

from segcli.errors import SegcliError
from segcli.records import RLE, ImageRef, LabelMap, Segment, Segmentation

__all__ = [
    "RLE",
    "ImageRef",
    "LabelMap",
    "SegcliError",
    "Segment",
    "Segmentation",
    "__version__",
]

__version__ = "0.1.0"
