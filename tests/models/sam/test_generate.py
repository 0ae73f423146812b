"""Segment-everything against the stock pipeline on the same model, and against itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import blobs
from PIL import Image

from segcli.masks.connected import pieces_at
from segcli.masks.rle import decode, segment_from_rle
from segcli.models.catalog import find
from segcli.models.sam import decoder as decoding
from segcli.models.sam import generate as generating
from segcli.models.sam.decoder import Decoder
from segcli.models.sam.encoder import encode, to_input_points
from segcli.models.sam.grid import grid_stages, point_grid
from segcli.models.sam.runtime import Runtime
from segcli.models.sam.trace import Frame
from segcli.models.segmenter import load
from segcli.models.settings import generate_settings

EXAMPLES = Path(__file__).parents[3] / "examples" / "images"
# Thresholds that a random model passes about half the time, and no suppression of its full boxes.
LOOSE = {
    "points_per_side": 6,
    "points_per_batch": 16,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.4791,
    "stability_score_offset": 0.05,
    "box_nms_thresh": 1.0,
}


def loaded(directory, backend="segcli", dtype="float32", **settings):
    ref = find(str(directory))
    return load(
        ref,
        generate_settings({**LOOSE, **settings}),
        device="cpu",
        dtype=dtype,
        backend=backend,
    )


def assert_same_masks(ours, theirs) -> None:
    """As many masks, each with a twin of the same score; float32 rounding may move a pixel."""
    assert len(ours) == len(theirs)
    left = [(s.score, decode(s.mask)) for s in theirs]
    for segment in ours:
        mask = decode(segment.mask)
        twin = next(
            (
                i
                for i, (score, other) in enumerate(left)
                if abs(score - segment.score) < 1e-4
                and (mask & other).sum() >= 0.999 * (mask | other).sum()
            ),
            None,
        )
        assert twin is not None, segment
        del left[twin]


@pytest.mark.parametrize("size", [(48, 64), (64, 40), (64, 64), (130, 90), (1, 1), (3, 50)])
def test_sam_equals_the_stock_pipeline(sam_dir, size):
    """SAM: the same masks with the same scores as the stock pipeline, on pictures of any shape."""
    picture = blobs(7, *size) if min(size) > 8 else np.full((*size, 3), 90, np.uint8)
    ours = loaded(sam_dir).segment(picture)
    theirs = loaded(sam_dir, "transformers").segment(picture)
    assert_same_masks(ours, theirs)
    if min(size) > 8:
        assert len(ours) > 3


def test_sam_with_suppression_equals_the_stock_pipeline(sam_dir):
    """Thresholds and box suppression decide alike."""
    picture = blobs(8)
    for settings in ({"box_nms_thresh": 0.7}, {"pred_iou_thresh": 0.05}):
        ours = loaded(sam_dir, **settings).segment(picture)
        theirs = loaded(sam_dir, "transformers", **settings).segment(picture)
        assert_same_masks(ours, theirs)


def test_bundled_model_equals_the_stock_pipeline():
    """The SAM2 family: the same masks as the stock pipeline on a square picture."""
    picture = blobs(9, 96, 96)
    settings = {"pred_iou_thresh": 0.1, "stability_score_thresh": 0.2, "box_nms_thresh": 0.7}
    ours = loaded(find("tiny").directory, **settings).segment(picture)
    theirs = loaded(find("tiny").directory, "transformers", **settings).segment(picture)
    assert_same_masks(ours, theirs)
    assert ours


def test_grid_covers_a_picture_that_is_squashed():
    """The SAM2 family's points reach all four borders of a picture that is not square."""
    model = loaded(find("tiny").directory)
    for height, width in ((48, 96), (96, 48)):
        encoded = encode(model.runtime, blobs(1, height, width))
        corner = to_input_points(encoded, np.array([[width, height]], dtype=float))
        assert tuple(corner[0].tolist()) == model.runtime.input_size[::-1]


@pytest.mark.parametrize("name", ["sam", "sam_hq", "sam2", "sam3_tracker"])
@pytest.mark.parametrize("multimask", [True, False])
def test_points_per_batch_changes_nothing(directory_of, name, multimask):
    """How many points are decoded at once decides memory, not masks.

    Products of other sizes may round the last digits of predicted IoU, and a pixel, differently.
    """
    model = loaded(directory_of(name), multimask=multimask, stability_score_thresh=0.0)
    picture = blobs(2)
    everything = model.segment(picture)
    assert len(everything) > 20
    for batch in (1, 5, 0):
        settings = replace(model.settings, points_per_batch=batch)
        assert_same_masks(replace(model, settings=settings).segment(picture), everything)


