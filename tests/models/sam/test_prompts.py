"""Prompted masks against transformers' own processors, models and post-processing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from helpers import blobs, stock_of
from sam_hq_oracle import by_the_paper

from segcli.masks.connected import pieces_at
from segcli.masks.rle import decode, encode, segment_from_mask
from segcli.models.answer_settings import AnswerSettings
from segcli.models.sam import prompts
from segcli.models.sam.asking import points_in_pass
from segcli.models.sam.decoder import Decoder, Prompts
from segcli.models.sam.encoder import encode as encode_image
from segcli.models.sam.encoder import to_input_points
from segcli.models.sam.mask_input import logits_of_mask
from segcli.models.sam.prompts import answer, answer_points, answer_prompts, prompt_points
from segcli.models.settings import GenerateSettings
from segcli.records import Prompt

FAMILIES = ["sam", "sam_hq", "sam2", "sam3_tracker", "tiny"]
PROCESSORS = {
    "sam": transformers.SamProcessor,
    "sam_hq": transformers.SamHQProcessor,
    "sam2": transformers.Sam2Processor,
    "sam3_tracker": transformers.Sam3TrackerProcessor,
    "tiny": transformers.Sam2Processor,
}
KINDS = ["point", "points", "box", "points and box"]
SIZES = [(50, 70), (70, 40)]
SETTINGS = GenerateSettings(points_per_batch=4)


def asked(kind: str, height: int, width: int, count: int = 6) -> list[Prompt]:
    """Prompts of one kind in whole and broken pixels, two of them at opposite corners."""
    random = np.random.default_rng(5)
    found = []
    for number in range(count):
        size = np.array([width, height])
        low = random.uniform(0, 0.6, 2) * size
        box = (*low, *(low + random.uniform(0.1, 0.4, 2) * size)) if "box" in kind else None
        points = random.integers(0, size, (3 if "points" in kind else 1, 2)).astype(float)
        if number < 2:
            points[0] = (0, 0) if number else size - 1
        labels = [1, *random.integers(0, 2, len(points) - 1).tolist()]
        given = [(x, y, label) for (x, y), label in zip(points.tolist(), labels, strict=True)]
        found.append(Prompt(tuple(given) if "point" in kind else (), box))
    return found


@torch.inference_mode()
def by_transformers(name, runtime, picture, given, *, multimask):
    """Logits (N, M, H, W) at the picture's size and predicted IoU (N, M), as users get them."""
    kind = PROCESSORS[name]
    images = stock_of(runtime).image_processor
    target = {} if name in ("sam", "sam_hq") else {"target_size": runtime.input_size[0]}
    processor = kind(images, **target)
    asking = {}
    if given[0].points:
        asking["input_points"] = [[[list(p[:2]) for p in g.points] for g in given]]
        asking["input_labels"] = [[[p[2] for p in g.points] for g in given]]
    if given[0].box_xyxy:
        asking["input_boxes"] = [[list(map(float, g.box_xyxy)) for g in given]]
    inputs = processor(images=picture, return_tensors="pt", **asking)
    sizes = [inputs.pop("original_sizes").tolist()]
    if "reshaped_input_sizes" in inputs:
        sizes.append(inputs.pop("reshaped_input_sizes").tolist())
    if name == "sam_hq":
        some = [inputs.get(f"input_{what}") for what in ("points", "labels", "boxes")]
        tensors = [None if x is None else x[0].to(y) for x, y in zip(some, _TYPES, strict=True)]
        encoded = encode_image(runtime, picture)
        ious, low = by_the_paper(runtime, encoded, Prompts(*tensors), None, multimask=multimask)
        low = low[None]
    else:
        output = stock_of(runtime).model(**inputs, multimask_output=multimask)
        ious, low = output.iou_scores[0], output.pred_masks
    (logits,) = processor.post_process_masks(low, *sizes, binarize=False)
    return logits.numpy(), ious.numpy()


