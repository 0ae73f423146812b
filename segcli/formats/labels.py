"""Instance label maps, one per image: 16-bit grey PNG, or 32-bit TIFF beyond 65535 segments."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segcli.errors import OutputError
from segcli.formats.base import Format, ReadOptions, Source, WriteOptions, replacing
from segcli.formats.judge import judge
from segcli.formats.rasters import open_rasters, sample_of
from segcli.masks.labels import label_map_of
from segcli.records import Segmentation

__all__ = ["FORMAT", "save_label_map"]


def save_label_map(values: npt.NDArray[Any], folder: Path, stem: str) -> Path:
    """Write one label map as `<folder>/<stem>.png`, or `.tif` where a value needs 32 bits.

    Args:
        values: (H, W) integers from 0 to 2**31 - 1; uint8 makes an 8-bit PNG.
        folder: the root of the output tree.
        stem: the image's mirrored relative path without suffix.

    Raises:
        OutputError: a value is negative or too large.
    """
    least, most = int(values.min()), int(values.max())
    if least < 0 or most > np.iinfo(np.int32).max:
        raise OutputError(f"{stem}: label {least if least < 0 else most} does not fit 32-bit TIFF")
    narrow = most <= np.iinfo(np.uint16).max and values.dtype != np.uint32
    path = folder / f"{stem}{'.png' if narrow else '.tif'}"
    with replacing(path) as file:
        if narrow:
            stored = values if values.dtype == np.uint8 else values.astype(np.uint16, copy=False)
            Image.fromarray(stored).save(file, "PNG")
        else:
            file.write(_unsigned_tiff(values))
    (folder / f"{stem}{'.tif' if narrow else '.png'}").unlink(missing_ok=True)
    return path


def _unsigned_tiff(values: npt.NDArray[Any]) -> bytes:
    """A TIFF of 32-bit integers, declared unsigned: Pillow itself only writes signed ones."""
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.int32)).save(buffer, "TIFF", compression="tiff_adobe_deflate")
    content = bytearray(buffer.getvalue())
    (directory,) = struct.unpack_from("<I", content, 4)
    sample_format = struct.pack("<HHI", 339, 3, 1)
    content[content.index(sample_format, directory) + len(sample_format)] = 1
    return bytes(content)


def _write(result: Segmentation, folder: Path, stem: str, options: WriteOptions) -> list[Path]:
    return [save_label_map(label_map_of(result, options.overlap), folder, stem)]


def _recognise(path: Path) -> str | None:
    surveys = sample_of(path)
    if not surveys:
        return None
    verdict = judge(surveys)
    return None if verdict.kind == "binary" else f"{verdict.kind} label maps ({verdict.why})"


def _open(path: Path, options: ReadOptions) -> Source:
    return open_rasters(path, options, FORMAT.name)


FORMAT = Format(
    name="labels",
    summary="instance label map, 16-bit PNG: pixel value i is segment i, 0 is background",
    loses="where segments overlap, only the one on top; scores; categories and crowd marks of "
    "segments (class maps keep their class ids: read them with --kind semantic)",
    write_image=_write,
    recognise=_recognise,
    open=_open,
)
