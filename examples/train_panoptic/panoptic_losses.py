"""What the trainer minimises: classes and masks of matched queries, and pixels on their own."""

from __future__ import annotations

import numpy as np
import torch
from panoptic_model import STUFF, anchors
from panoptic_scenes import CLASSES, THINGS
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

# The hardest pixels of a mask carry its cross-entropy: most pixels are easy, and small things few.
HARDEST = 512
NO_OBJECT = 0.1


class Targets:
    """The right answer for one picture.

    Attributes:
        classes: (N,) int64, index into CLASSES.
        masks: (N, h, w) float32 share of each pixel, at a quarter of the picture's size.
        centres: (N, 2) float32 mean xy of each mask in 0..1.
    """

    def __init__(self, segments: Tensor, classes: Tensor) -> None:
        """Take (H, W) int64 segment ids, 0 = void, and the class by id."""
        one_hot = functional.one_hot(segments, len(classes)).permute(2, 0, 1)[1:].float()
        masks = functional.avg_pool2d(one_hot, 4)
        seen = masks.flatten(1).sum(1) >= 1.5
        self.masks, self.classes = masks[seen], classes[1:][seen]
        height, width = masks.shape[1:]
        weight = self.masks / self.masks.flatten(1).sum(1)[:, None, None].clamp_min(1e-6)
        x = (weight.sum(1) * ((torch.arange(width) + 0.5) / width)).sum(1)
        y = (weight.sum(2) * ((torch.arange(height) + 0.5) / height)).sum(1)
        self.centres = torch.stack([x, y], -1)


@torch.no_grad()
def match(classes: Tensor, masks: Tensor, target: Targets, near: float) -> tuple[Tensor, Tensor]:
    """Which query answers which target of one picture.

    Stuff has its own query. Things are assigned at least cost, the costs being those of the paper
    and, times `near`, the distance between a query's place and the thing.

    Args:
        classes: (Q, C + 1) logits.
        masks: (Q, h, w) logits.
        target: the N right answers.
        near: weight of the distance, in spacings of the grid of places.

    Returns:
        Indices of queries and of targets, (N,) each.
    """
    is_thing = target.classes < len(THINGS)
    stuff = (~is_thing).nonzero()[:, 0]
    things = is_thing.nonzero()[:, 0]
    queries = target.classes[stuff] - len(THINGS)
    if len(things):
        first = len(STUFF)
        probability = classes[first:].softmax(-1)[:, target.classes[things]]
        logits, right = masks[first:].flatten(1), target.masks[things].flatten(1)
        inside = logits.sigmoid()
        overlap = inside @ right.T
        dice = 1 - (2 * overlap + 1) / (inside.sum(1)[:, None] + right.sum(1) + 1)
        cross = functional.softplus(logits).mean(1)[:, None] - logits @ right.T / right.shape[1]
        distance = torch.cdist(anchors(), target.centres[things]) * anchors().shape[0] ** 0.5
        cost = -2 * probability + 5 * cross + 5 * dice + near * distance
        rows, columns = linear_sum_assignment(cost.numpy())
        queries = torch.cat([queries, torch.from_numpy(np.asarray(rows)) + first])
        stuff = torch.cat([stuff, things[torch.from_numpy(np.asarray(columns))]])
    return queries, stuff


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the hardest pixels + Dice, (N,), of (N, P) logits and shares."""
    cross = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    hard = cross.topk(min(HARDEST, cross.shape[1]), dim=1).values.mean(1)
    inside = logits.sigmoid()
    dice = 1 - (2 * (inside * target).sum(1) + 1) / (inside.sum(1) + target.sum(1) + 1)
    return hard + dice


def panoptic_loss(
    classes: list[Tensor], masks: list[Tensor], targets: list[Targets], near: float
) -> tuple[Tensor, dict[str, float]]:
    """Loss over all layers; the last layer's assignment serves them all.

    Returns:
        Scalar loss, and numbers for the log: loss terms, accuracy of matched classes, mean IoU of
        matched masks.
    """
    pairs = [match(c, m, t, near) for c, m, t in zip(classes[-1], masks[-1], targets, strict=True)]
    wanted = torch.full(classes[0].shape[:2], len(CLASSES))
    for row, ((queries, chosen), target) in enumerate(zip(pairs, targets, strict=True)):
        wanted[row, queries] = target.classes[chosen]
    weight = torch.ones(len(CLASSES) + 1)
    weight[-1] = NO_OBJECT
    right = torch.cat([t.masks[c] for (_, c), t in zip(pairs, targets, strict=True)]).flatten(1)
    class_total = mask_total = torch.zeros(())
    for layer_classes, layer_masks in zip(classes, masks, strict=True):
        cross = functional.cross_entropy(layer_classes.flatten(0, 1), wanted.flatten(), weight)
        picked = torch.cat([m[q] for m, (q, _) in zip(layer_masks, pairs, strict=True)])
        class_total = class_total + cross
        mask_total = mask_total + mask_loss(picked.flatten(1), right).mean()
    count = len(classes)
    hit = wanted < len(CLASSES)
    with torch.no_grad():
        found = classes[-1][..., :-1].argmax(-1)[hit] == wanted[hit]
        inside, real = picked.flatten(1) > 0, right > 0.5
        iou = (inside & real).sum(1) / (inside | real).sum(1).clamp_min(1)
    log = {
        "class": float(class_total.detach()) / count,
        "mask": float(mask_total.detach()) / count,
        "accuracy": float(found.float().mean()),
        "iou": float(iou.mean()),
    }
    return (2 * class_total + 5 * mask_total) / count, log


def pixel_loss(logits: Tensor, targets: list[Targets]) -> Tensor:
    """Cross-entropy of each pixel's class from (B, C, h, w) logits, mixed pixels by share."""
    total = torch.zeros(())
    for row, target in zip(logits, targets, strict=True):
        shares = torch.zeros_like(row).index_add_(0, target.classes, target.masks)
        total = total - (row.log_softmax(0) * shares).sum(0).mean()
    return total / len(targets)
