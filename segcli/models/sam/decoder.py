"""Prompts → predicted IoU and, for those that pass, low-resolution mask logits.

The numbers are those of transformers' SamMaskDecoder, SamHQMaskDecoder and Sam2MaskDecoder, up to
rounding. Predicted IoU depends on tokens only, so the image is upscaled only where a mask passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

import torch
from torch.nn import functional

from segcli.models.sam.encoder import Encoded
from segcli.models.sam.runtime import Runtime
from segcli.models.sam.two_way import ImageSide, attend, image_side
from segcli.models.sam.upscaling import HighQuality, Upscaler, to_image

__all__ = ["Decoder", "PredictedMasks", "Prompts"]


@dataclass(frozen=True, slots=True)
class Prompts:
    """N prompts of one kind: all have as many points, and all or none have a box.

    Attributes:
        points: (N, k, 2) float32 x, y in pixels of the model's input, or None.
        labels: (N, k) int64: 1 inside, 0 outside, 2 and 3 a box's corners where the model takes
            them as points; None without points.
        boxes: (N, 4) float32 xyxy in pixels of the model's input, or None.
    """

    points: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    boxes: torch.Tensor | None = None


class PredictedMasks(Protocol):
    """What a batch of prompts gave."""

    @property
    def ious(self) -> torch.Tensor:
        """(N, M) float32 predicted IoU; M is 3 or 1 masks a prompt."""

    def logits(self, indices: torch.Tensor) -> torch.Tensor:
        """(K, h, w) mask logits of K flat indices into `ious`, which are on the CPU."""


class Decoder:
    """A mask decoder on one image."""

    def __init__(
        self, runtime: Runtime, encoded: Encoded, mask_logits: torch.Tensor | None = None
    ) -> None:
        """Compute what all prompts share.

        Args:
            runtime: the model.
            encoded: the image.
            mask_logits: (1, 1, h, w) low-resolution logits that the prompts refine.
        """
        self._model = runtime.model
        self._module = runtime.model.mask_decoder
        self._encoded = encoded
        self.image = _image_side(self._model, encoded, mask_logits)
        self._upscaler = Upscaler(self._module, encoded.fine)
        self._features = _high_quality_features(self._module, encoded)
        self._special = _special_tokens(self._module)
        self._attend = compiled(attend) if runtime.compiled else attend

    def predict(self, prompts: Prompts, *, multimask: bool) -> PredictedMasks:
        """Decode prompts.

        Args:
            prompts: N prompts.
            multimask: the three masks of the ambiguity-aware tokens instead of the single one.
        """
        decoder = self._module
        sparse = self._embedded(prompts)
        tokens = torch.cat([self._special.expand(len(sparse), -1, -1), sparse], dim=1)
        tokens, pixels = self._attend(decoder.transformer, self.image, tokens)
        heads = decoder.output_hypernetworks_mlps
        first = 2 if hasattr(decoder, "obj_score_token") else 1
        kernels = torch.stack([h(tokens[:, first + i]) for i, h in enumerate(heads)], dim=1)
        kernels = kernels.to(pixels.dtype)
        ious = decoder.iou_prediction_head(tokens[:, first - 1]).float()
        extra = None
        if self._features is not None:
            own = decoder.hq_mask_mlp(tokens[:, first + len(heads)]).to(pixels.dtype)
            extra = HighQuality(self._features, own)
        masks = _Masks(ious, self._upscaler, pixels, kernels, extra, self._encoded.needed,
                       self._encoded.grid)  # fmt: skip
        if multimask:
            masks = masks.only(slice(1, None))
            return masks if extra is None else masks.best_first()
        if getattr(decoder, "dynamic_multimask_via_stability", False):
            return _chosen_by_stability(masks, decoder)
        return masks.only(slice(0, 1))

    def _embedded(self, prompts: Prompts) -> torch.Tensor:
        """(N, k, C) prompt tokens."""
        given = [None if x is None else x[None] for x in (prompts.points, prompts.labels,
                                                           prompts.boxes)]  # fmt: skip
        sparse, _ = self._model.prompt_encoder(*given, None)
        embedded: torch.Tensor = sparse[0].to(self._special.dtype)
        return embedded


@dataclass(frozen=True, slots=True)
class _Masks:
    """Predictions of a batch of prompts, whose masks are made on demand.

    Attributes:
        ious: (N, M) float32 predicted IoU of each prompt's masks.
        upscaler: makes mask logits.
        pixels: (N, T, C) image embedding as each prompt sees it after the transformer.
        kernels: (N, M, C/8) what each mask multiplies the upscaled embedding by.
        extra: SAM-HQ's own part, or None.
        needed: (h, w) embedding pixels that are upscaled; the rest is padding of the picture.
        grid: (h, w) of the embedding, h * w = T.
    """

    ious: torch.Tensor
    upscaler: Upscaler
    pixels: torch.Tensor
    kernels: torch.Tensor
    extra: HighQuality | None
    needed: tuple[int, int]
    grid: tuple[int, int]

    def only(self, which: slice) -> _Masks:
        """Some of each prompt's masks."""
        return self._with(self.ious[:, which], self.kernels[:, which])

    def best_first(self) -> _Masks:
        """Each prompt's masks in order of predicted IoU."""
        ious, order = self.ious.sort(dim=1, descending=True)
        return self._with(ious, self.kernels.gather(1, order[..., None].expand_as(self.kernels)))

    def _with(self, ious: torch.Tensor, kernels: torch.Tensor) -> _Masks:
        return replace(self, ious=ious, kernels=kernels)

    def logits(self, indices: torch.Tensor) -> torch.Tensor:
        """Mask logits (K, 4h, 4w) of some predictions, `needed` alone; indices on the CPU."""
        each, device = self.ious.shape[1], self.ious.device
        prompts, position = torch.unique(indices // each, return_inverse=True)
        prompts, position, which = (
            x.to(device, non_blocking=True) for x in (prompts, position, indices % each)
        )
        whole = len(prompts) == len(self.ious)
        pixels, kernels = (x if whole else x[prompts] for x in (self.pixels, self.kernels))
        planes = self._painted(self._cropped(pixels), kernels, prompts)
        return to_image(planes[position, which], self.needed)

    def _painted(
        self, pixels: torch.Tensor, kernels: torch.Tensor, prompts: torch.Tensor
    ) -> torch.Tensor:
        if self.extra is None:
            return self.upscaler.paint(pixels, kernels)
        extra = HighQuality(self.extra.features, self.extra.kernels[prompts])
        return self.upscaler.paint_high_quality(pixels, kernels, extra, self.needed)

    def _cropped(self, pixels: torch.Tensor) -> torch.Tensor:
        rows, columns = self.needed
        if columns == self.grid[1]:
            return pixels[:, : rows * columns]
        planes = pixels.view(len(pixels), *self.grid, -1)
        return planes[:, :rows, :columns].flatten(1, 2)


@dataclass(frozen=True, slots=True)
class _ReadyMasks:
    """Predictions whose masks had to be made to tell which of them count."""

    ious: torch.Tensor
    planes: torch.Tensor

    def logits(self, indices: torch.Tensor) -> torch.Tensor:
        """Mask logits (K, 4h, 4w) of some predictions, given as flat indices."""
        return self.planes.flatten(0, 1)[indices.to(self.planes.device)]


def _chosen_by_stability(masks: _Masks, decoder: Any) -> _ReadyMasks:  # noqa: ANN401
    """SAM2 asked for one mask: the single one if it is stable, else the best of the others."""
    planes = masks.logits(torch.arange(masks.ious.numel()))
    planes = planes.view(*masks.ious.shape, *planes.shape[1:])
    choose = decoder._dynamic_multimask_via_stability  # noqa: SLF001 (the model's own rule)
    chosen, ious = choose(planes[None], masks.ious[None])
    return _ReadyMasks(ious[0], chosen[0])


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that torch compiles, for each new shape, when it is called."""
    made: Callable[..., Any] = torch.compile(function, fullgraph=True, dynamic=False)
    return made


def _image_side(
    model: Any,  # noqa: ANN401 (a transformers model)
    encoded: Encoded,
    mask_logits: torch.Tensor | None,
) -> ImageSide:
    embedding = encoded.embedding
    encoder = model.prompt_encoder
    dense = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    if mask_logits is not None:
        dense = encoder.mask_embed(mask_logits.to(embedding.device))
    pixels = _channels_last(embedding + dense.to(embedding.dtype))
    positions = _channels_last(model.get_image_wide_positional_embeddings())
    return image_side(model.mask_decoder.transformer, pixels, positions)


def _special_tokens(decoder: Any) -> torch.Tensor:  # noqa: ANN401 (a transformers module)
    """The model's own tokens, in the order in which they are read off: (n, C)."""
    names = ("obj_score_token", "iou_token", "mask_tokens", "hq_token")
    return torch.cat([getattr(decoder, n).weight for n in names if hasattr(decoder, n)])


def _high_quality_features(decoder: Any, encoded: Encoded) -> torch.Tensor | None:  # noqa: ANN401
    """SAM-HQ's fused features of an image, (C/8, 4h, 4w)."""
    if encoded.early is None:
        return None
    early = decoder.compress_vit_conv1(encoded.early.permute(0, 3, 1, 2))
    early = decoder.compress_vit_conv2(functional.gelu(decoder.compress_vit_norm(early)))
    late = decoder.encoder_conv1(encoded.embedding)
    late = decoder.encoder_conv2(functional.gelu(decoder.encoder_norm(late)))
    fused: torch.Tensor = (late + early)[0]
    return fused


def _channels_last(planes: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) → (h * w, C)."""
    return planes[0].flatten(1).T.contiguous()
