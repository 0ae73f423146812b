"""Small models that take words, with seeded random weights, saved as users would save them.

Tokenizers are made of a handful of words, without the network.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

# Grounding DINO knows the tokens that tie texts together by BERT's own numbers.
_BERT = {
    0: "[PAD]",
    100: "[UNK]",
    101: "[CLS]",
    102: "[SEP]",
    103: "[MASK]",
    1012: ".",
    1029: "?",
    1030: "bright",
    1031: "disc",
    1032: "cat",
}
_SIDES = {"height": 56, "width": 56}


def spread(model: Any, size: float = 0.2) -> Any:
    """Random values for every parameter, so that nothing is 0 or 1 by chance of initialisation."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=size)
    return model


def _bert_tokenizer(folder: Path) -> transformers.BertTokenizerFast:
    folder.mkdir(parents=True, exist_ok=True)
    words = [_BERT.get(i, f"[unused{i}]") for i in range(max(_BERT) + 1)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return transformers.BertTokenizerFast(str(folder / "vocab.txt"))


def _clip_tokenizer(folder: Path) -> transformers.CLIPTokenizerFast:
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return transformers.CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"))


def grounding_dino_in(folder: Path, *, mm: bool = False) -> Path:
    """A small Grounding DINO, or MM Grounding DINO."""
    torch.manual_seed(0)
    tokenizer = _bert_tokenizer(folder)
    backbone = transformers.SwinConfig(
        image_size=64, patch_size=4, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2],
        window_size=4, out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    text = transformers.BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    prefix = "MMGroundingDino" if mm else "GroundingDino"
    config = getattr(transformers, f"{prefix}Config")(
        backbone_config=backbone, text_config=text, d_model=32, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2,
        decoder_attention_heads=2, num_queries=12, max_text_len=32, num_feature_levels=4,
    )  # fmt: skip
    model = spread(getattr(transformers, f"{prefix}ForObjectDetection")(config).eval())
    images = transformers.GroundingDinoImageProcessor(
        size={"shortest_edge": 64, "longest_edge": 96}
    )
    transformers.GroundingDinoProcessor(images, tokenizer).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def sam3_in(folder: Path) -> Path:
    """A small SAM 3 that takes words."""
    torch.manual_seed(0)
    tokenizer = _clip_tokenizer(folder)
    small = {"hidden_size": 32, "num_attention_heads": 2}
    backbone = transformers.Sam3ViTConfig(
        **small, intermediate_size=64, num_hidden_layers=2, image_size=56, patch_size=14,
        window_size=2, global_attn_indexes=[1], pretrain_image_size=28,
    )  # fmt: skip
    config = transformers.Sam3Config(
        vision_config=transformers.Sam3VisionConfig(
            backbone_config=backbone, fpn_hidden_size=32,
            backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        ),
        text_config=transformers.CLIPTextConfig(
            **small, vocab_size=len(tokenizer), intermediate_size=32, num_hidden_layers=1,
            max_position_embeddings=32, projection_dim=32, bos_token_id=52, eos_token_id=53,
        ),
        geometry_encoder_config={**small, "num_layers": 1, "intermediate_size": 32},
        detr_encoder_config={**small, "num_layers": 1, "intermediate_size": 32},
        detr_decoder_config={**small, "num_layers": 1, "intermediate_size": 32, "num_queries": 10},
        mask_decoder_config=small,
    )  # fmt: skip
    model = spread(transformers.Sam3Model(config).eval())
    images = transformers.Sam3ImageProcessor(size=_SIDES, mask_size={"height": 16, "width": 16})
    transformers.Sam3Processor(images, tokenizer).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def clipseg_in(folder: Path) -> Path:
    """A small CLIPSeg."""
    torch.manual_seed(0)
    tokenizer = _clip_tokenizer(folder)
    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3,
             "num_attention_heads": 2}  # fmt: skip
    config = transformers.CLIPSegConfig(
        text_config={**small, "vocab_size": len(tokenizer), "max_position_embeddings": 32,
                     "bos_token_id": 52, "eos_token_id": 53},
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=32, reduce_dim=16, extract_layers=[0, 1, 2], decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
    )  # fmt: skip
    model = spread(transformers.CLIPSegForImageSegmentation(config).eval(), 0.1)
    images = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    transformers.CLIPSegProcessor(images, tokenizer).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder
