"""EfficientNet-Lite0: the stages of a picture at strides 4, 8, 16 and 32.

Source: Tan and Le, "EfficientNet" (2019), and Google's Lite variants (no squeeze-and-excitation,
ReLU6). Modules are named as in timm's `tf_efficientnet_lite0`, whose numbers these are.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

__all__ = ["CHANNELS", "EfficientNetLite"]

_STEM = 32
# Blocks, channels, kernel, stride of the first block, expansion.
_STAGES = (
    (1, 16, 3, 1, 1),
    (2, 24, 3, 2, 6),
    (2, 40, 5, 2, 6),
    (3, 80, 3, 2, 6),
    (3, 112, 5, 1, 6),
    (4, 192, 5, 2, 6),
    (1, 320, 3, 1, 6),
)
# Stages whose result is handed on, the last of each stride.
_GIVEN = (1, 2, 4, 6)
CHANNELS = tuple(_STAGES[stage][1] for stage in _GIVEN)


class EfficientNetLite(nn.Module):
    """The convolutional part, without the classifier."""

    def __init__(self) -> None:
        """Make the modules."""
        super().__init__()
        self.conv_stem = _Convolution(3, _STEM, 3, 2)
        self.bn1 = _norm(_STEM)
        widths = [_STEM, *(channels for _, channels, *_ in _STAGES)]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                _Block(before, channels, kernel, stride, expansion),
                *(_Block(channels, channels, kernel, 1, expansion) for _ in range(count - 1)),
            )
            for (before, channels), (count, _, kernel, stride, expansion) in zip(
                pairwise(widths), _STAGES, strict=True
            )
        )

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Normalised pixels (N, 3, H, W) → maps (N, C, H / s, W / s) for s = 4, 8, 16, 32."""
        maps = []
        plane = functional.relu6(self.bn1(self.conv_stem(pixels)))
        for number, stage in enumerate(self.blocks):
            plane = stage(plane)
            if number in _GIVEN:
                maps.append(plane)
        return maps


class _Block(nn.Module):
    """Widen, look around, narrow: an inverted residual, or without widening the first block."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = before * expansion
        around = _Convolution(wide, wide, kernel, stride, groups=wide)
        if expansion == 1:
            steps = {"conv_dw": around, "conv_pw": _Convolution(wide, after, 1)}
        else:
            widen, narrow = _Convolution(before, wide, 1), _Convolution(wide, after, 1)
            steps = {"conv_pw": widen, "conv_dw": around, "conv_pwl": narrow}
        self.names = tuple(steps)
        for number, (name, step) in enumerate(steps.items(), 1):
            self.add_module(name, step)
            self.add_module(f"bn{number}", _norm(step.out_channels))
        self.shortcut = before == after and stride == 1

    def forward(self, plane: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) → (N, C', H / stride, W / stride)."""
        x = plane
        for number, name in enumerate(self.names, 1):
            x = self.get_submodule(f"bn{number}")(self.get_submodule(name)(x))
            if number < len(self.names):
                x = functional.relu6(x)
        return x + plane if self.shortcut else x


class _Convolution(nn.Conv2d):
    """TensorFlow's "same" padding: with a stride, more below and to the right than above."""

    def __init__(
        self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        padding = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(before, after, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (torch's own name)
        """(N, C, H, W) → (N, C', ceil(H / stride), ceil(W / stride))."""
        (size, _), (stride, _) = self.kernel_size, self.stride
        if stride > 1:
            rows, columns = (
                max((-(-n // stride) - 1) * stride + size - n, 0) for n in input.shape[-2:]
            )
            edges = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
            input = functional.pad(input, edges)  # noqa: A001
        return super().forward(input)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
