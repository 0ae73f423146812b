"""Traps that lie between the two sides: what is a pair, and how its sides lie to each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from shlex import quote

from segcli.evaluate.name_hints import differ_in_case, suggest_match, versions_of_one
from segcli.evaluate.pair_looks import PairLooks
from segcli.evaluate.settings import EvalSettings
from segcli.evaluate.traps import Finding, inverted, plural, same_files, shifted
from segcli.metrics import Protocol

__all__ = ["lie_traps", "name_traps", "size_traps"]

_LISTED = 3
_APART = 0.02


def name_traps(
    keys: tuple[Sequence[str], Sequence[str]],
    left: tuple[Sequence[str], Sequence[str]],
    pairs: int,
    settings: EvalSettings,
) -> Iterator[Finding]:
    """What the names show.

    Args:
        keys: all paths of the predictions, and of the ground truth.
        left: of these, those without counterpart.
        pairs: how many pairs there are.
        settings: their `match` and `missing` count.
    """
    if any(left):
        yield _unmatched(keys, left, pairs, settings)
    for side, paths in zip(("predictions", "ground truth"), keys, strict=True):
        if versions := versions_of_one(paths):
            held = ", ".join(f"{tail} ({n})" for tail, n in versions.items())
            yield Finding(
                "versions-mixed",
                "warning",
                f"each image is several times in the {side}: {held}",
                "train ids, label ids and colours of one image are different maps, and only one "
                "of them is comparable",
                "give a folder that holds one of them, or --match with --missing skip",
            )


def _unmatched(
    keys: tuple[Sequence[str], Sequence[str]],
    left: tuple[Sequence[str], Sequence[str]],
    pairs: int,
    settings: EvalSettings,
) -> Finding:
    preds, gts = left
    preds_said = f"{plural(len(preds), 'prediction')} without ground truth ({_some(preds)})"
    gts_said = f"{plural(len(gts), 'ground truth')} without prediction ({_some(gts)})"
    said = [words for words, left_over in ((preds_said, preds), (gts_said, gts)) if left_over]
    fix = "rename them, list the pairs with --pairs FILE, or --missing skip"
    if case := differ_in_case(preds, gts):
        fix = f"names differ in case only, as {case[0]} and {case[1]}: rename one side"
    elif settings.match is None and preds and gts and (best := suggest_match(*keys, pairs)):
        fix = f"--match {quote(best)}, if those belong together"
    skipped = settings.missing != "error"
    why = "left out of every score" if skipped else "they are not scored, and eval exits with 3"
    return Finding("unmatched", "warning" if skipped else "error", "; ".join(said), why, fix)


def _some(paths: Sequence[str]) -> str:
    return ", ".join(paths[:_LISTED]) + (", …" if len(paths) > _LISTED else "")


def size_traps(looks: PairLooks, settings: EvalSettings) -> Iterator[Finding]:
    """Pairs whose sides have different sizes."""
    if not looks.mismatched:
        return
    pred, gt = looks.examples["sizes"]
    (p, g), _ = next(iter(looks.mismatches.items()))
    what = (
        f"sizes differ in {plural(looks.mismatched, 'pair')} of {looks.pairs}, such as {pred} "
        f"({p[1]}x{p[0]}) and {gt} ({g[1]}x{g[0]})"
    )
    if looks.swapped:
        yield _swapped(looks)
        if looks.swapped == looks.mismatched:
            return
    if settings.resize_pred is not None:
        yield Finding(
            "sizes-differ",
            "warning",
            f"{what}: resized by {settings.resize_pred}",
            "thin objects and boundaries suffer, so scores are lower than at full size",
        )
        return
    same = len({sizes[0] for sizes in looks.mismatches}) == 1
    model = " (all predictions have one size: the model's resolution?)" if same else ""
    yield Finding(
        "sizes-differ",
        "error",
        what + model,
        "masks are compared pixel by pixel; other tools score them 0 without a word",
        "save predictions at the size of the images, or --resize-pred nearest",
    )


def _swapped(looks: PairLooks) -> Finding:
    return Finding(
        "sizes-swapped",
        "error",
        f"height and width are exchanged in {plural(looks.swapped, 'pair')} of {looks.pairs}, such "
        f"as {looks.examples['swapped'][0]}",
        "an array written as (W, H), or a picture whose EXIF orientation one side ignored; "
        "resizing would hide it and score garbage",
        "save mask.T, or turn the masks as the pictures are",
    )


def lie_traps(looks: PairLooks, protocol: Protocol) -> Iterator[Finding]:
    """Pairs whose sides are one and the same, inverted, turned, apart or shifted by one class."""
    yield from _sameness(looks)
    if not looks.compared:
        return
    turned = _turned(looks)
    if found := inverted(looks.mean_iou, looks.mean_inverse_iou):
        yield found
    elif turned:
        yield turned
    elif looks.mean_iou < _APART and looks.confusion[1] and looks.confusion[2]:
        yield Finding(
            "apart",
            "warning",
            f"foregrounds hardly meet: their mean IoU is {looks.mean_iou:.4f} over "
            f"{plural(looks.compared, 'pair')}",
            "other pictures, another crop or offset score as a model that finds nothing",
            "look at one pair; is it the same picture?",
        )
    labelled = looks.confusion[0] + looks.confusion[2]
    if protocol == "semantic" and labelled:
        less, equal, more = (n / labelled for n in looks.shifts)
        if moved := shifted(less, equal, more):
            yield moved


def _sameness(looks: PairLooks) -> Iterator[Finding]:
    if looks.same_file:
        yield same_files(looks.same_file, looks.pairs)
    elif looks.pairs and looks.same == looks.pairs:
        yield Finding(
            "same-files",
            "warning",
            f"every prediction equals its ground truth in every pixel ({looks.pairs})",
            "a perfect score of real predictions does not happen: a copy of the ground truth?",
            "check where the predictions come from",
        )


def _turned(looks: PairLooks) -> Finding | None:
    means = {name: total / n for name, (total, n) in looks.views.items() if n}
    own = means.pop("", math.nan)
    if not means:
        return None
    best = max(means, key=lambda name: means[name])
    if not (means[best] > 0.7 and own < 0.7 * means[best]):
        return None
    return Finding(
        "turned",
        "warning",
        f"predictions fit better {best}: mean foreground IoU {means[best]:.3f} instead of "
        f"{own:.3f} in {plural(looks.views[''][1], 'pair')}",
        "masks that are turned against their pictures score as misses",
        "turn one side (mask.T, mask[:, ::-1] or mask[::-1]); mind the EXIF orientation of "
        "pictures",
    )
