"""Runs in which words say what to look for: their models and settings."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from segcli.errors import UsageError
from segcli.models.answer_settings import AnswerSettings, answer_settings
from segcli.models.catalog import ModelRef, find
from segcli.models.words.settings import Output, WordSettings, word_settings
from segcli.predict.classes import refuse_class_options
from segcli.predict.settings import PredictSettings

__all__ = ["WordRun", "word_run"]

_EXAMPLE = "IDEA-Research/grounding-dino-tiny"
# Boxes have no point on which a piece could lie.
_OF_SAM = {f.name for f in fields(AnswerSettings)} - {"connected"}


@dataclass(frozen=True, slots=True)
class WordRun:
    """What a run over words needs.

    Attributes:
        words: what is asked for, and what is kept.
        answers: how a SAM turns boxes into masks.
        detector: what finds the boxes; None: the model makes masks of words itself.
        output: what the words give: boxes or masks of objects, or a map of each text.
    """

    words: WordSettings
    answers: AnswerSettings
    detector: ModelRef | None
    output: Output


def word_run(model: ModelRef, settings: PredictSettings) -> WordRun:
    """Find the models and settings of a run over words.

    Raises:
        ConfigError: a setting is wrong.
        ModelError: the detector is not here.
        UsageError: the models take no words, or an option would be ignored.
    """
    detector = None if settings.detector is None else find(settings.detector)
    _check_models(model, detector)
    refuse_class_options(model, replace(settings, mask_threshold=None))
    family = (detector or model).words
    assert family is not None
    shared = {"box_nms_thresh"} | ({"mask_threshold"} if detector is None else _OF_SAM)
    if settings.multimask == "all":
        raise UsageError("--multimask all is not for words", fix="best or single: one mask a box")
    given = replace(settings, multimask=None).generate_values()
    wrong = [name for name in given if name not in shared]
    wrong += ["backend"] if settings.backend != "segcli" else []
    if detector is None:
        wrong += [n for n in ("multimask", "cascade", "clip_to_box")
                  if getattr(settings, n) is not None]  # fmt: skip
        wrong += ["text_threshold"] if settings.text_threshold is not None else []
    if family.output == "map":
        wrong += [n for n in ("box_threshold", "box_nms_thresh")
                  if getattr(settings, n) is not None]  # fmt: skip
    if wrong:
        raise UsageError(
            f"--{wrong[0].replace('_', '-')} would be ignored: {family.name} with --text has no "
            "use for it",
            fix="leave it out",
        )
    values = settings.word_values()
    values.pop("text", None)
    if detector is not None:
        values.pop("mask_threshold", None)
    answers = settings.answer_values() if detector is not None else {}
    return WordRun(
        word_settings(settings.text, family.defaults, values),
        answer_settings(model.prompt_defaults, answers),
        detector,
        family.output,
    )


def _check_models(model: ModelRef, detector: ModelRef | None) -> None:
    if detector is None:
        if model.words is None or model.words.output == "boxes":
            raise UsageError(
                f"model '{model.name}' makes no masks of words",
                why=f"it is a {model.model_type} model",
                fix=f"--detector {_EXAMPLE} (segcli models pull it) with a SAM as --model; or a "
                "SAM 3 or CLIPSeg as --model, such as tiny-words, which knows drawn shapes",
            )
        return
    if detector.words is None or detector.words.output != "boxes":
        raise UsageError(
            f"model '{detector.name}' finds no boxes of words",
            why=f"it is a {detector.model_type} model",
            fix=f"--detector {_EXAMPLE}",
        )
    if not model.takes_prompts:
        raise UsageError(
            f"model '{model.name}' cannot turn boxes into masks",
            why=f"it is a {model.model_type} model",
            fix="--model tiny, or another of the SAM families; or leave --detector out",
        )
