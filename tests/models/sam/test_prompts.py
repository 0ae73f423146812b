"""Prompted masks against transformers' own processor, model and post-processing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from helpers import blobs

from segcli.masks.rle import decode
from segcli.models.catalog import find
from segcli.models.sam import prompts
from segcli.models.sam.encoder import encode
from segcli.models.sam.prompts import answer_points, prompt_points
from segcli.models.sam.runtime import load_runtime
from segcli.models.settings import GenerateSettings

SETTINGS = GenerateSettings(points_per_batch=4)


@pytest.fixture(scope="module")
def sam2_dir(tmp_path_factory):
    """A small SAM2 with seeded random weights."""
    torch.manual_seed(0)
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=16,
        num_attention_heads=1,
        image_size=[64, 64],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 4, 2],
        global_attention_blocks=[3],
        window_positional_embedding_background_size=[4, 4],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=32,
    )
    small = {"hidden_size": 32}
    config = transformers.Sam2Config(
        vision_config=vision,
        prompt_encoder_config={**small, "image_size": 64, "patch_size": 16},
        mask_decoder_config={
            **small,
            "mlp_dim": 64,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 32,
        },
    )
    model = transformers.Sam2Model(config)
    for parameter in model.mask_decoder.parameters():
        parameter.data = parameter.data * 4
    folder = tmp_path_factory.mktemp("models") / "sam2"
    model.save_pretrained(folder)
    sides = {"height": 64, "width": 64}
    images = transformers.Sam2ImageProcessor(size=sides, mask_size={"height": 16, "width": 16})
    transformers.Sam2Processor(images, target_size=64).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["sam", "sam2", "tiny"])
def directory(request, sam_dir, sam2_dir):
    return {"sam": sam_dir, "sam2": sam2_dir, "tiny": find("tiny").directory}[request.param]


def runtime_of(directory, dtype=torch.float32):
    return load_runtime(find(str(directory)), torch.device("cpu"), dtype)


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
def test_masks_equal_those_of_transformers(directory, size):
    """Three masks a point, in the model's order: only pixels at the threshold may differ."""
    picture, points = blobs(3, *size), points_in(*size)
    logits, ious = by_transformers(directory, picture, points)
    answers = list(prompt_points(runtime_of(directory), picture, points, SETTINGS))
    assert [len(masks) for masks in answers] == [3] * len(points)
    np.testing.assert_allclose([[s.predicted_iou for s in a] for a in answers], ious, atol=1e-5)
    masks = np.array([[decode(s.mask) for s in a] for a in answers])
    assert masks.shape == logits.shape == (len(points), 3, *size)
    doubtful = np.abs(logits) < 2e-5 * np.abs(logits).max()
    assert doubtful.mean() < 1e-3
    assert ((masks == (logits > 0)) | doubtful).all()
    assert 0 < masks.mean() < 1


def test_segments_carry_their_prompt(directory):
    """Each segment has the point it answers, in pixels, and is measured from its mask."""
    points = points_in(40, 60)
    for point, masks in zip(
        points,
        prompt_points(runtime_of(directory), blobs(1, 40, 60), points, SETTINGS),
        strict=True,
    ):
        for segment in masks:
            assert segment.point_xy == tuple(point)
            assert segment.area == decode(segment.mask).sum()


@pytest.mark.parametrize(("batch", "pixels"), [(1, 1), (3, 48 * 64 * 2), (64, 1 << 25)])
def test_portions_change_nothing(sam_dir, monkeypatch, batch, pixels):
    """How many points are decoded, and masks enlarged, at once changes neither masks nor order."""
    monkeypatch.setattr(prompts, "_PIXELS_AT_ONCE", pixels)
    runtime, picture, points = runtime_of(sam_dir), blobs(2), points_in(48, 64)
    expected = list(prompt_points(runtime, picture, points, GenerateSettings()))
    found = list(prompt_points(runtime, picture, points, GenerateSettings(points_per_batch=batch)))
    assert [[s.mask for s in a] for a in found] == [[s.mask for s in a] for a in expected]


def test_one_encoding_serves_many_questions(sam_dir):
    """An encoded picture can be asked again; nothing but the points changes the answer."""
    runtime, points = runtime_of(sam_dir), points_in(48, 64)
    with torch.inference_mode():
        encoded = encode(runtime, blobs(4))
    together = list(answer_points(runtime, encoded, points, SETTINGS))
    alone = [next(answer_points(runtime, encoded, points[i : i + 1], SETTINGS)) for i in (0, 5)]
    assert [[s.mask for s in a] for a in alone] == [[s.mask for s in together[i]] for i in (0, 5)]


def test_every_mask_is_given(sam_dir):
    """No threshold drops a mask: an empty one has area 0."""
    settings = GenerateSettings(mask_threshold=1e6, pred_iou_thresh=1, stability_score_thresh=1)
    answers = list(prompt_points(runtime_of(sam_dir), blobs(4), points_in(48, 64), settings))
    assert [[s.area for s in masks] for masks in answers] == [[0, 0, 0]] * 9


def test_no_points_no_work():
    """A picture without points is not even encoded."""
    nothing = np.zeros((0, 2))
    assert not list(prompt_points(None, blobs(0), nothing, SETTINGS))


def test_inference_mode_ends_between_answers(sam_dir):
    """Whoever takes answers one by one is not left in inference mode."""
    for _ in prompt_points(runtime_of(sam_dir), blobs(0), points_in(48, 64), SETTINGS):
        assert not torch.is_inference_mode_enabled()


def test_half_precision_answers(sam_dir):
    """bfloat16 goes through the stock decoder and gives three masks of the right size."""
    runtime = runtime_of(sam_dir, torch.bfloat16)
    answers = list(prompt_points(runtime, blobs(5), points_in(48, 64), SETTINGS))
    assert {(len(a), a[0].mask.height, a[0].mask.width) for a in answers} == {(3, 48, 64)}
