"""Traps that more than one place looks for: what was found, why it matters, what to do.

Sources: the silent failures measured in pycocotools, hotcoco, torchmetrics and mmsegmentation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from segcli.metrics import Protocol
from segcli.records import LabelKind

__all__ = [
    "ASKED_FOR",
    "CUSTOMARY_VOID",
    "Finding",
    "Level",
    "about_ignored",
    "all_empty",
    "class_ids_shifted",
    "ignored_predicted",
    "inverted",
    "numbers",
    "plural",
    "protocol_reduced",
    "same_files",
    "shifted",
    "swapped_sides",
    "two_classes",
    "unnamed_void",
]

Level = Literal["error", "warning", "note"]

ASKED_FOR = "asked for"
"""Why a protocol is compared that the user named."""
CUSTOMARY_VOID = 255
_LOW, _HIGH = 0.1, 0.7
_FEW = 0.1
_LISTED = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must be known before a score is believed.

    Attributes:
        code: a short name that does not change.
        level: error: images cannot be scored; warning: the score may not mean what it seems to;
            note: handled, and worth knowing.
        what: what was found, with counts, an example and the value.
        why: which number would go wrong.
        fix: an option or command that helps, or "".
    """

    code: str
    level: Level
    what: str
    why: str
    fix: str = ""

    @property
    def line(self) -> str:
        """All of it in one line."""
        return "; ".join(part for part in (f"{self.what}: {self.why}", self.fix) if part)

    def to_record(self) -> dict[str, Any]:
        """A JSON record."""
        return asdict(self)


def numbers(values: Collection[int], names: Mapping[int, str] | None = None) -> str:
    """Whole numbers in order, with their names, the first few of them."""
    known = names or {}
    shown = [f"{v} ({known[v]})" if v in known else str(v) for v in sorted(values)[:_LISTED]]
    more = f" and {len(values) - _LISTED} more" if len(values) > _LISTED else ""
    return ", ".join(shown) + more


def plural(count: float, noun: str) -> str:
    """A count with its noun: 1 image, 2 images."""
    return f"{count:.0f} {noun}{'' if count == 1 else 's'}"


def about_ignored(
    ignore: int | None, ignored: int, truth: Sequence[int] | None, *, percent: float = 0.0
) -> list[Finding]:
    """What an ignore index does to the ground truth.

    Args:
        ignore: the ignore index; None finds nothing.
        ignored: pixels it removes.
        truth: the classes that the ground truth has besides, see `two_classes` where objects have
            none; None: unknown.
        percent: share of the pixels that it removes.
    """
    if ignore is None:
        return []
    if not ignored:
        what = f"no pixel has the ignore index {ignore}"
        why = "the option is without effect, and void of another value counts as a class or object"
        return [Finding("ignore-unused", "warning", what, why, "see --check for the values")]
    if truth is None or len(truth) > 1:
        return []
    share = f"{percent:.3g} % of the pixels" if percent else f"{ignored} pixels"
    if not any(truth):
        left = "nothing but background" if truth else "nothing"
        what = f"with {ignore} ignored the ground truth is {left}"
        why = "any prediction scores 1.0 on the background, and objects count for nothing"
        fix = f"if {ignore} means inside, leave the ignore index out"
        return [Finding("ignore-all", "warning", f"{what} ({share} ignored)", why, fix)]
    if ignore == 0:
        what = "background (0) is ignored and one class is left"
        why = "IoU is then recall, since a pixel predicted outside the object costs nothing"
        return [Finding("ignore-background", "warning", what, why, "leave --ignore-index 0 out")]
    what = f"with {ignore} ignored one class is left ({share} ignored)"
    why = "a prediction of that class everywhere scores 1.0"
    return [Finding("ignore-all", "warning", what, why, "leave the ignore index out")]


def two_classes(objects: float, ignore: int | None) -> list[int]:
    """Background and foreground, as far as they are there and count.

    Args:
        objects: how much foreground there is.
        ignore: the ignore index.
    """
    return [value for value in ((0, 1) if objects else (0,)) if value != ignore]


