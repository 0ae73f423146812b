"""Binary masks, one picture per image: 0 is outside, 255 (or 1) is inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segcli.formats.base import Format, ReadOptions, Source, WriteOptions, replacing
from segcli.formats.judge import judge
from segcli.formats.rasters import open_rasters, sample_of
from segcli.masks.labels import foreground
from segcli.records import Segmentation

__all__ = ["FORMAT"]


def _write(result: Segmentation, folder: Path, stem: str, options: WriteOptions) -> list[Path]:
    del options
    path = folder / f"{stem}.png"
    with replacing(path) as file:
        Image.fromarray(foreground(result).astype(np.uint8) * 255).save(file, "PNG")
    return [path]


def _recognise(path: Path) -> str | None:
    surveys = sample_of(path)
    if not surveys:
        return None
    verdict = judge(surveys)
    return f"binary masks ({verdict.why})" if verdict.kind == "binary" else None


def _open(path: Path, options: ReadOptions) -> Source:
    return open_rasters(path, options, FORMAT.name)


FORMAT = Format(
    name="binary",
    summary="one binary mask per image, 8-bit PNG of 0 and 255: the union of all segments",
    loses="which pixel belongs to which segment; scores",
    write_image=_write,
    recognise=_recognise,
    open=_open,
)
