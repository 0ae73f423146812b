"""Train the bundled model of words on procedural scenes.

Progress runs from 0 to 1 over a budget of minutes or of pictures. It sets the learning rate and the
size of what is looked at: small windows of the scenes first, of which many can be seen, whole
scenes at the shipping size last. The same command again continues from the checkpoint.
"""

from __future__ import annotations

import string
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import CLIPSegForImageSegmentation
from words_model import (
    IMAGE_SIZE,
    PATCH,
    STRIDE,
    Trainee,
    build_config,
    build_tokenizer,
    encode,
    initialise,
)
from words_scenes import (
    ANY,
    COLOURS,
    GROUNDS,
    KNOWN_PAIRS,
    NOUNS,
    PLURALS,
    Phrase,
    WordsScene,
    make_words_scene,
)

sys.path.append(str(Path(__file__).resolve().parents[1] / "train_panoptic"))

from session import Plan as AnyPlan
from session import Pool, Session, parsed_plan, train
from train import normalise

SCENE_SEED = 3_000_000
SCENE_SIDE = 256
EMA = 0.998
NAMES_WEIGHT = 20
NAMES = (*NOUNS, *GROUNDS, *COLOURS)
# Words that it does not know: what they name is nowhere.
STRANGE = ("cat", "dog", "person", "car", "tree", "house", "hand", "bird", "horse", "table")


@dataclass(frozen=True)
class Plan(AnyPlan):
    """What decides a run, beside what decides any.

    Attributes:
        texts: asked of each picture.
        sides: of what is looked at in each part of the run, in pixels.
    """

    minutes: float = 60.0
    batch: int = 6
    texts: int = 4
    sides: tuple[int, ...] = (96, 128, 128, 160, IMAGE_SIZE)


class Run(Session[Plan, WordsScene]):
    """A training run."""

    trainee: Trainee

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        model = CLIPSegForImageSegmentation(build_config()).train()
        initialise(model)
        trainee = Trainee(model, len(NAMES))
        self.tokenizer = build_tokenizer()
        weights = [p for p in trainee.parameters() if p.ndim > 1]
        others = [p for p in trainee.parameters() if p.ndim < 2]
        super().__init__(plan, trainee, model, [(weights, 0.02), (others, 0.0)], EMA)

    def train_step(self, pool: Pool[WordsScene]) -> dict[str, float]:
        """One optimiser step; returns numbers for the log."""
        started = time.process_time()
        plan = self.plan
        side = plan.sides[min(int(self.progress * len(plan.sides)), len(plan.sides) - 1)]
        rng = np.random.default_rng((plan.seed, self.step))
        images, texts, targets, patches = [], [], [], []
        for _ in range(plan.batch):
            scene = augment(rng, pool.scenes[int(rng.integers(len(pool.scenes)))], side)
            asked = ask(rng, scene, plan.texts)
            images.append(scene.image)
            texts.append([worded(rng, each) for each in asked])
            targets.append([answer(scene, each) for each in asked])
            patches.append(named(scene))
        answers, told = self.trainee(
            normalise(torch.from_numpy(np.stack(images))), *encode(self.tokenizer, texts)
        )
        loss, log = words_loss(answers, torch.from_numpy(np.array(targets)))
        names = functional.binary_cross_entropy_with_logits(
            told, torch.from_numpy(np.stack(patches))
        )
        self.learn(loss + NAMES_WEIGHT * names, started, (1, 1))
        return log | {"names": float(names.detach())}