_TYPES = (torch.float32, torch.int64, torch.float32)


def check(answers, logits, ious):
    """Predicted IoU agrees, and every pixel but those at the threshold."""
    found = np.array([[s.predicted_iou for s in masks] for masks in answers])
    np.testing.assert_allclose(found, ious, atol=1e-5)
    masks = np.array([[decode(s.mask) for s in a] for a in answers])
    assert masks.shape == logits.shape
    doubtful = np.abs(logits) < 2e-5 * np.abs(logits).max()
    assert doubtful.mean() < 2e-3
    assert ((masks == (logits > 0)) | doubtful).all()
    assert 0 < masks.mean() < 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_masks_equal_those_of_transformers(runtime_of, name, kind):
    """Of every family and kind of prompt: three masks, and the single one, pixel by pixel."""
    runtime = runtime_of(name)
    for size in SIZES if name != "tiny" else SIZES[:1]:
        picture, given = blobs(3, *size), asked(kind, *size)
        encoded = encode_image(runtime, picture)
        for which in ("all", "single"):
            expected = by_transformers(name, runtime, picture, given, multimask=which == "all")
            settings = AnswerSettings(multimask=which, points_per_batch=4)
            check(answer_prompts(runtime, encoded, given, settings), *expected)


@pytest.mark.parametrize("name", ["sam", "sam2", "sam3_tracker", "tiny"])
def test_best_mask(runtime_of, name):
    """Of one point the mask of highest predicted IoU of three; of other prompts the single one."""
    runtime, picture = runtime_of(name), blobs(3)
    encoded = encode_image(runtime, picture)
    for kind in KINDS:
        given = asked(kind, 48, 64)
        of = {
            which: answer_prompts(runtime, encoded, given, AnswerSettings(multimask=which))
            for which in ("best", "all", "single")
        }
        if kind == "point":
            wanted = [(max(masks, key=lambda s: s.predicted_iou),) for masks in of["all"]]
            assert of["best"] == wanted
        else:
            assert of["best"] == of["single"]


def test_objects_of_all_kinds_in_one_picture(runtime_of):
    """Kinds may be mixed: answers come in the order of the prompts, each as if it were alone."""
    runtime, picture = runtime_of("sam"), blobs(3)
    mixed = [p for group in zip(*(asked(k, 48, 64) for k in KINDS), strict=True) for p in group]
    mixed[3] = Prompt(mixed[3].points, mask=encode(picture[..., 0] > 100), id=4, category=2)
    settings = AnswerSettings()
    together = answer(runtime, picture, mixed, settings)
    for prompt, segment in zip(mixed, together, strict=True):
        (alone,) = answer(runtime, picture, [prompt], settings)
        assert alone.predicted_iou == pytest.approx(segment.predicted_iou, abs=1e-5)
        # Rounding depends on how many are decoded at once: pixels at the threshold may differ.
        assert (decode(alone.mask) != decode(segment.mask)).mean() < 2e-3
        assert segment.prompt_points == prompt.points
        assert segment.prompt_box_xyxy == prompt.box_xyxy
        assert (segment.id, segment.category) == (prompt.id, prompt.category)
        assert segment.score == segment.predicted_iou
        assert segment.area == decode(segment.mask).sum()
    assert not answer(None, picture, [], settings)


# How many of three points each pass is asked with, by refinements, without a box and with one.
SESSIONS = {
    "points": [[3], [2, 3], [1, 2, 3], [1, 2, 3, 3]],
    "points and box": [[3], [2, 3], [1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3, 3]],
}


