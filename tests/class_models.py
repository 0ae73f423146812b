"""Small seeded class-aware models of the real transformers classes, saved as users save them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

NAMES = {0: "person", 1: "dog", 2: "sky", 3: "grass"}
THINGS = ["person", "dog"]
HEADS = ("class_predictor.weight", "class_labels_classifier.weight", "class_embed.layers.0.weight")
CARD = {"task": "panoptic", "things": THINGS}


def labels() -> dict:
    return {"id2label": dict(NAMES), "label2id": {v: k for k, v in NAMES.items()}}


def swin():
    from transformers import SwinConfig

    return SwinConfig(
        embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, image_size=64,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip


def saved(model, processor, folder: Path, card: dict | None = None) -> Path:
    # Random heads say much the same everywhere, or that nothing is there: these are louder.
    for name, parameter in model.named_parameters():
        if name.endswith(HEADS):
            parameter.data = parameter.data * 20
        elif name.endswith("bias") and name.replace("bias", "weight").endswith(HEADS):
            parameter.data[-1] = -10
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    if card is not None:
        (folder / "segcli.json").write_text(json.dumps(card))
    return folder


def mask2former(folder: Path) -> Path:
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
    )

    config = Mask2FormerConfig(
        backbone_config=swin(), feature_size=32, mask_feature_size=32, hidden_dim=32,
        encoder_feedforward_dim=32, dim_feedforward=32, encoder_layers=1, decoder_layers=2,
        num_attention_heads=2, num_queries=10, **labels(),
    )  # fmt: skip
    processor = Mask2FormerImageProcessor(size={"height": 64, "width": 64}, num_labels=4)
    return saved(Mask2FormerForUniversalSegmentation(config), processor, folder, CARD)


def maskformer(folder: Path) -> Path:
    from transformers import (
        DetrConfig,
        MaskFormerConfig,
        MaskFormerForInstanceSegmentation,
        MaskFormerImageProcessor,
    )

    decoder = DetrConfig(
        d_model=32, decoder_layers=1, encoder_layers=1, decoder_ffn_dim=32, encoder_ffn_dim=32,
        decoder_attention_heads=2, encoder_attention_heads=2, num_queries=10,
    )  # fmt: skip
    config = MaskFormerConfig(
        backbone_config=swin(), decoder_config=decoder, fpn_feature_size=32, mask_feature_size=32,
        **labels(),
    )  # fmt: skip
    processor = MaskFormerImageProcessor(size={"height": 64, "width": 64}, num_labels=4)
    return saved(MaskFormerForInstanceSegmentation(config), processor, folder, CARD)


def oneformer(folder: Path) -> Path:
    from transformers import (
        CLIPTokenizer,
        OneFormerConfig,
        OneFormerForUniversalSegmentation,
        OneFormerImageProcessor,
    )

    config = OneFormerConfig(
        backbone_config=swin(), num_queries=10, hidden_dim=32, mask_dim=32, conv_dim=32,
        encoder_feedforward_dim=32, encoder_layers=1, decoder_layers=2, dim_feedforward=32,
        num_attention_heads=2, query_dec_layers=1, task_seq_len=8, is_training=False,
        text_encoder_width=32, text_encoder_num_layers=1, text_encoder_vocab_size=600,
        text_encoder_context_length=8, **labels(),
    )  # fmt: skip
    words = ["<|startoftext|>", "<|endoftext|>"]
    letters = [chr(c) for c in range(ord("!"), ord("~") + 1)]
    vocabulary = {w: i for i, w in enumerate([*letters, *(f"{c}</w>" for c in letters), *words])}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[])
    tokenizer.save_pretrained(folder)
    # As published checkpoints: the class list lies in a repository that is not here.
    processor = OneFormerImageProcessor(size={"height": 64, "width": 64}, num_text=2)
    model = OneFormerForUniversalSegmentation(config)
    saved(model, processor, folder, {"things": THINGS})
    written = folder / "preprocessor_config.json"
    content = json.loads(written.read_text())
    content["class_info_file"] = "nowhere.json"
    written.write_text(json.dumps(content))
    return folder


def eomt(folder: Path, semantic: bool = False) -> Path:
    from transformers import EomtConfig, EomtForUniversalSegmentation, EomtImageProcessor

    config = EomtConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=1, image_size=64,
        patch_size=16, num_blocks=1, num_queries=10, num_upscale_blocks=1, **labels(),
    )  # fmt: skip
    processor = EomtImageProcessor(
        size={"shortest_edge": 64, "longest_edge": None if semantic else 64},
        do_split_image=semantic, do_pad=not semantic,
    )  # fmt: skip
    card = None if semantic else CARD
    return saved(EomtForUniversalSegmentation(config), processor, folder, card)


def eomt_semantic(folder: Path) -> Path:
    return eomt(folder, semantic=True)


def detr(folder: Path) -> Path:
    from transformers import DetrConfig, DetrForSegmentation, DetrImageProcessor, ResNetConfig

    backbone = ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = DetrConfig(
        backbone_config=backbone, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=8,
        decoder_attention_heads=2, num_queries=10, **labels(),
    )  # fmt: skip
    processor = DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    return saved(DetrForSegmentation(config), processor, folder, CARD)


def segformer(folder: Path) -> Path:
    from transformers import (
        SegformerConfig,
        SegformerForSemanticSegmentation,
        SegformerImageProcessor,
    )

    config = SegformerConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16, **labels(),
    )  # fmt: skip
    processor = SegformerImageProcessor(size={"height": 64, "width": 64})
    return saved(SegformerForSemanticSegmentation(config), processor, folder)


def upernet(folder: Path) -> Path:
    from transformers import (
        ConvNextConfig,
        SegformerImageProcessor,
        UperNetConfig,
        UperNetForSemanticSegmentation,
    )

    backbone = ConvNextConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = UperNetConfig(
        backbone_config=backbone, hidden_size=16, auxiliary_in_channels=16, auxiliary_channels=8,
        pool_scales=[1, 2], **labels(),
    )  # fmt: skip
    processor = SegformerImageProcessor(size={"height": 64, "width": 64})
    return saved(UperNetForSemanticSegmentation(config), processor, folder)


def mobilevit(folder: Path) -> Path:
    from transformers import (
        MobileViTConfig,
        MobileViTForSemanticSegmentation,
        MobileViTImageProcessor,
    )

    config = MobileViTConfig(
        image_size=64, hidden_sizes=[16, 16, 16], neck_hidden_sizes=[8, 8, 8, 16, 16, 16, 16],
        num_attention_heads=1, aspp_out_channels=16, atrous_rates=[1, 2, 3], **labels(),
    )  # fmt: skip
    processor = MobileViTImageProcessor(
        size={"shortest_edge": 72}, crop_size={"height": 64, "width": 64}, do_center_crop=True
    )
    return saved(MobileViTForSemanticSegmentation(config), processor, folder)


def unet(folder: Path, classes: int = 3, name: str = "Unet", channels: int = 3) -> Path:
    import segmentation_models_pytorch as smp

    model = getattr(smp, name)(
        encoder_name="timm-mobilenetv3_small_minimal_100" if name == "FPN" else "resnet18",
        encoder_weights=None, in_channels=channels, classes=classes,
    )  # fmt: skip
    model.save_pretrained(folder)
    return folder


QUERIES: dict[str, Callable[[Path], Path]] = {
    "mask2former": mask2former,
    "maskformer": maskformer,
    "oneformer": oneformer,
    "eomt": eomt,
    "detr": detr,
}
PIXELS: dict[str, Callable[[Path], Path]] = {
    "segformer": segformer,
    "upernet": upernet,
    "mobilevit": mobilevit,
    "eomt_semantic": eomt_semantic,
}
FAMILIES = {**QUERIES, **PIXELS}


def make(name: str, folder: Path) -> Path:
    """The model of a family, saved in a folder named after it; always the same weights."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(7)
        return FAMILIES[name](folder / name)
