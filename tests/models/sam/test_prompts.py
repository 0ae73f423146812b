"""Prompted masks against transformers' own processor, model and post-processing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from helpers import blobs

from segcli.masks.rle import decode
from segcli.models.sam.encoder import encode
from segcli.models.sam.prompts import answer_points, prompt_points
from segcli.models.settings import GenerateSettings

SETTINGS = GenerateSettings(points_per_batch=4)


# SAM-HQ is missing: transformers' own decoder for it is not the authors' (see test_decoder).
NAMES = ["sam", "sam2", "sam3_tracker", "tiny"]


@pytest.fixture(params=[*NAMES, "sam_hq"])
def runtime(request, runtime_of):
    return runtime_of(request.param)


def points_in(height: int, width: int, count: int = 9) -> np.ndarray:
    """Whole pixels, two of them at opposite corners."""
    random = np.random.default_rng(0)
    points = np.stack([random.integers(0, width, count), random.integers(0, height, count)], 1)
    points[0], points[1] = (0, 0), (width - 1, height - 1)
    return points.astype(float)


@torch.inference_mode()
def by_transformers(directory, picture, points):
    """Logits (N, 3, H, W) at the picture's size and predicted IoU (N, 3), as users get them."""
    model = transformers.AutoModelForMaskGeneration.from_pretrained(directory).eval()
    if model.config.model_type == "sam":
        images = transformers.SamImageProcessor.from_pretrained(directory)
        processor = transformers.SamProcessor(images)
    elif model.config.model_type == "sam3_tracker":
        images = transformers.Sam3ImageProcessor.from_pretrained(directory)
        processor = transformers.Sam3TrackerProcessor(images)
    else:
        processor = transformers.Sam2Processor.from_pretrained(directory)
    inputs = processor(
        images=picture,
        input_points=[[[p] for p in points.tolist()]],
        input_labels=[[[1]] * len(points)],
        return_tensors="pt",
    )
    sizes = [inputs.pop("original_sizes").tolist()]
    if "reshaped_input_sizes" in inputs:
        sizes.append(inputs.pop("reshaped_input_sizes").tolist())
    output = model(**inputs, multimask_output=True)
    (logits,) = processor.post_process_masks(output.pred_masks, *sizes, binarize=False)
    return logits.numpy(), output.iou_scores[0].numpy()


@pytest.mark.parametrize("size", [(48, 64), (90, 50), (64, 64)])
@pytest.mark.parametrize("name", NAMES)
def test_masks_equal_those_of_transformers(runtime_of, directory_of, name, size):
    """Three masks a point, in the model's order: only pixels at the threshold may differ."""
    picture, points = blobs(3, *size), points_in(*size)
    logits, ious = by_transformers(directory_of(name), picture, points)
    answers = list(prompt_points(runtime_of(name), picture, points, SETTINGS))
    assert [len(masks) for masks in answers] == [3] * len(points)
    np.testing.assert_allclose([[s.predicted_iou for s in a] for a in answers], ious, atol=1e-5)
    masks = np.array([[decode(s.mask) for s in a] for a in answers])
    assert masks.shape == logits.shape == (len(points), 3, *size)
    doubtful = np.abs(logits) < 2e-5 * np.abs(logits).max()
    assert doubtful.mean() < 1e-3
    assert ((masks == (logits > 0)) | doubtful).all()
    assert 0 < masks.mean() < 1


def test_segments_carry_their_prompt(runtime):
    """Each segment has the point it answers, in pixels, and is measured from its mask."""
    points = points_in(40, 60)
    for point, masks in zip(
        points,
        prompt_points(runtime, blobs(1, 40, 60), points, SETTINGS),
        strict=True,
    ):
        for segment in masks:
            assert segment.point_xy == tuple(point)
            assert segment.area == decode(segment.mask).sum()


def assert_same(found, expected) -> None:
    """The same masks in the same order; products of other sizes may round a pixel away."""
    assert [len(a) for a in found] == [len(a) for a in expected]
    for ours, theirs in zip(sum(found, ()), sum(expected, ()), strict=True):
        assert ours.point_xy == theirs.point_xy
        assert abs(ours.predicted_iou - theirs.predicted_iou) < 1e-5
        assert (decode(ours.mask) != decode(theirs.mask)).mean() < 1e-3


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_portions_change_nothing(runtime, batch):
    """How many points are decoded at once changes neither masks nor order."""
    picture, points = blobs(2), points_in(48, 64)
    expected = list(prompt_points(runtime, picture, points, GenerateSettings()))
    found = list(prompt_points(runtime, picture, points, GenerateSettings(points_per_batch=batch)))
    assert_same(found, expected)


def test_one_encoding_serves_many_questions(runtime):
    """An encoded picture can be asked again; nothing but the points changes the answer."""
    points = points_in(48, 64)
    with torch.inference_mode():
        encoded = encode(runtime, blobs(4))
    together = list(answer_points(runtime, encoded, points, SETTINGS))
    alone = [next(answer_points(runtime, encoded, points[i : i + 1], SETTINGS)) for i in (0, 5)]
    assert_same(alone, [together[i] for i in (0, 5)])


def test_every_mask_is_given(runtime):
    """No threshold drops a mask: an empty one has area 0."""
    settings = GenerateSettings(mask_threshold=1e6, pred_iou_thresh=1, stability_score_thresh=1)
    answers = list(prompt_points(runtime, blobs(4), points_in(48, 64), settings))
    assert [[s.area for s in masks] for masks in answers] == [[0, 0, 0]] * 9


def test_no_points_no_work():
    """A picture without points is not even encoded."""
    nothing = np.zeros((0, 2))
    assert not list(prompt_points(None, blobs(0), nothing, SETTINGS))


def test_inference_mode_ends_between_answers(runtime_of):
    """Whoever takes answers one by one is not left in inference mode."""
    for _ in prompt_points(runtime_of("sam"), blobs(0), points_in(48, 64), SETTINGS):
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("name", ["sam", "sam2", "sam3_tracker", "sam_hq"])
def test_half_precision_answers(runtime_of, name):
    """bfloat16 gives three masks of the right size, most pixels of which are those of float32."""
    points = points_in(48, 64)
    exact, half = (
        list(prompt_points(runtime_of(name, dtype), blobs(5), points, SETTINGS))
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert {(len(a), a[0].mask.height, a[0].mask.width) for a in half} == {(3, 48, 64)}
    expected, found = (np.array([[decode(s.mask) for s in a] for a in x]) for x in (exact, half))
    assert (found == expected).mean() > 0.9


def test_read_only_pictures(runtime_of):
    """A decoded picture, which is read-only, is taken without a warning and left as it is."""
    picture = blobs(5)
    before = picture.copy()
    picture.flags.writeable = False
    assert list(prompt_points(runtime_of("sam"), picture, points_in(48, 64, 2), SETTINGS))
    assert np.array_equal(picture, before)
