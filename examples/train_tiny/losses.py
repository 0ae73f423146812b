"""What the trainer minimises: masks, predicted IoU, and whether pixels belong together."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Assignments of the three multimask outputs to (mask asked for, other mask holding the point).
ASSIGNMENTS = ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1))
# Weight of the term that draws all three outputs to the mask asked for.
RELAXED, RELAXED_CERTAIN = 0.05, 0.4


def mask_loss(logits: Tensor, target: Tensor, balance: float) -> Tensor:
    """20 focal + dice of each mask, plus `balance` x class-balanced cross-entropy.

    Args:
        logits: (..., N) float32.
        target: (..., N) float32 in 0..1, the share of each pixel that the mask covers.
        balance: weight of the class-balanced term, which keeps masks from staying empty early on.

    Returns:
        (...) float32.
    """
    probability = logits.sigmoid()
    cross = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = ((probability - target).square() * cross).mean(-1)
    loss = 20 * focal + dice_loss(probability, target)
    if balance:
        inside = (cross * target).sum(-1) / target.sum(-1).clamp_min(1)
        outside = (cross * (1 - target)).sum(-1) / (1 - target).sum(-1).clamp_min(1)
        loss = loss + balance * (inside + outside) / 2
    return loss


def dice_loss(probability: Tensor, target: Tensor) -> Tensor:
    """1 - Dice overlap over the last axis, both float32 in 0..1."""
    overlap = (probability * target).sum(-1)
    return 1 - (2 * overlap + 1) / (probability.sum(-1) + target.sum(-1) + 1)


@torch.no_grad()
def true_iou(logits: Tensor, targets: Tensor) -> Tensor:
    """IoU of each predicted mask with the better of the two right ones.

    Args:
        logits: (B, P, 4, H, W) float32, enlarged to the targets' size before they are compared.
        targets: (B, P, 2, H', W') float32 in 0..1.

    Returns:
        (B, P, 4) float32; 0 where neither mask has a pixel.
    """
    size = targets.shape[-2:]
    masks = functional.interpolate(
        logits.flatten(0, 1), size=size, mode="bilinear", align_corners=False
    )
    masks = (masks > 0).float().unflatten(0, logits.shape[:2]).flatten(-2)
    right = (targets > 0.5).float().flatten(-2)
    overlap = masks @ right.transpose(-1, -2)
    union = masks.sum(-1)[..., None] + right.sum(-1)[..., None, :] - overlap
    return (overlap / union.clamp_min(1)).amax(-1)


def prompt_loss(
    logits: Tensor,
    iou: Tensor,
    targets: Tensor,
    empty: Tensor,
    certain: Tensor,
    balance: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of all prompts of a batch.

    The three multimask outputs are assigned to the two right masks in the cheapest way; the single
    mask answers the mask asked for. Prompts on background teach only that predicted IoU is 0.
    Masks are compared after enlargement to the targets' size, as they are where they are used:
    a small object covers few of the model's own mask pixels.

    Args:
        logits: (B, P, 4, H, W), single mask first.
        iou: (B, P, 4) predicted IoU.
        targets: (B, P, 2, 2H, 2W) float32 in 0..1.
        empty: (B, P) bool, prompts on background.
        certain: (B, P) bool, prompts that name exactly one mask (boxes): all outputs should be it.
        balance: see `mask_loss`.

    Returns:
        Scalar loss, and detached scalars for the log.
    """
    measured = true_iou(logits, targets) * ~empty[..., None]
    # The absolute error is what the model is judged by; the square keeps the ranking smooth.
    error = iou - measured
    calibration = 0.5 * error.abs().mean() + error.square().mean()
    keep = ~empty
    coarse = functional.avg_pool2d(targets[keep], 2).flatten(-2)
    kept, right = logits[keep], targets[keep]
    flat = kept[:, 1:].flatten(-2)
    chosen = _assign(flat.detach(), coarse)
    rows = torch.arange(len(kept))
    two = (coarse[:, 0] - coarse[:, 1]).abs().amax(-1) > 0
    single = mask_loss(_enlarge(kept[:, 0], right), right[:, 0].flatten(-2), balance)
    first = kept[rows, 1 + chosen[:, 0]]
    multi = mask_loss(_enlarge(first, right), right[:, 0].flatten(-2), balance)
    if two.any():
        second = kept[rows[two], 1 + chosen[two, 1]]
        part = mask_loss(_enlarge(second, right), right[two, 1].flatten(-2), balance)
        multi = multi.index_put((rows[two],), (multi[two] + part) / 2)
    relaxed = dice_loss(flat.sigmoid(), coarse[:, :1]).mean(-1)
    relaxed = relaxed * torch.where(certain[keep], RELAXED_CERTAIN, RELAXED)
    loss = (multi + 0.5 * single + relaxed).mean() + 2 * calibration
    best = measured[keep]
    log = {
        "loss": loss,
        "single": best[:, 0].mean(),
        "best": best[:, 1:].amax(-1).mean(),
        "chosen": best[:, 1:].gather(1, iou[keep][:, 1:].argmax(-1, keepdim=True)).mean(),
        "iou_error": (iou - measured).abs().mean(),
    }
    return loss, {k: v.detach() for k, v in log.items()}


