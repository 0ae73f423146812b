"""The trainer's losses: what they reward, by hand-made masks."""

from __future__ import annotations

import torch
from torch import Tensor


def square(first: int, last: int, size: int) -> Tensor:
    """(size, size) float32, 1 on the square of rows and columns `first` to `last`, exclusive."""
    mask = torch.zeros(size, size)
    mask[first:last, first:last] = 1
    return mask


def loss_of(logits: Tensor, asked: Tensor, other: Tensor, certain: bool = False) -> float:
    """Loss of one prompt with perfect predicted IoU."""
    from losses import prompt_loss, true_iou

    targets = torch.stack([asked, other])[None, None]
    measured = true_iou(logits, targets)
    flags = torch.zeros(1, 1, dtype=torch.bool), torch.full((1, 1), certain)
    return float(prompt_loss(logits, measured, targets, *flags, 0.0)[0])


def test_the_right_masks_cost_next_to_nothing() -> None:
    """Saturated logits of the right mask in all four outputs: loss near 0 at any certainty."""
    small = square(4, 8, 16)
    target = square(8, 16, 32)
    logits = (20 * (2 * small - 1)).expand(1, 1, 4, -1, -1)
    # Enlarged logits cross 0 half-way between mask pixels, as the target does.
    assert loss_of(logits, target, target) < 0.1
    assert loss_of(logits, target, target, certain=True) < 0.12


def test_object_and_part_may_come_in_any_order() -> None:
    """Two right masks in two of the three outputs cost the same whichever outputs they are."""
    whole, part = (10 * (2 * square(*s, 16) - 1) for s in ((2, 12), (4, 7)))
    asked, other = square(4, 24, 32), square(8, 14, 32)
    rest = torch.full_like(whole, -10.0)
    costs = [
        loss_of(torch.stack([whole, *three])[None, None], asked, other)
        for three in ((whole, part, rest), (rest, whole, part), (part, rest, whole))
    ]
    assert max(costs) - min(costs) < 1e-5
    assert loss_of(torch.stack([whole, whole, rest, rest])[None, None], asked, other) > costs[0]


def test_a_box_wants_all_outputs_to_be_its_object() -> None:
    """One wrong output of three is cheap for a point, which has several answers, not for a box."""
    right, wrong = (8 * (2 * square(*s, 16) - 1) for s in ((4, 10), (11, 15)))
    target = square(8, 20, 32)
    good = torch.stack([right] * 4)[None, None]
    mixed = torch.stack([right, right, right, wrong])[None, None]
    extra = [
        loss_of(mixed, target, target, certain) - loss_of(good, target, target, certain)
        for certain in (False, True)
    ]
    assert 0 < extra[0] < 0.05
    assert extra[1] > 5 * extra[0]


def test_masks_are_compared_at_the_targets_size() -> None:
    """Of two masks equal after rounding, the one whose border falls right is the cheaper."""
    target = square(9, 21, 32)
    small = square(4, 11, 16)
    exact = torch.full((16, 16), -6.0)
    exact[small > 0] = 6.0
    rim = (small > 0) & (square(5, 10, 16) == 0)
    shifted = exact.clone()
    # A mask pixel half covered has logit 0: the border then runs through its middle.
    exact[rim] = 0.0
    costs = [loss_of(x.expand(1, 1, 4, -1, -1), target, target) for x in (exact, shifted)]
    assert costs[0] < costs[1]
