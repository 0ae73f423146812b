"""Segment-everything settings: layers, ranges, and what the stock pipeline cannot do."""

from __future__ import annotations

import pytest

from segcli.errors import ConfigError
from segcli.models.settings import FAMILIES, GenerateSettings, generate_settings, stock_settings


def test_defaults_are_metas():
    """The built-in values are those of Meta's automatic mask generator.

    How many points are decoded at once, which does not change masks, is the machine's to choose.
    """
    settings = GenerateSettings()
    assert (settings.points_per_side, settings.points_per_batch) == (32, 0)
    assert not settings.coarse_to_fine
    assert (settings.pred_iou_thresh, settings.stability_score_thresh) == (0.88, 0.95)
    assert (settings.stability_score_offset, settings.box_nms_thresh) == (1.0, 0.7)
    assert settings.crop_overlap_ratio == 512 / 1500
    assert FAMILIES["sam2"].defaults["pred_iou_thresh"] == 0.8


def test_later_layers_win():
    """User values override the model's, which override the family's."""
    settings = generate_settings({"max_masks": 1, "points_per_side": 2}, {"max_masks": 3})
    assert (settings.max_masks, settings.points_per_side) == (3, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"points_per_side": 0},
        {"points_per_batch": -1},
        {"pred_iou_thresh": 1.5},
        {"crop_overlap_ratio": 1.0},
        {"stability_score_offset": -1},
        {"nope": 1},
    ],
)
def test_wrong_values(wrong):
    """Values out of range and unknown names are refused."""
    with pytest.raises(ConfigError):
        generate_settings(wrong)


def test_stock_settings():
    """Model defaults the stock pipeline lacks are left out; asking for them is refused."""
    defaults = {"multimask": False, "coarse_to_fine": True, "pred_iou_thresh": 0.4}
    settings = stock_settings(defaults, {})
    assert (settings.multimask, settings.coarse_to_fine) == (True, False)
    assert settings.pred_iou_thresh == 0.4
    with pytest.raises(ConfigError, match="--single-mask"):
        stock_settings({}, {"multimask": False})
    with pytest.raises(ConfigError, match="--coarse-to-fine"):
        stock_settings({}, {"coarse_to_fine": True})
