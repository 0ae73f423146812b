"""Read masks in one format and write them in another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from segcli.errors import ItemError, MaskError, OutputError, WriteError
from segcli.formats import get_writer
from segcli.formats.base import (
    Format,
    Overlap,
    Source,
    WriteOptions,
    check_inside,
    free_stem,
    stem_of,
    unique_stems,
)
from segcli.formats.ndjson import StreamSource
from segcli.masks.labels import segments_of
from segcli.records import Segmentation

__all__ = ["Converted", "Unconverted", "convert"]


@dataclass(frozen=True, slots=True)
class Unconverted:
    """An image that could not be converted.

    Attributes:
        image: its path, or "" when a damaged record does not tell.
        error: what went wrong.
    """

    image: str
    error: ItemError

    def to_record(self) -> dict[str, Any]:
        """As a JSON object."""
        error = self.error
        return {"image": self.image, "error": error.message, "why": error.why, "fix": error.fix}


@dataclass(frozen=True, slots=True)
class Converted:
    """What a conversion did.

    Attributes:
        images: images written.
        segments: their segments.
        loses: what the target format cannot hold, or "".
        failures: images that were not written.
    """

    images: int
    segments: int
    loses: str
    failures: tuple[Unconverted, ...] = ()


def convert(
    source: Source,
    target: Path,
    to: str,
    overlap: Overlap = "score",
    *,
    overwrite: bool = False,
    class_names: Mapping[int, str] | None = None,
) -> Converted:
    """Write every image of a source in another format, one in memory at a time.

    An image that cannot be read or written is counted, and the others go on.

    Args:
        source: the masks.
        target: folder to write into.
        to: name of the format.
        overlap: which segment keeps a pixel that several claim in a label map.
        overwrite: write into a folder that already holds files.
        class_names: name by class id, for a source that lists none.

    Raises:
        ConfigError: the format is unknown or cannot be written.
        OutputError: `target` is a file, or a folder with files in it and `overwrite` is False.
        WriteError: a file cannot be written.
    """
    writer = get_writer(to)
    _check_target(target, overwrite=overwrite)
    names = class_names or source.categories
    work = _Work(source, target, WriteOptions(overlap=overlap), class_names=names)
    try:
        work.write(writer)
    except OSError as error:
        raise WriteError(f"{target}: cannot be written", why=str(error)) from error
    return Converted(
        work.images, work.segments, _losses(writer, work), failures=tuple(work.failures)
    )


def _has_void(result: Segmentation) -> bool:
    labels = result.labels
    panoptic = labels is not None and labels.kind == "panoptic" and not labels.values.all()
    return result.ignore is not None or panoptic


def _losses(writer: Format, work: _Work) -> str:
    void = 0 if writer.holds_void else work.void
    lost = [writer.loses, f"that pixels of {void} images must not count" if void else ""]
    return "; ".join(part for part in lost if part)


def _check_target(target: Path, *, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target}: is a file", why="converted masks are written into a folder")
    if overwrite or not target.is_dir():
        return
    held = sorted(p.name for p in target.iterdir() if not p.name.startswith("."))
    if held:
        raise OutputError(
            f"{target}: is not empty: it holds {', '.join(held[:3])}",
            why="files of the same name would be overwritten",
            fix="give a new folder, or --overwrite",
        )


@dataclass(slots=True)
class _Work:
    """One conversion under way."""

    source: Source
    target: Path
    options: WriteOptions
    class_names: Mapping[int, str]
    images: int = 0
    segments: int = 0
    void: int = 0
    failures: list[Unconverted] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def write(self, writer: Format) -> None:
        """Write all images, and gather what failed."""
        if writer.write_dataset is not None:
            # Where files of each image lie beside it, the target is their folder.
            file = self.target / Path(writer.file_name).name
            writer.write_dataset(self._counted(writer), file, self.options)
        else:
            for key, result in self._results():
                self._write_one(writer, key, result)
        stated = [
            Unconverted(key, MaskError(f"{key}: could not be segmented", why="its record says so"))
            for key in self.source.failed
        ]
        self.failures += stated

    def _counted(self, writer: Format) -> Iterator[Segmentation]:
        for key, result in self._results():
            try:
                if writer.check is not None:
                    writer.check(result)
                self.segments += len(segments_of(result))
            except ItemError as error:
                self.failures.append(Unconverted(key, error))
                continue
            self.images += 1
            yield result

    def _write_one(self, writer: Format, key: str, result: Segmentation) -> None:
        assert writer.write_image is not None
        try:
            stem = self._stem(key, result.image.key)
            count = len(segments_of(result))
            writer.write_image(result, self.target, stem, self.options)
        except ItemError as error:
            self.failures.append(Unconverted(key, error))
        except OutputError as error:
            self.failures.append(Unconverted(key, MaskError(error.message, why=error.why)))
        else:
            self.images += 1
            self.segments += count

    def _stem(self, key: str, image: str) -> str:
        """The name of an image's files: never outside the target, never another image's.

        Raises:
            MaskError: the image's path is absolute or leads out of the folder.
        """
        check_inside(image)
        # A suffix may differ: SA-1B's x.json is the result of x.jpg.
        if key in self.names and stem_of(key) == stem_of(image):
            return self.names[key]
        # Only a stream, or a file that names its image itself, brings names nobody knew before.
        return free_stem(image, self.taken)

    def _results(self) -> Iterator[tuple[str, Segmentation]]:
        for key, result in self._read():
            self.void += _has_void(result)
            if self.class_names and not result.categories:
                yield key, replace(result, categories=dict(self.class_names))
            else:
                yield key, result
            # The next image must not be decoded while this one is held.
            del result

    def _read(self) -> Iterator[tuple[str, Segmentation]]:
        if isinstance(self.source, StreamSource):
            yield from self._streamed()
            return
        keys = list(self.source.keys())
        self.names = dict(zip(keys, unique_stems(keys), strict=True))
        self.taken = {name.casefold() for name in self.names.values()}
        for key in keys:
            try:
                result = self.source.read(key)
            except ItemError as error:
                self.failures.append(Unconverted(key, error))
                continue
            yield key, result

    def _streamed(self) -> Iterator[tuple[str, Segmentation]]:
        arriving = iter(self.source)
        while True:
            try:
                found = next(arriving)
            except StopIteration:
                return
            except ItemError as error:
                self.failures.append(Unconverted("", error))
                continue
            yield found
            # The next image must not be decoded while this one is held.
            del found
