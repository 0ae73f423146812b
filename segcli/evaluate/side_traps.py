"""Traps that one side, or the values of both, hold."""

from __future__ import annotations

from collections.abc import Iterator

from segcli.evaluate.looks import MANY, SideLooks, Span
from segcli.evaluate.pair_looks import PairLooks
from segcli.evaluate.protocol import options_for
from segcli.evaluate.settings import EvalSettings
from segcli.evaluate.traps import (
    CUSTOMARY_VOID,
    Finding,
    about_ignored,
    all_empty,
    ignored_predicted,
    numbers,
    plural,
    two_classes,
    unnamed_void,
)
from segcli.formats.base import Source
from segcli.metrics import Protocol
from segcli.metrics.semantic import void_classes

__all__ = ["side_traps", "value_traps"]

_BYTE = 255
_SIDES = ("predictions", "ground truth")


def side_traps(side: str, source: Source, looks: SideLooks, other: SideLooks) -> Iterator[Finding]:
    """What one side alone shows.

    Args:
        side: "predictions" or "ground truth".
        source: the side.
        looks: what it holds.
        other: what the other side holds.
    """
    if looks.images and looks.empty == looks.images:
        yield all_empty(side, looks.images, other.images - other.empty)
    elif looks.empty:
        yield Finding(
            "empty-images",
            "note",
            f"{plural(looks.empty, 'empty image')} of {looks.images} in the {side}, such as "
            f"{looks.examples['empty']}",
            "empty on both sides: undefined and left out of means; on one side: IoU 0",
        )
    if looks.stored and looks.stored <= {0, _BYTE} and _BYTE in looks.stored:
        yield Finding(
            "white-masks",
            "note",
            f"values stored in the {side} are {numbers(looks.stored)}: binary masks, {_BYTE} is "
            "inside",
            f"tools that ignore {_BYTE} by habit score such masks 1.0; here it is inside",
        )
    yield from _about_kind(side, source, looks)
    yield from _about_guess(side, source)
    lossy = sum(n for words, n in looks.storage.items() if words.endswith("JPEG"))
    if lossy:
        yield Finding(
            "lossy",
            "warning",
            f"{plural(lossy, 'file')} of the {side} in JPEG",
            "JPEG changes values at edges, so areas and boundaries are not those that were saved",
            "export the masks again as PNG",
        )


def _about_kind(side: str, source: Source, looks: SideLooks) -> Iterator[Finding]:
    option = "--pred-kind" if side == "predictions" else "--gt-kind"
    pieces, values = looks.pieces
    if source.kind == "instance" and values >= 3 and pieces >= 3 * values:
        yield Finding(
            "classes-as-objects",
            "warning",
            f"taken for objects, but {values} label values of the {side} are {pieces} separate "
            "pieces",
            "class ids scored as objects merge all things of a class into one: AP and F1 mislead",
            f"{option} semantic, if the values are class ids",
        )
    if source.kind == "semantic" and len(looks.values) > 200:
        yield Finding(
            "objects-as-classes",
            "warning",
            f"taken for class maps, but more than 200 values in the {side}, up to "
            f"{max(looks.values)}",
            "object ids scored as classes make a class of each number: mIoU means nothing",
            f"{option} instance, if the values are object ids",
        )
    eight = any(words.startswith("8-bit") for words in looks.storage)
    if source.kind == "instance" and eight and looks.distinct.most >= 250:
        yield Finding(
            "eight-bit-ids",
            "warning",
            f"{looks.distinct.at} of the {side} has {looks.distinct.most - 1:.0f} object ids in "
            "8 bits",
            "beyond 255 ids wrap around or are cut off, and far objects become one",
            "save instance maps as 16-bit PNG",
        )


