"""Options of `segcli predict` that are about class-aware models."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "ClassIds",
    "Classes",
    "OverlapMaskAreaThreshold",
    "Palette",
    "Task",
    "Threshold",
    "Window",
    "WindowOverlap",
]

_PANEL = "Class-aware models"

Task = Annotated[
    str | None,
    typer.Option(
        metavar="TASK",
        help="semantic, instance or panoptic. [default: what the model was trained for]",
        rich_help_panel=_PANEL,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Drop objects of lower score. [default: the model's, 0.5]",
        rich_help_panel=_PANEL,
    ),
]
OverlapMaskAreaThreshold = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Drop panoptic segments of which better ones leave no larger share. [default: 0.8]",
        rich_help_panel=_PANEL,
    ),
]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Keep only these classes, by name or id; repeatable, or joined by commas.",
        rich_help_panel=_PANEL,
    ),
]
ClassIds = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Number classes as this list does, by name: coco-panoptic, a COCO file, … "
        "[default: the model's numbers]",
        rich_help_panel=_PANEL,
    ),
]
Palette = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Colours of classes: cityscapes, ade20k, voc or auto. [default: by the class names]",
        rich_help_panel=_PANEL,
    ),
]
Window = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Models of pixels: blend larger pictures from windows of N pixels; see also --tile. "
        "[default: 0, off; U-Net: 512]",
        rich_help_panel=_PANEL,
    ),
]
WindowOverlap = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Share of a window in common with the next. [default: 0.5; U-Net: 0.25]",
        rich_help_panel=_PANEL,
    ),
]
