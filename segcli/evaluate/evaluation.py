"""The one call that scores predictions against ground truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from segcli.evaluate.accumulate import Accumulator
from segcli.evaluate.bootstrap import Sample, intervals
from segcli.evaluate.doubts import doubts
from segcli.evaluate.families import choose_families
from segcli.evaluate.job import StreamTasks, Task, failed_items, run
from segcli.evaluate.name_hints import no_pairs
from segcli.evaluate.pairing import NameRule, index_names, rule_of, stream_rule_of
from segcli.evaluate.params import hash_pairs, params_block
from segcli.evaluate.protocol import check_options, choose_protocol, options_for
from segcli.evaluate.result import Evaluation, Failure, ImageRow, Interval
from segcli.evaluate.settings import EvalSettings
from segcli.formats.base import Source
from segcli.formats.ndjson import StreamSource
from segcli.metrics import Metric, Protocol, metrics_for

__all__ = ["evaluate"]

OnImage = Callable[[ImageRow], None]
Waiting = dict[str, tuple[int, str]]


def evaluate(
    pred: Source,
    gt: Source,
    settings: EvalSettings | None = None,
    *,
    on_image: OnImage | None = None,
) -> Evaluation:
    """Score predictions against ground truth.

    Args:
        pred: the predictions; a stream is read once, one image in memory at a time.
        gt: the ground truth, with random access.
        settings: what to compare and how to pair.
        on_image: called with each image's scores as soon as they are known.

    Returns:
        The scores, what they rest on, and what could not be scored.

    Raises:
        UsageError: the protocol or the pairing rule does not fit the two sides.
        InputError: a side holds a name twice, or no prediction has ground truth.
    """
    settings = settings or EvalSettings()
    protocol = choose_protocol(pred, gt, settings.protocol)
    check_options(settings, protocol[0])
    options = options_for(settings, gt)
    families = choose_families(protocol[0], settings.families, options)
    metrics = metrics_for(protocol[0], options, families)
    settings = replace(settings, protocol=protocol[0], families=families)
    work = _Work(pred, gt, settings, metrics, Accumulator(metrics), on_image, list(gt.keys()))
    work.sample = Sample(metrics) if settings.resamples else None
    if isinstance(pred, StreamSource):
        work.score_stream()
    else:
        work.score_files()
    return work.finish(protocol)


@dataclass(slots=True)
class _Work:
    """One evaluation under way.

    `Waiting` holds the (index, path) of the ground truths that no prediction was found for yet;
    `nameless` the same of those that the rule gives no name, so that none ever will be.
    """

    pred: Source
    gt: Source
    settings: EvalSettings
    metrics: tuple[Metric, ...]
    totals: Accumulator
    on_image: OnImage | None
    gt_keys: Sequence[str]
    rule: NameRule | None = None
    sample: Sample | None = None
    failures: list[Failure] = field(default_factory=list)
    left_out: list[Failure] = field(default_factory=list)
    pairs: list[tuple[str, str]] = field(default_factory=list)
    nameless: list[tuple[int, str]] = field(default_factory=list)
    empty: int = 0
    pred_only: int = 0
    gt_only: int = 0

    def score_files(self) -> None:
        """Pair everything first, then read several files at once."""
        rule = self.rule = rule_of(self.pred, self.gt, self.settings.match, self.settings.listed)
        pred_keys = rule.preds(self.pred.keys())
        self.gt_keys = rule.gts(self.gt_keys)
        preds = index_names(pred_keys, rule.pred, "predictions")
        waiting = self._waiting(rule)
        self.failures += failed_items(self.pred, rule.pred, waiting)
        both = [name for name in waiting if name in preds]
        tasks = [Task(name, waiting[name][0], preds[name], waiting[name][1]) for name in both]
        for name in both:
            del waiting[name]
        matched = {task.pred_key for task in tasks}
        extra = [key for key in pred_keys if key not in matched]
        if not tasks and not self.failures and (extra or not self._lists_no_empty()):
            raise no_pairs(pred_keys, self.gt_keys, rule.words)
        tasks += self._taken_as_empty(waiting)
        tasks.sort(key=lambda task: task.index)
        self._add_up(tasks, self.settings)
        self._leave_over(extra, waiting)

    def score_stream(self) -> None:
        """Pair each prediction as it arrives."""
        settings = self.settings
        rule = self.rule = stream_rule_of(self.gt_keys, settings.match, settings.listed)
        self.gt_keys = rule.gts(self.gt_keys)
        waiting = self._waiting(rule)
        # A stream is measured one image at a time: memory counts for more than speed.
        serial = replace(settings, workers=1)
        tasks = StreamTasks(self.pred, rule.pred, waiting)
        self._add_up(tasks, serial)
        self.failures += [
            Failure(e.message, None, None, e.message, e.why, e.fix) for e in tasks.broken
        ]
        self.failures += failed_items(self.pred, rule.pred, waiting)
        if not self.pairs and not self.failures and tasks.extra:
            raise no_pairs(tasks.extra, self.gt_keys, self._words)
        self._add_up(self._taken_as_empty(waiting), serial)
        self._leave_over(rule.preds(tasks.extra), waiting)

    @property
    def _words(self) -> str:
        return self.rule.words if self.rule else "stem"

    def _waiting(self, rule: NameRule) -> Waiting:
        position = {key: index for index, key in enumerate(self.gt_keys)}
        names = index_names(self.gt_keys, rule.gt, "ground truth")
        self.nameless = [(position[key], key) for key in self.gt_keys if rule.gt(key) is None]
        return {name: (position[key], key) for name, key in names.items()}

    def _lists_no_empty(self) -> bool:
        """COCO results list detections: an image without any is simply not there."""
        missing = self.settings.missing
        return missing == "empty" or (self.pred.format == "coco" and missing != "skip")

    def _taken_as_empty(self, waiting: Waiting) -> list[Task]:
        if not self._lists_no_empty():
            return []
        tasks = [Task(name, index, None, key) for name, (index, key) in waiting.items()]
        waiting.clear()
        tasks += [Task(key, index, None, key) for index, key in self.nameless]
        self.nameless = []
        self.empty = len(tasks)
        return tasks

    def _add_up(self, tasks: Iterable[Task], settings: EvalSettings) -> None:
        for task, outcome in run(tasks, (self.pred, self.gt), self.metrics, settings):
            self.pairs.append((task.pred_key or "", task.gt_key))
            if isinstance(outcome, Failure):
                self.failures.append(outcome)
                continue
            scores = self.totals.add(outcome)
            row = ImageRow(task.name, task.pred_key, task.gt_key, scores, outcome.sums)
            if self.sample is not None:
                self.sample.add(row)
            if self.on_image is not None:
                self.on_image(row)

    def _leave_over(self, extra: Sequence[str], waiting: Waiting) -> None:
        alone = sorted((name, key) for name, (_, key) in waiting.items())
        alone += [(key, key) for _, key in self.nameless]
        self.pred_only, self.gt_only = len(extra), len(alone)
        over = [Failure(k, k, None, f"{k}: has no ground truth", unmatched=True) for k in extra]
        over += [
            Failure(name, None, key, f"{key}: has no prediction", unmatched=True)
            for name, key in alone
        ]
        (self.failures if self.settings.missing == "error" else self.left_out).extend(over)

    def _intervals(self) -> dict[str, Interval]:
        if self.sample is None:
            return {}
        return intervals(self.sample, self.settings.resamples, self.settings.seed)

    def finish(self, protocol: tuple[Protocol, str]) -> Evaluation:
        """Ratios of the sums, and everything that must be said about them."""
        totals = self.totals
        metrics, reasons = totals.scores(), totals.reasons()
        pairing = {
            "rule": self._words,
            "pairs": len(self.pairs),
            "predictions_without_ground_truth": self.pred_only,
            "ground_truth_without_prediction": self.gt_only + self.empty,
            "taken_as_empty": self.empty,
            "sha256": hash_pairs(self.pairs),
        }
        sources = (self.pred, self.gt)
        return Evaluation(
            protocol=protocol[0],
            metrics=metrics,
            undefined={name: reasons[name] for name, v in metrics.items() if math.isnan(v)},
            counts={"images": totals.images, "failed": len(self.failures), **totals.counts()},
            tables=totals.tables(),
            params=params_block(self.settings, protocol, sources, pairing, totals),
            headlines=tuple(totals.headlines()),
            intervals=self._intervals(),
            failures=tuple(self.failures),
            left_out=tuple(self.left_out),
            notes=(
                f"predictions: {self.pred.description}",
                f"ground truth: {self.gt.description}",
                f"protocol: {protocol[0]} ({protocol[1]})",
                f"pairs: {len(self.pairs)}, by {self._words}",
                *totals.notes(),
            ),
            warnings=doubts(self.settings, protocol, sources, totals, self.left_out),
        )
