"""The job of scoring: pairing files, adding up, judging."""

from __future__ import annotations

from segcli.evaluate.accumulate import Accumulator
from segcli.evaluate.evaluation import evaluate
from segcli.evaluate.families import (
    choose_families,
    gated_names,
    image_score_names,
    lower_scores,
    score_names,
)
from segcli.evaluate.gates import Gate, Verdict, decide, parse_gates, read_baseline
from segcli.evaluate.pairing import Pairing, pair_keys
from segcli.evaluate.protocol import choose_protocol
from segcli.evaluate.result import Evaluation, Failure, ImageRow
from segcli.evaluate.settings import EvalConfig, EvalSettings, settings_from
from segcli.evaluate.sides import Side, open_annotators, open_sides

__all__ = [
    "Accumulator",
    "EvalConfig",
    "EvalSettings",
    "Evaluation",
    "Failure",
    "Gate",
    "ImageRow",
    "Pairing",
    "Side",
    "Verdict",
    "choose_families",
    "choose_protocol",
    "decide",
    "evaluate",
    "gated_names",
    "image_score_names",
    "lower_scores",
    "open_annotators",
    "open_sides",
    "pair_keys",
    "parse_gates",
    "read_baseline",
    "score_names",
    "settings_from",
]
