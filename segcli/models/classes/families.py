"""Which class-aware families there are: how their output looks, and what they can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from segcli.models.classes.settings import TASKS, Task

__all__ = ["CLASS_FAMILIES", "UNET", "ClassFamily", "class_family"]

UNET = "segmentation_models_pytorch"
_SEMANTIC: tuple[Task, ...] = ("semantic",)
_GENERIC_ENDING = "ForSemanticSegmentation"


@dataclass(frozen=True, slots=True)
class ClassFamily:
    """A family of class-aware models.

    Attributes:
        name: the family's name, transformers' ``model_type``.
        output: ``queries``: masks, each with its class; ``pixels``: a score of each class for each
            pixel.
        tasks: what a checkpoint of it can do when it was trained on all of it.
        summary: one line on what it is.
        example: a checkpoint on the Hub, or "".
    """

    name: str
    output: Literal["queries", "pixels"]
    tasks: tuple[Task, ...]
    summary: str
    example: str = ""


CLASS_FAMILIES: Mapping[str, ClassFamily] = {
    family.name: family
    for family in (
        ClassFamily(
            "mask2former", "queries", TASKS, "masked attention over queries",
            "facebook/mask2former-swin-small-coco-panoptic",
        ),
        ClassFamily(
            "maskformer", "queries", TASKS, "the first mask classification model",
            "facebook/maskformer-swin-base-coco",
        ),
        ClassFamily(
            "oneformer", "queries", TASKS, "one checkpoint told its task in words",
            "shi-labs/oneformer_ade20k_swin_tiny",
        ),
        ClassFamily(
            "eomt", "queries", TASKS, "a plain ViT with queries, quick",
            "tue-mps/coco_panoptic_eomt_large_640",
        ),
        ClassFamily("eomt_dinov3", "queries", TASKS, "the same on DINOv3"),
        ClassFamily(
            "detr", "queries", TASKS, "boxes first, masks from attention",
            "facebook/detr-resnet-50-panoptic",
        ),
        ClassFamily(
            "segformer", "pixels", _SEMANTIC, "light hierarchical transformer",
            "nvidia/segformer-b0-finetuned-ade-512-512",
        ),
        ClassFamily(
            "upernet", "pixels", _SEMANTIC, "pyramid pooling on any backbone",
            "openmmlab/upernet-convnext-tiny",
        ),
        ClassFamily("beit", "pixels", _SEMANTIC, "BEiT with a pyramid"),
        ClassFamily("dpt", "pixels", _SEMANTIC, "dense prediction transformer"),
        ClassFamily("mobilevit", "pixels", _SEMANTIC, "for phones"),
        ClassFamily("mobilenet_v2", "pixels", _SEMANTIC, "DeepLabV3+ for phones"),
        ClassFamily("*ForSemanticSegmentation", "pixels", _SEMANTIC, "whatever else transformers' "
                    "AutoModelForSemanticSegmentation loads"),
        ClassFamily(UNET, "pixels", _SEMANTIC, "U-Net and its relatives (segcli[unet])"),
    )
}  # fmt: skip


def class_family(config: Mapping[str, Any]) -> ClassFamily | None:
    """The family of a model directory's config.json, or None when it is not class-aware.

    A type that is not listed counts when its architecture is a transformers class for semantic
    segmentation.
    """
    if "_model_class" in config and "encoder_name" in config:
        return CLASS_FAMILIES[UNET]
    model_type = str(config.get("model_type", ""))
    architectures = config.get("architectures") or ()
    generic = any(str(a).endswith(_GENERIC_ENDING) for a in architectures)
    found = CLASS_FAMILIES.get(model_type)
    if found is not None and (found.output == "queries" or generic or not architectures):
        return found
    if generic and model_type:
        return ClassFamily(model_type, "pixels", _SEMANTIC, "loaded by its architecture")
    return None