def stock_session(runtime, encoded, given, counts):
    """Logits and predicted IoU of transformers' own model, asked pass by pass."""
    points = to_input_points(encoded, np.array(given.points)[None, :, :2])[None]
    labels = torch.tensor([[[label for *_, label in given.points]]])
    box = None
    if given.box_xyxy:
        box = to_input_points(encoded, np.array(given.box_xyxy).reshape(1, 2, 2)).flatten(1)[None]
    mask = None
    for count in counts:
        # Of a single point without a box the best of three masks, as `multimask` "best" has it.
        several = count == 1 and mask is None and box is None
        output = stock_of(runtime).model(
            image_embeddings=[*(encoded.fine or ()), encoded.embedding]
            if encoded.fine
            else encoded.embedding,
            input_points=points[:, :, :count] if count else None,
            input_labels=labels[:, :, :count] if count else None,
            input_boxes=box,
            input_masks=mask,
            multimask_output=several,
        )
        ious, planes = output.iou_scores[0, 0], output.pred_masks[0, 0]
        best = int(ious.argmax())
        mask = planes[best][None, None]
        if runtime.ref.family.squashes:
            mask = mask.clamp(-32, 32)
    return planes[best], float(ious[best])


@torch.inference_mode()
@pytest.mark.parametrize("kind", list(SESSIONS))
@pytest.mark.parametrize("name", ["sam", "sam2", "sam3_tracker", "tiny"])
def test_cascade_equals_a_session_with_the_stock_model(runtime_of, name, kind):
    """Each pass is the stock model on one point more and the low-resolution mask before."""
    runtime, picture = runtime_of(name), blobs(3, 50, 70)
    encoded = encode_image(runtime, picture)
    (given,) = asked(kind, 50, 70, 1)
    for passes, counts in enumerate(SESSIONS[kind]):
        _, iou = stock_session(runtime, encoded, given, counts)
        (found,) = answer(runtime, picture, [given], AnswerSettings(cascade=passes))
        assert found.predicted_iou == pytest.approx(iou, abs=1e-4)
        assert found.prompt_points == given.points


@torch.inference_mode()
def test_a_cascade_of_corrections_is_its_own_mask(runtime_of):
    """The pixels, too, are those of the stock session, and not those of all points at once."""
    runtime, picture = runtime_of("sam2"), blobs(3, 64, 64)
    encoded = encode_image(runtime, picture)
    (given,) = asked("points", 64, 64, 1)
    plane, _ = stock_session(runtime, encoded, given, [1, 2, 3])
    logits = torch.nn.functional.interpolate(plane[None, None], (64, 64), mode="bilinear")[0, 0]
    (found,) = answer(runtime, picture, [given], AnswerSettings(cascade=2))
    doubtful = (logits.abs() < 1e-3).numpy()
    assert ((decode(found.mask) == (logits > 0).numpy()) | doubtful).all()
    other, _ = stock_session(runtime, encoded, given, [3, 3, 3])
    assert not torch.equal(plane > 0, other > 0)


@pytest.mark.parametrize(
    ("labels", "given", "refinements", "counts"),
    [
        ([1], {}, 3, [1, 1, 1, 1]),
        ([1, 0, 1], {}, 0, [3]),
        ([1, 0, 1], {}, 1, [2, 3]),
        ([1, 0, 1], {}, 4, [1, 2, 3, 3, 3]),
        ([0, 0, 1, 1], {}, 9, [3, 4, 4]),
        ([0, 1], {"box_xyxy": (1, 1, 9, 9)}, 1, [1, 2]),
        ([0, 1], {"box_xyxy": (1, 1, 9, 9)}, 3, [0, 1, 2, 2]),
        ([0, 1], {"mask": encode(np.ones((9, 9), bool))}, 3, [1, 2, 2, 2]),
        ([], {"box_xyxy": (1, 1, 9, 9)}, 2, [0, 0, 0]),
    ],
)
def test_points_in_pass(labels, given, refinements, counts):
    """One point more in each pass, the surplus in the first, and never a pass without a place."""
    prompt = Prompt(tuple((2.0, 3.0, label) for label in labels), **given)
    found = [points_in_pass(prompt, refinements, number) for number in range(len(counts))]
    assert found == counts


