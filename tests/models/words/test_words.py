"""Words against transformers' own processors, models and post-processing, on small models."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import blobs
from PIL import Image
from word_models import clipseg_in, grounding_dino_in, sam3_in

from segcli.errors import ConfigError
from segcli.masks.rle import decode
from segcli.models.answer_settings import AnswerSettings
from segcli.models.catalog import find
from segcli.models.words.detector import Detected, Detector, kept_by_class
from segcli.models.words.loaded import _loaded, load_words
from segcli.models.words.settings import WordSettings, word_settings

TEXTS = ("bright disc", "cat")
ALL = {"box_threshold": 0.0, "text_threshold": 0.0, "box_nms_thresh": 1.0}
SIZE = (50, 70)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """From a small model's name to its reference, model and processor; made when asked for."""
    makers = {
        "dino": grounding_dino_in,
        "mm": lambda folder: grounding_dino_in(folder, mm=True),
        "sam3": sam3_in,
        "clipseg": clipseg_in,
    }
    kept = {}

    def get(name):
        if name not in kept:
            ref = find(str(makers[name](tmp_path_factory.mktemp("words") / name)))
            kept[name] = (ref, *_loaded(ref, "cpu"))
        return kept[name]

    return get


@torch.inference_mode()
@pytest.mark.parametrize("name", ["dino", "mm"])
def test_boxes_equal_those_of_transformers(made, name):
    """Boxes and scores of Grounding DINO are the stock processor's, boxes cut at the picture."""
    _, model, processor = made(name)
    picture = blobs(3, *SIZE)
    inputs = processor(images=Image.fromarray(picture), text=list(TEXTS), return_tensors="pt")
    output = model(**inputs)
    for threshold in (0.0, float(output.logits.sigmoid().amax(-1).median())):
        settings = WordSettings(TEXTS, **{**ALL, "box_threshold": threshold})
        found = Detector(model, processor, settings).detect(picture)
        (expected,) = processor.post_process_grounded_object_detection(
            output, inputs.input_ids, threshold, 0.0, target_sizes=[SIZE]
        )
        boxes = np.clip(expected["boxes"].numpy(), 0, [70, 50, 70, 50])
        order = np.argsort(-expected["scores"].numpy(), kind="stable")
        there = [i for i in order if boxes[i, 2] > boxes[i, 0] and boxes[i, 3] > boxes[i, 1]]
        assert 0 < len(found) == len(there)
        np.testing.assert_allclose([f.score for f in found], expected["scores"][there], atol=1e-5)
        np.testing.assert_allclose([f.box_xyxy for f in found], boxes[there], atol=1e-3)


def test_a_box_belongs_to_the_text_of_its_best_token(made):
    """Tokens of each text are found among those that tie texts together; thresholds are of both."""
    _, model, processor = made("dino")
    detector = Detector(model, processor, WordSettings(TEXTS, **ALL))
    assert detector._tokens == [[1, 2], [4]]
    words = processor.tokenizer.convert_ids_to_tokens(
        processor.tokenizer("bright disc. cat.").input_ids
    )
    assert words == ["[CLS]", "bright", "disc", ".", "cat", ".", "[SEP]"]
    found = detector.detect(blobs(3))
    assert {each.category for each in found} <= {1, 2}
    strict = Detector(model, processor, WordSettings(TEXTS, **{**ALL, "text_threshold": 1.0}))
    assert strict.detect(blobs(3)) == []
    long = WordSettings(tuple(f"cat {'disc ' * i}" for i in range(1, 12)), **ALL)
    with pytest.raises(ConfigError, match="the detector takes 32"):
        Detector(model, processor, long)


def test_doubles_are_suppressed_class_by_class():
    """Of two boxes in one place the better stays, unless they answer different texts."""
    box, beside = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 10.0, 9.0)
    found = [Detected(box, 0.5, 1), Detected(beside, 0.9, 1), Detected(box, 0.7, 2)]
    assert kept_by_class(found, 0.7) == [found[1], found[2]]
    assert kept_by_class(found, 0.95) == [found[1], found[2], found[0]]
    assert kept_by_class([], 0.7) == []


