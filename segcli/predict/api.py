"""One call for a whole prediction run: check everything, load the model, yield records."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcli.errors import InputError, OutputError
from segcli.formats import get
from segcli.formats.base import WriteOptions
from segcli.inputs import InputImage
from segcli.models.catalog import ModelRef, find, weights_hash
from segcli.models.settings import GenerateSettings, generate_settings, stock_settings
from segcli.predict.job import Job, run
from segcli.predict.journal import Journal, write_failure
from segcli.predict.manifest import FILE_NAME as MANIFEST_NAME
from segcli.predict.manifest import Manifest, read_manifest, refuse_other_settings
from segcli.predict.outputs import Draw, NoOutputs, Outputs, remove_results
from segcli.predict.plan import Item, plan_items
from segcli.predict.settings import PredictSettings

if TYPE_CHECKING:
    from segcli.models.segmenter import Loaded

__all__ = ["Prediction", "Request", "prepare"]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for.

    Attributes:
        images: the pictures.
        settings: the effective settings.
        folder: output folder, or None when records only go down a pipe.
        overwrite: redo everything, whatever the folder holds.
        image_ids: COCO image ids by name, from a ground-truth file.
        draw: makes overlays.
        argv: the command, for the manifest.
        sources: where each setting came from, for the manifest.
    """

    images: Sequence[InputImage]
    settings: PredictSettings
    folder: Path | None
    overwrite: bool = False
    image_ids: Mapping[str, int] | None = None
    draw: Draw | None = None
    argv: Sequence[str] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Prediction:
    """A run that was checked and can start; nothing heavy was loaded yet.

    Attributes:
        items: every picture, with the name of its results.
        todo: those that no earlier run finished.
        model: the model found.
        generate: its effective segment-everything settings.
        manifest: what will be written beside the results.
        sink: where results go.
        earlier_dtype: the dtype in which earlier results of the folder were made.
        counts: images, ok, skipped, errors and segments so far.
    """

    request: Request
    items: list[Item]
    todo: list[Item]
    model: ModelRef
    generate: GenerateSettings
    manifest: Manifest
    sink: Outputs | NoOutputs
    earlier_dtype: str | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def records(self, loaded: Loaded | None) -> Iterator[dict[str, Any]]:
        """Run, yielding each picture's record in the order of the plan.

        Args:
            loaded: the model, or None when nothing is left to do.

        Raises:
            OutputError: another run is writing to the folder.
            WriteError: results cannot be kept.
        """
        started = time.time()
        self.counts = {"images": len(self.items), "ok": 0, "skipped": 0, "errors": 0, "segments": 0}
        if not isinstance(self.sink, Outputs):
            yield from self._merged(loaded)
            return
        with _locked(self.sink.folder):
            # The manifest comes first: without it, no later run could tell whose results these are.
            self._write_manifest(self.sink.folder, started, loaded, "running")
            with self.sink.journal.appending():
                yield from self._merged(loaded)
            self.sink.finish(self.items)
            self._write_manifest(self.sink.folder, started, loaded, "finished")

    def claim(self) -> None:
        """Make the output folder ready: it is made, tried, and emptied of results to be redone.

        Raises:
            OutputError: it cannot be written.
        """
        if not isinstance(self.sink, Outputs):
            return
        _probe_writable(self.sink.folder)
        if self.request.overwrite:
            remove_results(self.sink.folder)
            self.sink.journal = Journal(self.sink.folder)

    def load(self) -> Loaded | None:
        """Load the model, unless nothing is left to do.

        Raises:
            ConfigError: device or dtype are impossible here.
            ModelError: the model cannot be loaded.
            OutputError: the folder's results were made in another dtype.
        """
        if not self.todo:
            return None
        from segcli.models.segmenter import load  # noqa: PLC0415 (torch loads only when needed)

        settings = self.request.settings
        loaded = load(
            self.model,
            self.generate,
            device=settings.device,
            dtype=settings.dtype,
            backend=settings.backend,
        )
        dtype = loaded.facts()["dtype"]
        if self.earlier_dtype not in {None, dtype}:
            raise OutputError(
                f"'{self.request.folder}' holds results made in {self.earlier_dtype}, not {dtype}",
                fix=f"--dtype {self.earlier_dtype}, another -o, or --overwrite",
            )
        return loaded

    def _merged(self, loaded: Loaded | None) -> Iterator[dict[str, Any]]:
        """Records of earlier runs and of this one, in the order of the plan."""
        pending = {item.image.key for item in self.todo}
        with closing(self._fresh(loaded)) as fresh:
            for item in self.items:
                if item.image.key in pending:
                    record = next(fresh)
                    self.counts["ok" if record["status"] == "ok" else "errors"] += 1
                else:
                    assert isinstance(self.sink, Outputs)
                    record = self.sink.journal.record(item.image.key)
                    self.counts["skipped"] += 1
                self.counts["segments"] += len(record.get("segments", ()))
                yield record

    def _fresh(self, loaded: Loaded | None) -> Generator[dict[str, Any], None, None]:
        if loaded is not None:
            settings = self.request.settings
            job = Job(loaded.segment, self.model.name, self.sink, apply_exif=settings.exif)
            yield from run(job, self.todo)

    def _write_manifest(
        self, folder: Path, started: float, loaded: Loaded | None, status: str
    ) -> None:
        self.manifest.run = {
            "status": status,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": round(time.time() - started, 3),
            "counts": dict(self.counts),
            **(loaded.facts() if loaded else {}),
        }
        try:
            self.manifest.write(folder)
        except OSError as error:
            raise write_failure(folder / MANIFEST_NAME, error) from error


