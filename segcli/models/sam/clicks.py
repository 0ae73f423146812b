"""Sessions of clicks: someone looks at each mask and clicks where it is wrong.

Source: the interactive protocol of SAM (Kirillov et al., "Segment Anything", 2023) and of RITM
(Sofiiuk et al., 2021): clicks add up, and each pass is given the low-resolution logits of the mask
before. transformers' own models, asked by hand with `input_masks`, give the same masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from segcli.models.answer_settings import AnswerSettings
from segcli.models.sam.asking import Scene, kind_of, segment_of, tensors_of
from segcli.models.sam.decoder import Decoder
from segcli.models.sam.encoder import encode as encode_image
from segcli.models.sam.mask_input import as_input
from segcli.models.sam.memory import with_less_at_once
from segcli.models.sam.runtime import Runtime
from segcli.models.settings import GenerateSettings
from segcli.records import RLE, Prompt, Segment

__all__ = ["Click", "Session", "User", "answer_clicks"]

Click = tuple[int, int, int]
"""x, y in pixels of the image, and 1 inside the object or 0 outside."""
User = Callable[[RLE | None], Click | None]
"""From the mask before, None at first, to the next click; None is content with the mask."""


@dataclass(frozen=True, slots=True)
class Session:
    """How long users click, and what the model is told.

    Attributes:
        clicks: the most clicks of an object.
        feed_mask: each pass is given the logits of the mask before, beside all clicks so far.
    """

    clicks: int
    feed_mask: bool = True


def answer_clicks(
    runtime: Runtime,
    image: npt.NDArray[np.uint8],
    users: Sequence[User],
    settings: GenerateSettings,
    session: Session,
) -> Iterator[tuple[Segment, ...]]:
    """Encode an image once and answer the clicks of several users, each after one object.

    The first click has the mask of highest predicted IoU of three, all later passes the single
    mask, as the authors of SAM advise.

    Args:
        runtime: the model.
        image: (H, W, 3) uint8 RGB.
        users: one an object; each is called by one thread at a time.
        settings: `mask_threshold` and `connected` are used.
        session: how they click.

    Yields:
        For each user, in order, the mask after each click, at the image's size, with its predicted
        IoU and all clicks so far. Without users the model is not run.

    Raises:
        MemoryError: there is not enough for a single prompt.
    """
    if not users:
        return
    with torch.inference_mode():
        encoded = encode_image(runtime, image)
        # Logits that are fed back are needed where the picture is padding, too.
        encoded = replace(encoded, needed=encoded.grid) if session.feed_mask else encoded
        decoder = Decoder(runtime, encoded)
    asked = AnswerSettings(mask_threshold=settings.mask_threshold, connected=settings.connected)
    scene = Scene(runtime, encoded, asked)

    def answered(numbers: Sequence[int]) -> list[tuple[Segment, ...]]:
        return [_answered(scene, decoder, session, users[number]) for number in numbers]

    alone = [[number] for number in range(len(users))]
    for masks in runtime.workers.map(partial(with_less_at_once, answered), alone):
        yield from masks


@torch.inference_mode()
def _answered(scene: Scene, decoder: Decoder, session: Session, user: User) -> tuple[Segment, ...]:
    clicks: list[Click] = []
    found: list[Segment] = []
    while len(clicks) < session.clicks:
        click = user(found[-1].mask if found else None)
        if click is None:
            break
        clicks.append(click)
        prompt = Prompt(tuple(clicks))
        kind = kind_of(prompt, scene.settings)
        predicted = decoder.predict(tensors_of(scene, [prompt], kind), multimask=kind.multimask)
        ious = predicted.ious[0].cpu()
        best = ious.argmax().view(1)
        plane = predicted.logits(best)[0].to("cpu", torch.float32)
        found.append(segment_of(scene, prompt, plane, float(ious[best])))
        if session.feed_mask:
            decoder = Decoder(scene.runtime, scene.encoded, as_input(scene.runtime, plane))
    return tuple(found)
