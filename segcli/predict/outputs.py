"""Everything a run writes for its images, with the journal's record as the last act."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segcli.errors import InputError, ItemError, OutputError
from segcli.formats import get
from segcli.formats.base import WriteOptions, replacing
from segcli.formats.ndjson import SCHEMA, StreamSource, to_record
from segcli.predict.journal import Journal, write_failure
from segcli.predict.plan import Item
from segcli.records import Segmentation

__all__ = ["Draw", "NoOutputs", "Outputs", "error_record"]

Draw = Callable[[npt.NDArray[np.uint8], Segmentation], bytes]
OVERLAY_FOLDER = "overlay"


@dataclass(slots=True)
class NoOutputs:
    """Results only go down the pipe; nothing is kept."""

    def is_done(self, item: Item) -> bool:
        """Nothing is ever done before."""
        del item
        return False

    def commit(
        self, item: Item, pixels: npt.NDArray[np.uint8], result: Segmentation
    ) -> dict[str, Any]:
        """The record of a result."""
        del item, pixels
        return to_record(result)

    def commit_error(self, item: Item, error: ItemError) -> dict[str, Any]:
        """The record of a failure."""
        return error_record(item, error)


@dataclass(slots=True)
class Outputs:
    """An output folder.

    Attributes:
        folder: where everything goes; each format has a folder or a file of its own in it.
        formats: names of the formats to write.
        options: choices of the writers.
        draw: makes the PNG bytes of an overlay from pixels and result, or None for no overlays.
        anew: what earlier runs left does not count.
    """

    folder: Path
    formats: Sequence[str]
    options: WriteOptions
    draw: Draw | None = None
    anew: bool = False
    journal: Journal = field(init=False)

    def __post_init__(self) -> None:
        """Read the journal of earlier runs, unless all is to be made anew."""
        self.journal = Journal(self.folder, fresh=self.anew)

    def is_done(self, item: Item) -> bool:
        """An earlier run finished this very picture, and its outputs are still there."""
        record = self.journal.records.get(item.image.key)
        if record is None or record.get("status") != "ok":
            return False
        if not all((self.folder / name).exists() for name in record.get("outputs", ())):
            return False
        try:
            return record.get("sha256") == hashlib.sha256(item.image.read()).hexdigest()
        except OSError:
            return False

    def commit(
        self, item: Item, pixels: npt.NDArray[np.uint8], result: Segmentation
    ) -> dict[str, Any]:
        """Write an image's files, then its record, which makes it done.

        Raises:
            WriteError: something cannot be written.
        """
        try:
            self._remove_earlier(item)
            written = self._write(item, pixels, result)
        except OSError as error:
            raise write_failure(self.folder / item.stem, error) from error
        record = to_record(result)
        record["outputs"] = [path.relative_to(self.folder).as_posix() for path in written]
        self.journal.append(record)
        return record

    def commit_error(self, item: Item, error: ItemError) -> dict[str, Any]:
        """Keep the record of a failure; the next run tries the image again."""
        self._remove_earlier(item)
        record = error_record(item, error)
        self.journal.append(record)
        return record

    def finish(self, items: Sequence[Item]) -> list[Path]:
        """Put the records in order and write the formats that have one file for all images.

        Raises:
            WriteError: something cannot be written.
        """
        try:
            self.journal.settle([item.image.key for item in items])
            written: list[Path] = []
            for name in self.formats:
                writer = get(name)
                if writer.write_dataset:
                    path = self.folder / writer.file_name
                    written += writer.write_dataset(self._results(), path, self.options)
        except OSError as error:
            raise write_failure(self.folder, error) from error
        return written

    def _write(self, item: Item, pixels: npt.NDArray[np.uint8], result: Segmentation) -> list[Path]:
        written: list[Path] = []
        for name in self.formats:
            writer = get(name)
            if writer.write_image:
                written += writer.write_image(result, self.folder / name, item.stem, self.options)
        if self.draw:
            path = self.folder / OVERLAY_FOLDER / f"{item.stem}.png"
            with replacing(path) as file:
                file.write(self.draw(pixels, result))
            written.append(path)
        return written

    def _remove_earlier(self, item: Item) -> None:
        earlier: Mapping[str, Any] = self.journal.records.get(item.image.key, {})
        for name in earlier.get("outputs", ()):
            (self.folder / name).unlink(missing_ok=True)

    def _results(self) -> Iterator[Segmentation]:
        return (result for _, result in StreamSource(self.journal.lines(), str(self.journal.path)))


def error_record(item: Item, error: ItemError) -> dict[str, Any]:
    """The record of an image that failed."""
    image = item.image
    return {
        "schema": SCHEMA,
        "status": "error",
        "path": image.path,
        "page": image.page,
        "source": image.source,
        "error": {"type": type(error).__name__, "message": error.message, "why": error.why},
    }


def remove_results(folder: Path, dataset_files: Sequence[str]) -> None:
    """Remove what earlier runs recorded in a folder, and nothing else.

    Args:
        folder: the output folder.
        dataset_files: the files, one for all images, that the manifest names.

    Raises:
        OutputError: a file cannot be removed.
    """
    try:
        records = Journal(folder).records.values()
    except InputError:
        # A damaged journal no longer says which files were its own: they are left alone.
        records = {}.values()
    names = [name for record in records for name in record.get("outputs", ())]
    try:
        for name in [*names, *dataset_files]:
            (folder / name).unlink(missing_ok=True)
        Journal(folder, fresh=True).path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot remove earlier results in {folder}", why=str(error)) from error