def prepare(request: Request) -> Prediction:
    """Check a request as far as possible without loading a model.

    Raises:
        ConfigError: a setting is wrong.
        ModelError: the model is not here.
        InputError: a picture has no id in the ground truth.
        OutputError: the folder cannot take these results.
    """
    settings = request.settings
    writers = [get(name) for name in settings.format]
    model = find(settings.model)
    generate = _generate_settings(model, settings)
    items = plan_items(request.images)
    if request.image_ids is not None and any(w.write_dataset for w in writers):
        _require_ids(items, request.image_ids)
    decisive = {
        **asdict(settings),
        **asdict(generate),
        "gt_image_ids": request.image_ids is not None,
    }
    # Neither changes a mask, so a run may go on elsewhere or in other portions.
    for name in ("device", "points_per_batch"):
        del decisive[name]
    facts = {"name": model.name, "type": model.model_type, "revision": model.revision}
    manifest = Manifest(
        decisive,
        {**facts, "weights": weights_hash(model)},
        argv=list(request.argv),
        sources=dict(request.sources),
    )
    sink: Outputs | NoOutputs = NoOutputs()
    earlier_dtype = None
    if request.folder is not None:
        earlier_dtype = _check_folder(request, manifest)
        options = WriteOptions(overlap=settings.overlap, image_ids=request.image_ids)
        draw = request.draw if settings.overlay else None
        sink = Outputs(request.folder, settings.format, options, draw)
    redo = request.overwrite
    todo = [item for item in items if redo or not sink.is_done(item)]
    return Prediction(request, items, todo, model, generate, manifest, sink, earlier_dtype)


def _generate_settings(model: ModelRef, settings: PredictSettings) -> GenerateSettings:
    given = settings.generate_values()
    if settings.backend == "transformers":
        return stock_settings(model.generate_defaults, given)
    return generate_settings(model.generate_defaults, given)


def _require_ids(items: Sequence[Item], image_ids: Mapping[str, int]) -> None:
    missing = [
        item.image.path
        for item in items
        if item.image.path not in image_ids and Path(item.image.path).name not in image_ids
    ]
    if missing:
        raise InputError(
            f"{len(missing)} pictures are not in the ground truth, first '{missing[0]}'",
            why="COCO results name images by the ground truth's ids",
            fix="predict only the pictures of that ground truth, or leave --gt out",
        )


def _check_folder(request: Request, manifest: Manifest) -> str | None:
    """Refuse a folder that holds other work; the dtype its results were made in, if any."""
    folder = request.folder
    assert folder is not None
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"'{folder}' is a file, not a folder")
    if request.overwrite:
        return None
    earlier = read_manifest(folder)
    if earlier is not None:
        refuse_other_settings(folder, earlier, manifest)
        return (earlier.get("run") or {}).get("dtype")
    taken = [n for n in ("segments.ndjson", *request.settings.format) if (folder / n).exists()]
    if taken:
        raise OutputError(
            f"'{folder}' already holds '{taken[0]}', and no {MANIFEST_NAME} says how it was made",
            fix="another -o, or --overwrite to write into it",
        )
    return None


def _probe_writable(folder: Path) -> None:
    probe = folder / f".segcli-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot write to '{folder}'", why=str(error), fix="another -o, or its permissions"
        ) from error


def _locked(folder: Path) -> AbstractContextManager[None]:
    """Hold the folder alone; the lock goes with the process, however that ends."""
    try:
        import fcntl  # noqa: PLC0415 (POSIX only)
    except ImportError:
        return nullcontext()
    return _flocked(folder, fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _flocked(folder: Path, flock: Callable[[int, int], None], how: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        flock(handle, how)
    except OSError as error:
        os.close(handle)
        raise OutputError(
            f"another segcli is writing to '{folder}'", fix="wait for it, or choose another -o"
        ) from error
    try:
        yield
    finally:
        os.close(handle)
