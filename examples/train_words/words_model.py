"""The bundled model of words: transformers' CLIPSeg, small, with a vocabulary of its own."""

from __future__ import annotations

import string
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegProcessor,
    CLIPTokenizer,
    ViTImageProcessor,
)
from words_scenes import ANY, COLOURS, GROUNDS, NOUNS, PLURALS

sys.path.append(str(Path(__file__).resolve().parents[1] / "train_tiny"))

from model import PIXEL_MEAN, PIXEL_STD

IMAGE_SIZE = 192
PATCH = 8
# Side of a pixel of the model's answer, in pixels of what it looks at: CLIPSeg enlarges a patch
# twice by a quarter of its side.
STRIDE = 2
WIDTH = 128
START, END = "<|startoftext|>", "<|endoftext|>"
KNOWN = (*COLOURS, *NOUNS, ANY, *PLURALS.values(), *GROUNDS, "a", "the")


def build_tokenizer() -> CLIPTokenizer:
    """Byte pairs in which a known word is one token; any other is spelt in pieces."""
    letters = [*string.ascii_lowercase, *string.digits, "'", "-"]
    merges = learn_merges(KNOWN)
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *map("".join, merges), START, END]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges)


def learn_merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of pieces to join, the most frequent first, until each word is one piece.

    The library's own trainer breaks ties at random, and so gives tokens other numbers each time.
    """
    spelt = [[*word[:-1], f"{word[-1]}</w>"] for word in dict.fromkeys(words)]
    merges = []
    while pairs := Counter(pair for word in spelt for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelt = [_joined(word, best) for word in spelt]
    return merges


def _joined(word: list[str], pair: tuple[str, str]) -> list[str]:
    """A word with every occurrence of a pair made one piece."""
    made: list[str] = []
    for piece in word:
        if made and (made[-1], piece) == pair:
            made[-1] += piece
        else:
            made.append(piece)
    return made


def build_processor() -> CLIPSegProcessor:
    """Processor that squashes pictures to `IMAGE_SIZE` pixels a side."""
    images = ViTImageProcessor(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        image_mean=[PIXEL_MEAN] * 3,
        image_std=[PIXEL_STD] * 3,
    )
    return CLIPSegProcessor(images, build_tokenizer())


def build_config() -> CLIPSegConfig:
    """Configuration of the bundled model."""
    vocabulary = build_tokenizer().get_vocab()
    return CLIPSegConfig(
        text_config={
            "vocab_size": len(vocabulary),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 32,
            "bos_token_id": vocabulary[START],
            "eos_token_id": vocabulary[END],
            "pad_token_id": vocabulary[END],
        },
        vision_config={
            "hidden_size": WIDTH,
            "intermediate_size": 3 * WIDTH,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH,
        },
        projection_dim=64,
        reduce_dim=64,
        extract_layers=[1, 3, 5],
        decoder_num_attention_heads=4,
        decoder_intermediate_size=128,
        use_complex_transposed_convolution=True,
    )


@torch.no_grad()
def initialise(model: CLIPSegForImageSegmentation) -> None:
    """Initialise the decoder, whose layers come with weights of variance 1, for training.

    At first a text changes little, and nothing is found anywhere.
    """
    decoder = model.decoder
    for layer in (*decoder.reduces, *decoder.transposed_convolution, decoder.film_add):
        if hasattr(layer, "weight"):
            # A transposed convolution that steps by its own size has one tap an input channel.
            usual = isinstance(layer, nn.Linear | nn.Conv2d)
            fan = layer.weight[0].numel() if usual else len(layer.weight)
            layer.weight.normal_(0, fan**-0.5)
    decoder.film_mul.weight.normal_(0, 0.05)
    decoder.film_mul.bias.fill_(1.0)
    decoder.transposed_convolution[-1].bias.fill_(-2.0)


class Trainee(nn.Module):
    """CLIPSeg's forward for training, with a head that is thrown away after it.

    Attributes:
        model: the model.
        patches: noun and colour of each patch, from the encoder alone.
    """

    def __init__(self, model: CLIPSegForImageSegmentation, names: int) -> None:
        super().__init__()
        self.model = model
        self.patches = nn.Linear(WIDTH, names)

    def forward(self, images: Tensor, tokens: Tensor, attended: Tensor) -> tuple[Tensor, Tensor]:
        """Answers to some texts about each picture, which is encoded once.

        Args:
            images: (B, 3, S, S) float32, normalised.
            tokens: (B, T, L) int64 ids of T texts a picture.
            attended: (B, T, L) int64, 1 where there is a token.

        Returns:
            answers: (B, T, S / STRIDE, S / STRIDE) logits.
            patches: (B, S / PATCH, S / PATCH, names) logits.
        """
        clip, texts = self.model.clip, tokens.shape[1]
        vision = clip.vision_model
        hidden = vision.pre_layrnorm(vision.embeddings(images, interpolate_pos_encoding=True))
        seen: list[Tensor] = []
        for layer in vision.encoder.layers:
            hidden = layer(hidden, None)
            seen.append(hidden)
        words = clip.get_text_features(tokens.flatten(0, 1), attended.flatten(0, 1)).pooler_output
        chosen = [seen[i].repeat_interleave(texts, dim=0) for i in self.model.config.extract_layers]
        answers = self.model.decoder(chosen, words).logits
        side = images.shape[-1] // PATCH
        patches = self.patches(seen[-1][:, 1:]).unflatten(1, (side, side))
        return answers.unflatten(0, (len(images), texts)), patches


def encode(tokenizer: CLIPTokenizer, texts: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
    """Tokens of equally many texts a picture, and where they are: (B, T, L) int64 each."""
    flat = tokenizer([t for some in texts for t in some], padding=True, return_tensors="pt")
    tokens, attended = (
        torch.as_tensor(flat[name]).view(len(texts), len(texts[0]), -1)
        for name in ("input_ids", "attention_mask")
    )
    return tokens, attended
