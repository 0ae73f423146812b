"""What tests share besides fixtures."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from segcli.models.sam.runtime import Runtime

# A random model passes these about half the time, and its full boxes are not suppressed.
LOOSE_FLAGS = [
    "--points-per-side=6",
    "--pred-iou-thresh=0",
    "--stability-score-thresh=0.3391",
    "--stability-score-offset=0.05",
    "--box-nms-thresh=1",
    "--max-masks=4",
]


def blobs(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A picture of bright discs on a dark, noisy ground: (H, W, 3) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    picture = random.integers(0, 40, (height, width, 3))
    for _ in range(5):
        cy, cx, radius = (
            random.integers(4, height),
            random.integers(4, width),
            random.integers(4, 10),
        )
        inside = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        picture[inside] = random.integers(120, 255, 3)
    return picture.astype(np.uint8)


def stock_of(runtime: Runtime) -> Runtime:
    """The same model in transformers' own modules, in float32 on the CPU."""
    return _stock(runtime.ref.directory)


@cache
def _stock(directory: Path) -> Runtime:
    import torch

    from segcli.models.catalog import find
    from segcli.models.sam.runtime import load_runtime

    return load_runtime(find(str(directory)), torch.device("cpu"), torch.float32, stock=True)


def environment(**extra: str) -> dict[str, str]:
    """The environment of a subprocess: offline, and without settings of the developer's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SEGCLI_")}
    return {**kept, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **extra}


def segcli(
    *arguments: str | Path, cwd: Path | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does, and wait for it."""
    return subprocess.run(
        [sys.executable, "-m", "segcli", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **options,
    )