def test_segments_are_whole(sam_dir):
    """Every segment carries its provenance, is measured from its mask, and comes best first."""
    segments = loaded(sam_dir).segment(blobs(3))
    assert segments
    scores = [s.score for s in segments]
    assert scores == sorted(scores, reverse=True)
    for segment in segments:
        mask = decode(segment.mask)
        assert mask.shape == (48, 64)
        assert segment.area == mask.sum()
        ys, xs = np.nonzero(mask)
        left, top = xs.min(), ys.min()
        assert segment.box_xywh == (left, top, xs.max() + 1 - left, ys.max() + 1 - top)
        assert segment.crop_box_xywh == (0, 0, 64, 48)
        assert 0 <= segment.stability_score <= 1
        assert segment.score == segment.predicted_iou


def test_crops(sam_dir):
    """Crop layers add masks whose crop box says where they were made, in the whole picture."""
    segments = loaded(sam_dir, crop_n_layers=1, crop_n_points_downscale_factor=2).segment(blobs(4))
    crops = {s.crop_box_xywh for s in segments}
    assert all(s.mask.height == 48 and s.mask.width == 64 for s in segments)
    assert len(crops) >= 1


def test_max_masks_keeps_the_best(sam_dir):
    """--max-masks keeps the best of the same masks."""
    everything = loaded(sam_dir).segment(blobs(5))
    assert loaded(sam_dir, max_masks=2).segment(blobs(5)) == everything[:2]


def test_small_regions_are_removed(sam_dir):
    """--min-mask-region-area leaves no smaller island."""
    from scipy import ndimage

    segments = loaded(sam_dir, min_mask_region_area=6).segment(blobs(6))
    assert segments
    for segment in segments:
        labels, count = ndimage.label(decode(segment.mask), np.ones((3, 3)))
        areas = np.bincount(labels.ravel())[1:]
        assert count == 1 or areas.min() >= 6


@pytest.mark.parametrize("name", ["sam", "tiny"])
def test_connected_keeps_the_piece_at_the_point(directory_of, name):
    """Each mask is the piece of the whole one that its point means, with area and box of it."""
    picture, flags = blobs(3, 60, 90), {"stability_score_thresh": 0.0, "mask_threshold": 0.3}
    whole = loaded(directory_of(name), **flags).segment(picture)
    pieces = loaded(directory_of(name), connected=True, **flags).segment(picture)
    changed = 0
    for segment, piece in zip(whole, pieces, strict=True):
        assert piece.mask == pieces_at(segment.mask, [segment.point_xy])
        assert piece == segment_from_rle(
            piece.mask,
            **{n: getattr(segment, n) for n in ("score", "predicted_iou", "stability_score")},
            point_xy=segment.point_xy,
            crop_box_xywh=segment.crop_box_xywh,
        )
        changed += piece.mask != segment.mask
    assert changed


def test_single_mask(sam_dir):
    """--single-mask gives at most one mask a point."""
    segments = loaded(sam_dir, multimask=False).segment(blobs(5))
    points = [s.point_xy for s in segments]
    assert len(points) == len(set(points))


@pytest.mark.parametrize("name", ["sam", "sam_hq", "sam2", "sam3_tracker"])
def test_half_precision(directory_of, name):
    """In bfloat16 the masks are there, and nearly as those of float32."""
    settings = {"stability_score_thresh": 0.0, "points_per_side": 4}
    exact = loaded(directory_of(name), **settings).segment(blobs(5))
    half = loaded(directory_of(name), dtype="bfloat16", **settings).segment(blobs(5))
    assert len(exact) == len(half) == 48
    means = [np.mean([decode(s.mask) for s in found], axis=0) for found in (exact, half)]
    assert np.abs(means[0] - means[1]).mean() < 0.1
    assert np.abs(np.mean([s.score for s in exact]) - np.mean([s.score for s in half])) < 0.02


def test_half_precision_of_the_bundled_model():
    """In bfloat16 masks of a predicted IoU above 0.5 are nearly those of float32: mean IoU 0.99.

    Points on nothing have masks without an edge to speak of, which the model's threshold drops:
    with them it is 0.98.
    """
    picture = np.asarray(Image.open(EXAMPLES / "coins_000002.png").convert("RGB"))
    settings = {"stability_score_thresh": 0.0, "points_per_side": 5, "multimask": False}
    exact = loaded("tiny", **settings).segment(picture)
    half = loaded("tiny", dtype="bfloat16", **settings).segment(picture)
    masks = {s.point_xy: decode(s.mask) for s in half}
    assert len(exact) == len(masks) == 25
    pairs = [(decode(s.mask), masks[s.point_xy]) for s in exact]
    ious = np.array([(a & b).sum() / (a | b).sum() for a, b in pairs])
    good = np.array([s.predicted_iou > 0.5 for s in exact])
    assert good.sum() > 5
    assert ious[good].mean() > 0.99
    assert ious.mean() > 0.98


