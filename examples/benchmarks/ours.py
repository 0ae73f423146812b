"""segcli's side: the parts of the benchmark, as the library runs them and as the command does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clock import Run, Scores
from work import COCO_SIZE, Files, binary_masks, class_maps, coco_objects, coco_panoptic

from segcli.cli.process import settle
from segcli.evaluate import EvalSettings, Side, evaluate, open_sides
from segcli.metrics import MetricOptions, Pair, metrics_for

__all__ = ["PARTS", "Part", "peak_memory", "prepare", "prepare_command"]

_LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@dataclass(frozen=True)
class Part:
    """One comparison.

    Attributes:
        title: what is computed.
        protocol: segcli's protocol.
        family: its family of scores.
        make: (folder, images, size) → the files.
        share: of the images asked for, how many it takes.
        prefix: what segcli's names of the scores start with.
        sized: True when pictures have the size asked for, False for COCO's.
        loaded: True when everything is read before the clock starts.
    """

    title: str
    protocol: str
    family: str
    make: Callable[[Path, int, int], Files]
    share: float = 1.0
    prefix: str = ""
    sized: bool = True
    loaded: bool = False

    def images(self, asked: int) -> int:
        """How many images it takes."""
        return max(2, round(asked * self.share))

    def amount(self, asked: int, size: int) -> str:
        """The work in words."""
        height, width = (size, size) if self.sized else COCO_SIZE
        return f"{self.images(asked)} images of {width}x{height}"


PARTS: dict[str, Part] = {
    "miou": Part("mean IoU of class maps in PNG", "semantic", "classes", class_maps),
    "ap": Part(
        "COCO mask AP", "instance", "coco", lambda to, n, _: coco_objects(to, n), sized=False
    ),
    "ap-loaded": Part(
        "COCO mask AP of objects that are in memory already",
        "instance",
        "coco",
        lambda to, n, _: coco_objects(to, n),
        sized=False,
        loaded=True,
    ),
    "pq": Part(
        "panoptic quality from COCO PNG and JSON",
        "panoptic",
        "pq",
        lambda to, n, _: coco_panoptic(to, n),
        share=0.25,
        sized=False,
    ),
    "boundary-ap": Part(
        "COCO boundary AP",
        "instance",
        "boundary",
        lambda to, n, _: coco_objects(to, n),
        share=0.25,
        prefix="boundary_",
        sized=False,
    ),
    "hd95": Part(
        "95 % Hausdorff distance of binary masks", "binary", "distance", binary_masks, share=0.125
    ),
}


def prepare(name: str, files: Files, threads: int) -> Run:
    """A part as `segcli eval` runs it, once Python and the command have started."""
    settle()
    part = PARTS[name]
    return _in_memory(part, files) if part.loaded else _in_process(part, files, threads)


def _in_process(part: Part, files: Files, threads: int) -> Run:
    """The part as the library runs it: both sides opened, told apart, paired and scored."""
    settings = EvalSettings(part.protocol, families=(part.family,), workers=threads)

    def run() -> Scores:
        _forget()
        sides = open_sides(Side(str(files.pred)), Side(str(files.gt)), settings)
        found = evaluate(*sides, settings)
        return _scores(found.metrics, found.tables, part.prefix)

    return run


def _in_memory(part: Part, files: Files) -> Run:
    """The part from objects in memory to scores, without reading, pairing and reporting."""
    pred, gt = open_sides(Side(str(files.pred)), Side(str(files.gt)))
    listed, found = gt.keys(), set(pred.keys())
    sides = [(key, pred.read(key), gt.read(key)) for key in listed if key in found]
    (metric,) = metrics_for(part.protocol, MetricOptions(), (part.family,))

    def run() -> Scores:
        total = metric.zero()
        for index, (key, guess, truth) in enumerate(sides):
            total.add(metric.measure(Pair(key, index, guess, truth)))
        return total.compute()

    return run


def _forget() -> None:
    """Nothing that an earlier run found out about the files may help this one."""
    for name, module in list(sys.modules.items()):
        if name.startswith("segcli."):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()


def prepare_command(name: str, files: Files, threads: int) -> Run:
    """A part as the command runs it, from starting Python to the printed JSON."""
    part = PARTS[name]
    command = _command(part, files, threads)

    def run() -> Scores:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own)
        if done.returncode:
            raise SystemExit(done.stderr)
        printed = json.loads(done.stdout)
        return _scores(_flat(printed["metrics"]), printed.get("tables", {}), part.prefix)

    return run


def peak_memory(part: Part, files: Files, threads: int) -> float:
    """The most memory in MiB that the command holds at once."""
    # A process starts with the peak of the one that starts it, so a small one must.
    command = [sys.executable, "-c", _LAUNCHER, *_command(part, files, threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(done.stderr)
    return int(done.stdout) / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _command(part: Part, files: Files, threads: int) -> list[str]:
    command = [sys.executable, "-m", "segcli", "eval", str(files.pred), str(files.gt), "--json"]
    command += ["--protocol", part.protocol, "--metrics", part.family, "-q"]
    return [*command, "--workers", str(threads)]


def _flat(tree: Mapping[str, Any], above: str = "") -> Scores:
    flat: Scores = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{above}{name}."))
        elif value is not None:
            flat[f"{above}{name}"] = float(value)
    return flat


def _scores(metrics: Scores, tables: Mapping[str, Any], prefix: str) -> Scores:
    """The scores by the names that peers use too."""
    scores = {name.removesuffix(".pooled").removeprefix(prefix): v for name, v in metrics.items()}
    if "hd95.mean_of_images" in scores:
        scores["hd95"] = scores["hd95.mean_of_images"]
    for row in tables.get("per_class", []):
        if (value := row.get("iou.pooled")) is not None:
            scores[f"iou {row['class']}"] = value
    return scores
