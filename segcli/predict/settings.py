"""The settings of a prediction run that flags, environment, files and presets may give."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from segcli.errors import ConfigError, closest
from segcli.formats.base import Overlap
from segcli.models.answer_settings import MULTIMASK, AnswerSettings, Multimask
from segcli.models.classes.settings import TASKS, ClassSettings, Task
from segcli.models.settings import GenerateSettings, NmsMetric
from segcli.models.words.settings import WordSettings

__all__ = ["PredictSettings"]

Backend = Literal["segcli", "transformers"]


@dataclass(frozen=True, slots=True)
class PredictSettings:
    """What to run and what to write.

    Attributes:
        model: short name, local directory or Hub id.
        backend: our own generator, or the stock transformers pipeline.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        compile: compile the model for a CUDA GPU.
        format: output formats besides ``segments.ndjson``; empty: what suits the results.
        overlay: also draw the masks over the picture.
        overlap_policy: which segment keeps a pixel that several claim in a label map.
        exif: turn pictures upright as their EXIF orientation says.
        task: what a class-aware model does; None: what it was trained for.
        threshold: see `ClassSettings`, as the three others here; None: their defaults.
        overlap_mask_area_threshold: see `threshold`.
        window: see `threshold`.
        window_overlap: see `threshold`.
        classes: names or ids of the classes to keep; empty: all.
        class_ids: a class list whose numbers classes get, see `segcli.formats.classes`; None: the
            model's own.
        palette: colours of classes, see `segcli.formats.palettes`; None: by what the classes are.
        multimask: which of a prompt's masks are taken: "best", "all" or "single", see
            `AnswerSettings`; segment-everything has "all" (three a point) and "single".
        cascade: see `AnswerSettings`, as `clip_to_box`.
        clip_to_box: see `cascade`.
        text: what is asked for in words; empty: nothing.
        detector: the model that finds boxes of words for a SAM; None: the model takes words itself.
        box_threshold: see `WordSettings`, as `text_threshold`.
        text_threshold: see `box_threshold`.
        tile: see `TileSettings`, as `overlap`; None or 0: pictures are looked at as a whole.
        overlap: see `tile`; None: an eighth of it.

    The others are the fields of `GenerateSettings`; None leaves the model's own default.
    `mask_threshold` is a logit of models that make masks from points, and a probability of
    class-aware ones.
    """

    model: str = "tiny"
    backend: Backend = "segcli"
    device: str = "auto"
    dtype: str = "auto"
    compile: bool = False
    format: tuple[str, ...] = ()
    overlay: bool = False
    overlap_policy: Overlap = "score"
    exif: bool = True
    points_per_side: int | None = None
    points_per_batch: int | None = None
    coarse_to_fine: bool | None = None
    multimask: Multimask | None = None
    pred_iou_thresh: float | None = None
    stability_score_thresh: float | None = None
    stability_score_offset: float | None = None
    mask_threshold: float | None = None
    box_nms_thresh: float | None = None
    nms_metric: NmsMetric | None = None
    mask_nms_thresh: float | None = None
    crop_n_layers: int | None = None
    crop_nms_thresh: float | None = None
    crop_overlap_ratio: float | None = None
    crop_n_points_downscale_factor: int | None = None
    min_mask_region_area: int | None = None
    connected: bool | None = None
    max_masks: int | None = None
    task: Task | None = None
    threshold: float | None = None
    overlap_mask_area_threshold: float | None = None
    window: int | None = None
    window_overlap: float | None = None
    classes: tuple[str, ...] = ()
    palette: str | None = None
    class_ids: str | None = None
    cascade: int | None = None
    clip_to_box: bool | None = None
    text: tuple[str, ...] = ()
    detector: str | None = None
    box_threshold: float | None = None
    text_threshold: float | None = None
    tile: int | None = None
    overlap: int | None = None

    def __post_init__(self) -> None:
        """Refuse unknown words.

        Raises:
            ConfigError: a value is none of its choices.
        """
        for name, choices in (
            ("backend", ("segcli", "transformers")),
            ("overlap_policy", ("score", "small-on-top", "large-on-top")),
            ("dtype", ("auto", "float32", "bfloat16", "float16")),
            ("nms_metric", (None, "box_iou", "mask_smaller")),
            ("task", (None, *TASKS)),
            ("multimask", (None, *MULTIMASK)),
        ):
            value = getattr(self, name)
            if value not in choices:
                words = [c for c in choices if c]
                raise ConfigError(
                    f"--{name.replace('_', '-')} has no choice '{value}'",
                    fix=closest(str(value), words) or f"one of {', '.join(words)}",
                )

    def generate_values(self) -> dict[str, Any]:
        """The segment-everything settings that were given.

        Raises:
            ConfigError: one of them is of prompts only.
        """
        if self.multimask == "best":
            raise ConfigError(
                "--multimask best is for prompts, and nothing is asked for",
                why="segment-everything tests all masks of a point and keeps the good ones",
                fix="--multimask all or --single-mask, or --point, --box or --prompts",
            )
        given = self._given(GenerateSettings)
        if self.multimask is not None:
            given["multimask"] = self.multimask == "all"
        return given

    def answer_values(self) -> dict[str, Any]:
        """The settings of prompted objects that were given."""
        return self._given(AnswerSettings)

    def word_values(self) -> dict[str, Any]:
        """The settings of words that were given, but for the words."""
        return self._given(WordSettings)

    def _given(self, schema: type) -> dict[str, Any]:
        names = [f.name for f in fields(schema) if hasattr(self, f.name)]
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}

    def class_values(self) -> dict[str, Any]:
        """The settings of class-aware models that were given, but for the classes to keep."""
        names = [f.name for f in fields(ClassSettings) if f.name != "keep"]
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}
