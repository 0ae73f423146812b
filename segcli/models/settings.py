"""The knobs of segment-everything, and their defaults for each model family.

Names and meanings are those of Meta's ``SamAutomaticMaskGenerator`` (segment-anything, Apache-2.0)
and ``SAM2AutomaticMaskGenerator`` (sam2, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from segcli.errors import ConfigError
from segcli.models.layers import layered

__all__ = [
    "FAMILIES",
    "Family",
    "GenerateSettings",
    "NmsMetric",
    "generate_settings",
    "stock_settings",
]

NmsMetric = Literal["box_iou", "mask_smaller"]


@dataclass(frozen=True, slots=True)
class GenerateSettings:
    """How segment-everything samples prompts and which masks it keeps.

    Attributes:
        points_per_side: points along each side of the grid; its square is the number of prompts.
        points_per_batch: prompts decoded at once; changes memory and speed, not results. 0 leaves
            it to the machine.
        coarse_to_fine: ask a quarter of the grid first and leave out, of the rest, the points on
            masks found by then: quicker, and some masks are missed.
        multimask: take the three masks of the ambiguity-aware tokens instead of the single mask.
        pred_iou_thresh: masks whose predicted IoU is not above it are dropped; 0 keeps all.
        stability_score_thresh: masks whose stability score is below it are dropped; 0 keeps all.
        stability_score_offset: shift of the cutoff for the stability score, in logits.
        mask_threshold: logit above which a pixel is inside.
        box_nms_thresh: box IoU above which the lower-scored of two masks is dropped.
        nms_metric: "box_iou" alone, or "mask_smaller": after it, also drop a mask when more than
            `mask_nms_thresh` of the smaller of two masks lies in the other.
        mask_nms_thresh: see `nms_metric`.
        crop_n_layers: layers of crops on which the image is segmented again; layer i has
            (2**i)**2 crops.
        crop_nms_thresh: as `box_nms_thresh`, between crops, where smaller crops win.
        crop_overlap_ratio: overlap of crops in the first layer, as a share of the image's
            shorter side.
        crop_n_points_downscale_factor: points_per_side is divided by this for each layer.
        min_mask_region_area: holes and islands smaller than this many pixels are removed; 0 = off.
        connected: of a mask keep only the piece on which its point lies, or the largest.
        max_masks: keep only so many masks of an image, best predicted IoU first; 0 = all.
    """

    points_per_side: int = 32
    points_per_batch: int = 0
    coarse_to_fine: bool = False
    multimask: bool = True
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    mask_threshold: float = 0.0
    box_nms_thresh: float = 0.7
    nms_metric: NmsMetric = "box_iou"
    mask_nms_thresh: float = 0.3
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    min_mask_region_area: int = 0
    connected: bool = False
    max_masks: int = 0

    def __post_init__(self) -> None:
        """Refuse values that have no meaning.

        Raises:
            ConfigError: a value is out of range.
        """
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if isinstance(value, bool) or not low <= value <= high:
                flag = name.replace("_", "-")
                limit = f"at least {low:g}" if high == _MANY else f"from {low:g} to {high:g}"
                raise ConfigError(f"--{flag} {value:g} is out of range", fix=f"use a value {limit}")


_MANY = 1e9
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("points_per_side", 1, 1024),
    ("points_per_batch", 0, _MANY),
    ("pred_iou_thresh", 0, 1),
    ("stability_score_thresh", 0, 1),
    ("stability_score_offset", 0, _MANY),
    ("mask_threshold", -_MANY, _MANY),
    ("box_nms_thresh", 0, 1),
    ("mask_nms_thresh", 0, 1),
    ("crop_n_layers", 0, 5),
    ("crop_nms_thresh", 0, 1),
    ("crop_overlap_ratio", 0, 0.99),
    ("crop_n_points_downscale_factor", 1, 1024),
    ("min_mask_region_area", 0, _MANY),
    ("max_masks", 0, _MANY),
)


@dataclass(frozen=True, slots=True)
class Family:
    """A model family: how it sees an image, and the defaults its authors chose.

    Attributes:
        name: the family's name.
        squashes: the image is squashed to a square (SAM2 and later) rather than scaled by its
            longest edge and padded (SAM).
        defaults: the authors' segment-everything defaults that differ from SAM's.
    """

    name: str
    squashes: bool
    defaults: Mapping[str, Any]


# By `model_type` in config.json. SAM2's threshold of 0.80 is that of sam2's automatic generator.
_SAM2 = Family("sam2", squashes=True, defaults={"pred_iou_thresh": 0.8})
_EDGETAM = Family("edgetam", squashes=True, defaults={"pred_iou_thresh": 0.8})
_SAM3 = Family("sam3_tracker", squashes=True, defaults={"pred_iou_thresh": 0.8})
FAMILIES: Mapping[str, Family] = {
    "sam": Family("sam", squashes=False, defaults={}),
    "sam_hq": Family("sam_hq", squashes=False, defaults={}),
    "sam2": _SAM2,
    "sam2_video": _SAM2,
    "edgetam": _EDGETAM,
    "edgetam_video": _EDGETAM,
    "sam3_tracker": _SAM3,
    "sam3_video": _SAM3,
}


def generate_settings(*layers: Mapping[str, Any]) -> GenerateSettings:
    """Settings from layers of values, later layers winning.

    Raises:
        ConfigError: a name is unknown or a value out of range.
    """
    return GenerateSettings(**layered(GenerateSettings, layers))


def stock_settings(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> GenerateSettings:
    """Settings for the stock transformers pipeline, which takes three masks a point.

    Args:
        defaults: the model's own; those the stock pipeline has no counterpart for are left out.
        given: what the user asked for.

    Raises:
        ConfigError: the user asked for something the stock pipeline would ignore or crash on.
    """
    usable = {k: v for k, v in defaults.items() if k not in _STOCK_LACKS}
    settings = generate_settings(usable, given)
    unsupported = {
        "--single-mask": not settings.multimask,
        "--coarse-to-fine": settings.coarse_to_fine,
        "--nms-metric mask_smaller": settings.nms_metric != "box_iou",
        "--min-mask-region-area": settings.min_mask_region_area > 0,
        "--connected": settings.connected,
        "--crop-n-points-downscale-factor": settings.crop_n_points_downscale_factor != 1,
        "--crop-nms-thresh unlike --box-nms-thresh": settings.crop_n_layers > 0
        and settings.crop_nms_thresh != settings.box_nms_thresh,
    }
    if wrong := [flag for flag, present in unsupported.items() if present]:
        raise ConfigError(
            f"--backend transformers does not support {', '.join(wrong)}",
            why="the stock pipeline ignores it or crashes",
            fix="--backend segcli, or leave the option out",
        )
    return settings


_STOCK_LACKS = frozenset(
    {
        "coarse_to_fine",
        "multimask",
        "nms_metric",
        "mask_nms_thresh",
        "min_mask_region_area",
        "connected",
        "crop_n_points_downscale_factor",
        "crop_nms_thresh",
    }
)
