"""Which prediction belongs to which ground truth: by name, never by position."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from segcli.errors import InputError, UsageError
from segcli.formats.base import Source, stem_of

__all__ = [
    "NameRule",
    "Pairing",
    "index_names",
    "learn_rule",
    "no_pairs",
    "pair_keys",
    "regex_rule",
    "rule_of",
    "stream_rule",
]

_SEPARATORS = "_-. "
_KNOWN_WORDS = frozenset(
    {
        *("annotation", "annotations", "color", "gt", "gtcoarse", "gtfine", "image", "img"),
        *("instance", "instanceids", "instances", "label", "labelids", "labels"),
        *("labeltrainids", "leftimg8bit", "mask", "masks", "out", "output", "pred"),
        *("prediction", "predictions", "sat", "seg", "segmentation", "segmentations"),
    }
)
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class NameRule:
    """How a path becomes the name that both sides of a pair share.

    Attributes:
        pred: path of a prediction → its name, or None when it has none.
        gt: path of a ground truth → its name, or None when it has none.
        words: the rule for people.
    """

    pred: Callable[[str], str | None]
    gt: Callable[[str], str | None]
    words: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """Pairs by name, and what was left over.

    Attributes:
        pairs: (name, path of the prediction, path of the ground truth), sorted by name.
        pred_only: predictions without ground truth, sorted.
        gt_only: ground truth without prediction, sorted.
        words: the rule for people.
    """

    pairs: tuple[tuple[str, str, str], ...]
    pred_only: tuple[str, ...]
    gt_only: tuple[str, ...]
    words: str


def pair_keys(pred: Sequence[str], gt: Sequence[str], match: str | None = None) -> Pairing:
    """Pair two lists of paths.

    By `match` when given; else by stem (the path without its last suffix, folders included); only
    when no stem is on both sides, by what is left without a suffix or folder that sets one whole
    side apart.

    Args:
        pred: paths of predictions, relative, with "/".
        gt: paths of ground truth.
        match: regular expression with one group.

    Raises:
        UsageError: `match` is no such expression.
        InputError: two paths of a side have the same name.
    """
    rule = regex_rule(match) if match is not None else learn_rule(pred, gt)
    preds = index_names(pred, rule.pred, "predictions")
    gts = index_names(gt, rule.gt, "ground truth")
    both = sorted(preds.keys() & gts.keys())
    return Pairing(
        pairs=tuple((name, preds[name], gts[name]) for name in both),
        pred_only=tuple(sorted(set(pred) - {preds[name] for name in both})),
        gt_only=tuple(sorted(set(gt) - {gts[name] for name in both})),
        words=rule.words,
    )


def rule_of(pred: Source, gt: Source, match: str | None = None) -> NameRule:
    """The rule that pairs two sides whose paths can be listed.

    Args:
        pred: the predictions.
        gt: the ground truth.
        match: regular expression with one group, or None to learn the rule.

    Raises:
        UsageError: `match` is no such expression.
    """
    if match is not None:
        return regex_rule(match)
    if pred.single and gt.single:
        name = stem_of(gt.keys()[0])
        return NameRule(lambda _: name, lambda _: name, "one file against one file")
    return learn_rule(pred.keys(), gt.keys())


def stream_rule(gt: Sequence[str]) -> NameRule:
    """The rule for predictions of which one comes after the other: no more than names can tell.

    Names are stems. A prediction whose stem no ground truth has goes by its file name alone where
    the ground truth has no folders, and where all ground truths share a suffix that is a known
    word (``_mask``), by the name without it.
    """
    stems = [stem_of(path) for path in gt]
    suffix = next((s for s in _shared_suffixes(stems) if s and _is_known(s)), "")
    bare = {stem.removesuffix(suffix): stem for stem in reversed(stems)}
    flat = not any("/" in stem for stem in stems)
    known = set(stems)

    def name(path: str) -> str:
        stem = stem_of(path)
        tries = [stem, _name(stem)] if flat else [stem]
        found = [t for t in tries if t in known] or [bare[t] for t in tries if t in bare]
        return found[0] if found else stem

    said = ["stem", *(["folders of the predictions left aside"] if flat else [])]
    said += [f"'{suffix}' stripped from the ground truth"] if suffix else []
    return NameRule(name, stem_of, ", ".join(said))


def regex_rule(match: str) -> NameRule:
    """Names are what the one group of a regular expression finds.

    Raises:
        UsageError: the expression is malformed or has another number of groups.
    """
    try:
        pattern = re.compile(match)
    except re.error as error:
        raise UsageError(
            f"--match {match!r} is no regular expression",
            why=str(error),
            fix=r"--match '(\d+)'",
        ) from error
    if pattern.groups != 1:
        raise UsageError(
            f"--match {match!r} has {pattern.groups} groups",
            why="the one group is the name that both sides of a pair share",
            fix=r"--match '(\d+)_(?:pred|gt)' (write (?:...) where a bracket only groups)",
        )

    def name(path: str) -> str | None:
        found = pattern.search(path)
        return None if found is None else found.group(1)

    return NameRule(name, name, f"regular expression {match}")


def index_names(
    paths: Iterable[str], name_of: Callable[[str], str | None], side: str
) -> dict[str, str]:
    """Path by name.

    Raises:
        InputError: two paths have the same name.
    """
    paths_by_name: dict[str, str] = {}
    for path in paths:
        name = name_of(path)
        if name is None:
            continue
        if name in paths_by_name:
            raise InputError(
                f"the {side} hold '{name}' twice: {paths_by_name[name]} and {path}",
                why="pairs are made by name, without its suffix",
                fix="keep one of them, or tell them apart with --match REGEX",
            )
        paths_by_name[name] = path
    return paths_by_name


def learn_rule(pred: Sequence[str], gt: Sequence[str]) -> NameRule:
    """The plainest rule that pairs: stems; else stems without suffixes; else names without folders.

    A suffix is learnt only when every path of its side ends in it, no two paths become the same,
    and no other suffix does as well.
    """
    preds, gts = [stem_of(p) for p in pred], [stem_of(g) for g in gt]
    if set(preds) & set(gts):
        return NameRule(stem_of, stem_of, "stem")
    if found := _learn_suffixes(preds, gts):
        strip_pred, strip_gt = found
        said = [f"'{s}' stripped from the {side}" for s, side in _stripped(strip_pred, strip_gt)]
        return NameRule(
            lambda path: stem_of(path).removesuffix(strip_pred),
            lambda path: stem_of(path).removesuffix(strip_gt),
            f"stem, {' and '.join(said)}",
        )
    names = [[_name(stem) for stem in side] for side in (preds, gts)]
    if set(names[0]) & set(names[1]) and all(len(set(side)) == len(side) for side in names):
        return NameRule(_stem_name, _stem_name, "stem without folders")
    return NameRule(stem_of, stem_of, "stem")


def _stripped(pred: str, gt: str) -> list[tuple[str, str]]:
    return [(s, side) for s, side in ((pred, "predictions"), (gt, "ground truth")) if s]


def _learn_suffixes(preds: Sequence[str], gts: Sequence[str]) -> tuple[str, str] | None:
    found: Counter[tuple[str, str]] = Counter()
    for a in _shared_suffixes(preds):
        left = {p.removesuffix(a) for p in preds}
        for b in _shared_suffixes(gts):
            right = {g.removesuffix(b) for g in gts}
            distinct = len(left) == len(preds) and len(right) == len(gts)
            pairs = len(left & right)
            if distinct and pairs and (pairs > 1 or (_is_known(a) and _is_known(b))):
                found[a, b] = pairs
    if not found:
        return None
    most = max(found.values())
    best = sorted(
        (pair for pair, n in found.items() if n == most), key=lambda pair: len("".join(pair))
    )
    shortest = len("".join(best[0]))
    # Equally short ways to pair leave no way to tell which is meant.
    return best[0] if sum(len("".join(pair)) == shortest for pair in best) == 1 else None


def _shared_suffixes(stems: Sequence[str]) -> list[str]:
    """The endings that all stems have and that start at a separator; the empty one first."""
    if not stems:
        return [""]
    shared = min(map(_name, stems), key=len)
    for stem in stems:
        while not stem.endswith(shared):
            shared = shared[1:]
    starts = [i for i, letter in enumerate(shared) if letter in _SEPARATORS]
    return ["", *(shared[i:] for i in reversed(starts))]


def _is_known(suffix: str) -> bool:
    words = re.split(f"[{re.escape(_SEPARATORS)}]+", suffix.strip(_SEPARATORS).lower())
    return not suffix or all(word in _KNOWN_WORDS for word in words)


def _name(stem: str) -> str:
    return stem.rpartition("/")[2]


def _stem_name(path: str) -> str:
    return _name(stem_of(path))


def no_pairs(pred: Sequence[str], gt: Sequence[str], words: str) -> InputError:
    """The error for two sides that have no name in common."""
    return InputError(
        f"none of {len(pred)} predictions and {len(gt)} ground truths are a pair",
        why=f"paired by {words}; predictions: {_some(pred)}; ground truth: {_some(gt)}",
        fix="--match REGEX with one group that both paths share, such as --match '(\\d+)'",
    )


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more if paths else "none"
