"""Read masks in one format and write them in another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from segcli.errors import ConfigError
from segcli.formats import get
from segcli.formats.base import Overlap, Source, WriteOptions, stem_of
from segcli.masks.labels import segments_of
from segcli.records import Segmentation

__all__ = ["Converted", "convert"]


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion did.

    Attributes:
        images: images written.
        segments: their segments.
        loses: what the target format cannot hold, or "".
    """

    images: int
    segments: int
    loses: str


def convert(source: Source, target: Path, to: str, overlap: Overlap = "score") -> Converted:
    """Write every image of a source in another format, one in memory at a time.

    Args:
        source: the masks.
        target: folder to write into.
        to: name of the format.
        overlap: which segment keeps a pixel that several claim in a label map.

    Raises:
        ConfigError: the format is unknown or cannot be written.
        MaskError: a mask cannot be read.
    """
    writer = get(to)
    counts = {"images": 0, "segments": 0}

    def results() -> Iterator[Segmentation]:
        for _, result in source:
            whole = result
            if result.labels is not None and not result.segments:
                whole = replace(result, segments=segments_of(result))
            counts["images"] += 1
            counts["segments"] += len(whole.segments)
            yield whole

    options = WriteOptions(overlap=overlap)
    if writer.write_dataset:
        writer.write_dataset(results(), target / writer.file_name, options)
    elif writer.write_image:
        for result in results():
            writer.write_image(result, target, stem_of(result.image.key), options)
    else:
        raise ConfigError(f"format '{to}' can be read but not written")
    return Converted(counts["images"], counts["segments"], writer.loses)
