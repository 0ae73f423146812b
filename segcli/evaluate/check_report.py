"""The outcome of a dry look at both sides, and its JSON."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from segcli.evaluate.looks import SideLooks, Span
from segcli.evaluate.pair_looks import PairLooks
from segcli.evaluate.result import Failure
from segcli.evaluate.traps import Finding
from segcli.formats.base import Source
from segcli.metrics import Protocol

__all__ = ["SCHEMA", "CheckReport", "Pairs", "SideReport"]

SCHEMA = "segcli.check/1"
_SIZES = 20


@dataclass(frozen=True, slots=True)
class SideReport:
    """One side.

    Attributes:
        description: what it was taken for, and why.
        format: the format's name.
        kind: what its values mean.
        certain: False when the kind is a guess.
        files: images it lists; of a stream, those that came.
        unreadable: of these, how many could not be read.
        looks: what the others hold.
    """

    description: str
    format: str
    kind: str
    certain: bool
    files: int
    unreadable: int
    looks: SideLooks

    @classmethod
    def of(cls, source: Source, looks: SideLooks, unreadable: int) -> SideReport:
        """The report on a side that was looked at."""
        files = looks.images + unreadable
        described = (source.description, source.format, source.kind, source.certain)
        return cls(*described, files, unreadable, looks)

    def to_record(self) -> dict[str, Any]:
        """A JSON record."""
        looks = self.looks
        sizes = sorted(looks.sizes.items(), key=lambda item: (-item[1], item[0]))
        return {
            "description": self.description,
            "format": self.format,
            "kind": self.kind,
            "kind_certain": self.certain,
            "files": self.files,
            "unreadable": self.unreadable,
            "sizes": [{"width": w, "height": h, "images": n} for (h, w), n in sizes[:_SIZES]],
            "distinct_sizes": len(sizes),
            "storage": dict(sorted(looks.storage.items())),
            "values": self._values(),
            "stored_values": sorted(looks.stored) or None,
            "stored_values_from_files": looks.sampled,
            "void_percent": 100 * looks.void / looks.pixels if looks.pixels else None,
            "empty_images": looks.empty,
            "objects": _span(looks.objects),
            "areas": _span(looks.areas),
            "scores": {**_span(looks.scores), "missing": looks.unscored, "strange": looks.strange},
            "categories": [
                {"id": c, "name": looks.names.get(c), "objects": n}
                for c, n in sorted(looks.categories.items())
            ],
        }

    def _values(self) -> dict[str, Any] | None:
        values = self.looks.values
        if not values:
            return None
        listed = self.kind in ("binary", "semantic")
        rows = [{"value": v, "pixels": n} for v, n in sorted(values.items())] if listed else None
        return {
            "least": min(values),
            "most": max(values),
            "distinct_in_an_image": _span(self.looks.distinct),
            "by_value": rows,
        }


@dataclass(frozen=True, slots=True)
class Pairs:
    """How files were paired.

    Attributes:
        rule: in words.
        pred_only: predictions without ground truth.
        gt_only: ground truths without prediction.
        taken_as_empty: ground truths whose prediction would be taken as empty.
        examples: the first pairs.
        looks: what pairs show.
    """

    rule: str
    pred_only: tuple[str, ...]
    gt_only: tuple[str, ...]
    taken_as_empty: int
    examples: tuple[tuple[str, str], ...]
    looks: PairLooks

    def to_record(self) -> dict[str, Any]:
        """A JSON record."""
        looks = self.looks
        return {
            "rule": self.rule,
            "pairs": looks.pairs,
            "examples": [{"pred": pred, "gt": gt} for pred, gt in self.examples],
            "predictions_without_ground_truth": list(self.pred_only),
            "ground_truth_without_prediction": list(self.gt_only),
            "taken_as_empty": self.taken_as_empty,
            "size_mismatches": looks.mismatched,
            "mismatched_sizes": [
                {
                    "pred": {"width": p[1], "height": p[0]},
                    "gt": {"width": g[1], "height": g[0]},
                    "pairs": n,
                }
                for (p, g), n in list(looks.mismatches.items())[:_SIZES]
            ],
            "foreground_iou": None if math.isnan(looks.mean_iou) else looks.mean_iou,
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a dry look at both sides found.

    Attributes:
        protocol: what would be compared.
        protocol_why: why.
        looked_at: which files, in words.
        pred: the predictions.
        gt: the ground truth.
        pairing: which belong together.
        findings: what must be known first, errors before warnings before notes.
        failures: items that cannot be read; files without counterpart are in `pairing`.
    """

    protocol: Protocol
    protocol_why: str
    looked_at: str
    pred: SideReport
    gt: SideReport
    pairing: Pairs
    findings: tuple[Finding, ...]
    failures: tuple[Failure, ...]

    @property
    def exit_code(self) -> int:
        """3 where an evaluation would leave an image out as failed, else 0."""
        return 3 if any(finding.level == "error" for finding in self.findings) else 0

    def to_json(self) -> dict[str, Any]:
        """One JSON object; the same input gives the same bytes."""
        return {
            "schema": SCHEMA,
            "protocol": self.protocol,
            "protocol_why": self.protocol_why,
            "looked_at": self.looked_at,
            "pred": self.pred.to_record(),
            "gt": self.gt.to_record(),
            "pairing": self.pairing.to_record(),
            "findings": [finding.to_record() for finding in self.findings],
            "failures": [asdict(failure) for failure in self.failures],
        }


def _span(span: Span) -> dict[str, Any]:
    if not span.count:
        return {"least": None, "mean": None, "most": None, "count": 0}
    least, mean, most = (_plain(v) for v in (span.least, span.mean, span.most))
    return {"least": least, "mean": mean, "most": most, "most_in": span.at, "count": span.count}


def _plain(value: float) -> float | int:
    return int(value) if value == int(value) else value