def test_cascade_changes_masks(runtime_of):
    """A refined mask of one point is not the first one, and there is one mask an object."""
    runtime, picture = runtime_of("sam"), blobs(3)
    given = asked("point", 48, 64)
    first = answer(runtime, picture, given, AnswerSettings())
    refined = answer(runtime, picture, given, AnswerSettings(cascade=1))
    assert len(first) == len(refined) == len(given)
    assert any(a.mask != b.mask for a, b in zip(first, refined, strict=True))


@torch.inference_mode()
@pytest.mark.parametrize("name", FAMILIES)
def test_mask_prompts(runtime_of, name):
    """A mask becomes logits of ±10 where the picture lies in the input, and outside in padding."""
    runtime, picture = runtime_of(name), blobs(3, 50, 70)
    encoded = encode_image(runtime, picture)
    mask = np.zeros((50, 70), bool)
    mask[10:40, 20:] = True
    logits = logits_of_mask(runtime, encoded, encode(mask))
    rows, columns = (4 * n for n in encoded.grid)
    assert logits.shape == (1, 1, rows, columns)
    scaled = np.array(encoded.scaled) / runtime.input_size * (rows, columns)
    middle = logits[0, 0, int(scaled[0] / 2)]
    assert middle[0] == pytest.approx(-10)
    assert middle[int(scaled[1]) - 2] == pytest.approx(10)
    if not runtime.ref.family.squashes:
        assert float(logits[0, 0, int(scaled[0]) + 1 :].max()) == -10
    given = Prompt(((30.0, 20.0, 1),), mask=encode(mask))
    (found,) = answer(runtime, picture, [given], AnswerSettings(multimask="single"))
    asking = Prompts(
        to_input_points(encoded, np.array([[[30.0, 20.0]]])), torch.ones(1, 1, dtype=torch.int64)
    )
    predicted = Decoder(runtime, encoded, logits).predict(asking, multimask=False)
    assert found.predicted_iou == pytest.approx(float(predicted.ious), abs=1e-5)


def test_mask_alone_comes_with_its_box(runtime_of):
    """A mask without points is asked for with its own box, which is not the user's."""
    runtime, picture = runtime_of("sam"), blobs(3)
    mask = segment_from_mask(np.pad(np.ones((20, 30), bool), ((8, 20), (10, 24))))
    alone = Prompt(mask=mask.mask)
    boxed = Prompt(box_xyxy=(10, 8, 40, 28), mask=mask.mask)
    (found,) = answer(runtime, picture, [alone], AnswerSettings(clip_to_box=True))
    (expected,) = answer(runtime, picture, [boxed], AnswerSettings())
    assert found.mask == expected.mask
    assert found.prompt_box_xyxy is None


@pytest.mark.parametrize("name", ["sam", "tiny"])
def test_clip_to_box(runtime_of, name):
    """A clipped mask is the mask in its box; prompts without a box are left alone."""
    runtime, picture = runtime_of(name), blobs(3)
    given = [*asked("box", 48, 64), *asked("point", 48, 64)]
    spilt = answer(runtime, picture, given, AnswerSettings())
    clipped = answer(runtime, picture, given, AnswerSettings(clip_to_box=True))
    y, x = np.mgrid[:48, :64] + 0.5
    for prompt, before, after in zip(given, spilt, clipped, strict=True):
        if prompt.box_xyxy is None:
            assert after == before
            continue
        x0, y0, x1, y1 = prompt.box_xyxy
        inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        np.testing.assert_array_equal(decode(after.mask), decode(before.mask) & inside)
    assert any(a.mask != b.mask for a, b in zip(spilt, clipped, strict=True))


