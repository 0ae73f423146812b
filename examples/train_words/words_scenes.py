"""Procedural scenes of coloured shapes, coins and cells, and what can be said of them.

A phrase is a colour and a shape ("red star"), a shape, a colour and "thing", or a ground ("grass").
Some pairs of colour and shape are never drawn or said in training: who finds them has learnt what
the words mean one by one. Every scene is a pure function of its seed. Run as a script it
writes pictures, and label maps of the colours of things and of the grounds::

    python examples/train_words/words_scenes.py --images pictures --truth labels --count 100
"""

from __future__ import annotations

import argparse
import colorsys
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "train_panoptic"))

from panoptic_scenes import (
    MIN_VISIBLE,
    OUTLINES,
    STUFF,
    Floats,
    Painter,
    Style,
    add_thing,
    blob,
    expose,
    ground,
    positions,
    scene_options,
    tinted,
)
from scenes import noise_field

# Hue, and how far it may be off; None: white or black.
COLOURS: dict[str, tuple[float, float] | None] = {
    "red": (0.0, 0.025),
    "orange": (0.08, 0.02),
    "yellow": (0.155, 0.025),
    "green": (0.34, 0.06),
    "blue": (0.61, 0.05),
    "purple": (0.79, 0.04),
    "white": None,
    "black": None,
}
SHAPES = ("disc", "star", "triangle", "box", "ring", "flower")
# Their colour is not told: a coin is of metal, a cell of any stain.
UNCOLOURED = ("coin", "cell")
NOUNS = (*SHAPES, *UNCOLOURED)
# "Plain" ground is nothing that one would ask for.
GROUNDS = tuple(name for name in STUFF if name != "plain")
ANY = "thing"
UNSEEN = (
    ("red", "ring"), ("orange", "flower"), ("yellow", "triangle"), ("green", "box"),
    ("blue", "star"), ("purple", "disc"), ("white", "ring"), ("black", "star"),
)  # fmt: skip
KNOWN_PAIRS = tuple((c, s) for c in COLOURS for s in SHAPES if (c, s) not in UNSEEN)
PLURALS = {noun: "boxes" if noun == "box" else f"{noun}s" for noun in (*NOUNS, ANY)}


@dataclass(frozen=True)
class Phrase:
    """What is asked for.

    Attributes:
        noun: one of NOUNS, of GROUNDS, or ANY thing.
        colour: one of COLOURS, or "" for any.
    """

    noun: str
    colour: str = ""

    def __str__(self) -> str:
        """The words."""
        return f"{self.colour} {self.noun}".strip()


# Classes of the label maps that this script writes, from 1; VOID is what may have any colour.
ASKED = (*(Phrase(ANY, colour) for colour in COLOURS), *map(Phrase, GROUNDS))
VOID = 255


@dataclass(frozen=True, eq=False)
class WordsScene:
    """A picture and what is in it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        segments: (H, W) uint16, index into `phrases`; 0 = hardly anything of it is seen.
        phrases: noun and colour of each segment; the first stands for 0.
    """

    image: NDArray[np.uint8]
    segments: NDArray[np.uint16]
    phrases: tuple[Phrase, ...]

    def truth(self, asked: Phrase) -> NDArray[np.int8]:
        """Where a phrase is: (H, W) int8, 1 = there, 0 = not, -1 = cannot be said."""
        return np.array([_answers(each, asked) for each in self.phrases], np.int8)[self.segments]

    def present(self) -> list[Phrase]:
        """Every phrase that something answers, in a fixed order."""
        named = [each for each in self.phrases if each.noun]
        things = [each for each in named if each.noun in NOUNS]
        return list(
            dict.fromkeys(named)
            | dict.fromkeys(Phrase(each.noun) for each in named)
            | dict.fromkeys(Phrase(ANY, each.colour) for each in things)
            | dict.fromkeys(Phrase(ANY) for _ in things)
        )


def _answers(seen: Phrase, asked: Phrase) -> int:
    if not seen.noun:
        return -1 if seen == HIDDEN else 0
    if asked.noun not in (ANY, seen.noun) or (asked.noun == ANY and seen.noun in GROUNDS):
        return 0
    if asked.colour and seen.noun in UNCOLOURED:
        return -1
    return int(asked.colour in ("", seen.colour))


HIDDEN = Phrase("", "hidden")
PLAIN = Phrase("")


def paint_of(rng: np.random.Generator, colour: str) -> NDArray[np.float64]:
    """A colour that everybody would call by that name, (3,) in 0..1."""
    hue = COLOURS[colour]
    if hue is None:
        tone = rng.uniform(0.9, 1.0) if colour == "white" else rng.uniform(0.0, 0.1)
        return np.clip(tone + rng.normal(0, 0.012, 3), 0, 1)
    middle, spread = hue
    bright = rng.uniform(0.85, 1.0) if colour in ("yellow", "orange") else rng.uniform(0.55, 1.0)
    return np.array(
        colorsys.hsv_to_rgb(
            (middle + rng.uniform(-spread, spread)) % 1, rng.uniform(0.7, 1), bright
        )
    )


