"""The families of models that take words, and their knobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from segcli.errors import ConfigError
from segcli.models.layers import layered

__all__ = ["WORD_FAMILIES", "WordFamily", "WordSettings", "check_texts", "word_settings"]

Output = Literal["boxes", "masks", "map"]


@dataclass(frozen=True, slots=True)
class WordFamily:
    """A family of models that take words.

    Attributes:
        name: the family's name.
        output: "boxes", which a SAM turns into masks; "masks" of objects; or a "map" of how much
            each pixel is what the text says.
        summary: one line on what it is good for.
        example: a checkpoint on the Hub.
        defaults: the authors' thresholds.
    """

    name: str
    output: Output
    summary: str
    example: str
    defaults: Mapping[str, float]


_DINO = {"box_threshold": 0.35, "text_threshold": 0.25}
_SAM3 = WordFamily(
    "sam3", "masks", "SAM 3: masks of every object a phrase names", "facebook/sam3 (gated)",
    {"box_threshold": 0.5},
)  # fmt: skip
# By `model_type` in config.json. Thresholds are those of the authors' own demonstrations.
WORD_FAMILIES: Mapping[str, WordFamily] = {
    "grounding-dino": WordFamily(
        "grounding-dino", "boxes", "boxes of what words name, as --detector of a SAM",
        "IDEA-Research/grounding-dino-tiny", _DINO,
    ),
    "mm-grounding-dino": WordFamily(
        "mm-grounding-dino", "boxes", "boxes of what words name, as --detector of a SAM",
        "openmmlab-community/mm_grounding_dino_tiny_o365v1_goldg_v3det", _DINO,
    ),
    "sam3": _SAM3,
    "sam3_video": _SAM3,
    "clipseg": WordFamily(
        "clipseg", "map", "a coarse mask of all that a text describes",
        "CIDAS/clipseg-rd64-refined", {},
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WordSettings:
    """What is asked for in words, and what is kept.

    Attributes:
        texts: what is asked for; text i has category id i + 1.
        box_threshold: objects of a lower score are dropped.
        text_threshold: boxes are dropped whose score for their text is not above it; a box's own
            score is that of the best token of all, which may be one that ties words together.
        box_nms_thresh: box IoU above which the lower-scored of two objects of one text is dropped.
        mask_threshold: probability above which a pixel is inside, of models that make masks
            themselves.
    """

    texts: tuple[str, ...]
    box_threshold: float = 0.35
    text_threshold: float = 0.25
    box_nms_thresh: float = 0.7
    mask_threshold: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values that have no meaning.

        Raises:
            ConfigError: a number is no share, or the texts are none.
        """
        check_texts(self.texts)
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise ConfigError(
                    f"--{field.name.replace('_', '-')} {value:g} is out of range",
                    fix="use a value from 0 to 1",
                )

    @property
    def categories(self) -> dict[int, str]:
        """Text by category id."""
        return dict(enumerate(self.texts, start=1))


def check_texts(texts: tuple[str, ...]) -> None:
    """Refuse texts that cannot be told apart.

    Raises:
        ConfigError: one is empty, is there twice, or holds the full stop that separates texts.
    """
    for text in texts:
        if not text.strip():
            raise ConfigError("--text is empty", fix='--text "cat"')
        if "." in text:
            raise ConfigError(
                f"--text '{text}' holds a full stop", why="models take it as the end of a text",
                fix="one --text for each",
            )  # fmt: skip
        if [t.strip().lower() for t in texts].count(text.strip().lower()) > 1:
            raise ConfigError(f"--text '{text}' was given twice", fix="give it once")


def word_settings(texts: tuple[str, ...], *layers: Mapping[str, Any]) -> WordSettings:
    """Settings from layers of values, later layers winning.

    Raises:
        ConfigError: a name is unknown, or a value out of range.
    """
    return WordSettings(texts, **layered(WordSettings, layers, besides={"texts"}))
