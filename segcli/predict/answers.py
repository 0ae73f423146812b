"""Runs in which each picture is asked something: their settings, and from prompts to answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from segcli.errors import UsageError
from segcli.inputs import InputImage
from segcli.models.answer_settings import AnswerSettings, answer_settings
from segcli.models.catalog import ModelRef
from segcli.predict.classes import refuse_class_options
from segcli.predict.prompts.asked import to_prompt
from segcli.predict.prompts.book import Book
from segcli.predict.settings import PredictSettings
from segcli.records import Prompt, Segment, Segmentation

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


__all__ = ["annotated", "answering", "prompt_settings", "refuse_prompt_options"]

_OF_WORDS = ("detector", "box_threshold", "text_threshold")
_SHARED = frozenset({"multimask", "mask_threshold", "points_per_batch", "connected"})


def prompt_settings(model: ModelRef, settings: PredictSettings) -> AnswerSettings:
    """The effective settings of prompts: the family's, the model's own, those given.

    Raises:
        ConfigError: a setting is wrong.
        UsageError: the model takes no prompts, or an option would be ignored.
    """
    if not model.takes_prompts:
        raise UsageError(
            f"model '{model.name}' cannot be prompted with points, boxes or masks",
            why=f"{model.family.name} models find what has a name, not the object under a point",
            fix="--model tiny, or another of the SAM families: segcli models list",
        )
    refuse_class_options(model, settings)
    given = replace(settings, multimask=None).generate_values()
    foreign = [name for name in given if name not in _SHARED]
    foreign += [name for name in _OF_WORDS if getattr(settings, name) is not None]
    if settings.backend != "segcli":
        foreign.append("backend")
    if foreign:
        raise UsageError(
            f"--{foreign[0].replace('_', '-')} is not for prompts, which were given",
            why="every object asked for is answered, whatever its score",
            fix="leave it out",
        )
    return answer_settings(model.prompt_defaults, settings.answer_values())


def refuse_prompt_options(settings: PredictSettings) -> None:
    """Options of prompts mean nothing where everything is segmented.

    Raises:
        UsageError: one was given.
    """
    for name in _OF_WORDS:
        if getattr(settings, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is for words, and none were given", fix="--text WORDS"
            )
    for name in ("cascade", "clip_to_box"):
        if getattr(settings, name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is for prompts, and nothing is asked for",
                fix="--point, --box, --mask or --prompts, or leave it out",
            )


def answering(
    book: Book,
    ask: Callable[[npt.NDArray[np.uint8], Sequence[Prompt]], tuple[Segment, ...]],
) -> Callable[[InputImage, npt.NDArray[np.uint8]], tuple[Segment, ...]]:
    """What is asked in a picture, put to a model: see `Prompted.answer`.

    The function raises ItemError where a prompt does not fit the picture.
    """

    def answer(image: InputImage, pixels: npt.NDArray[np.uint8]) -> tuple[Segment, ...]:
        height, width = pixels.shape[:2]
        asked = book.objects.get(image.key, ())
        prompts = [to_prompt(each, image.source, height, width) for each in asked]
        return ask(pixels, prompts)

    return answer


def annotated(book: Book) -> Callable[[Segmentation], Segmentation]:
    """Adds the names of the prompts' categories to a result."""

    def annotate(result: Segmentation) -> Segmentation:
        return replace(result, categories=dict(book.categories))

    return annotate
