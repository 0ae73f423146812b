"""Options of the commands that score."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "Annotators",
    "BoundaryRatio",
    "ClassAgnostic",
    "ClassNames",
    "Clicks",
    "DType",
    "Device",
    "FeedMask",
    "GtFormat",
    "GtKind",
    "IgnoreIndex",
    "Intervals",
    "Kind",
    "LabelDivisor",
    "Match",
    "Metrics",
    "Missing",
    "Model",
    "PairsFile",
    "PredFormat",
    "PredKind",
    "ProtocolName",
    "ReduceZeroLabel",
    "Resamples",
    "ResizePred",
    "Seed",
    "Spacing",
    "Tolerance",
    "Workers",
]

_WHAT = "What is compared"
_RULES = "Rules of the scores"
_PAIRS = "Pairs"
_POINTS = "Prompting a model (--protocol points; PRED is the pictures)"
_OUT = "Results"

ProtocolName = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        metavar="NAME",
        help="binary, semantic, instance, panoptic, proposals, regions or points. "
        "[default: what the ground truth holds]",
        rich_help_panel=_WHAT,
    ),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="FAMILIES",
        help="Families of scores, comma-separated, or all. binary: overlap, boundary, distance; "
        "semantic: classes, boundary; instance: coco, matching, foreground, boundary; proposals: "
        "recall, best_overlap. [default: all but the costly boundary and distance; those that a "
        "gate names are added]",
        rich_help_panel=_WHAT,
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="What label values mean on both sides: binary, semantic, instance or panoptic.",
        rich_help_panel=_WHAT,
    ),
]
PredKind = Annotated[
    str | None,
    typer.Option(
        "--pred-kind", metavar="KIND", help="The same, predictions.", rich_help_panel=_WHAT
    ),
]
GtKind = Annotated[
    str | None,
    typer.Option(
        "--gt-kind", metavar="KIND", help="The same, ground truth.", rich_help_panel=_WHAT
    ),
]
PredFormat = Annotated[
    str | None,
    typer.Option(
        "--pred-format",
        metavar="NAME",
        help="Format of the predictions. [default: told by content]",
        rich_help_panel=_WHAT,
    ),
]
GtFormat = Annotated[
    str | None,
    typer.Option(
        "--gt-format",
        metavar="NAME",
        help="Format of the ground truth. [default: told by content]",
        rich_help_panel=_WHAT,
    ),
]
Annotators = Annotated[
    list[str] | None,
    typer.Option(
        "--annotator",
        metavar="GT",
        help="Ground truth by one more annotator of the same pictures (regions); repeatable.",
        rich_help_panel=_WHAT,
    ),
]
IgnoreIndex = Annotated[
    int | None,
    typer.Option(
        "--ignore-index",
        metavar="N",
        help="Label value of the ground truth that does not count.",
        rich_help_panel=_RULES,
    ),
]
ReduceZeroLabel = Annotated[
    bool | None,
    typer.Option(
        "--reduce-zero-label",
        metavar="",
        help="0 of the ground truth is void, and its class N is the predictions' N - 1 (ADE20K).",
        rich_help_panel=_RULES,
    ),
]
LabelDivisor = Annotated[
    int | None,
    typer.Option(
        "--label-divisor",
        metavar="N",
        help="Panoptic label maps: value = class x N + object. [default: 1000]",
        rich_help_panel=_RULES,
    ),
]
ClassNames = Annotated[
    str | None,
    typer.Option(
        "--class-names",
        metavar="FILE|NAME",
        help="Class list: cityscapes, ade20k, voc …, a TOML or JSON file, or one name a line "
        "from id 0; other values are errors. Its colours decode colour-coded maps.",
        rich_help_panel=_RULES,
    ),
]
ClassAgnostic = Annotated[
    bool | None,
    typer.Option(
        "--class-agnostic/--per-class",
        metavar="",
        help="COCO AP and PQ over all objects as one class. [default: per class, where both "
        "sides have some]",
        rich_help_panel=_RULES,
    ),
]
BoundaryRatio = Annotated[
    float | None,
    typer.Option(
        "--boundary-ratio",
        metavar="X",
        help="Width of boundaries in boundary IoU and AP, as a share of the diagonal. "
        "[default: 0.02]",
        rich_help_panel=_RULES,
    ),
]
Spacing = Annotated[
    str | None,
    typer.Option(
        "--spacing",
        metavar="Y[,X]",
        help="Distance between rows (and columns), for distances in that unit. "
        "[default: 1, pixels]",
        rich_help_panel=_RULES,
    ),
]
Tolerance = Annotated[
    str | None,
    typer.Option(
        "--tolerance",
        metavar="D[,D…]",
        help="Distances at which NSD counts a surface as found. [default: 1,2]",
        rich_help_panel=_RULES,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Model, as in segcli predict. [default: tiny]",
        rich_help_panel=_POINTS,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="NAME",
        help="auto, cpu, cuda, cuda:N or mps. [default: auto]",
        rich_help_panel=_POINTS,
    ),
]
DType = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        metavar="NAME",
        help="auto, float32, bfloat16 or float16. [default: auto]",
        rich_help_panel=_POINTS,
    ),
]
Clicks = Annotated[
    int | None,
    typer.Option(
        "--clicks",
        metavar="N",
        help="Up to N clicks an object, each on the largest error of the mask before: mean IoU "
        "after each, and clicks to IoU 0.80, 0.85 and 0.90 (NoC). [default: 1]",
        rich_help_panel=_POINTS,
    ),
]
FeedMask = Annotated[
    bool | None,
    typer.Option(
        "--feed-mask/--no-feed-mask",
        metavar="",
        help="Each click comes with the mask before, too, or with the clicks so far alone. "
        "[default: with it]",
        rich_help_panel=_POINTS,
    ),
]
Match = Annotated[
    str | None,
    typer.Option(
        "--match",
        metavar="REGEX",
        help="Pair the paths in which the one group is equal. [default: by stem]",
        rich_help_panel=_PAIRS,
    ),
]
PairsFile = Annotated[
    str | None,
    typer.Option(
        "--pairs",
        metavar="FILE",
        help="Pair what a list says: CSV or TSV with the columns pred and gt, or NDJSON.",
        rich_help_panel=_PAIRS,
    ),
]
Missing = Annotated[
    str | None,
    typer.Option(
        "--missing",
        metavar="POLICY",
        help="Unmatched files: error (exit 3), skip, or empty (a missing prediction is an "
        "empty one). [default: error]",
        rich_help_panel=_PAIRS,
    ),
]
ResizePred = Annotated[
    str | None,
    typer.Option(
        "--resize-pred",
        metavar="METHOD",
        help="Fit predictions of another size: none (an error) or nearest. [default: none]",
        rich_help_panel=_PAIRS,
    ),
]
Intervals = Annotated[
    bool | None,
    typer.Option(
        "--ci",
        metavar="",
        help="95 % bootstrap confidence intervals over images.",
        rich_help_panel=_OUT,
    ),
]
Resamples = Annotated[
    int | None,
    typer.Option(
        "--resamples",
        metavar="N",
        help="Resamples behind the intervals. [default: 1000]",
        rich_help_panel=_OUT,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed", metavar="N", help="Seed of the resampling. [default: 0]", rich_help_panel=_OUT
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Files read at once. [default: processors, at most 8]",
        rich_help_panel=_OUT,
    ),
]
