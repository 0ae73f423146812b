"""A loaded class-aware model: transformers' module and processor, device and dtype."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from segcli.errors import ModelError
from segcli.models.catalog import ModelRef
from segcli.models.classes.facts import ClassFacts
from segcli.models.classes.families import UNET
from segcli.models.classes.unet import load_unet

__all__ = ["ClassRuntime", "load_class_runtime"]

_ONEFORMER = "oneformer"


@dataclass(frozen=True, slots=True)
class ClassRuntime:
    """Everything the stages need to run a model.

    Attributes:
        ref: which model this is.
        facts: what it can do.
        model: the module, in evaluation mode.
        processor: transformers' image processor, or what stands for one.
        device: where it runs.
        dtype: the floating-point type of its weights and activations.
        tokens: OneFormer only: token ids by task.
    """

    ref: ModelRef
    facts: ClassFacts
    model: Any
    processor: Any
    device: torch.device
    dtype: torch.dtype
    tokens: Mapping[str, torch.Tensor] = field(default_factory=dict)


def load_class_runtime(ref: ModelRef, device: torch.device, dtype: torch.dtype) -> ClassRuntime:
    """Load a model from its local directory: safetensors only, no remote code, no network.

    Raises:
        ModelError: it cannot be loaded.
        MissingExtraError: a library that it needs is not installed.
    """
    facts = ref.classes
    assert facts is not None
    if facts.family.name == UNET:
        model, processor = load_unet(ref.directory, ref.name, ref.card)
        return ClassRuntime(ref, facts, _placed(model, device, dtype), processor, device, dtype)
    import transformers  # noqa: PLC0415 (slow to import)

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    source = str(ref.directory)
    safe = {"local_files_only": True, "trust_remote_code": False}
    kind = (
        transformers.AutoModelForUniversalSegmentation
        if facts.family.output == "queries"
        else transformers.AutoModelForSemanticSegmentation
    )
    try:
        model = kind.from_pretrained(source, dtype=dtype, use_safetensors=True, **safe)
        processor, tokens = _processor(facts, ref.directory, safe)
    except Exception as error:
        # transformers, safetensors and torch each raise their own on a damaged directory.
        raise ModelError(
            f"cannot load model '{ref.name}' from {ref.directory}",
            why=f"{type(error).__name__}: {error}",
            fix="the folder needs config.json, preprocessor_config.json and *.safetensors",
        ) from error
    model = _placed(model, device, dtype)
    return ClassRuntime(ref, facts, model, processor, device, dtype, tokens)


def _placed(model: Any, device: torch.device, dtype: torch.dtype) -> Any:  # noqa: ANN401 (untyped)
    return model.to(device=device, dtype=dtype).eval()


def _processor(
    facts: ClassFacts, directory: Path, safe: Mapping[str, bool]
) -> tuple[Any, dict[str, torch.Tensor]]:
    import transformers  # noqa: PLC0415 (slow to import)

    if facts.family.name != _ONEFORMER:
        return transformers.AutoImageProcessor.from_pretrained(directory, **safe), {}
    # Its class_info_file lies in another repository, and only training needs what it says.
    processor = transformers.OneFormerImageProcessor.from_pretrained(
        directory, class_info_file=None, **safe
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **safe)
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    length = int(config.get("task_seq_len", 77))
    tokens: dict[str, torch.Tensor] = {}
    for task in facts.tasks:
        found = tokenizer(
            f"the task is {task}", padding="max_length", max_length=length, truncation=True
        )
        ids = torch.tensor(found["input_ids"]) * torch.tensor(found["attention_mask"])
        tokens[task] = ids[None]
    return processor, tokens
