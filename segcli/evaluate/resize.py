"""Make a prediction fit the ground truth's size, or say that it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from segcli.errors import PairError
from segcli.evaluate.settings import Resize
from segcli.masks.rle import decode, segment_from_mask
from segcli.records import LabelMap, Segment, Segmentation

__all__ = ["fit"]


def fit(pred: Segmentation, gt: Segmentation, resize: Resize | None) -> tuple[Segmentation, bool]:
    """A prediction of the ground truth's size, and whether it had to be resized.

    Args:
        pred: the prediction.
        gt: the ground truth.
        resize: "nearest": each pixel takes the value of the nearest pixel centre. None: never.

    Raises:
        PairError: sizes differ and `resize` is None.
    """
    old, new = (pred.image.height, pred.image.width), (gt.image.height, gt.image.width)
    if old == new:
        return pred, False
    if resize is None:
        raise PairError(
            f"{pred.image.source or pred.image.key} is {old[1]}x{old[0]}, but "
            f"{gt.image.source or gt.image.key} is {new[1]}x{new[0]}",
            why="masks are compared pixel by pixel; this one may be at the model's resolution",
            fix="save predictions at the size of the images, or --resize-pred nearest",
        )
    rows, columns = _nearest(old[0], new[0]), _nearest(old[1], new[1])
    grid = np.ix_(rows, columns)
    labels = pred.labels
    return replace(
        pred,
        image=replace(pred.image, height=new[0], width=new[1]),
        segments=tuple(_resized(s, grid) for s in pred.segments),
        labels=None if labels is None else LabelMap(labels.values[grid], labels.kind),
        ignore=None,
    ), True


def _nearest(old: int, new: int) -> npt.NDArray[np.intp]:
    """For each of `new` pixels, the one of `old` whose centre is nearest."""
    return (2 * np.arange(new) + 1) * old // (2 * new)


def _resized(segment: Segment, grid: tuple[npt.NDArray[np.intp], ...]) -> Segment:
    fitted = segment_from_mask(decode(segment.mask)[grid])
    return replace(segment, mask=fitted.mask, area=fitted.area, box_xywh=fitted.box_xywh)
