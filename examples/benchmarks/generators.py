"""One run of one mask generator in this process, with its seconds a stage and its memory.

    python generators.py ENGINE < run.json

ENGINE is `stock` (transformers' `pipeline("mask-generation")`) or `segcli`. Reads a `Run` as JSON,
prints a `Seen` as JSON. A process of its own for each run keeps the memory of the two apart.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image


@dataclass(frozen=True)
class Run:
    """What to run.

    Attributes:
        model: model directory.
        image: picture file.
        threads: threads torch may use.
        dtype: of segcli; the stock pipeline knows float32 only.
        points_per_side: of the grid.
        pred_iou_thresh: see `segcli predict --help`, as the next.
        stability_score_thresh: as above.
        box_nms_thresh: as above; 1 suppresses nothing.
        settings: further settings of segcli.
        warm: segment a grid of 2 x 2 points first.
    """

    model: str
    image: str
    threads: int
    dtype: str
    points_per_side: int
    pred_iou_thresh: float
    stability_score_thresh: float
    box_nms_thresh: float
    settings: dict[str, Any]
    warm: bool


@dataclass
class Seen:
    """What was measured.

    Attributes:
        seconds: by the clock, in all.
        processor: seconds of all threads.
        stages: seconds by the clock spent in each stage; where threads work side by side, their
            average.
        megabytes: most memory held at once, beyond what was held with the model loaded.
        total_megabytes: most memory held at once by the process.
        masks: COCO RLE counts, best first.
        scores: predicted IoU of each.
    """

    seconds: float
    processor: float
    stages: dict[str, float]
    megabytes: float
    total_megabytes: float
    masks: list[str]
    scores: list[float]


class Stages:
    """Adds up the seconds that functions take, over threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def watch(self, owner: Any, name: str, stage: str, share: int = 1) -> None:  # noqa: ANN401
        """Time calls of `owner.name`; `share` threads call it side by side."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                with self._lock:
                    self.seconds[stage] += (time.perf_counter() - started) / share

        setattr(owner, name, timed)


def _stock(run: Run, image: Image.Image, stages: Stages) -> Callable[[int], tuple[Any, Any]]:
    from transformers import (  # noqa: PLC0415 (slow to import)
        AutoImageProcessor,
        AutoModelForMaskGeneration,
        pipeline,
    )

    model = AutoModelForMaskGeneration.from_pretrained(run.model).eval()
    processor = AutoImageProcessor.from_pretrained(run.model)
    generate = pipeline("mask-generation", model=model, image_processor=processor, device="cpu")
    stages.watch(model, "get_image_embeddings", "encoder")
    stages.watch(model, "forward", "decoder")
    stages.watch(processor, "post_process_masks", "masks to pixels")
    stages.watch(processor, "filter_masks", "tests")

    def once(side: int) -> tuple[Any, Any]:
        found = generate(
            image,
            points_per_batch=64,
            points_per_crop=side,
            pred_iou_thresh=run.pred_iou_thresh,
            stability_score_thresh=run.stability_score_thresh,
            crops_nms_thresh=run.box_nms_thresh,
        )
        return found["masks"], found["scores"].tolist()

    return once


def _segcli(run: Run, image: Image.Image, stages: Stages) -> Callable[[int], tuple[Any, Any]]:
    from segcli.cli.process import settle  # noqa: PLC0415 (as above)
    from segcli.models.catalog import find  # noqa: PLC0415
    from segcli.models.sam import decoder, generate  # noqa: PLC0415
    from segcli.models.segmenter import load  # noqa: PLC0415
    from segcli.models.settings import generate_settings  # noqa: PLC0415

    settle()

    def settings(side: int) -> Any:  # noqa: ANN401
        return generate_settings(
            {
                "multimask": True,
                "points_per_side": side,
                "pred_iou_thresh": run.pred_iou_thresh,
                "stability_score_thresh": run.stability_score_thresh,
                "box_nms_thresh": run.box_nms_thresh,
                **run.settings,
            }
        )

    loaded = load(find(run.model), settings(2), device="cpu", dtype=run.dtype, backend="segcli")
    threads = loaded.runtime.workers.count
    stages.watch(generate, "encode_image", "encoder")
    stages.watch(decoder.Decoder, "predict", "decoder", threads)
    stages.watch(decoder._Masks, "logits", "upscaling", threads)  # noqa: SLF001
    stages.watch(generate, "trace", "masks to pixels", threads)
    pixels = np.asarray(image)

    def once(side: int) -> tuple[Any, Any]:
        found = generate.generate(loaded.runtime, pixels, settings(side))
        return [s.mask for s in found], [s.score for s in found]

    return once


def measure(engine: str, run: Run) -> Seen:
    """Run an engine once."""
    from segcli.masks.rle import encode  # noqa: PLC0415 (quick to import, but not before torch)

    torch.set_num_threads(run.threads)
    stages = Stages()
    image = Image.open(run.image).convert("RGB")
    once = (_stock if engine == "stock" else _segcli)(run, image, stages)
    if run.warm:
        once(2)
        stages.seconds.clear()
    held = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    started, processor = time.perf_counter(), time.process_time()
    masks, scores = once(run.points_per_side)
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    peak = _memory("VmHWM")
    rest = seconds - sum(stages.seconds.values())
    rles = masks if engine == "segcli" else [encode(np.asarray(m)) for m in masks]
    return Seen(
        seconds,
        processor,
        {**stages.seconds, "rest": max(rest, 0.0)},
        peak - held,
        peak,
        [r.counts for r in rles],
        scores,
    )


def _memory(name: str) -> float:
    """A figure of this process's memory in MB, as Linux counts it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
    raise KeyError(name)


if __name__ == "__main__":
    print(json.dumps(asdict(measure(sys.argv[1], Run(**json.load(sys.stdin))))))
