"""The bundled class-aware model: transformers' Mask2Former, and how it is initialised.

The backbone is timm's `tf_efficientnet_lite0` with ImageNet weights. The first queries stand for
one stuff class each; the others look at one place of a grid each, which their position codes say,
so that learning starts from a division of labour that such models otherwise take days to find.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    Mask2FormerImageProcessor,
    TimmBackboneConfig,
)

sys.path.append(str(Path(__file__).resolve().parents[1] / "train_tiny"))

from model import PIXEL_MEAN, PIXEL_STD, run_backbone
from panoptic_scenes import CLASSES, STUFF

IMAGE_SIZE = 256
WIDTH = 96
GRID = 8
QUERIES = len(STUFF) + GRID * GRID


def build_config() -> Mask2FormerConfig:
    """Configuration of the bundled model."""
    backbone = TimmBackboneConfig(
        backbone="tf_efficientnet_lite0",
        use_pretrained_backbone=False,
        features_only=True,
        out_indices=[1, 2, 3, 4],
    )
    return Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=WIDTH,
        mask_feature_size=WIDTH,
        hidden_dim=WIDTH,
        encoder_feedforward_dim=2 * WIDTH,
        dim_feedforward=4 * WIDTH,
        encoder_layers=1,
        decoder_layers=7,
        num_attention_heads=4,
        num_queries=QUERIES,
        id2label=dict(enumerate(CLASSES)),
        label2id={name: i for i, name in enumerate(CLASSES)},
    )


def build_processor() -> Mask2FormerImageProcessor:
    """Processor that squashes pictures to `IMAGE_SIZE` pixels a side."""
    return Mask2FormerImageProcessor(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        size_divisor=32,
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_STD] * 3,
        num_labels=len(CLASSES),
    )


def anchors() -> Tensor:
    """Centres of the queries' places, (GRID x GRID, 2) xy in 0..1."""
    steps = (torch.arange(GRID) + 0.5) / GRID
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def backbone_of(model: Mask2FormerForUniversalSegmentation) -> nn.Module:
    """Timm's network inside the model."""
    return model.model.pixel_level_module.encoder._backbone  # noqa: SLF001 (no other way in)


@torch.no_grad()
def initialise(model: Mask2FormerForUniversalSegmentation, seed: int = 0) -> None:
    """Initialise the queries so that each has its own place or class from the start."""
    generator = torch.Generator().manual_seed(seed)
    module = model.model.transformer_module
    size = WIDTH // 2
    frequency = 10000 ** (2 * (torch.arange(size) // 2) / size)
    angle = 2 * torch.pi * anchors()[..., None] / frequency
    code = torch.where(torch.arange(size) % 2 == 0, angle.sin(), angle.cos())
    # The model's own codes have y before x.
    place = torch.cat([code[:, 1], code[:, 0]], -1)
    module.queries_embedder.weight.normal_(0, 0.1, generator=generator)
    module.queries_embedder.weight[len(STUFF) :] = place
    module.queries_features.weight.normal_(0, 1, generator=generator)
    module.queries_features.weight[len(STUFF) :].mul_(0.1)
    # Codes of near places must be alike and those of far ones not: the slow waves say little.
    weight = torch.where(torch.arange(size) < 12, 2.5, 0.7).repeat(2)
    for layer in module.decoder.layers:
        matrix = nn.init.orthogonal_(torch.empty(WIDTH, WIDTH), generator=generator) * weight
        layer.cross_attn.in_proj_weight[:WIDTH] = matrix
        layer.cross_attn.in_proj_weight[WIDTH : 2 * WIDTH] = matrix
    prior = torch.full((len(CLASSES) + 1,), -1.0)
    prior[-1] = 1.5
    model.class_predictor.bias.copy_(prior)


class Trainee(nn.Module):
    """Mask2Former's forward for training, with what helps learning and is thrown away after it.

    Attributes:
        model: the model.
        pixel_classes: class of each pixel from the mask features alone.
        pixel_places: embedding whose likeness says whether two pixels share a segment.
    """

    def __init__(self, model: Mask2FormerForUniversalSegmentation) -> None:
        super().__init__()
        self.model = model
        self.pixel_classes = nn.Conv2d(WIDTH, len(CLASSES), 1)
        self.pixel_places = nn.Conv2d(WIDTH, 32, 1)

    def forward(
        self, images: Tensor, grad: bool = True, reduced: bool = False
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Predictions of every decoder layer, the initial ones first.

        Args:
            images: (B, 3, H, W) float32, normalised.
            grad: whether the backbone's deeper stages get gradients.
            reduced: whether what gets none is computed in bfloat16.

        Returns:
            classes: (B, QUERIES, C + 1) logits of each layer, "no object" last.
            masks: (B, QUERIES, H/4, W/4) logits of each layer.
            features: (B, WIDTH, H/4, W/4) mask features.
        """
        inner = self.model.model
        maps = run_backbone(backbone_of(self.model), images, grad, reduced)
        decoded = inner.pixel_level_module.decoder([m.contiguous() for m in maps])
        out = inner.transformer_module(
            multi_scale_features=list(decoded.multi_scale_features),
            mask_features=decoded.mask_features,
        )
        classes = [
            self.model.class_predictor(hidden.transpose(0, 1))
            for hidden in out.intermediate_hidden_states
        ]
        return classes, list(out.masks_queries_logits), decoded.mask_features
