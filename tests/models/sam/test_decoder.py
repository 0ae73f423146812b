"""The folded decoder gives the stock decoder's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import blobs

from segcli.models.catalog import find
from segcli.models.sam.decoder import decode_points
from segcli.models.sam.encoder import encode, to_input_points
from segcli.models.sam.runtime import load_runtime


@pytest.fixture(scope="module", params=["sam", "tiny"])
def runtime(request, sam_dir):
    name = str(sam_dir) if request.param == "sam" else "tiny"
    return load_runtime(find(name), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("multimask", [True, False])
@torch.inference_mode()
def test_folded_equals_stock(runtime, multimask):
    """Predicted IoU and every mask logit agree to float32 rounding, for SAM and the SAM2 family."""
    encoded = encode(runtime, blobs(2, 50, 70))
    points = np.random.default_rng(0).uniform(0, 50, (9, 2))
    ours = decode_points(runtime, encoded, points, multimask=multimask)
    stock = runtime.model(
        **encoded.inputs,
        input_points=to_input_points(encoded, points)[None, :, None, :],
        input_labels=torch.ones(1, 9, 1, dtype=torch.int64),
        multimask_output=multimask,
    )
    assert type(ours).__name__ == "FoldedMasks"
    assert torch.allclose(ours.ious, stock.iou_scores[0], atol=1e-5)
    indices = torch.tensor([0, 2, ours.ious.numel() - 1, 2])
    expected = stock.pred_masks[0].flatten(0, 1)[indices]
    scale = expected.abs().max()
    assert torch.allclose(ours.logits(indices), expected, atol=float(2e-5 * scale))