@pytest.mark.parametrize("name", ["sam", "sam_hq", "sam2", "tiny", "sam3_tracker"])
def test_half_precision_knows_where_it_is(directory_of, name):
    """Positions are those of float32 to the last digit, and what has pixels is halved."""
    exact = loaded(directory_of(name)).runtime.model
    half = loaded(directory_of(name), dtype="bfloat16").runtime.model
    for (key, a), (_, b) in zip(exact.named_parameters(), half.named_parameters(), strict=True):
        if key.startswith(("prompt_encoder.", "shared_image_embedding.")):
            assert torch.equal(a, b)
        elif key.startswith("mask_decoder.upscale_"):
            assert b.dtype == torch.bfloat16
    a, b = (m.prompt_encoder.shared_embedding.positional_embedding for m in (exact, half))
    assert torch.equal(a, b)


def test_half_precision_with_suppression(sam_dir):
    """bfloat16 runs through suppression and gives masks."""
    assert loaded(sam_dir, dtype="bfloat16", box_nms_thresh=0.7).segment(blobs(5))


@pytest.fixture
def questions(monkeypatch):
    """What is asked of a model: for each stage its points and the candidates it gave."""
    whole, asked = generating._ask, []

    def ask(scene, points):
        found = list(whole(scene, points))
        asked.append((points, found))
        return iter(found)

    monkeypatch.setattr(generating, "_ask", ask)
    return asked


SPARSE = {"stability_score_thresh": 0.0, "box_nms_thresh": 0.9, "pred_iou_thresh": 0.02}


def test_coarse_to_fine_leaves_out_points_on_masks(sam_dir, questions):
    """First a quarter of the grid is asked, then of the rest exactly the points on no mask yet."""
    model = loaded(sam_dir, coarse_to_fine=True, **SPARSE)
    assert model.segment(blobs(2))
    (coarse, found), (fine, _) = questions
    stages = [point_grid(6)[s] * [64, 48] for s in grid_stages(6, coarse_to_fine=True)]
    assert np.array_equal(coarse, stages[0])
    kept = generating._best(found, model.settings)
    masks = np.array([decode(c.mask) for c in kept])
    x, y = np.floor(stages[1]).astype(int).T
    free = ~masks[:, y, x].any(0)
    assert 0 < free.sum() < len(free)
    assert np.array_equal(fine, stages[1][free])


def test_coarse_to_fine_in_crops(sam_dir, questions):
    """In a crop a point is where it is in the image: the same rule holds there."""
    model = loaded(sam_dir, coarse_to_fine=True, crop_n_layers=1, **SPARSE)
    picture = blobs(2, 80, 100)
    model.segment(picture)
    asked = iter(questions)
    skipped = 0
    for (left, top, right, bottom), _ in generating.crop_boxes(80, 100, 1, 512 / 1500):
        grid = point_grid(6) * [right - left, bottom - top]
        coarse, rest = (grid[s] for s in grid_stages(6, coarse_to_fine=True))
        points, found = next(asked)
        assert np.array_equal(points, coarse)
        x, y = np.floor(rest + np.array([left, top])).astype(int).T
        covered = np.zeros(len(rest), bool)
        for candidate in generating._best(found, model.settings):
            covered |= decode(candidate.mask)[y, x]
        points, _ = next(asked)
        assert np.array_equal(points, rest[~covered])
        skipped += covered.sum()
    assert not list(asked)
    assert skipped


def test_coarse_to_fine_asks_everything_where_nothing_is_found(sam_dir, questions):
    """Without a mask after the first stage each point of the grid is asked, once."""
    assert not loaded(sam_dir, coarse_to_fine=True, pred_iou_thresh=1.0).segment(blobs(2))
    points = np.concatenate([points for points, _ in questions])
    assert len(points) == 36
    assert len(np.unique(points, axis=0)) == 36


