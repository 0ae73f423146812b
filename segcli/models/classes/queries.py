"""From queries, each a mask with a class, to segments: at full resolution, best first.

Source: Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation" (2022),
its inference for the three tasks. transformers' ``post_process_*`` differ: they resize logits to
384x384 and then 0/1 masks by nearest neighbour (instance), probabilities in place of logits
(panoptic), let later queries overwrite better ones, and give pixels to masks that do not hold them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segcli.masks.labels import segments_from_label_map
from segcli.masks.rle import encode, segment_from_rle
from segcli.models.classes.resample import PIXELS_AT_ONCE, bands, resized_rows
from segcli.models.classes.settings import ClassSettings
from segcli.records import Segment

__all__ = ["QueryOutput", "classes_of_queries", "objects_of_queries", "panoptic_of_queries"]


@dataclass(frozen=True, slots=True)
class QueryOutput:
    """What a model with queries says of one picture.

    Attributes:
        classes: (Q, C + 1) float32 logits, "no object" last.
        masks: (Q, h, w) float32 logits over exactly the picture, at any resolution.
    """

    classes: Tensor
    masks: Tensor


def classes_of_queries(output: QueryOutput, height: int, width: int) -> npt.NDArray[np.int32]:
    """(height, width) the label of each pixel: the most of class probability x mask probability."""
    weights = output.classes.softmax(-1)[:, :-1].T.contiguous()
    found = np.empty((height, width), np.int32)
    count = max(output.masks.shape[0], weights.shape[0])
    for start, stop in bands(count, height, width):
        inside = resized_rows(output.masks, height, width, start, stop).sigmoid()
        scores = weights @ inside.flatten(1)
        found[start:stop] = scores.argmax(0).view(stop - start, width).cpu().numpy()
    return found


def objects_of_queries(
    output: QueryOutput,
    height: int,
    width: int,
    settings: ClassSettings,
    things: frozenset[int] | None,
) -> tuple[Segment, ...]:
    """Countable things, best first; they may overlap.

    Args:
        output: what the model says.
        height: rows of the picture.
        width: columns of the picture.
        settings: `threshold` and `mask_threshold`.
        things: labels of countable things; None: all are.

    Returns:
        Segments with their label as category, and score = class probability x mean probability of
        the mask's pixels.
    """
    scores = output.classes.softmax(-1)[:, :-1]
    if things is not None:
        countable = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
        countable[sorted(things)] = True
        scores = scores * countable
    labels = scores.shape[1]
    best, places = scores.flatten().topk(min(scores.shape[0], scores.numel()))
    queries = places // labels
    cut = _logit(settings.mask_threshold)
    inside = output.masks > cut
    certainty = (output.masks.sigmoid() * inside).flatten(1).sum(1) / inside.flatten(1).sum(
        1
    ).clamp(min=1)
    best = best * certainty[queries]
    keep = ((best >= settings.threshold) & (best > 0)).nonzero().flatten()
    keep = keep[best[keep].argsort(descending=True, stable=True)]
    found = []
    step = max(1, PIXELS_AT_ONCE // (height * width))
    for first in range(0, len(keep), step):
        chunk = keep[first : first + step]
        masks = _full_masks(output.masks[queries[chunk]], height, width, cut)
        for index, mask in zip(chunk.tolist(), masks, strict=True):
            if mask.any():
                label = int(places[index]) % labels
                score = round(float(best[index]), 6)
                found.append(segment_from_rle(encode(mask), score=score, category=label))
    return tuple(found)


def _full_masks(
    logits: Tensor, height: int, width: int, cut: float
) -> Iterator[npt.NDArray[np.bool_]]:
    masks = np.empty((len(logits), height, width), bool)
    for start, stop in bands(len(logits), height, width):
        masks[:, start:stop] = (
            (resized_rows(logits, height, width, start, stop) > cut).cpu().numpy()
        )
    yield from masks


def panoptic_of_queries(
    output: QueryOutput,
    height: int,
    width: int,
    settings: ClassSettings,
    stuff: frozenset[int],
) -> tuple[Segment, ...]:
    """Segments that do not overlap, those of one stuff class joined.

    Each pixel goes to the query of the highest class probability x mask probability, if the pixel
    is inside that query's mask, and else to none.

    Args:
        output: what the model says.
        height: rows of the picture.
        width: columns of the picture.
        settings: all three thresholds.
        stuff: labels whose segments are one.

    Returns:
        Segments, best first, with their label as category and the class probability as score (of
        joined ones the mean, weighted by area).
    """
    scores, labels = output.classes.softmax(-1).max(-1)
    keep = (labels != output.classes.shape[1] - 1) & (scores > settings.threshold)
    if not bool(keep.any()):
        return ()
    scores, labels, masks = scores[keep], labels[keep], output.masks[keep]
    owner = np.zeros((height, width), np.int32)
    whole = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
    for start, stop in bands(len(scores), height, width):
        inside = resized_rows(masks, height, width, start, stop).sigmoid()
        best = (inside * scores[:, None, None]).argmax(0, keepdim=True)
        held = inside.gather(0, best) >= settings.mask_threshold
        owner[start:stop] = torch.where(held, best + 1, 0)[0].cpu().numpy()
        whole += (inside >= settings.mask_threshold).flatten(1).sum(1)
    return _merged(
        owner, whole.cpu().numpy(), scores.cpu().numpy(), labels.tolist(), settings, stuff
    )


def _merged(
    owner: npt.NDArray[np.int32],
    whole: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    labels: list[int],
    settings: ClassSettings,
    stuff: frozenset[int],
) -> tuple[Segment, ...]:
    """Segments of a map of queries (from 1): too much covered ones dropped, stuff joined."""
    area = np.bincount(owner.ravel(), minlength=len(labels) + 1)[1:]
    visible = area > settings.overlap_mask_area_threshold * whole
    ids = np.zeros(len(labels) + 1, np.int32)
    members: dict[int, list[int]] = {}
    joined: dict[int, int] = {}
    for query in np.argsort(-scores, kind="stable").tolist():
        if not (visible[query] and area[query]):
            continue
        label = labels[query]
        number = joined.get(label, len(members) + 1) if label in stuff else len(members) + 1
        if label in stuff:
            joined[label] = number
        ids[query + 1] = number
        members.setdefault(number, []).append(query)
    found = []
    for segment in segments_from_label_map(ids[owner]):
        queries = members[segment.id or 0]
        score = float(np.average(scores[queries], weights=area[queries]))
        found.append(
            segment_from_rle(
                segment.mask, score=round(score, 6), category=labels[queries[0]], id=segment.id
            )
        )
    return tuple(sorted(found, key=lambda s: -(s.score or 0.0)))


def _logit(probability: float) -> float:
    if probability <= 0:
        return -float("inf")
    if probability >= 1:
        return float("inf")
    return float(np.log(probability / (1 - probability)))
