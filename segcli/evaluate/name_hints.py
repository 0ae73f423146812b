"""What could pair the files that are left over, tried before it is suggested."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from shlex import quote

from segcli.errors import InputError
from segcli.evaluate.names import plain_stem
from segcli.evaluate.pairing import is_known, joins_splits, pair_keys, suffixes_between

__all__ = ["differ_in_case", "no_pairs", "suggest_match", "versions_of_one"]

_MOST = 2000
_NUMBER = r"0*(\d+)[^\d/]*$"
_FOLDER = r"^([^/]+?)(?:[/.].*)?$"
_SEPARATORS = "_-. "
_SHOWN = 3


def suggest_match(pred: Sequence[str], gt: Sequence[str], paired: int) -> str:
    """A regular expression for `--match` that pairs more than are paired now, or "".

    Args:
        pred: paths of all predictions.
        gt: paths of all ground truths.
        paired: how many pairs there are without it.
    """
    preds, gts = pred[:_MOST], gt[:_MOST]
    best, most = "", min(paired, _MOST)
    for pattern in dict.fromkeys(_candidates(preds, gts)):
        try:
            pairs = pair_keys(preds, gts, pattern).pairs
        except InputError:
            continue
        if len(pairs) > most and not any(joins_splits(p, g) for _, p, g in pairs):
            best, most = pattern, len(pairs)
    return best


def _candidates(pred: Sequence[str], gt: Sequence[str]) -> Iterator[str]:
    """Patterns of which each may fit: the plainest first."""
    preds, gts = [plain_stem(p) for p in pred], [plain_stem(g) for g in gt]
    common = set(preds) & set(gts)
    left = [[s for s in side if s not in common] for side in (preds, gts)]
    suffixes: list[Sequence[str]] = [suffixes_between(*left) or ()]
    for tails in (_tails(left[1], left[0]), _tails(left[0], left[1])):
        suffixes += [(tail,) for tail, _ in tails.most_common(3)]
    suffixes.append(sorted({tail for stem in (*left[0], *left[1]) if (tail := _known_tail(stem))}))
    for found in filter(any, suffixes):
        yield _without(found, "^(.+?)")
        yield _without(found, "([^/]+?)")
    yield _NUMBER
    yield _without((), "([^/]+?)")
    yield _FOLDER


def _without(suffixes: Sequence[str], group: str) -> str:
    words = "|".join(re.escape(s).replace("\\-", "-").replace("\\ ", " ") for s in suffixes if s)
    return group + (f"(?:{words})?" if words else "") + r"(?:\.[^./]+)?$"


def _known_tail(stem: str) -> str:
    cut = max(stem.rfind(letter) for letter in _SEPARATORS)
    return stem[cut:] if cut > 0 and is_known(stem[cut:]) else ""


def _tails(longer: Sequence[str], shorter: Sequence[str]) -> Counter[str]:
    """What follows the stems of one side in those of the other, from a separator on."""
    known = set(shorter)
    found: Counter[str] = Counter()
    for stem in longer:
        cuts = [i for i, letter in enumerate(stem) if letter in _SEPARATORS]
        found.update(stem[i:] for i in cuts if stem[:i] in known)
    return found


def differ_in_case(pred: Sequence[str], gt: Sequence[str]) -> tuple[str, str] | None:
    """The first paths left over whose stems differ only in upper and lower case."""
    lower = {plain_stem(path).casefold(): path for path in gt}
    folded = ((path, plain_stem(path).casefold()) for path in pred)
    return next(((path, lower[name]) for path, name in folded if name in lower), None)


def versions_of_one(paths: Sequence[str]) -> dict[str, int]:
    """Files by ending where a side holds each image several times: `_labelIds`, `_color`.

    Empty unless there are two such endings, each a known word, of which most images have both.
    """
    heads: dict[str, set[str]] = {}
    for stem in map(plain_stem, paths):
        if tail := _known_tail(stem):
            heads.setdefault(tail, set()).add(stem.removesuffix(tail))
    most: set[str] = max(heads.values(), key=len, default=set())
    found = {
        tail: len(own) for tail, own in sorted(heads.items()) if 2 * len(own & most) > len(most)
    }
    return found if len(found) > 1 else {}


def no_pairs(pred: Sequence[str], gt: Sequence[str], words: str) -> InputError:
    """The error for two sides that have no name in common."""
    found = suggest_match(pred, gt, 0)
    general = "--match REGEX with one group that both paths share, such as --match '(\\d+)'"
    return InputError(
        f"none of {len(pred)} predictions and {len(gt)} ground truths are a pair",
        why=f"paired by {words}; predictions: {_some(pred)}; ground truth: {_some(gt)}",
        fix=f"--match {quote(found)}, if those belong together"
        if found
        else f"{general}, or --pairs FILE",
    )


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more if paths else "none"