@torch.inference_mode()
def test_sam3_equals_transformers(made):
    """Scores, boxes and masks of SAM 3 are those of the stock processor, text by text."""
    _, model, processor = made("sam3")
    from segcli.models.words.concepts import Concepts

    picture = blobs(3, *SIZE)
    settings = WordSettings(TEXTS, **{**ALL, "box_threshold": 0.3, "mask_threshold": 0.45})
    found = Concepts(model, processor, settings).segment(picture)
    expected = []
    for category, text in enumerate(TEXTS, start=1):
        inputs = processor(images=Image.fromarray(picture), text=text, return_tensors="pt")
        sizes = inputs.pop("original_sizes").tolist()
        (one,) = processor.post_process_instance_segmentation(
            model(**inputs), threshold=0.3, mask_threshold=0.45, target_sizes=sizes
        )
        expected += [
            (float(s), category, b.tolist(), m.numpy().astype(bool))
            for s, b, m in zip(one["scores"], one["boxes"], one["masks"], strict=True)
        ]
    expected.sort(key=lambda each: -each[0])
    assert len(found) == len(expected) > 4
    for segment, (score, category, box, mask) in zip(found, expected, strict=True):
        assert segment.score == pytest.approx(score, abs=1e-5)
        assert (segment.category, segment.category_name) == (category, TEXTS[category - 1])
        corners = np.clip(box, 0, [70, 50, 70, 50])
        np.testing.assert_allclose(segment.prompt_box_xyxy, corners, atol=1e-3)
        assert (decode(segment.mask) != mask).mean() < 2e-3
    assert 0 < np.mean([decode(s.mask).mean() for s in found]) < 1


@torch.inference_mode()
def test_clipseg_equals_transformers(made):
    """CLIPSeg's mask of a text is its map, enlarged, above the threshold; one look at a picture."""
    _, model, processor = made("clipseg")
    from segcli.models.words.concepts import Heat

    picture = blobs(3, *SIZE)
    inputs = processor(
        text=list(TEXTS), images=[Image.fromarray(picture)] * 2, padding=True, return_tensors="pt"
    )
    maps = torch.nn.functional.interpolate(model(**inputs).logits[:, None], SIZE, mode="bilinear")
    likely = maps[:, 0].sigmoid().numpy()
    threshold = float(np.median(likely))
    looks: list[int] = []
    model.clip.vision_model.register_forward_hook(lambda *_: looks.append(1))
    found = Heat(model, processor, WordSettings(TEXTS, mask_threshold=threshold)).segment(picture)
    assert len(looks) == 1
    assert {s.category for s in found} == {1, 2}
    for segment in found:
        plane = likely[segment.category - 1]
        near = np.abs(plane - threshold) < 1e-5
        assert ((decode(segment.mask) == (plane > threshold)) | near).all()
        assert segment.score == pytest.approx(plane[plane > threshold].mean(), abs=1e-4)
    assert Heat(model, processor, WordSettings(TEXTS, mask_threshold=1.0)).segment(picture) == ()


def test_boxes_become_masks_of_a_sam(made, sam_dir):
    """A detector's boxes are prompts of the SAM: both scores and the box are in each segment."""
    ref, model, processor = made("dino")
    settings = WordSettings(TEXTS, **ALL)
    loaded = load_words(
        find(str(sam_dir)), ref, settings, AnswerSettings(clip_to_box=True), device="cpu",
        dtype="float32",
    )  # fmt: skip
    picture = blobs(3)
    segments = loaded.segment(picture)
    boxes = Detector(model, processor, settings).detect(picture)
    assert len(segments) == len(boxes) > 0
    for segment, box in zip(segments, boxes, strict=True):
        assert segment.prompt_box_xyxy == pytest.approx(box.box_xyxy)
        assert segment.score == pytest.approx(box.score, abs=1e-6)
        assert segment.predicted_iou is not None
        assert segment.category_name == TEXTS[box.category - 1]
    assert loaded.facts()["dtype"] == "float32"


@pytest.mark.parametrize(
    ("texts", "values", "said"),
    [
        ((" ",), {}, "is empty"),
        (("a cat. a dog",), {}, "full stop"),
        (("cat", "Cat "), {}, "given twice"),
        (("cat",), {"box_threshold": 1.5}, "box-threshold"),
        (("cat",), {"box_treshold": 0.5}, "unknown setting"),
    ],
)
def test_refused(texts, values, said):
    """Texts that cannot be told apart, and values that are no shares, are named."""
    with pytest.raises(ConfigError, match=said):
        word_settings(texts, values)
