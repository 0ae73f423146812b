"""The training forward is the stock forward, computed with less repetition."""

from __future__ import annotations

from typing import Any

import pytest
import torch


@pytest.fixture(scope="module")
def model() -> Any:
    """The architecture at 64 pixels with random weights, normalisations folded."""
    from model import build_config, fold_batchnorm, initialise
    from transformers import EdgeTamModel

    torch.manual_seed(0)
    made = EdgeTamModel(build_config(64)).eval()
    for module in made.vision_encoder.backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            torch.nn.init.normal_(module.bias, 0.0, 0.3)
    fold_batchnorm(made)
    initialise(made, torch.randn(2, 3, 64, 64))
    return made


def test_folding_keeps_the_backbone_as_it_was() -> None:
    """Moving the normalisations into the convolutions changes no feature."""
    from model import build_config, fold_batchnorm
    from transformers import EdgeTamModel

    torch.manual_seed(0)
    made = EdgeTamModel(build_config(64)).eval()
    for module in made.vision_encoder.backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = made.vision_encoder.backbone(images).last_hidden_state
        fold_batchnorm(made)
        after = made.vision_encoder.backbone(images).last_hidden_state
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=3e-4)


@pytest.mark.parametrize("multimask", [True, False])
def test_points_equal_the_stock_forward(model: Any, multimask: bool) -> None:
    """Several points on two pictures give the masks and scores of EdgeTamModel.forward."""
    from model import ABSENT, NOT_A_POINT, POSITIVE, Trainee

    torch.manual_seed(1)
    images, points = torch.randn(2, 3, 64, 64), torch.rand(2, 3, 1, 2) * 64
    trainee = Trainee(model)
    coordinates = torch.zeros(2, 3, 3, 2)
    coordinates[:, :, :1] = points
    labels = torch.tensor([POSITIVE, NOT_A_POINT, ABSENT]).expand(2, 3, -1)
    with torch.inference_mode():
        stock = model(pixel_values=images, input_points=points, multimask_output=multimask)
        logits, iou = trainee.decode(trainee.encode(images), torch.zeros(2, 2), coordinates, labels)
    own = slice(1, 4) if multimask else slice(0, 1)
    torch.testing.assert_close(logits[:, :, own], stock.pred_masks, rtol=1e-3, atol=3e-4)
    torch.testing.assert_close(iou[:, :, own], stock.iou_scores, rtol=1e-3, atol=3e-4)


def test_boxes_equal_the_stock_forward(model: Any) -> None:
    """Box prompts go through the same corners and empty point as in the stock prompt encoder."""
    from model import BOX_END, BOX_START, NOT_A_POINT, Trainee

    torch.manual_seed(2)
    images = torch.randn(1, 3, 64, 64)
    boxes = torch.tensor([[[4.0, 8.0, 40.0, 50.0], [20.0, 2.0, 30.0, 12.0]]])
    trainee = Trainee(model)
    coordinates = torch.zeros(1, 2, 3, 2)
    coordinates[:, :, :2] = boxes.reshape(1, 2, 2, 2)
    labels = torch.tensor([BOX_START, BOX_END, NOT_A_POINT]).expand(1, 2, -1)
    with torch.inference_mode():
        stock = model(pixel_values=images, input_boxes=boxes, multimask_output=True)
        logits, iou = trainee.decode(trainee.encode(images), torch.zeros(1, 2), coordinates, labels)
    torch.testing.assert_close(logits[:, :, 1:], stock.pred_masks, rtol=1e-3, atol=3e-4)
    torch.testing.assert_close(iou[:, :, 1:], stock.iou_scores, rtol=1e-3, atol=3e-4)
