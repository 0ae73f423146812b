"""From an object asked for to what the decoder takes, and from its logits to a segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from segcli.masks.clip import clip_to_xyxy
from segcli.masks.connected import pieces_at
from segcli.masks.rle import segment_from_rle
from segcli.models.answer_settings import AnswerSettings
from segcli.models.sam.decoder import Prompts
from segcli.models.sam.encoder import Encoded, to_input_points
from segcli.models.sam.runtime import Runtime
from segcli.models.sam.trace import Frame, trace
from segcli.records import Prompt, Segment

__all__ = ["Kind", "Scene", "kind_of", "points_in_pass", "segment_of", "tensors_of"]


@dataclass(frozen=True, slots=True)
class Scene:
    """An encoded picture and how it is asked."""

    runtime: Runtime
    encoded: Encoded
    settings: AnswerSettings


@dataclass(frozen=True, slots=True)
class Kind:
    """What prompts that are decoded together have in common.

    Attributes:
        points: how many of their points are asked with, from the first.
        box: they have a box.
        multimask: the three masks of the ambiguity-aware tokens instead of the single one.
        best: of these only the one of highest predicted IoU.
    """

    points: int
    box: bool
    multimask: bool
    best: bool


def points_in_pass(prompt: Prompt, refinements: int, number: int) -> int:
    """How many of an object's points, in their order, one pass of a cascade is asked with.

    The points are the clicks of a session: each pass has one more than the pass before, and the
    last pass has all. Where there are more than the passes can bring one by one, the first pass
    has the surplus; where there are fewer, the last passes have all.

    Args:
        prompt: the object.
        refinements: passes behind the first.
        number: the pass, from 0.

    Returns:
        All points where nothing is refined. The first pass has at least a box, a mask with a
        point, or the points up to the first one inside the object: the models take nothing less.
    """
    labels = [label for *_, label in prompt.points]
    if prompt.box_xyxy is not None or not labels:
        least = 0
    elif prompt.mask is not None:
        least = 1
    else:
        least = labels.index(1) + 1 if 1 in labels else len(labels)
    return min(len(labels), max(least, len(labels) - refinements) + number)


def kind_of(prompt: Prompt, settings: AnswerSettings) -> Kind:
    """How the first pass of a prompt is asked."""
    points = points_in_pass(prompt, settings.cascade, 0)
    box = prompt.box_xyxy is not None
    ambiguous = points == 1 and not box and prompt.mask is None
    best = settings.multimask == "best"
    multimask = settings.multimask == "all" or (best and ambiguous)
    return Kind(points, box, multimask, best)


def tensors_of(scene: Scene, prompts: Sequence[Prompt], kind: Kind) -> Prompts:
    """Prompts of one kind as the decoder takes them, in pixels of the model's input."""
    device = scene.runtime.device
    points = labels = boxes = None
    if kind.points:
        asked = [prompt.points[: kind.points] for prompt in prompts]
        given = np.array(asked, dtype=np.float64)
        points = to_input_points(scene.encoded, given[..., :2]).to(device)
        labels = torch.from_numpy(given[..., 2].astype(np.int64)).to(device)
    if kind.box:
        corners = np.array([prompt.box_xyxy for prompt in prompts], dtype=np.float64)
        boxes = to_input_points(scene.encoded, corners.reshape(-1, 2, 2)).flatten(1).to(device)
    return Prompts(points, labels, boxes)


def segment_of(scene: Scene, prompt: Prompt, plane: torch.Tensor, iou: float) -> Segment:
    """The segment of an object from its mask logits (h, w) and their predicted IoU."""
    encoded, settings = scene.encoded, scene.settings
    frame = Frame(0, 0, encoded.height, encoded.width)
    rows, columns = encoded.resizer.nodes.needed, encoded.resizer.columns.needed
    traced = trace(
        encoded.resizer,
        frame,
        plane[:rows, :columns],
        threshold=settings.mask_threshold,
        offset=0,
    )
    mask = traced.rle
    inside = [(x, y) for x, y, label in prompt.points if label]
    if settings.clip_to_box and prompt.box_xyxy is not None:
        mask = clip_to_xyxy(mask, prompt.box_xyxy)
    if settings.connected and inside:
        mask = pieces_at(mask, inside)
    return segment_from_rle(
        mask,
        score=round(iou, 6),
        predicted_iou=round(iou, 6),
        point_xy=inside[0] if inside else None,
        prompt_points=prompt.points,
        prompt_box_xyxy=prompt.box_xyxy,
        category=prompt.category,
        category_name=prompt.category_name,
        id=prompt.id,
    )
