"""Which prediction belongs to which ground truth: by name, never by position."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from segcli.errors import InputError, UsageError
from segcli.evaluate.names import NameRule, plain_stem
from segcli.evaluate.pair_list import PairList, list_rule
from segcli.formats.base import Source

__all__ = [
    "NameRule",
    "Pairing",
    "index_names",
    "is_known",
    "joins_splits",
    "learn_rule",
    "pair_keys",
    "regex_rule",
    "rule_of",
    "stream_rule",
    "stream_rule_of",
    "suffixes_between",
]

_SEPARATORS = "_-. "
_KNOWN_WORDS = frozenset(
    {
        *("annotation", "annotations", "color", "gt", "gtcoarse", "gtfine", "image", "img"),
        *("instance", "instanceids", "instances", "label", "labelids", "labels"),
        *("labeltrainids", "leftimg8bit", "mask", "masks", "out", "output", "pred"),
        *("prediction", "predictions", "sat", "seg", "segmentation", "segmentations"),
        *("groundtruth", "manual1", "ome", "panoptic", "semantic", "trainids", "truth"),
        *("bmp", "jpeg", "jpg", "png", "tif", "tiff"),
    }
)
_SPLITS = frozenset({"dev", "test", "testing", "train", "training", "val", "valid", "validation"})


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


def rule_of(
    pred: Source, gt: Source, match: str | None = None, listed: PairList | None = None
) -> NameRule:
    """The rule that pairs two sides whose paths can be listed.

    Args:
        pred: the predictions.
        gt: the ground truth.
        match: regular expression with one group, or None to learn the rule.
        listed: the pairs themselves, or None.

    Raises:
        UsageError: `match` is no such expression; both are given; a listed path is not there.
    """
    _refuse_both(match, listed)
    if listed is not None:
        return list_rule(listed, pred.keys(), gt.keys())
    if match is not None:
        return regex_rule(match)
    if pred.single and gt.single:
        name = plain_stem(gt.keys()[0])
        return NameRule(lambda _: name, lambda _: name, "one file against one file")
    return learn_rule(pred.keys(), gt.keys())


def stream_rule_of(
    gt: Sequence[str], match: str | None = None, listed: PairList | None = None
) -> NameRule:
    """As `rule_of`, for predictions of which one comes after the other."""
    _refuse_both(match, listed)
    if listed is not None:
        return list_rule(listed, None, gt)
    return stream_rule(gt) if match is None else regex_rule(match)


def _refuse_both(match: str | None, listed: PairList | None) -> None:
    if match is not None and listed is not None:
        raise UsageError(
            f"--match {match!r} and --pairs {listed.path} are two ways to pair",
            why="the list says which files are a pair; names then count for nothing",
            fix="leave one of them out",
        )


def stream_rule(gt: Sequence[str]) -> NameRule:
    """The rule for predictions of which one comes after the other: no more than names can tell.

    Names are stems. A prediction whose stem no ground truth has goes by its file name alone where
    the ground truth has no folders, and where all ground truths share a suffix that is a known
    word (``_mask``), by the name without it.
    """
    stems = [plain_stem(path) for path in gt]
    suffix = next((s for s in _shared_suffixes(stems) if s and is_known(s)), "")
    bare = {stem.removesuffix(suffix): stem for stem in reversed(stems)}
    flat = not any("/" in stem for stem in stems)
    known = set(stems)

    def name(path: str) -> str:
        stem = plain_stem(path)
        tries = [stem, _name(stem)] if flat else [stem]
        found = [t for t in tries if t in known] or [bare[t] for t in tries if t in bare]
        return found[0] if found else stem

    said = ["stem", *(["folders of the predictions left aside"] if flat else [])]
    said += [f"'{suffix}' stripped from the ground truth"] if suffix else []
    return NameRule(name, plain_stem, ", ".join(said))


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
    and no other suffix does as well; two numbers that differ (`1_2` and `1_3`, frames of a film)
    are none. Folders are left out only when no name would join two splits (`train/1` and `val/1`).
    """
    preds, gts = [plain_stem(p) for p in pred], [plain_stem(g) for g in gt]
    if set(preds) & set(gts):
        return NameRule(plain_stem, plain_stem, "stem")
    if found := suffixes_between(preds, gts):
        strip_pred, strip_gt = found
        said = [f"'{s}' stripped from the {side}" for s, side in _stripped(strip_pred, strip_gt)]
        return NameRule(
            lambda path: plain_stem(path).removesuffix(strip_pred),
            lambda path: plain_stem(path).removesuffix(strip_gt),
            f"stem, {' and '.join(said)}",
        )
    folders = [{_name(stem): stem for stem in side} for side in (preds, gts)]
    both = folders[0].keys() & folders[1].keys()
    distinct = len(folders[0]) == len(preds) and len(folders[1]) == len(gts)
    if distinct and both and not any(joins_splits(folders[0][n], folders[1][n]) for n in both):
        return NameRule(_stem_name, _stem_name, "stem without folders")
    return NameRule(plain_stem, plain_stem, "stem")


def _stripped(pred: str, gt: str) -> list[tuple[str, str]]:
    return [(s, side) for s, side in ((pred, "predictions"), (gt, "ground truth")) if s]


def suffixes_between(preds: Sequence[str], gts: Sequence[str]) -> tuple[str, str] | None:
    """The endings of all stems of the predictions, and of the ground truth, that set them apart.

    None when nothing pairs, or when several ways pair equally well.
    """
    found: Counter[tuple[str, str]] = Counter()
    for a in _shared_suffixes(preds):
        left = {p.removesuffix(a) for p in preds}
        for b in _shared_suffixes(gts):
            right = {g.removesuffix(b) for g in gts}
            distinct = len(left) == len(preds) and len(right) == len(gts)
            pairs = len(left & right)
            sure = pairs > 1 or (is_known(a) and is_known(b))
            if distinct and pairs and sure and not _are_numbers(a, b):
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


def is_known(suffix: str) -> bool:
    """Whether a suffix is empty or made of words that everyone uses for masks and pictures."""
    words = re.split(f"[{re.escape(_SEPARATORS)}]+", suffix.strip(_SEPARATORS).lower())
    return not suffix or all(word in _KNOWN_WORDS for word in words)


def _are_numbers(a: str, b: str) -> bool:
    """Two suffixes that end in different numbers, as pictures of one series do."""
    ends = [re.search(f"[{re.escape(_SEPARATORS)}]\\d+$", suffix) for suffix in (a, b)]
    return all(ends) and a != b


def joins_splits(pred: str, gt: str) -> bool:
    """Whether two stems lie in folders of different splits."""
    named = [{part.lower() for part in stem.split("/")[:-1]} & _SPLITS for stem in (pred, gt)]
    return bool(named[0] and named[1] and named[0] != named[1])


def _name(stem: str) -> str:
    return stem.rpartition("/")[2]


def _stem_name(path: str) -> str:
    return _name(plain_stem(path))
