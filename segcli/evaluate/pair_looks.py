"""How two sides of one pair lie to each other: enough to tell that something is mixed up."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segcli.formats.runs import runs_of
from segcli.masks.labels import foreground
from segcli.masks.rle import decode
from segcli.records import Segmentation

__all__ = ["PairLook", "PairLooks", "compare", "same_file", "strays"]

BoolMask = npt.NDArray[np.bool_]
_VIEWS: dict[str, Callable[[BoolMask], BoolMask]] = {
    "turned over its diagonal (rows and columns exchanged)": lambda mask: mask.T,
    "mirrored left to right": lambda mask: mask[:, ::-1],
    "mirrored top to bottom": lambda mask: mask[::-1],
    "turned upside down": lambda mask: mask[::-1, ::-1],
}


@dataclass(frozen=True, slots=True)
class PairLook:
    """One pair.

    Attributes:
        pred: path of the prediction.
        gt: path of the ground truth.
        pred_size: (height, width).
        gt_size: (height, width).
        same_file: whether both sides are one file on disk.
        same: whether both sides hold the same values or objects (of a map and of masks: the same
            foreground), and not nothing.
        tp: pixels inside both foregrounds; this and the next three are 0 where sizes differ.
        fp: pixels inside the prediction's alone.
        fn: pixels inside the ground truth's alone.
        tn: pixels outside both.
        shifts: of the ground truth's labelled pixels, those whose predicted class is one less,
            equal, and one more.
        views: foreground IoU of the prediction mirrored or turned, where that was tried.
        stray: pixels by value that is no class, of the prediction and of the ground truth.
    """

    pred: str
    gt: str
    pred_size: tuple[int, int]
    gt_size: tuple[int, int]
    same_file: bool = False
    same: bool = False
    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    shifts: tuple[int, int, int] = (0, 0, 0)
    views: dict[str, float] = field(default_factory=dict)
    stray: tuple[dict[int, int], dict[int, int]] = field(default_factory=lambda: ({}, {}))


def strays(
    pred: Segmentation, gt: Segmentation, is_class: Callable[[int], bool]
) -> tuple[dict[int, int], dict[int, int]]:
    """Pixels that count and hold a value that is no class, by value, of both class maps.

    Args:
        pred: the prediction, of the ground truth's size.
        gt: the ground truth.
        is_class: whether a value is a class.
    """
    counted = None if gt.ignore is None else ~decode(gt.ignore)
    pred_stray, gt_stray = (_strays_of(side, counted, is_class) for side in (pred, gt))
    return pred_stray, gt_stray


def _strays_of(
    side: Segmentation, counted: BoolMask | None, is_class: Callable[[int], bool]
) -> dict[int, int]:
    if side.labels is None or side.labels.kind == "instance":
        return {}
    values = side.labels.values if counted is None else side.labels.values[counted][None]
    if values.size == 0:
        return {}
    present, counts = runs_of(values).histogram()
    found = zip(present.tolist(), counts.tolist(), strict=True)
    return {value: count for value, count in found if not is_class(value)}


def compare(
    keys: tuple[str, str], pred: Segmentation, gt: Segmentation, *, turned: bool = False
) -> PairLook:
    """Compare the two sides of a pair, of whatever sizes.

    Args:
        keys: paths of the prediction and of the ground truth.
        pred: the prediction.
        gt: the ground truth; its void pixels are left out.
        turned: compare the prediction mirrored and turned as well.
    """
    sizes = (pred.image.height, pred.image.width), (gt.image.height, gt.image.width)
    one_file = same_file(pred, gt)
    if sizes[0] != sizes[1]:
        return PairLook(*keys, *sizes, same_file=one_file)
    counted = None if gt.ignore is None else ~decode(gt.ignore)
    inside, true = foreground(pred), foreground(gt)
    shown = inside if counted is None else inside & counted
    total = true.size if counted is None else int(np.count_nonzero(counted))
    tp = int(np.count_nonzero(shown & true))
    fp, fn = int(np.count_nonzero(shown)) - tp, int(np.count_nonzero(true)) - tp
    return PairLook(
        *keys,
        *sizes,
        same_file=one_file,
        same=bool(tp) and not fp and not fn and _same(pred, gt),
        tp=tp,
        fp=fp,
        fn=fn,
        tn=total - tp - fp - fn,
        shifts=_shifts(pred, gt, true),
        views=_views(inside, true, counted) if turned else {},
    )


def same_file(pred: Segmentation, gt: Segmentation) -> bool:
    """Whether both sides are label maps from one file on disk."""
    if pred.labels is None or gt.labels is None or not pred.image.source:
        return False
    try:
        # Paths take longer to make than a small pair takes to score.
        return os.path.samefile(pred.image.source, gt.image.source)  # noqa: PTH121
    except OSError:
        return False


def _same(pred: Segmentation, gt: Segmentation) -> bool:
    if pred.labels is not None and gt.labels is not None:
        return bool(np.array_equal(pred.labels.values, gt.labels.values))
    if pred.labels is not None or gt.labels is not None:
        # Objects of one foreground, told apart in two ways.
        return True
    masks = [sorted(s.mask.counts for s in side.segments) for side in (pred, gt)]
    return masks[0] == masks[1]


def _shifts(pred: Segmentation, gt: Segmentation, true: BoolMask) -> tuple[int, int, int]:
    if pred.labels is None or gt.labels is None or gt.labels.kind != "semantic":
        return (0, 0, 0)
    # Wide enough for one more and one less: unsigned numbers would wrap to 255, customary void.
    ours, theirs = (side.values.astype(np.int64) for side in (pred.labels, gt.labels))
    one, equal, other = (ours + 1 == theirs), (ours == theirs), (ours - 1 == theirs)
    less, same, more = (int(np.count_nonzero(hit & true)) for hit in (one, equal, other))
    return less, same, more


def _views(pred: BoolMask, gt: BoolMask, counted: BoolMask | None) -> dict[str, float]:
    found = {}
    for name, view in _VIEWS.items():
        turned = view(pred)
        if turned.shape == gt.shape:
            inside = turned if counted is None else turned & counted
            both = int(np.count_nonzero(inside & gt))
            either = int(np.count_nonzero(inside)) + int(np.count_nonzero(gt)) - both
            found[name] = both / either if either else math.nan
    return found


@dataclass(slots=True)
class PairLooks:
    """The sum of the looks at pairs.

    Attributes:
        pairs: pairs compared.
        same_file: pairs whose sides are one file.
        same: pairs whose sides hold the same.
        compared: pairs of one size with something on either side.
        mismatched: pairs whose sizes differ.
        swapped: of these, pairs whose height and width are exchanged.
        mismatches: (prediction, ground truth) sizes → how many pairs.
        examples: the first pair where something was seen, as (prediction, ground truth).
        iou: the sum of foreground IoU over the pairs compared.
        inverse: the same of the predictions' complement.
        confusion: pooled tp, fp, fn, tn.
        shifts: pooled, see `PairLook`.
        views: sum of IoU and number of pairs, by how the prediction was turned; "as it is" too.
        stray: pixels by value that is no class, of the predictions and of the ground truth.
    """

    pairs: int = 0
    same_file: int = 0
    same: int = 0
    compared: int = 0
    mismatched: int = 0
    swapped: int = 0
    mismatches: dict[tuple[tuple[int, int], tuple[int, int]], int] = field(default_factory=dict)
    examples: dict[str, tuple[str, str]] = field(default_factory=dict)
    iou: float = 0.0
    inverse: float = 0.0
    confusion: tuple[int, int, int, int] = (0, 0, 0, 0)
    shifts: tuple[int, int, int] = (0, 0, 0)
    views: dict[str, tuple[float, int]] = field(default_factory=dict)
    stray: tuple[Counter[int], Counter[int]] = field(default_factory=lambda: (Counter(), Counter()))

    def add(self, look: PairLook) -> None:
        """Add one pair."""
        self.pairs += 1
        self.same_file += look.same_file
        self.same += look.same
        for side, found in zip(("pred", "gt"), look.stray, strict=True):
            self.stray[side == "gt"].update(found)
            if found:
                self.examples.setdefault(f"stray {side}", (look.pred, look.gt))
        if look.pred_size != look.gt_size:
            self._add_mismatch(look)
            return
        counts = (look.tp, look.fp, look.fn, look.tn)
        self.confusion = _sum4(self.confusion, counts)
        less, equal, more = (a + b for a, b in zip(self.shifts, look.shifts, strict=True))
        self.shifts = less, equal, more
        tp, fp, fn, tn = counts
        if not tp + fp + fn:
            return
        self.compared += 1
        iou = tp / (tp + fp + fn)
        self.iou += iou
        self.inverse += fn / (fn + tn + tp) if fn + tn + tp else 0.0
        if look.views:
            for name, value in {"": iou, **look.views}.items():
                total, count = self.views.get(name, (0.0, 0))
                defined = not math.isnan(value)
                self.views[name] = (total + (value if defined else 0.0), count + defined)

    def _add_mismatch(self, look: PairLook) -> None:
        self.mismatched += 1
        self.swapped += look.pred_size == look.gt_size[::-1]
        sizes = (look.pred_size, look.gt_size)
        self.mismatches[sizes] = self.mismatches.get(sizes, 0) + 1
        self.examples.setdefault("sizes", (look.pred, look.gt))
        if look.pred_size == look.gt_size[::-1]:
            self.examples.setdefault("swapped", (look.pred, look.gt))

    @property
    def mean_iou(self) -> float:
        """Mean foreground IoU of the pairs compared, NaN of none."""
        return self.iou / self.compared if self.compared else math.nan

    @property
    def mean_inverse_iou(self) -> float:
        """The same with every prediction inverted."""
        return self.inverse / self.compared if self.compared else math.nan


def _sum4(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]