@pytest.mark.parametrize("name", ["sam", "tiny"])
def test_connected(runtime_of, name):
    """Masks of points are the pieces at them; boxes and rough masks say nothing of pieces."""
    runtime, picture = runtime_of(name), blobs(3)
    given = [*asked("point", 48, 64, 9), *asked("box", 48, 64)]
    given += [Prompt(((5.0, 5.0, 1), (50.0, 30.0, 1), (20.0, 20.0, 0)))]
    plain = {"multimask": "all", "mask_threshold": 0.3}
    whole = answer(runtime, picture, given, AnswerSettings(**plain))
    pieces = answer(runtime, picture, given, AnswerSettings(connected=True, **plain))
    for before, after in zip(whole, pieces, strict=True):
        inside = [(x, y) for x, y, label in before.prompt_points if label]
        assert after.mask == (pieces_at(before.mask, inside) if inside else before.mask)
    assert any(a.mask != b.mask for a, b in zip(whole, pieces, strict=True))


def points_in(height: int, width: int) -> np.ndarray:
    return np.array([p.points[0][:2] for p in asked("point", height, width, 9)])


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_portions_change_nothing(runtime_of, batch):
    """How many points are decoded at once changes neither masks nor order."""
    runtime, picture, points = runtime_of("sam"), blobs(2), points_in(48, 64)
    expected = list(prompt_points(runtime, picture, points, GenerateSettings()))
    found = list(prompt_points(runtime, picture, points, GenerateSettings(points_per_batch=batch)))
    assert [[s.mask for s in a] for a in found] == [[s.mask for s in a] for a in expected]


def test_one_encoding_serves_many_questions(runtime_of, monkeypatch):
    """A picture is encoded once for all its objects, and an encoded one can be asked again."""
    runtime, points = runtime_of("sam"), points_in(48, 64)
    encoded = encode_image(runtime, blobs(4))
    calls = []
    monkeypatch.setattr(prompts, "encode_image", lambda *a: calls.append(a) or encoded)
    given = [p for kind in KINDS for p in asked(kind, 48, 64)]
    answer(runtime, blobs(4), given, AnswerSettings())
    assert len(calls) == 1
    together = list(answer_points(runtime, encoded, points, SETTINGS))
    alone = [next(answer_points(runtime, encoded, points[i : i + 1], SETTINGS)) for i in (0, 5)]
    assert [[s.mask for s in a] for a in alone] == [[s.mask for s in together[i]] for i in (0, 5)]


def test_every_mask_is_given(runtime_of):
    """No threshold drops a mask: an empty one has area 0."""
    settings = GenerateSettings(mask_threshold=1e6, pred_iou_thresh=1, stability_score_thresh=1)
    answers = list(prompt_points(runtime_of("sam"), blobs(4), points_in(48, 64), settings))
    assert [[s.area for s in masks] for masks in answers] == [[0, 0, 0]] * 9


def test_no_points_no_work():
    """A picture without points is not even encoded."""
    nothing = np.zeros((0, 2))
    assert not list(prompt_points(None, blobs(0), nothing, SETTINGS))


def test_inference_mode_ends_between_answers(runtime_of):
    """Whoever takes answers one by one is not left in inference mode."""
    for _ in prompt_points(runtime_of("sam"), blobs(0), points_in(48, 64), SETTINGS):
        assert not torch.is_inference_mode_enabled()


def test_half_precision_answers(runtime_of):
    """bfloat16 gives three masks of the right size, refined ones and those of masks too."""
    runtime = runtime_of("sam", torch.bfloat16)
    answers = list(prompt_points(runtime, blobs(5), points_in(48, 64), SETTINGS))
    assert {(len(a), a[0].mask.height, a[0].mask.width) for a in answers} == {(3, 48, 64)}
    given = Prompt(((3.0, 4.0, 1),), mask=encode(blobs(5)[..., 0] > 100))
    (refined,) = answer(runtime, blobs(5), [given], AnswerSettings(cascade=2))
    assert (refined.mask.height, refined.mask.width) == (48, 64)
