"""Where a model runs and in which floating-point type."""

from __future__ import annotations

import torch

from segcli.errors import ConfigError

__all__ = ["choose_device", "choose_dtype", "has_fast_bfloat16"]

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def choose_device(name: str) -> torch.device:
    """The device for ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    ``auto`` takes a CUDA GPU when there is one, then Apple's, then the CPU.

    Raises:
        ConfigError: the name is unknown, or there is no such device on this machine.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    kind, colon, index = name.partition(":")
    if kind not in {"cpu", "cuda", "mps"} or (colon and not index.isdecimal()):
        raise ConfigError(f"unknown device '{name}'", fix="auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"there is no device '{name}' on this machine",
            why=f"torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices",
            fix="--device auto, and segcli doctor to see what torch sees",
        )
    if kind == "mps" and not mps:
        raise ConfigError("there is no device 'mps' on this machine", fix="--device auto")
    return torch.device(name)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The type for ``auto``, ``float32``, ``bfloat16`` or ``float16`` on a device.

    ``auto`` is float32 (exact) except on a CUDA GPU, where it is bfloat16, or float16 on cards
    without it.

    Raises:
        ConfigError: the name is unknown.
    """
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if name not in _DTYPES:
        raise ConfigError(f"unknown dtype '{name}'", fix=f"auto, {', '.join(_DTYPES)}")
    return _DTYPES[name]


def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices itself.

    Without it they take 100 times as long as float32 (measured on AVX2 with torch 2.14).
    """
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 (no public way)
