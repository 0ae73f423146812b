"""The evaluation itself: pair, read, measure and add, one image after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from segcli.errors import InputError, ItemError
from segcli.evaluate.accumulate import Measured, measure
from segcli.evaluate.by_value import ValueReader
from segcli.evaluate.pair_looks import same_file
from segcli.evaluate.resize import fit
from segcli.evaluate.result import Failure
from segcli.evaluate.settings import EvalSettings
from segcli.evaluate.views import view
from segcli.evaluate.workers import in_order
from segcli.formats.base import Source
from segcli.masks.dense import DenseRLE
from segcli.metrics import Metric, Pair
from segcli.metrics.semantic import NO_CLASS
from segcli.records import ImageRef, LabelMap, Segmentation

__all__ = ["Outcome", "StreamTasks", "Task", "failed_items", "failure_of", "run"]


@dataclass(frozen=True, slots=True)
class Task:
    """One image to score.

    Attributes:
        name: what the pair is called.
        index: position of the ground truth among all, from 0.
        pred_key: path of the prediction, or None for an empty one.
        gt_key: path of the ground truth.
        pred: the prediction, where it came down a stream and cannot be read again.
    """

    name: str
    index: int
    pred_key: str | None
    gt_key: str
    pred: Segmentation | None = None


Outcome = tuple[Task, "Measured | Failure"]


def run(
    tasks: Iterable[Task],
    sources: tuple[Source, Source],
    metrics: tuple[Metric, ...],
    settings: EvalSettings,
) -> Iterator[Outcome]:
    """Measure tasks, several at once, and give their outcomes in the order of the tasks.

    At most two images a worker are in memory; a stream is measured one image at a time.
    """
    values = ValueReader(sources, metrics)

    def work(task: Task) -> Outcome:
        # The outcome outlives the masks: it must not hold them.
        light = task if task.pred is None else replace(task, pred=None)
        try:
            found = _measure_values(task, values, metrics, settings)
            return light, found or _measure_task(task, sources, metrics, settings)
        except ItemError as error:
            return light, failure_of(task, error)

    return in_order(work, tasks, settings.workers if _decodes(tasks, sources, values) else 1)


def _decodes(tasks: Iterable[Task], sources: tuple[Source, Source], values: ValueReader) -> bool:
    """Whether threads that read at once do more than wait for each other."""
    if all(source.parsed for source in sources):
        return False
    first = tasks[0] if isinstance(tasks, list) and tasks else None
    return first is None or not values.is_ahead(first.pred_key, first.gt_key)


def failure_of(task: Task, error: ItemError) -> Failure:
    """An item's error as a record."""
    return Failure(task.name, task.pred_key, task.gt_key, error.message, error.why, error.fix)


def _measure_values(
    task: Task, values: ValueReader, metrics: tuple[Metric, ...], settings: EvalSettings
) -> Measured | None:
    """As `_measure_task`, without the pixels; None where they are needed."""
    if task.pred is not None or task.pred_key is None:
        return None
    sides = values.read(task.pred_key, task.gt_key)
    if sides is None:
        return None
    gt = view(sides.gt, settings)
    pred = view(sides.pred, settings, truth=False)
    pair = Pair(task.name, task.index, pred, gt, weights=sides.weights)
    return _measured(pair, metrics, one_file=sides.one_file)


def _measure_task(
    task: Task,
    sources: tuple[Source, Source],
    metrics: tuple[Metric, ...],
    settings: EvalSettings,
) -> Measured:
    gt, *others = (view(one, settings) for one in sources[1].read_all(task.gt_key))
    pred = task.pred
    if pred is None and task.pred_key is not None:
        pred = sources[0].read(task.pred_key)
    if pred is None:
        pred = _nothing(gt.image, sources[0], settings)
    pred = view(pred, settings, truth=False)
    fitted, resized = fit(pred, gt, settings.resize_pred)
    pair = Pair(task.name, task.index, fitted, gt, tuple(others))
    return _measured(pair, metrics, resized=resized, one_file=same_file(fitted, gt))


def _measured(
    pair: Pair, metrics: tuple[Metric, ...], *, one_file: bool, resized: bool = False
) -> Measured:
    if isinstance(pair.gt.ignore, DenseRLE):
        pair.counted = ~pair.gt.ignore.mask
    return measure(metrics, pair, resized=resized, one_file=one_file)


def _nothing(image: ImageRef, source: Source, settings: EvalSettings) -> Segmentation:
    """A prediction that is not there: no object, and no class where the others have class maps."""
    # It comes from no file, least of all from the ground truth's.
    image = replace(image, source="")
    if settings.protocol != "semantic" or source.kind not in ("semantic", "panoptic"):
        return Segmentation(image=image)
    # Not 0: where that is a class such as road, a missing file would be right about it.
    values = np.full((image.height, image.width), NO_CLASS, np.int32)
    return Segmentation(image=image, labels=LabelMap(values, "semantic"))


@dataclass(slots=True)
class StreamTasks:
    """Tasks of a stream of predictions, as they arrive.

    Attributes:
        stream: read once, in its own order.
        rule: path of a prediction → the pair's name.
        gts: (index, path) of each ground truth by name; those met are taken out.
        extra: paths of predictions without ground truth.
        broken: the error that a damaged record raised.
    """

    stream: Source
    rule: Callable[[str], str | None]
    gts: dict[str, tuple[int, str]]
    extra: list[str] = field(default_factory=list)
    broken: list[ItemError] = field(default_factory=list)

    def __iter__(self) -> Iterator[Task]:
        """One task a prediction that has ground truth.

        Raises:
            InputError: a name comes twice.
        """
        seen: dict[str, str] = {}
        arriving = iter(self.stream)
        while True:
            try:
                key, pred = next(arriving)
            except StopIteration:
                return
            except ItemError as error:
                self.broken.append(error)
                continue
            name = self.rule(key)
            if name in seen:
                raise _twice(name, seen[name], key)
            if name is None or name not in self.gts:
                self.extra.append(key)
                continue
            seen[name] = key
            index, gt_key = self.gts.pop(name)
            yield Task(name, index, key, gt_key, pred)
            # The next image must not be decoded while this one is held.
            del pred


def _twice(name: str, first: str, second: str) -> InputError:
    return InputError(
        f"the predictions hold '{name}' twice: {first} and {second}",
        why="pairs are made by name, without its suffix",
        fix="keep one of them, or tell them apart with --match REGEX",
    )


def failed_items(
    source: Source, name_of: Callable[[str], str | None], gts: dict[str, tuple[int, str]]
) -> list[Failure]:
    """Images that the predictions say could not be segmented; their ground truth is taken out."""
    failures = []
    for key in source.failed:
        name = name_of(key) or key
        gt = gts.pop(name, None)
        failures.append(
            Failure(
                name,
                key,
                gt and gt[1],
                f"{key}: could not be segmented",
                why="its record in the predictions is an error record",
            )
        )
    return failures
