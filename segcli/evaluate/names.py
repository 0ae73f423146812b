"""How a path becomes the name that both sides of a pair share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from segcli.formats.base import stem_of

__all__ = ["NameRule", "plain_stem"]


@dataclass(frozen=True, slots=True)
class NameRule:
    """How a path becomes the name that both sides of a pair share.

    Attributes:
        pred: path of a prediction → its name, or None when it has none.
        gt: path of a ground truth → its name, or None when it has none.
        words: the rule for people.
        only: True when paths without a name are left aside, not missing their counterpart.
    """

    pred: Callable[[str], str | None]
    gt: Callable[[str], str | None]
    words: str
    only: bool = False

    def preds(self, paths: Sequence[str]) -> list[str]:
        """The predictions that the rule is about."""
        return [path for path in paths if not self.only or self.pred(path) is not None]

    def gts(self, paths: Sequence[str]) -> list[str]:
        """The ground truths that the rule is about."""
        return [path for path in paths if not self.only or self.gt(path) is not None]


def plain_stem(path: str) -> str:
    """The stem in composed Unicode: macOS writes é as two characters where others write one."""
    return normalize("NFC", stem_of(path))
