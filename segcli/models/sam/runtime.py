"""A loaded SAM-family model: the transformers module, its image processor, device and dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from segcli.errors import ModelError
from segcli.models.catalog import ModelRef
from segcli.models.sam.workers import Workers

__all__ = ["Runtime", "load_runtime"]


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything the stages need to run a model.

    Attributes:
        ref: which model this is.
        model: transformers' model for mask generation, in evaluation mode.
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
        """Pixels where and in the type in which the model wants them, without waiting."""
        if self.device.type == "cuda":
            pixels = pixels.pin_memory()
        return pixels.to(self.device, self.dtype, non_blocking=True)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the model's input."""
        processor = self.image_processor
        size = processor.size if self.ref.family.squashes else processor.pad_size
        return int(size["height"]), int(size["width"])


def load_runtime(
    ref: ModelRef, device: torch.device, dtype: torch.dtype, *, compiled: bool = False
) -> Runtime:
    """Load a model from its local directory: safetensors only, no remote code, no network.

    Raises:
        ModelError: transformers cannot load it.
    """
    import transformers  # noqa: PLC0415 (slow to import)

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    source = str(ref.directory)
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        model = transformers.AutoModelForMaskGeneration.from_pretrained(
            source, dtype=dtype, use_safetensors=True, **safe
        )
        processor = transformers.AutoImageProcessor.from_pretrained(source, **safe)
    except Exception as error:
        # transformers, safetensors and torch each raise their own on a damaged directory.
        raise ModelError(
            f"cannot load model '{ref.name}' from {ref.directory}",
            why=f"{type(error).__name__}: {error}",
            fix="the folder needs config.json, preprocessor_config.json and *.safetensors",
        ) from error
    # In place of autograd, the encoder writes into what it has.
    model = model.to(device).eval().requires_grad_(False)
    # Positions have more digits than bfloat16 holds.
    model.prompt_encoder.float()
    model.shared_image_embedding.float()
    workers = Workers(torch.get_num_threads())
    return Runtime(ref, model, processor, device, dtype, workers, compiled)
