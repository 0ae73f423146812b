"""Several people's ground truth of the same pictures, as one side."""

from __future__ import annotations

from collections.abc import Sequence

from segcli.errors import InputError
from segcli.evaluate.pairing import index_names, rule_of
from segcli.formats.base import Source
from segcli.records import Segmentation

__all__ = ["Annotators"]


class Annotators(Source):
    """The first annotator's ground truth, with what others made of the same pictures.

    A picture that one of the others left out is compared with those who did it.

    Args:
        first: decides which pictures there are.
        others: one for each further annotator.
        match: regular expression with one group that pairs their pictures; None learns the rule.

    Raises:
        InputError: an annotator did none of the pictures, or has one twice.
    """

    annotated = True

    def __init__(self, first: Source, others: Sequence[Source], match: str | None = None) -> None:
        self.format, self.kind = first.format, first.kind
        self.certain, self.border, self.single = first.certain, first.border, False
        self._first = first
        self._others = [(source, _by_key(first, source, match)) for source in others]
        total = len(first.keys())
        done = [f"{source.description} ({len(keys)} of {total})" for source, keys in self._others]
        self.description = f"{first.description}; further annotators: {'; '.join(done)}"

    def keys(self) -> Sequence[str]:
        """The pictures of the first annotator."""
        return self._first.keys()

    def read(self, key: str) -> Segmentation:
        """The first annotator's masks."""
        return self._first.read(key)

    def read_all(self, key: str) -> tuple[Segmentation, ...]:
        """Every annotator's masks, the first one's first."""
        found = list(self._first.read_all(key))
        for source, keys in self._others:
            if key in keys:
                found += source.read_all(keys[key])
        return tuple(found)


def _by_key(first: Source, other: Source, match: str | None) -> dict[str, str]:
    """The other's key of each picture that both have."""
    rule = rule_of(other, first, match)
    names = index_names(other.keys(), rule.pred, "annotator's pictures")
    mine = index_names(first.keys(), rule.gt, "ground truth")
    keys = {key: names[name] for name, key in mine.items() if name in names}
    if not keys:
        raise InputError(
            f"--annotator: none of its pictures is one of the ground truth's, paired by "
            f"{rule.words}",
            why=other.description,
            fix="give each annotator a folder of files named as the first one's",
        )
    return keys
