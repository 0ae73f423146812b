"""A run: an evaluation that keeps what each image adds, to be compared with another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from segcli.evaluate.bootstrap import Sample
from segcli.evaluate.evaluation import evaluate
from segcli.evaluate.families import choose_families
from segcli.evaluate.protocol import choose_protocol, options_for
from segcli.evaluate.result import Failure, ImageRow
from segcli.evaluate.settings import EvalSettings
from segcli.formats.base import Source
from segcli.metrics import Protocol, metrics_for

__all__ = ["Run", "score_run"]


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation, to be compared with another.

    Attributes:
        label: what to call it.
        protocol: how it was scored.
        sample: its images.
        failures: images that were not scored although they should have been.
        left_out: images that were not scored because one side lacks them.
        skips: whether to leave those out was asked for.
        params: the conventions behind its scores.
        lacking: family of scores → why the run has none of it.
        warnings: what makes its scores doubtful.
    """

    label: str
    protocol: Protocol
    sample: Sample
    failures: tuple[Failure, ...] = ()
    left_out: tuple[Failure, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    skips: bool = False


def score_run(
    label: str,
    sources: tuple[Source, Source],
    settings: EvalSettings,
    advance: Callable[[], object] | None = None,
) -> Run:
    """Score predictions, and keep what each image adds.

    Args:
        label: what to call the run.
        sources: predictions and ground truth.
        settings: how they are scored.
        advance: called for each image as soon as it is scored.

    Raises:
        UsageError: as `evaluate` does.
    """
    protocol, _ = choose_protocol(*sources, settings.protocol)
    options = options_for(settings, sources[1])
    families = choose_families(protocol, settings.families, options)
    sample = Sample(metrics_for(protocol, options, families))

    def keep(row: ImageRow) -> None:
        sample.add(row)
        if advance is not None:
            advance()

    # Intervals of differences are wanted, not those of each run.
    done = evaluate(*sources, replace(settings, resamples=0), on_image=keep)
    return Run(
        label,
        protocol,
        sample,
        done.failures,
        done.left_out,
        done.params,
        warnings=done.warnings,
        skips=settings.missing != "error",
    )
