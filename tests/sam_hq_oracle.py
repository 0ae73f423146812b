"""SAM-HQ's decoder as its authors' implementation computes it: transformers' own is not theirs."""

from __future__ import annotations

import torch


def batched(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor[None]


def by_the_paper(runtime, encoded, prompts, mask, *, multimask):
    """SAM-HQ as its authors' implementation computes it, from transformers' layers.

    Source: "Segment Anything in High Quality" (Ke et al., 2023), figure 2: the high-quality token
    is multiplied by the fusion of early and late image features with the features *the mask
    decoder's transformer gave*.
    """
    layers, act = runtime.model.mask_decoder, torch.nn.functional.gelu
    sparse, dense = runtime.model.prompt_encoder(
        batched(prompts.points), batched(prompts.labels), batched(prompts.boxes), mask
    )
    count = sparse.shape[1]
    own = [layers.iou_token.weight, layers.mask_tokens.weight, layers.hq_token.weight]
    tokens = torch.cat([torch.cat(own).expand(1, count, -1, -1), sparse], dim=2)
    tokens, image = layers.transformer(
        point_embeddings=tokens,
        image_embeddings=(encoded.embedding + dense[:1]).repeat_interleave(count, 0),
        image_positional_embeddings=runtime.model.get_image_wide_positional_embeddings()
        .repeat_interleave(count, 0),
        attention_similarity=None,
        target_embedding=None,
    )  # fmt: skip
    image = image[:, 0].transpose(1, 2).unflatten(2, encoded.grid)
    upscaled = layers.upscale_conv1(image)
    upscaled = act(layers.upscale_conv2(act(layers.upscale_layer_norm(upscaled))))
    early = layers.compress_vit_conv1(encoded.early.permute(0, 3, 1, 2))
    early = layers.compress_vit_conv2(act(layers.compress_vit_norm(early)))
    late = act(layers.encoder_norm(layers.encoder_conv1(encoded.embedding)))
    fused = layers.encoder_conv2(late) + early
    deep = layers.mask_conv2(act(layers.mask_norm(layers.mask_conv1(upscaled)))) + fused
    ious = layers.iou_prediction_head(tokens[0, :, 0])
    heads = layers.output_hypernetworks_mlps
    kernels = torch.stack([h(tokens[0, :, 1 + i]) for i, h in enumerate(heads)], dim=1)
    masks = torch.einsum("nmc,nchw->nmhw", kernels, upscaled)
    high = torch.einsum("nc,nchw->nhw", layers.hq_mask_mlp(tokens[0, :, 1 + len(heads)]), deep)
    if not multimask:
        return ious[:, :1], masks[:, :1] + high[:, None]
    order = ious[:, 1:].argsort(dim=1, descending=True)
    rows = torch.arange(count)[:, None]
    return ious[:, 1:][rows, order], masks[:, 1:][rows, order] + high[:, None]