def augment(rng: np.random.Generator, scene: WordsScene, side: int) -> WordsScene:
    """A random window of `side` pixels, at random scale, turned and mirrored."""
    height, width = scene.segments.shape
    zoom = side / (IMAGE_SIZE * rng.uniform(0.8, 1.3))
    size = int(np.clip(zoom * min(height, width), side // 2, min(height, width)))
    top, left = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
    window = slice(top, top + size), slice(left, left + size)
    rows = (np.arange(side) + rng.uniform(0.2, 0.8)) * size / side
    index = rows.astype(int)
    image, segments = (m[window][index][:, index] for m in (scene.image, scene.segments))
    turn = int(rng.integers(2))
    if rng.random() < 0.5:
        image, segments = image[:, ::-1], segments[:, ::-1]
    if turn:
        image, segments = image.swapaxes(0, 1), segments.swapaxes(0, 1)
    light = rng.uniform(0.85, 1.1)
    image = np.clip(image * light, 0, 255).astype(np.uint8)
    return WordsScene(image, np.ascontiguousarray(segments), scene.phrases)


def ask(rng: np.random.Generator, scene: WordsScene, count: int) -> list[Phrase]:
    """Phrases of which about half are there, and others that are not or that nobody knows."""
    there = scene.present()
    asked = []
    for _ in range(count):
        draw = rng.random()
        if draw < 0.55 and there:
            asked.append(there[int(rng.integers(len(there)))])
        elif draw < 0.65:
            asked.append(Phrase(strange(rng)))
        elif draw < 0.8 and there:
            asked.append(_confused(rng, there[int(rng.integers(len(there)))]))
        else:
            asked.append(KNOWN_PHRASES[int(rng.integers(len(KNOWN_PHRASES)))])
    return asked


KNOWN_PHRASES = (
    *(Phrase(noun, colour) for colour, noun in KNOWN_PAIRS),
    *(Phrase(noun) for noun in (*NOUNS, *GROUNDS)),
    *(Phrase(ANY, colour) for colour in COLOURS),
)


def _confused(rng: np.random.Generator, phrase: Phrase) -> Phrase:
    """The same with one word changed: what is asked for must be read to the end."""
    near = [
        other
        for other in KNOWN_PHRASES
        if (other.noun == phrase.noun) != (other.colour == phrase.colour)
        and bool(other.colour) == bool(phrase.colour)
    ]
    return near[int(rng.integers(len(near)))]


def strange(rng: np.random.Generator) -> str:
    """A word that is not known."""
    if rng.random() < 0.5:
        return str(rng.choice(STRANGE))
    return "".join(rng.choice(list(string.ascii_lowercase), rng.integers(2, 9)))


def worded(rng: np.random.Generator, phrase: Phrase) -> str:
    """One way to say it."""
    noun = phrase.noun
    if noun in PLURALS and rng.random() < 0.4:
        noun = PLURALS[noun]
    article = str(rng.choice(["", "", "", "a", "the"]))
    return " ".join(word for word in (article, phrase.colour, noun) if word)


def answer(scene: WordsScene, phrase: Phrase) -> NDArray[np.float32]:
    """Where a phrase is, for each pixel of the model's answer: 1, 0, or nan where unknown."""
    half = STRIDE // 2
    truth = scene.truth(phrase)[half::STRIDE, half::STRIDE].astype(np.float32)
    return np.where(truth < 0, np.float32(np.nan), truth)


def named(scene: WordsScene) -> NDArray[np.float32]:
    """Which names the middle of each patch has: (S / PATCH, S / PATCH, len(NAMES))."""
    table = np.array(
        [[float(name in (p.noun, p.colour)) for name in NAMES] for p in scene.phrases], np.float32
    )
    return table[scene.segments[PATCH // 2 :: PATCH, PATCH // 2 :: PATCH]]


def words_loss(answers: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy, Dice of what is there, and how much is seen of what is not.

    Args:
        answers: (B, T, H, W) logits.
        targets: (B, T, H, W) float32, 1 or 0, nan = does not count.

    Returns:
        The loss, and numbers for the log: mean IoU of texts that are there, and the share of the
        others of which less than 0.2 % of the picture is taken.
    """
    known = ~targets.isnan()
    wanted = targets.nan_to_num()
    entropy = functional.binary_cross_entropy_with_logits(answers, wanted, reduction="none")
    entropy = (entropy * known).mean()
    likely = answers.sigmoid() * known
    shared, total = (likely * wanted).sum((2, 3)), (likely + wanted).sum((2, 3))
    there = wanted.sum((2, 3)) > 0
    dice = (1 - (2 * shared + 1) / (total + 1))[there].sum() / there.sum().clamp(min=1)
    # What is not there costs by its size: seen on 1 % of a picture it costs half of what it can.
    ghosts = likely.mean((2, 3))[~there]
    ghost = (ghosts / (ghosts + 0.01)).sum() / (~there).sum().clamp(min=1)
    with torch.no_grad():
        taken, right = (likely > 0.5), wanted > 0
        iou = (taken & right).sum((2, 3)) / (taken | right).sum((2, 3)).clamp(min=1)
        silent = taken.float().mean((2, 3)) < 0.002
    log = {"loss": float(entropy.detach() + dice.detach())}
    log["iou"] = float(iou[there].mean()) if there.any() else 0.0
    log["silent"] = float(silent[~there].float().mean()) if (~there).any() else 1.0
    return 5 * entropy + dice + 0.5 * ghost, log


def draw_scene(plan: Plan) -> Callable[[int], WordsScene]:
    """From a number to its scene."""
    first = SCENE_SEED + 1_000_000 * plan.seed
    return lambda number: make_words_scene(first + number, (SCENE_SIDE, SCENE_SIDE))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train."""
    plan, options = parsed_plan(Plan, __doc__.splitlines()[0], arguments)
    train(Run(plan), draw_scene(plan), options)


if __name__ == "__main__":
    main()