def _enlarge(logits: Tensor, like: Tensor) -> Tensor:
    """(N, H, W) logits at the size of `like` (..., H', W'), flattened to (N, H' x W')."""
    size = like.shape[-2:]
    big = functional.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)
    return big.flatten(1)


@torch.no_grad()
def _assign(logits: Tensor, targets: Tensor) -> Tensor:
    """(N, 2) which of the three outputs answers each of the two targets, at least cost."""
    probability = logits.sigmoid()
    overlap = probability @ targets.transpose(1, 2)
    total = probability.sum(-1)[..., None] + targets.sum(-1)[:, None]
    cross = functional.softplus(logits).sum(-1)[..., None] - logits @ targets.transpose(1, 2)
    cost = 1 - (2 * overlap + 1) / (total + 1) + cross / logits.shape[-1]
    same = (targets[:, 0] - targets[:, 1]).abs().amax(-1) == 0
    cost[..., 1] *= (~same)[:, None]
    table = torch.tensor(ASSIGNMENTS)
    sums = cost[:, table[:, 0], 0] + cost[:, table[:, 1], 1]
    return table[sums.argmin(-1)]


def affinity_loss(embedding: Tensor, objects: Tensor, generator: torch.Generator) -> Tensor:
    """Whether two pixels lie on the same object, from the likeness of their embeddings.

    Supervises every pixel at once, and so gets the features going long before ten prompts a
    picture do. Only pixels on labelled objects are drawn: what has no label may be anything.

    Args:
        embedding: (B, D, H, W) float32.
        objects: (B, H, W) int64 label map at the same scale, 0 = no label.
        generator: draws the pixels.

    Returns:
        Scalar: class-balanced cross-entropy over pairs, averaged over pictures.
    """
    losses = []
    for vectors, labels in zip(embedding.flatten(2), objects.flatten(1), strict=True):
        labelled = labels.nonzero()[:, 0]
        if len(labelled) < 2:
            continue
        drawn = labelled[torch.randint(len(labelled), (192,), generator=generator)]
        unit = functional.normalize(vectors[:, drawn], dim=0)
        logit = 10 * (unit.T @ unit) - 5
        same = (labels[drawn][:, None] == labels[drawn][None]).float()
        cross = functional.binary_cross_entropy_with_logits(logit, same, reduction="none")
        inside = (cross * same).sum() / same.sum().clamp_min(1)
        outside = (cross * (1 - same)).sum() / (1 - same).sum().clamp_min(1)
        losses.append((inside + outside) / 2)
    return torch.stack(losses).mean() if losses else embedding.sum() * 0