def unnamed_void(counts_as: str) -> Finding:
    """255 in the ground truth alone: the border of PASCAL VOC and the void of many others."""
    return Finding(
        "void-unnamed",
        "warning",
        f"the ground truth holds {CUSTOMARY_VOID} and no prediction does",
        f"it counts as {counts_as}",
        f"if it means void, give --ignore-index {CUSTOMARY_VOID}",
    )


def all_empty(side: str, images: int, other: int | None) -> Finding:
    """A side without any object.

    Args:
        side: "predictions" or "ground truth".
        images: its images.
        other: images of the other side that hold something, where known.
    """
    if side == "predictions":
        which = "images" if other is None else plural(other, "image")
        why = f"every score of the {which} with objects is 0"
        fix = "look at one file: a threshold too high, or probabilities saved as whole numbers?"
    else:
        why = "recall and IoU are undefined or 0, whatever is predicted"
        fix = "look at one file; is this the folder of masks, and is the ignore index right?"
    what = f"all images of the {side} are empty ({images})"
    return Finding("all-empty", "warning", what, why, fix)


def protocol_reduced(protocol: tuple[Protocol, str], kind: LabelKind) -> Finding:
    """Less is compared than the ground truth holds."""
    return Finding(
        "protocol-reduced",
        "warning",
        f"scored as {protocol[0]} although the ground truth is {kind}",
        protocol[1],
    )


def inverted(iou: float, inverse: float) -> Finding | None:
    """Foreground and background exchanged.

    Args:
        iou: foreground IoU.
        inverse: the same with the predictions inverted.
    """
    if not (iou < _LOW and inverse > _HIGH):
        return None
    return Finding(
        "inverted",
        "warning",
        f"the predictions look inverted: IoU is {iou:.3f}, and {inverse:.3f} when 0 is inside",
        "the background is scored as the object",
        "invert one side (255 - values) and score again",
    )


def shifted(less: float, equal: float, more: float) -> Finding | None:
    """Class ids off by one.

    Args:
        less: share of the labelled pixels whose predicted class is one less than the true one.
        equal: share whose class is right.
        more: share whose predicted class is one more.
    """
    best = max(less, more)
    if not (best > 0.5 and best > 2 * equal):
        return None
    word = "less" if less > more else "more"
    return class_ids_shifted(
        f"predicted class ids are one {word} than the true ones in {100 * best:.3g} % of the "
        f"labelled pixels, and equal in {100 * equal:.3g} %",
        word,
    )


def class_ids_shifted(what: str, word: str) -> Finding:
    """Class ids off by one, told in one way or another.

    Args:
        what: what was seen.
        word: "less" or "more": how predicted ids compare with the true ones.
    """
    why = "mIoU is near 0 for a prediction that may be good"
    fix = "number both sides' classes alike"
    if word == "less":
        fix = "--reduce-zero-label, if 0 in the ground truth is void (ADE20K)"
    return Finding("classes-shifted", "warning", what, why, fix)


def ignored_predicted(pixels: float, total: float) -> Finding | None:
    """Predictions full of classes that do not count, as train ids are among Cityscapes' ids.

    Args:
        pixels: predicted pixels of classes that the list has as ignored.
        total: all of them.
    """
    if pixels <= _FEW * total:
        return None
    return Finding(
        "ignored-predicted",
        "warning",
        f"{100 * pixels / total:.3g} % of the predicted pixels are of classes that do not count",
        "they are wrong wherever the ground truth counts",
        "if they are ids of another list, name that list: --class-names cityscapes-trainids for "
        "the train ids of Cityscapes",
    )


def swapped_sides() -> Finding:
    """A data set as predictions, and results as ground truth."""
    return Finding(
        "swapped-sides",
        "warning",
        "the predictions are a COCO data set and the ground truth is COCO results",
        "results have scores and know no crowds: the two are likely the wrong way round",
        "segcli eval RESULTS DATASET",
    )


def same_files(count: int, pairs: int) -> Finding:
    """Both sides of some pairs are one file."""
    return Finding(
        "same-files",
        "warning",
        f"both sides are one and the same file in {plural(count, 'pair')} of {pairs}",
        "the ground truth is scored against itself: perfect by accident",
        "give the folder of the predictions first, then the ground truth",
    )