def test_coarse_to_fine_decodes_less(sam_dir, monkeypatch):
    """Fewer prompts are decoded, and each segment comes of one that was."""
    whole, counts = Decoder.predict, []

    def predict(self, prompts, *, multimask):
        counts.append(len(prompts.points))
        return whole(self, prompts, multimask=multimask)

    monkeypatch.setattr(Decoder, "predict", predict)
    found = loaded(sam_dir, coarse_to_fine=True, **SPARSE).segment(blobs(2))
    fewer = sum(counts)
    counts.clear()
    loaded(sam_dir, **SPARSE).segment(blobs(2))
    assert fewer < sum(counts) == 36
    assert 0 < len({s.point_xy for s in found}) <= fewer


def scene_of(model, picture, crop=None):
    """A picture, or a crop of it, ready for prompts."""
    height, width = picture.shape[:2]
    left, top, right, bottom = crop = crop or (0, 0, width, height)
    encoded = encode(model.runtime, picture[top:bottom, left:right])
    frame = Frame(left, top, height, width)
    decoder = Decoder(model.runtime, encoded)
    return generating._Scene(model.runtime, model.settings, encoded, decoder, crop, frame)


CHUNKS = [range(5), range(5, 10), range(10, 13), range(13, 36)]


@pytest.mark.parametrize("crop", [None, (10, 8, 60, 48)])
@torch.inference_mode()
def test_path_for_a_gpu_gives_the_same(sam_dir, crop):
    """Decoding one chunk ahead gives the candidates of decoding chunk by chunk, in their order."""
    scene = scene_of(loaded(sam_dir), blobs(2), crop)
    points = point_grid(6) * [scene.encoded.width, scene.encoded.height]
    expected = [c for chunk in CHUNKS for c in generating._answered(scene, points, chunk)]
    decoded = generating._one_ahead(scene, points, CHUNKS)
    found = [c for some in decoded for c in generating._passing(scene, points, some)]
    assert len(found) == len(expected) > 5
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.mask, ours.point, ours.crop) == (theirs.mask, theirs.point, theirs.crop)
        assert (ours.predicted_iou, ours.stability) == (theirs.predicted_iou, theirs.stability)
        assert np.array_equal(ours.box, theirs.box)


@torch.inference_mode()
def test_path_for_a_gpu_launches_one_ahead(sam_dir, monkeypatch):
    """The next chunk is on its way before the scores of the last are waited for."""
    launch, collect, events = generating._launched, generating._collected, []

    def launched(scene, points, chunk):
        events.append(("launch", chunk[0]))
        return launch(scene, points, chunk)

    def collected(scene, waiting):
        events.append(("collect", waiting.chunk[0]))
        return collect(scene, waiting)

    monkeypatch.setattr(generating, "_launched", launched)
    monkeypatch.setattr(generating, "_collected", collected)
    scene = scene_of(loaded(sam_dir), blobs(2))
    list(generating._one_ahead(scene, point_grid(6) * [64, 48], CHUNKS[:3]))
    assert events == [
        ("launch", 0),
        ("launch", 5),
        ("collect", 0),
        ("launch", 10),
        ("collect", 5),
        ("collect", 10),
    ]
    assert not list(generating._one_ahead(scene, np.zeros((0, 2)), []))


@pytest.mark.parametrize("name", ["sam", "sam_hq", "sam2"])
@pytest.mark.parametrize("settings", [{}, SPARSE, {"pred_iou_thresh": 1.0}])
def test_whole_run_as_on_a_gpu(directory_of, name, settings, monkeypatch):
    """Segment-everything as it runs beside a GPU gives the segments that it gives on the CPU."""
    model = loaded(
        directory_of(name), crop_n_layers=1, points_per_side=3, points_per_batch=4, **settings
    )
    expected = model.segment(blobs(2))
    assert not model.runtime.on_gpu
    monkeypatch.setattr(Runtime, "on_gpu", property(lambda _: True))
    assert model.segment(blobs(2)) == expected


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("part", ["predict", "logits"])
def test_memory_runs_out(sam_dir, monkeypatch, on_gpu, part):
    """Where memory does not suffice, for prompts or for their masks, fewer are taken at once."""
    model = loaded(sam_dir, points_per_batch=0)
    expected = model.segment(blobs(2))
    owner = Decoder if part == "predict" else decoding._Masks
    whole, failures = getattr(owner, part), []

    def scarce(self, asked, **options):
        count = len(asked.points if part == "predict" else asked)
        if count > 4:
            failures.append(count)
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(self, asked, **options)

    monkeypatch.setattr(owner, part, scarce)
    monkeypatch.setattr(Runtime, "on_gpu", property(lambda _: on_gpu))
    assert_same_masks(model.segment(blobs(2)), expected)
    assert failures
