"""One picture through a class-aware model, whatever its family calls its outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segcli.models.classes.queries import QueryOutput
from segcli.models.classes.runtime import ClassRuntime
from segcli.models.classes.settings import Task

__all__ = ["run_pixels", "run_queries"]


def run_queries(
    runtime: ClassRuntime, image: npt.NDArray[np.uint8], task: Task
) -> QueryOutput | Tensor:
    """Queries of one picture.

    Args:
        runtime: a model with queries.
        image: (H, W, 3) uint8 RGB.
        task: which is told to models that want to know.

    Returns:
        The queries; or, where the model looked at several patches of the picture, (C, h, w) scores
        of each class.
    """
    inputs = _inputs(runtime, image)
    offsets = inputs.pop("patch_offsets", None)
    if runtime.tokens:
        inputs["task_inputs"] = runtime.tokens[task].to(runtime.device)
    output = runtime.model(**inputs)
    classes = output.get("class_queries_logits", output.get("logits"))
    masks = output.get("masks_queries_logits", output.get("pred_masks"))
    classes, masks = classes.float(), masks.float()
    size = tuple(inputs["pixel_values"].shape[-2:])
    if offsets:
        return _joined_patches(classes, masks, offsets, _resized_size(runtime, image.shape[:2]))
    valid = _valid_size(runtime, inputs, image.shape[:2])
    masks = masks[0]
    if valid != size:
        whole = functional.interpolate(masks[None], size=size, mode="bilinear", align_corners=False)
        masks = whole[0, :, : valid[0], : valid[1]]
    return QueryOutput(classes[0], masks)


def run_pixels(runtime: ClassRuntime, image: npt.NDArray[np.uint8]) -> Tensor:
    """(C, h, w) float32 logits of one (H, W, 3) uint8 RGB picture, over exactly the picture."""
    inputs = _inputs(runtime, image)
    valid = inputs.pop("valid_share", (1.0, 1.0))
    # Libraries other than transformers call their input otherwise.
    output = runtime.model(inputs.pop("pixel_values"), **inputs)
    logits = (output if isinstance(output, Tensor) else output.logits)[0].float()
    rows, columns = (
        max(1, round(n * share)) for n, share in zip(logits.shape[1:], valid, strict=True)
    )
    return logits[:, :rows, :columns]


def _inputs(runtime: ClassRuntime, image: npt.NDArray[np.uint8]) -> dict[str, Any]:
    processor = runtime.processor
    options: dict[str, Any] = {}
    if getattr(processor, "do_center_crop", False) and getattr(processor, "crop_size", None):
        # A crop would leave the border of the picture without any answer.
        size = processor.crop_size
        options = {
            "do_center_crop": False,
            "size": {"height": int(size["height"]), "width": int(size["width"])},
        }
    # A copy, because a decoded picture is read-only and PyTorch warns of such arrays.
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    found = processor(images=pixels, return_tensors="pt", input_data_format="channels_first",
                      **options)  # fmt: skip
    inputs = {
        name: found[name]
        for name in ("pixel_values", "pixel_mask", "patch_offsets", "valid_share")
        if found.get(name) is not None
    }
    inputs["pixel_values"] = inputs["pixel_values"].to(runtime.device, runtime.dtype)
    if "pixel_mask" in inputs:
        inputs["pixel_mask"] = inputs["pixel_mask"].to(runtime.device)
    return inputs


def _valid_size(
    runtime: ClassRuntime, inputs: dict[str, Any], picture: tuple[int, ...]
) -> tuple[int, int]:
    """Rows and columns of the model's input that show the picture; the rest is padding."""
    height, width = inputs["pixel_values"].shape[-2:]
    if (mask := inputs.get("pixel_mask")) is not None:
        return int(mask[0].any(1).sum()), int(mask[0].any(0).sum())
    if runtime.facts.family.name.startswith("eomt") and getattr(runtime.processor, "do_pad", False):
        rows, columns = _resized_size(runtime, picture)
        return min(rows, height), min(columns, width)
    return height, width


def _resized_size(runtime: ClassRuntime, picture: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a picture after EoMT's processor resized it, before it pads or splits."""
    from transformers.image_transforms import (  # noqa: PLC0415 (slow to import)
        get_size_with_aspect_ratio,
    )

    size = runtime.processor.size
    height, width = get_size_with_aspect_ratio(
        tuple(picture), size["shortest_edge"], size["longest_edge"]
    )
    return int(height), int(width)


def _joined_patches(
    classes: Tensor,
    masks: Tensor,
    offsets: Sequence[Sequence[int]],
    size: tuple[int, int],
) -> Tensor:
    """Class scores of the whole picture, averaged where patches overlap.

    EoMT looks at pictures through square patches along their longer side.

    Args:
        classes: (P, Q, C + 1) logits of each patch.
        masks: (P, Q, h, w) logits of each patch.
        offsets: (picture, start, stop) of each patch along the longer side.
        size: rows and columns of the resized picture.

    Returns:
        (C, rows, columns).
    """
    height, width = size
    total = masks.new_zeros((classes.shape[2] - 1, height, width))
    count = masks.new_zeros((1, height, width))
    for patch_classes, patch_masks, (_, start, stop) in zip(classes, masks, offsets, strict=True):
        rows, columns = slice(0, height), slice(0, width)
        if height > width:
            rows = slice(start, min(stop, height))
        else:
            columns = slice(start, min(stop, width))
        side = (rows.stop - rows.start, columns.stop - columns.start)
        grown = functional.interpolate(
            patch_masks[None], size=side, mode="bilinear", align_corners=False
        )[0]
        weights = patch_classes.softmax(-1)[:, :-1]
        total[:, rows, columns] += torch.einsum("qc,qhw->chw", weights, grown.sigmoid())
        count[:, rows, columns] += 1
    return total / count.clamp(min=1)
