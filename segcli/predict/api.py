"""One call for a whole prediction run: check everything, load the model, yield records."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcli.errors import OutputError, UsageError
from segcli.formats import get_writer
from segcli.formats.base import WriteOptions, json_text
from segcli.formats.coco import ImageIds
from segcli.formats.palettes import palette_colors
from segcli.inputs import InputImage
from segcli.models.answer_settings import AnswerSettings
from segcli.models.catalog import ModelRef, find, weights_hash
from segcli.models.classes.settings import ClassSettings
from segcli.models.settings import GenerateSettings, generate_settings, stock_settings
from segcli.models.tiled import TileSettings
from segcli.predict.answers import (
    annotated,
    answering,
    prompt_settings,
    refuse_prompt_options,
)
from segcli.predict.classes import chosen_formats, settings_for, with_class_ids
from segcli.predict.folder import earlier_manifest, locked, names_of, probe_writable
from segcli.predict.job import Job, run
from segcli.predict.journal import write_failure
from segcli.predict.manifest import FILE_NAME as MANIFEST_NAME
from segcli.predict.manifest import Manifest
from segcli.predict.outputs import Draw, NoOutputs, Outputs, remove_results
from segcli.predict.plan import Item, plan_items
from segcli.predict.prompts.book import Book
from segcli.predict.settings import PredictSettings
from segcli.predict.tiling import tile_settings, tiled, tiled_prompts, untruncated
from segcli.predict.words import WordRun, word_run

if TYPE_CHECKING:
    from segcli.models.classes.loaded import ClassLoaded
    from segcli.models.prompted import Prompted
    from segcli.models.segmenter import Loaded
    from segcli.models.words.loaded import WordLoaded

    AnyLoaded = Loaded | ClassLoaded | Prompted | WordLoaded

__all__ = ["Prediction", "Request", "prepare"]

Effective = GenerateSettings | ClassSettings | AnswerSettings | WordRun

_FORMATS_WITH_IDS = frozenset({"coco", "coco-dataset", "coco-panoptic", "sa1b"})


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
        prompts: what is asked for in each picture; None: everything.
        argv: the command, for the manifest.
        sources: where each setting came from, for the manifest.
    """

    images: Sequence[InputImage]
    settings: PredictSettings
    folder: Path | None
    overwrite: bool = False
    image_ids: Mapping[str, int] | None = None
    draw: Draw | None = None
    prompts: Book | None = None
    argv: Sequence[str] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Prediction:
    """A run that was checked and can start; nothing heavy was loaded yet.

    Attributes:
        items: every picture, with the name of its results.
        todo: those that no earlier run finished.
        model: the model found.
        generate: its effective settings: of segment-everything, of a class-aware model, or of
            prompts or words.
        manifest: what will be written beside the results.
        sink: where results go.
        earlier: the manifest of earlier results in the folder, or an empty one.
        counts: images, ok, skipped, errors and segments so far.
        tiles: how large pictures are cut; None: not at all.
    """

    request: Request
    items: list[Item]
    todo: list[Item]
    model: ModelRef
    generate: Effective
    manifest: Manifest
    sink: Outputs | NoOutputs
    earlier: Mapping[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    tiles: TileSettings | None = None

    def records(self, loaded: AnyLoaded | None) -> Iterator[dict[str, Any]]:
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
        folder = self.sink.folder
        probe_writable(folder)
        with locked(folder):
            self._take_over(self.sink)
            # The manifest comes first: without it, no later run could tell whose results these are.
            self._write_manifest(folder, started, loaded, "running")
            with self.sink.journal.appending():
                yield from self._merged(loaded)
            self.manifest.files = names_of(self.sink.finish(self.items), folder)
            self._write_manifest(folder, started, loaded, "finished")

    def _take_over(self, sink: Outputs) -> None:
        """Remove what is to be redone; refuse what someone else changed since it was read."""
        if self.request.overwrite:
            remove_results(sink.folder, self.earlier.get("files") or ())
        elif not sink.journal.is_current():
            raise OutputError(
                f"another segcli wrote to '{sink.folder}' since this one looked",
                fix="run the same command again",
            )

    def load(self) -> AnyLoaded | None:
        """Load the model, unless nothing is left to do.

        Raises:
            ConfigError: device or dtype are impossible here.
            ModelError: the model cannot be loaded.
            OutputError: the folder's results were made in another dtype.
        """
        if not self.todo:
            return None
        loaded = self._loaded()
        dtype, earlier = loaded.facts()["dtype"], self._earlier_run().get("dtype")
        if earlier not in {None, dtype}:
            raise OutputError(
                f"'{self.request.folder}' holds results made in {earlier}, not {dtype}",
                fix=f"--dtype {earlier}, another -o, or --overwrite",
            )
        return loaded

    def _loaded(self) -> AnyLoaded:
        settings = self.request.settings
        where = {"device": settings.device, "dtype": settings.dtype}
        if isinstance(self.generate, ClassSettings):
            from segcli.models.classes.loaded import (  # noqa: PLC0415 (torch loads when needed)
                load_class_model,
            )

            return load_class_model(self.model, self.generate, **where)
        if isinstance(self.generate, AnswerSettings):
            from segcli.models.prompted import load_prompted  # noqa: PLC0415 (as above)

            return load_prompted(self.model, self.generate, compile=settings.compile, **where)
        if isinstance(self.generate, WordRun):
            from segcli.models.words.loaded import load_words  # noqa: PLC0415 (as above)

            run = self.generate
            return load_words(
                self.model, run.detector, run.words, run.answers, compile=settings.compile, **where
            )
        from segcli.models.segmenter import load  # noqa: PLC0415 (torch loads only when needed)

        return load(
            self.model,
            untruncated(self.generate, self.tiles),
            backend=settings.backend,
            compile=settings.compile,
            **where,
        )

    def _earlier_run(self) -> Mapping[str, Any]:
        """Device and dtype of the results that this run continues."""
        run = {} if self.request.overwrite else self.earlier.get("run") or {}
        return {name: run[name] for name in ("device", "dtype") if name in run}

    def _merged(self, loaded: AnyLoaded | None) -> Iterator[dict[str, Any]]:
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

    def _fresh(self, loaded: AnyLoaded | None) -> Generator[dict[str, Any], None, None]:
        if loaded is None:
            return
        book, exif = self.request.prompts, self.request.settings.exif
        if book is not None:
            ask = tiled_prompts(loaded.answer, self.tiles)  # type: ignore[union-attr]
            answer = answering(book, ask)
            job = Job(None, self.model.name, self.sink, exif, annotated(book), answer)
        else:
            whole = loaded.segment  # type: ignore[union-attr]
            segment = tiled(whole, self.tiles, self.model, self.generate)
            annotate = getattr(loaded, "annotate", None)
            job = Job(segment, self.model.name, self.sink, exif, annotate)
        yield from run(job, self.todo)

    def _write_manifest(
        self, folder: Path, started: float, loaded: AnyLoaded | None, status: str
    ) -> None:
        self.manifest.run = {
            "status": status,
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
            "seconds": round(time.time() - started, 3),
            "counts": dict(self.counts),
            **(loaded.facts() if loaded else self._earlier_run()),
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
    model = with_class_ids(find(request.settings.model), request.settings)
    generate = _effective(model, request)
    tiles = tile_settings(request.settings)
    settings = replace(request.settings, format=chosen_formats(request.settings, generate))
    request = replace(request, settings=settings)
    for name in settings.format:
        get_writer(name)
    if request.image_ids is not None:
        _require_ids(request.images, settings, request.image_ids)
    decisive = {
        **asdict(settings),
        **_decisive(generate),
        **(asdict(tiles) if tiles else {"tile": None, "overlap": None}),
        "gt_image_ids": _fingerprint(request.image_ids),
        "prompts": request.prompts.fingerprint if request.prompts else None,
    }
    # None changes a mask, so a run may go on elsewhere or in other portions.
    for name in ("device", "compile", "points_per_batch"):
        decisive.pop(name, None)
    facts = {"name": model.name, "type": model.model_type, "revision": model.revision}
    manifest = Manifest(
        decisive,
        {**facts, "weights": weights_hash(model)},
        argv=list(request.argv),
        sources=dict(request.sources),
    )
    sink: Outputs | NoOutputs = NoOutputs()
    earlier: Mapping[str, Any] = {}
    if request.folder is not None:
        earlier = earlier_manifest(request.folder, manifest, overwrite=request.overwrite)
        manifest.files = list(earlier.get("files") or ())
        colors = palette_colors(model.classes.categories, settings.palette) if model.classes else {}
        options = WriteOptions(settings.overlap_policy, request.image_ids, colors)
        draw = request.draw if settings.overlay else None
        sink = Outputs(request.folder, settings.format, options, draw, anew=request.overwrite)
    kept = sink.journal.records if isinstance(sink, Outputs) else ()
    items = plan_items(request.images, kept)
    todo = [item for item in items if not sink.is_done(item)]
    return Prediction(request, items, todo, model, generate, manifest, sink, earlier, tiles=tiles)


def _decisive(effective: Effective) -> dict[str, Any]:
    """The settings that decide what is found."""
    if not isinstance(effective, WordRun):
        return asdict(effective)
    found = {**asdict(effective.answers), **asdict(effective.words)}
    if effective.detector is not None:
        found["sam_mask_threshold"] = effective.answers.mask_threshold
        found["detector_weights"] = weights_hash(effective.detector)
    return found


def _effective(model: ModelRef, request: Request) -> Effective:
    """The settings of what the model is to do.

    Raises:
        ConfigError: a setting is wrong.
        UsageError: the model cannot do it, or an option would be ignored.
    """
    settings = request.settings
    if settings.text:
        if request.prompts is not None:
            raise UsageError(
                "--text and prompts were given",
                why="words find their objects themselves",
                fix="leave one of them out",
            )
        return word_run(model, settings)
    if request.prompts is not None:
        return prompt_settings(model, settings)
    if model.classes is None and not model.takes_prompts:
        raise UsageError(
            f"model '{model.name}' looks for words, and none were given", fix="--text WORDS"
        )
    return settings_for(model, settings) or _generate_settings(model, settings)


def _generate_settings(model: ModelRef, settings: PredictSettings) -> GenerateSettings:
    refuse_prompt_options(settings)
    given = settings.generate_values()
    if settings.backend == "transformers":
        return stock_settings(model.generate_defaults, given)
    return generate_settings(model.generate_defaults, given)


def _require_ids(
    images: Sequence[InputImage], settings: PredictSettings, ids: Mapping[str, int]
) -> None:
    """Every picture must find its own image id before the work begins."""
    if not set(settings.format) & _FORMATS_WITH_IDS:
        raise UsageError(
            "--gt is not used by any of the formats asked for",
            why=f"image ids stand in {', '.join(sorted(_FORMATS_WITH_IDS))}",
            fix="--format coco, or leave --gt out",
        )
    known = ImageIds(ids)
    for image in images:
        known.assign(image.key)


def _fingerprint(image_ids: Mapping[str, int] | None) -> str | None:
    if image_ids is None:
        return None
    return hashlib.sha256(json_text(sorted(image_ids.items())).encode()).hexdigest()
