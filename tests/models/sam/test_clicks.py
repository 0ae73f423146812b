"""Sessions of clicks against transformers' own models, asked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import blobs, stock_of

from segcli.masks.points import corrective_click
from segcli.masks.rle import decode
from segcli.models.sam import clicks as room
from segcli.models.sam.clicks import Session, answer_clicks
from segcli.models.sam.encoder import encode as encode_image
from segcli.models.sam.encoder import to_input_points
from segcli.models.settings import GenerateSettings

SIZE = 64
SETTINGS = GenerateSettings()


def square(top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[top : top + side, left : left + side] = True
    return mask


TRUTHS = [square(4, 6, 30), square(30, 34, 20), square(20, 2, 9)]


class User:
    """Clicks on one object, and remembers what it was shown and where it clicked."""

    def __init__(self, truth: np.ndarray) -> None:
        self.truth = truth
        self.shown: list[np.ndarray | None] = []
        self.clicks: list[tuple[int, int, int]] = []

    def __call__(self, mask):
        self.shown.append(None if mask is None else decode(mask))
        before = np.zeros_like(self.truth) if mask is None else decode(mask)
        made = corrective_click(self.truth ^ before, self.truth, [c[:2] for c in self.clicks])
        assert made is not None
        self.clicks.append(made)
        return made


@torch.inference_mode()
def by_hand(runtime, picture, truth, count, *, feed_mask):
    """Masks and predicted IoU after each click: the stock model and its own upsampling."""
    encoded = encode_image(runtime, picture)
    embeddings = [*(encoded.fine or ()), encoded.embedding] if encoded.fine else encoded.embedding
    mask, logits, made, found = np.zeros((SIZE, SIZE), bool), None, [], []
    for _ in range(count):
        made.append(corrective_click(truth ^ mask, truth, [c[:2] for c in made]))
        points = to_input_points(encoded, np.array([[c[:2] for c in made]], float))
        output = stock_of(runtime).model(
            image_embeddings=embeddings,
            input_points=points[None],
            input_labels=torch.tensor([[[label for *_, label in made]]]),
            input_masks=logits if feed_mask else None,
            multimask_output=len(made) == 1,
        )
        ious, planes = output.iou_scores[0, 0], output.pred_masks[0, 0]
        logits = planes[int(ious.argmax())][None, None]
        # The input is square and the picture fills it, so one resize leads to the picture.
        large = torch.nn.functional.interpolate(logits, (SIZE, SIZE), mode="bilinear")[0, 0]
        mask = (large > 0).numpy()
        found.append((mask, float(ious.max()), large.abs().numpy() < 1e-3))
        if runtime.ref.family.squashes:
            logits = logits.clamp(-32, 32)
    return made, found


@pytest.mark.parametrize("feed_mask", [True, False])
@pytest.mark.parametrize("name", ["sam", "sam2", "tiny"])
def test_sessions_equal_the_stock_model_asked_by_hand(runtime_of, name, feed_mask):
    """Every mask, predicted IoU and click of every object, with the mask fed back and without."""
    runtime, picture = runtime_of(name), blobs(3, SIZE, SIZE)
    users = [User(truth) for truth in TRUTHS]
    answers = list(answer_clicks(runtime, picture, users, SETTINGS, Session(4, feed_mask)))
    assert [len(masks) for masks in answers] == [4] * len(TRUTHS)
    for user, segments, truth in zip(users, answers, TRUTHS, strict=True):
        made, found = by_hand(runtime, picture, truth, 4, feed_mask=feed_mask)
        assert user.clicks == made
        for k, (segment, (mask, iou, doubtful)) in enumerate(zip(segments, found, strict=True), 1):
            assert segment.predicted_iou == pytest.approx(iou, abs=1e-4)
            assert ((decode(segment.mask) == mask) | doubtful).all()
            assert segment.prompt_points == tuple(made[:k])


def test_the_mask_that_is_fed_back_matters(runtime_of):
    """With and without it, the masks after the second click differ."""
    runtime, picture = runtime_of("sam2"), blobs(3, SIZE, SIZE)
    fed, unfed = (
        next(answer_clicks(runtime, picture, [User(TRUTHS[0])], SETTINGS, Session(2, feed)))
        for feed in (True, False)
    )
    assert fed[0].mask == unfed[0].mask
    assert fed[1].mask != unfed[1].mask


def test_a_picture_is_encoded_once(runtime_of, monkeypatch):
    """For all objects and clicks; and users are shown the mask that their clicks gave."""
    runtime, picture = runtime_of("sam2"), blobs(3, SIZE, SIZE)
    encoded, calls = encode_image(runtime, picture), []
    monkeypatch.setattr(room, "encode_image", lambda *a: calls.append(a) or encoded)
    users = [User(truth) for truth in TRUTHS]
    answers = list(answer_clicks(runtime, picture, users, SETTINGS, Session(3)))
    assert len(calls) == 1
    for user, segments in zip(users, answers, strict=True):
        assert user.shown[0] is None
        for shown, segment in zip(user.shown[1:], segments, strict=False):
            np.testing.assert_array_equal(shown, decode(segment.mask))


def test_a_user_may_be_content(runtime_of):
    """Who gives no further click gets no further mask, and others go on."""
    clicks = iter([(20, 20, 1), None])
    users = [lambda _: next(clicks), User(TRUTHS[1])]
    runtime = runtime_of("sam2")
    answers = list(answer_clicks(runtime, blobs(3, SIZE, SIZE), users, SETTINGS, Session(3)))
    assert [len(masks) for masks in answers] == [1, 3]


def test_a_shortage_of_memory_is_said(runtime_of, monkeypatch):
    """What torch says of memory becomes an error of Python's own kind."""

    def broken(*_):
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(room, "segment_of", broken)
    users = [User(TRUTHS[0])]
    with pytest.raises(MemoryError, match="single prompt"):
        list(answer_clicks(runtime_of("sam2"), blobs(3, SIZE, SIZE), users, SETTINGS, Session(2)))


def test_nobody_asks_nothing_is_run():
    """Without users the picture is not even encoded."""
    assert not list(answer_clicks(None, blobs(0), [], SETTINGS, Session(3)))