def _add_shape(painter: Painter, phrase: Phrase, centre: NDArray[np.float64], radius: float) -> int:
    """Paint a coloured shape and return its id, 0 if it lies off the canvas."""
    rng = painter.rng
    outline = (
        blob(rng, radius, 0.02, 1.15)
        if phrase.noun == "disc"
        else OUTLINES[phrase.noun](rng, radius)
    )
    colour, grain = paint_of(rng, phrase.colour), rng.uniform(0, 0.15)

    def surface(h: int, w: int) -> Floats:
        tone = 1 + grain * (noise_field(rng, h, w)[..., None] - 0.5)
        return np.clip(colour * tone, 0, 1).astype(np.float32)

    style = Style(
        shadow=float(rng.random() < 0.4) * rng.uniform(0.2, 0.6),
        rim=float(rng.random() < 0.3) * rng.uniform(-0.25, 0.25),
    )
    hole = outline * rng.uniform(0.4, 0.65) + centre if phrase.noun == "ring" else None
    return painter.add(outline + centre, surface, style, hole)


def _drawn(rng: np.random.Generator, unseen: bool) -> Phrase:
    """What the next thing is."""
    if unseen and rng.random() < 0.4:
        colour, noun = UNSEEN[rng.integers(len(UNSEEN))]
        return Phrase(noun, colour)
    noun = str(rng.choice(NOUNS))
    if noun in UNCOLOURED:
        return Phrase(noun)
    known = [colour for colour, shape in KNOWN_PAIRS if shape == noun]
    return Phrase(noun, str(rng.choice(known)))


def make_words_scene(
    seed: int, size: tuple[int, int] = (256, 256), held_out: bool = False
) -> WordsScene:
    """Draw the scene of a seed.

    Args:
        seed: any non-negative integer; the same arguments give the same pixels.
        size: height and width in pixels, each at least 64.
        held_out: with pairs of UNSEEN, and textures that are kept for measuring.

    Returns:
        The scene; each pixel belongs to the topmost thing that covers more than half of it, or
        else to the ground there.

    Raises:
        ImportError: scikit-image, whose wheel holds the textures, is not installed.
    """
    height, width = size
    rng = np.random.default_rng((seed, 99))
    names = [str(name) for name in rng.permutation(STUFF)[: rng.integers(1, 3)]]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    line = height * (rng.uniform(0.3, 0.7) + 0.3 * (noise_field(rng, height, width, 3) - 0.5))
    below = (y + rng.uniform(-0.4, 0.4) * (x - width / 2) > line) & (len(names) > 1)
    canvas = ground(rng, names[0], height, width, held_out)
    canvas = np.where(below[..., None], ground(rng, names[-1], height, width, held_out), canvas)
    painter = Painter(rng, height, width, canvas)
    metal, stain = tinted(rng, (0.65, 0.55, 0.4), 0.1), rng.uniform(0.15, 1.0, 3)
    count, base = int(rng.integers(3, 13)), min(size) * rng.uniform(0.07, 0.15)
    phrases: dict[int, Phrase] = {}
    for centre in positions(rng, count, height, width, gather=0.2):
        phrase = _drawn(rng, held_out)
        radius = float(np.clip(base * np.exp(rng.normal(0, 0.35)), 9, min(size) * 0.3))
        if phrase.noun in UNCOLOURED:
            own = metal if phrase.noun == "coin" else stain
            owner = add_thing(painter, phrase.noun, centre, radius, own)
        else:
            owner = _add_shape(painter, phrase, centre, radius)
        phrases[owner] = phrase
    grounds = [PLAIN if name == "plain" else Phrase(name) for name in names]
    return _labelled(painter, phrases, below, grounds)


def _labelled(
    painter: Painter, phrases: dict[int, Phrase], below: NDArray[np.bool_], grounds: list[Phrase]
) -> WordsScene:
    segments = np.zeros(below.shape, np.uint16)
    listed = [HIDDEN]
    for owner, phrase in phrases.items():
        mask = painter.objects == owner
        if owner and mask.sum() >= MIN_VISIBLE:
            segments[mask] = len(listed)
            listed.append(phrase)
    for index, phrase in enumerate(grounds):
        segments[(painter.objects == 0) & (below == index)] = len(listed)
        listed.append(phrase)
    return WordsScene(expose(painter.rng, painter.canvas), segments, tuple(listed))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write scenes to a folder of images, and to another where each of ASKED is in them."""
    parser = argparse.ArgumentParser(description="Write scenes and where each colour is in them.")
    scene_options(parser, (256, 256))
    options = parser.parse_args(arguments)
    for folder in (options.images, options.truth):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seed, options.seed + options.count):
        scene = make_words_scene(seed, options.size, options.held_out)
        labels = np.zeros(scene.segments.shape, np.uint8)
        for number, phrase in enumerate(ASKED, start=1):
            truth = scene.truth(phrase)
            labels[truth == 1] = number
            labels[truth < 0] = VOID
        for folder, pixels in ((options.images, scene.image), (options.truth, labels)):
            Image.fromarray(pixels).save(folder / f"words_{seed:06d}.png", optimize=True)


if __name__ == "__main__":
    main()