def _about_guess(side: str, source: Source) -> Iterator[Finding]:
    option = "--pred-kind" if side == "predictions" else "--gt-kind"
    if not source.certain:
        kinds = " or ".join(k for k in ("semantic", "instance") if k != source.kind)
        yield Finding(
            "kind-guessed",
            "note",
            f"the kind of the {side}, {source.kind}, is a guess from its values",
            "class ids and object ids can look alike, and the protocol hangs on it",
            f"{option} {kinds}, if that is what they are",
        )


def value_traps(
    settings: EvalSettings,
    protocol: Protocol,
    sources: tuple[Source, Source],
    looks: tuple[SideLooks, SideLooks],
    pairs: PairLooks,
) -> Iterator[Finding]:
    """What the values, categories and scores of both sides show together."""
    pred, gt = looks
    truth = _truth_classes(protocol, gt, settings)
    share = 100 * gt.void / gt.pixels if gt.pixels else 0.0
    yield from about_ignored(settings.ignore_index, gt.void, truth, percent=share)
    # Among ids up to 254 and more, 255 is but one more.
    stray = CUSTOMARY_VOID in gt.values and CUSTOMARY_VOID - 1 not in gt.values
    stray = stray and CUSTOMARY_VOID not in pred.values and sources[1].kind != "binary"
    if settings.ignore_index is None and stray:
        yield unnamed_void("a class of IoU 0" if protocol == "semantic" else "an object")
    yield from _no_classes(pairs)
    void = void_classes(options_for(settings, sources[1]))
    if protocol == "semantic" and (found := _idle(pred, void)):
        yield found
    if settings.classes is None and protocol == "semantic" and gt.values and pred.values:
        yield from _only_predicted(pred, gt, settings.ignore_index)
    if sources[1].kind in ("instance", "panoptic") and protocol != "binary":
        yield from _about_categories(pred, gt, settings, fatal=protocol == "panoptic")
        yield from _about_objects(pred, gt)
    if protocol in ("instance", "proposals"):
        yield from _about_scores(pred)


def _truth_classes(protocol: Protocol, gt: SideLooks, settings: EvalSettings) -> list[int]:
    if protocol != "semantic" or not gt.values:
        return two_classes(max(gt.areas.most, 0), settings.ignore_index)
    void = {
        settings.ignore_index,
        *(settings.scored_classes.ignored if settings.scored_classes else ()),
    }
    return sorted(value for value in gt.values if value not in void)


def _no_classes(pairs: PairLooks) -> Iterator[Finding]:
    for number, side in enumerate(_SIDES):
        stray = pairs.stray[number]
        if not stray:
            continue
        first = pairs.examples[f"stray {('pred', 'gt')[number]}"][number]
        seen = f"({plural(stray.total(), 'pixel')}, first in {first})"
        why = "a pixel of no class can be neither right nor wrong: those images fail"
        said = f"values outside the class list in the {side}: {numbers(stray)} {seen}"
        leave = ", or leave one out with --ignore-index" if number else ""
        yield Finding("outside-class-list", "error", said, why, f"add them to --class-names{leave}")


def _idle(pred: SideLooks, void: frozenset[int]) -> Finding | None:
    pixels = sum(count for value, count in pred.values.items() if value in void)
    return ignored_predicted(pixels, sum(pred.values.values()))


def _only_predicted(pred: SideLooks, gt: SideLooks, ignore: int | None) -> Iterator[Finding]:
    stray = {v for v in pred.values if v not in gt.values and v != ignore}
    if not stray:
        return
    pixels = sum(pred.values[v] for v in stray)
    yield Finding(
        "classes-only-predicted",
        "warning",
        f"predicted classes that the ground truth never holds: {numbers(stray)} "
        f"({pixels} pixels, first in {pred.first[min(stray)]})",
        "each counts as a class of IoU 0 in mIoU",
        "give --class-names to make a stray value an error; if ids are off by one, see "
        "--reduce-zero-label",
    )


