"""What the values of a folder of mask pictures mean: binary, semantic or instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from segcli.formats.survey import Survey
from segcli.records import LabelKind

__all__ = ["Verdict", "judge"]

_BINARY = ({0, 1}, {0, 255}, {0, 65535})
_NARROW = ("1-bit", "8-bit grey", "palette", "alpha", "array")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What label values mean, and the reason in words.

    Attributes:
        kind: what they mean.
        why: the reason.
        certain: False when the values would fit class ids and object ids alike.
    """

    kind: LabelKind
    why: str
    certain: bool = True


def judge(surveys: Sequence[Survey], ignore_index: int | None = None) -> Verdict:
    """Decide what the values of a set of mask files mean.

    Args:
        surveys: a sample of the files.
        ignore_index: a value that does not count.
    """
    values = [set(s.values) - {ignore_index} for s in surveys]
    if not set().union(*values) - {0} and not any(s.shaded for s in surveys):
        wide = surveys and all(s.mode not in _NARROW or s.mode == "array" for s in surveys)
        said = "the only value is 0"
        return Verdict("instance" if wide else "binary", said, certain=False)
    if reason := _binary_reason(surveys, values):
        return Verdict("binary", reason)
    modes = [s.mode for s in surveys]
    if "palette" in modes:
        return Verdict("semantic", "palette pictures hold class indices")
    if any(mode not in _NARROW for mode in modes):
        return Verdict("instance", "more than 8 bits, as object ids need")
    if any(v and max(v) > 255 for v in values):
        return Verdict("instance", "values above 255, as object ids need")
    return _judge_grey(surveys, values)


def _binary_reason(surveys: Sequence[Survey], values: list[set[int]]) -> str:
    plain = [_is_binary(s.mode, v) for s, v in zip(surveys, values, strict=True)]
    shaded = sum(s.shaded for s in surveys)
    if not all(p or s.shaded for p, s in zip(plain, surveys, strict=True)):
        return ""
    union = set().union(*values)
    if shaded:
        return f"{shaded} of {len(surveys)} sampled files have in-between greys, an error each"
    return f"the only values are {', '.join(str(v) for v in sorted(union))}"


def _is_binary(mode: str, values: set[int]) -> bool:
    allowed = _BINARY[:2] if mode in _NARROW else _BINARY[1:]
    return any(values <= pair for pair in allowed)


def _judge_grey(surveys: Sequence[Survey], values: list[set[int]]) -> Verdict:
    """Tell 8-bit instance ids from 8-bit class ids: objects are of one piece and vary in number."""
    used = [v - {0, 255} for v in values]
    many = [(s, v) for s, v in zip(surveys, used, strict=True) if v]
    labels = sum(len(v) for _, v in many)
    whole = _are_whole(many, labels)
    varies = len(many) == 1 or len({len(v) for _, v in many}) > 1
    contiguous = sum(max(v) == len(v) for _, v in many) >= 0.9 * len(many)
    if whole and varies and (contiguous or labels >= 8 * len(many)):
        said = "each value is one connected piece, and their number varies"
        return Verdict("instance", said, certain=False)
    if not whole:
        return Verdict("semantic", "values recur in separate pieces")
    why = "the same values in each file" if not varies else "values are not numbered objects"
    return Verdict("semantic", why, certain=False)


def _are_whole(many: Sequence[tuple[Survey, set[int]]], labels: int) -> bool:
    """Whether 95 % of the labels are of one piece; no more files are asked than decide it."""
    pieces, left = 0.0, labels
    for surveyed, values in many:
        pieces += surveyed.one_piece * len(values)
        left -= len(values)
        # One label more than can matter, so that rounding decides nothing.
        if pieces + left + 1 < 0.95 * labels:
            return False
    return labels > 0 and pieces >= 0.95 * labels
