"""A loaded SAM-family model: its modules, its image processor, device and dtype."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from segcli.errors import ModelError
from segcli.models.catalog import ModelRef
from segcli.models.sam.lite.load import load_lite
from segcli.models.sam.workers import Workers

__all__ = ["Runtime", "load_runtime"]

# Positions have more digits than bfloat16 holds, and what is done to tokens costs little: they are
# few where the image's pixels are thousands.
_OF_TOKENS = ("transformer.", "output_hypernetworks_mlps.", "iou_prediction_head.", "iou_token.",
              "mask_tokens.", "obj_score_token.", "pred_obj_score_head.", "hq_token.",
              "hq_mask_mlp.")  # fmt: skip
_EXACT = ("prompt_encoder.", "shared_image_embedding.", *("mask_decoder." + n for n in _OF_TOKENS))
# Convolutions without norms between them lose a digit more than transformers do, and are quick.
_CONVOLUTIONAL = ("edgetam", "edgetam_video")
_CONVOLUTIONS = ("vision_encoder.", "mask_decoder.conv_s")


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything the stages need to run a model.

    Attributes:
        ref: which model this is.
        model: transformers' model for mask generation, in evaluation mode, or the bundled
            model's own modules, which answer to the same names.
        image_processor: its image processor.
        device: where it runs.
        dtype: the floating-point type of its weights and activations.
        compiled: its larger functions are compiled when they are first called.
        workers: threads for work on the CPU.
    """

    ref: ModelRef
    model: Any
    image_processor: Any
    device: torch.device
    dtype: torch.dtype
    workers: Workers
    compiled: bool = False

    @property
    def on_gpu(self) -> bool:
        """The CPU has time for other work while the model runs."""
        return self.device.type != "cpu"

    def to_device(self, pixels: torch.Tensor) -> torch.Tensor:
        """Pixels where and in the type in which the encoder wants them, without waiting."""
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        dtype = next(self.model.vision_encoder.parameters()).dtype
        return pixels.to(self.device, dtype, non_blocking=True)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the model's input."""
        processor = self.image_processor
        size = processor.size if self.ref.family.squashes else processor.pad_size
        return int(size["height"]), int(size["width"])


def load_runtime(
    ref: ModelRef,
    device: torch.device,
    dtype: torch.dtype,
    *,
    compiled: bool = False,
    stock: bool = False,
) -> Runtime:
    """Load a model from its local directory: safetensors only, no remote code, no network.

    Args:
        ref: the model.
        device: where it shall run.
        dtype: of its weights and activations.
        compiled: compile its larger functions.
        stock: take transformers' own modules, which its pipeline needs, also where segcli has
            its own that load faster.

    Raises:
        ModelError: it cannot be loaded.
    """
    found = None if stock else load_lite(ref.directory)
    model, processor = found or _from_transformers(ref)
    # In place of autograd, the encoder writes into what it has.
    model = _in_precision(model.requires_grad_(False), ref.model_type, dtype).to(device)
    workers = Workers(torch.get_num_threads())
    return Runtime(ref, model, processor, device, dtype, workers, compiled)


def _from_transformers(ref: ModelRef) -> tuple[Any, Any]:
    """Model in evaluation mode and image processor."""
    import transformers  # noqa: PLC0415 (slow to import)

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    source = str(ref.directory)
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = transformers.AutoModelForMaskGeneration.from_pretrained(
            source, dtype=torch.float32, use_safetensors=True, **safe
        )
        processor = transformers.AutoImageProcessor.from_pretrained(source, **safe)
    except Exception as error:
        # transformers, safetensors and torch each raise their own on a damaged directory.
        raise ModelError(
            f"cannot load model '{ref.name}' from {ref.directory}",
            why=f"{type(error).__name__}: {error}",
            fix="the folder needs config.json, preprocessor_config.json and *.safetensors",
        ) from error
    return model.eval(), processor


def _in_precision(model: Any, model_type: str, dtype: torch.dtype) -> Any:  # noqa: ANN401
    """The model in another precision, but for what would lose by it."""
    exact = _EXACT + (_CONVOLUTIONS if model_type in _CONVOLUTIONAL else ())
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if not name.startswith(exact):
            tensor.data = tensor.data.to(dtype)
    return model