def _about_categories(
    pred: SideLooks, gt: SideLooks, settings: EvalSettings, *, fatal: bool
) -> Iterator[Finding]:
    known = {*gt.names, *gt.categories}
    if settings.class_agnostic or not pred.categories or not known:
        return
    stray = {c for c in pred.categories if c not in known}
    if stray:
        predicted = sorted(pred.categories)
        hint = ""
        if min(predicted) == 0 and 0 not in known and min(known) == 1:
            hint = (
                f"; predictions are numbered from 0 and the ground truth from 1 to {max(known)}: "
                "off by one"
            )
        count = sum(pred.categories[c] for c in stray)
        yield Finding(
            "unknown-categories",
            "error" if fatal else "warning",
            f"{plural(count, 'prediction')} of categories that the ground truth does not list: "
            f"{numbers(stray)}, first in {pred.examples[f'category {min(stray)}']}{hint}",
            "they match nothing, and if ids are off by one every class is scored against another",
            "map category_id to the ground truth's ids, or --class-agnostic",
        )
    elif len(pred.categories) == 1 < len(gt.categories):
        only = next(iter(pred.categories))
        yield Finding(
            "one-category",
            "warning",
            f"every prediction has the category {numbers([only], gt.names)}, the ground truth has "
            f"{len(gt.categories)}",
            "AP per class is 0 for all other classes",
            "--class-agnostic, if these are proposals",
        )


def _about_objects(pred: SideLooks, gt: SideLooks) -> Iterator[Finding]:
    if gt.zero_ids:
        yield Finding(
            "annotation-id-zero",
            "note",
            f"{plural(gt.zero_ids, 'annotation')} of the ground truth with the id 0, first in "
            f"{gt.examples['zero id']}",
            "pycocotools takes its match for none, so its AP is lower; here the id does not matter",
        )
    for side, looks in (("predictions", pred), ("ground truth", gt)):
        if looks.crowded:
            yield Finding(
                f"many-objects-{'pred' if looks is pred else 'gt'}",
                "warning",
                f"{plural(looks.crowded, 'image')} of the {side} with more than {MANY} objects, at "
                f"most {looks.objects.most:.0f} in {looks.objects.at}",
                f"COCO AP and AR count the best {MANY} predictions an image (and class)",
                "quote F1, AP-DSB and matched IoU, which count all objects",
            )


def _about_scores(pred: SideLooks) -> Iterator[Finding]:
    scores, objects = pred.scores, pred.objects.total
    if not objects:
        return
    if pred.strange:
        yield Finding(
            "scores-strange",
            "error",
            f"{plural(pred.strange, 'prediction')} with a score that is no finite number",
            "scores rank the predictions: those images fail",
            "write a finite score for each prediction",
        )
    if not scores.count:
        yield Finding(
            "scores-missing",
            # A label map cannot state any.
            "note" if pred.values else "warning",
            f"no prediction of {objects:.0f} states a score",
            "COCO AP ranks by score; without one it ranks by order only",
            "quote F1 and AP-DSB, or write scores",
        )
        return
    if pred.unscored:
        yield Finding(
            "scores-missing",
            "warning",
            f"{plural(pred.unscored, 'prediction')} of {objects:.0f} without a score",
            "they rank last",
            "write a score for each prediction",
        )
    yield from _about_values_of(scores)


def _about_values_of(scores: Span) -> Iterator[Finding]:
    if scores.least == scores.most and scores.count > 1:
        yield Finding(
            "scores-constant",
            "warning",
            f"all {scores.count} scores are {scores.most:g}",
            "COCO AP then ranks by order only, and the same masks in another order score otherwise",
            "quote F1 and AP-DSB, or write scores",
        )
    if scores.least < 0 or scores.most > 1:
        yield Finding(
            "scores-range",
            "warning",
            f"scores run from {scores.least:g} to {scores.most:g}, not within 0 to 1 (most in "
            f"{scores.at})",
            "the order of scores is all that AP takes, so logits and percent do no harm, unless "
            "they are mixed with probabilities",
            "check that all predictions state the same kind of score",
        )
