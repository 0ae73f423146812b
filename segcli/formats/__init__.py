"""File layouts: one module each, and the registry that can tell them apart.

A new format is one new module with a `Format` value, and one line in `FORMATS`.
"""

from __future__ import annotations

from pathlib import Path

from segcli.errors import ConfigError, InputError, closest
from segcli.formats import (
    amg,
    binary,
    bsds,
    cityscapes,
    coco,
    coco_dataset,
    coco_panoptic,
    labelme,
    labels,
    masks,
    ndjson,
    sa1b,
    semantic,
    yolo,
)
from segcli.formats.base import Format, ReadOptions, Source, WriteOptions
from segcli.formats.rasters import can_read_colors, common_fault
from segcli.formats.sniff import load_json

__all__ = [
    "FORMATS",
    "Format",
    "ReadOptions",
    "Source",
    "WriteOptions",
    "get",
    "get_writer",
    "open_source",
    "readable_names",
    "writable_names",
]

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (
        labels,
        masks,
        amg,
        sa1b,
        coco,
        coco_dataset,
        coco_panoptic,
        yolo,
        binary,
        semantic,
        labelme,
        cityscapes,
        bsds,
        ndjson,
    )
}


def get(name: str) -> Format:
    """A format by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in FORMATS:
        raise ConfigError(
            f"unknown format '{name}'",
            why=f"formats are {', '.join(FORMATS)}",
            fix=closest(name, FORMATS),
        )
    return FORMATS[name]


def get_writer(name: str) -> Format:
    """A format that can be written, by its name.

    Raises:
        ConfigError: there is none of that name, or it can only be read.
    """
    found = get(name)
    if found.write_dataset is None and found.write_image is None:
        raise ConfigError(
            f"format '{name}' can be read but not written",
            why=f"formats that can be written are {', '.join(writable_names())}",
            fix="choose one of these",
        )
    return found


def writable_names() -> tuple[str, ...]:
    """Names of the formats that can be written, in the order of the registry."""
    return tuple(n for n, f in FORMATS.items() if f.write_image or f.write_dataset)


def readable_names() -> tuple[str, ...]:
    """Names of the formats that can be read, in the order of the registry."""
    return tuple(name for name, f in FORMATS.items() if f.open)


def open_source(
    path: str | Path,
    options: ReadOptions | None = None,
    format: str | None = None,  # noqa: A002 (the flag's name)
) -> Source:
    """Open predictions or ground truth, telling by their content what they are.

    Args:
        path: a file or folder; "-" is segcli records on standard input. A folder that predict
            wrote is read from its segments.ndjson.
        options: what the files alone do not say.
        format: the format's name, to skip the telling apart.

    Returns:
        A source whose `description` says what the path was taken for, and why.

    Raises:
        ConfigError: `format` is unknown or cannot be read.
        InputError: the path is missing, empty, or fits no format or several.
    """
    options = options or ReadOptions()
    if str(path) == "-":
        if format not in (None, ndjson.FORMAT.name):
            raise ConfigError(
                f"standard input holds segcli records, not the format '{format}'",
                fix="give a file or folder, or leave the format out",
            )
        return ndjson.stdin_source()
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    chosen = get(format) if format else _tell(path, options)
    if chosen.open is None:
        raise ConfigError(
            f"format '{chosen.name}' cannot be read", why=f"try {', '.join(readable_names())}"
        )
    return chosen.open(path, options)


def _tell(path: Path, options: ReadOptions) -> Format:
    if path.is_dir() and not any(path.iterdir()):
        raise InputError(f"{path}: is an empty folder")
    if ndjson.FORMAT.recognise is not None and ndjson.FORMAT.recognise(path):
        return ndjson.FORMAT
    found = {
        name: words
        for name, f in FORMATS.items()
        if f.recognise is not None and (words := f.recognise(path)) is not None
    }
    if len(found) == 1:
        return FORMATS[next(iter(found))]
    if found:
        raise InputError(
            f"{path}: could be {' or '.join(found.values())}",
            fix="give the file or sub-folder that is meant",
        )
    if can_read_colors(path, options):
        return labels.FORMAT
    fault = common_fault(path)
    if fault is not None and path.is_file():
        raise InputError(fault.message, why=fault.why, fix=fault.fix)
    if path.suffix.lower() == ".json" and path.is_file():
        load_json(path)  # which says where it is broken, if it is
    raise InputError(
        f"{path}: holds no masks in a known format",
        why=f"{fault.message}: {fault.why}"
        if fault
        else f"known are {', '.join(readable_names())}",
        fix=(fault and fault.fix) or "give the folder or file that holds the masks",
    )
