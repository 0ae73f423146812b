"""Measure a model with its controls: held-out scenes, nuclei, photographs, or your own pictures.

Each set is scored by single points (the pixel farthest from the object's border, and a random
pixel), boxes and segment-everything. Beside the model, in the same run: Felzenszwalb superpixels
(one scale, and the best of three), a disc of the best radius round the point, Otsu's threshold with
opening and components, and the model given another picture's embedding.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import controls
import numpy as np
import torch
from data import pair_files, read_picture
from measure import Answers, Everything, Truth, encode, iou, score_prompts, truths
from model import Trainee
from numpy.typing import NDArray
from PIL import Image
from scenes import Scene, make_scene
from skimage import data as pictures
from transformers import EdgeTamModel

from segcli.masks.rle import decode
from segcli.models.catalog import find
from segcli.models.segmenter import load
from segcli.models.settings import generate_settings

HELD_OUT_SEED = 500_000
PROMPTS = ("centre", "anywhere", "box")
SMALLEST = 10


@dataclass(frozen=True)
class Set:
    """Pictures to score.

    Attributes:
        name: heading of its table.
        pictures: one function per picture, which reads or draws it.
        everything: whether segment-everything is scored.
        complete: whether every object is labelled, so that precision has a meaning.
    """

    name: str
    pictures: list[Callable[[], Scene]]
    everything: bool
    complete: bool


@dataclass
class Tally:
    """Scores of some pictures; tallies add up."""

    model: dict[str, Answers] = field(default_factory=lambda: {k: Answers() for k in PROMPTS})
    other: Answers = field(default_factory=Answers)
    regions: dict[str, list[list[float]]] = field(
        default_factory=lambda: {"centre": [], "anywhere": []}
    )
    discs: dict[str, list[NDArray[np.float64]]] = field(
        default_factory=lambda: {"centre": [], "anywhere": []}
    )
    ellipses: list[float] = field(default_factory=list)
    everything: dict[str, Everything] = field(
        default_factory=lambda: {k: Everything() for k in ("model", "otsu", "felzenszwalb")}
    )

    def add(self, more: Tally) -> None:
        """Take in the scores of other pictures."""
        pairs = [(self.model[k], more.model[k]) for k in PROMPTS] + [(self.other, more.other)]
        for mine, theirs in pairs:
            for name in vars(mine):
                getattr(mine, name).extend(getattr(theirs, name))
        for kind in self.regions:
            self.regions[kind] += more.regions[kind]
            self.discs[kind] += more.discs[kind]
        self.ellipses += more.ellipses
        for kind, counts in self.everything.items():
            for name in vars(counts):
                setattr(counts, name, getattr(counts, name) + getattr(more.everything[kind], name))


class Scorer:
    """Scores pictures of a set one by one; made once, used by several processes."""

    def __init__(self, directory: Path, sets: Sequence[Set]) -> None:
        self.trainee = Trainee(EdgeTamModel.from_pretrained(directory).eval())
        self.sets = sets
        self.segment = _generator(directory)

    def __call__(self, task: tuple[int, int]) -> tuple[int, Tally]:
        """Score picture `task[1]` of set `task[0]`."""
        torch.set_num_threads(1)
        chosen = self.sets[task[0]]
        scene = chosen.pictures[task[1]]()
        tally = Tally()
        objects = truths(scene.objects, np.random.default_rng(task[1]), SMALLEST)
        encoded = encode(self.trainee, scene.image)
        for kind in PROMPTS:
            score_prompts(self.trainee, encoded, objects, kind, tally.model[kind])
        stranger = chosen.pictures[(task[1] + 1) % len(chosen.pictures)]().image
        score_prompts(self.trainee, encode(self.trainee, stranger), objects, "centre", tally.other)
        regions = controls.superpixels(scene.image)
        for truth in objects:
            drawn = controls.ellipse(truth.mask.shape, truth.box)
            tally.ellipses.append(iou(drawn, truth.mask))
            for kind in tally.regions:
                point = getattr(truth, kind)
                found = [controls.region_under(r, point) for r in regions.values()]
                tally.regions[kind].append([iou(m, truth.mask) for m in found])
                tally.discs[kind].append(controls.disc_ious(truth.mask, point))
        if chosen.everything:
            self._everything(scene, objects, regions[controls.ONE_SCALE], tally)
        return task[0], tally

    def _everything(
        self, scene: Scene, objects: list[Truth], regions: NDArray[np.int64], tally: Tally
    ) -> None:
        tally.everything["model"].add(self.segment(scene.image), objects)
        tally.everything["otsu"].add(controls.otsu_objects(scene.image), objects)
        tally.everything["felzenszwalb"].add(controls.superpixel_objects(regions), objects)


def _generator(directory: Path) -> Callable[[NDArray[np.uint8]], list[NDArray[np.bool_]]]:
    """Segment-everything as `segcli predict --model DIR` runs it, masks best first."""
    ref = find(str(directory))
    settings = generate_settings(ref.generate_defaults)
    loaded = load(ref, settings, device="cpu", dtype="float32", backend="segcli")
    return lambda image: [decode(segment.mask) for segment in loaded.segment(image)]


def summary(tally: Tally) -> dict[str, Any]:
    """All scores of a set as plain numbers; NaN where there is nothing to average."""
    result: dict[str, Any] = {
        "objects": len(tally.regions["centre"]),
        "model": {k: tally.model[k].means() for k in PROMPTS},
        "another_picture": tally.other.means(),
    }
    for kind in tally.regions:
        regions = np.array(tally.regions[kind]).reshape(-1, len(controls.SCALES))
        discs = np.array(tally.discs[kind]).reshape(-1, len(controls.RADII))
        if not len(regions):
            continue
        one = controls.SCALES.index(controls.ONE_SCALE)
        triples = combinations(range(len(controls.RADII)), 3)
        result[f"controls_{kind}"] = {
            "felzenszwalb": float(regions[:, one].mean()),
            "felzenszwalb_best_of_3": float(regions.max(1).mean()),
            "disc": float(discs.mean(0).max()),
            "disc_radius": controls.RADII[int(discs.mean(0).argmax())],
            "disc_best_of_3": max(float(discs[:, t].max(1).mean()) for t in triples),
        }
    if tally.ellipses:
        result["controls_box"] = {"ellipse": float(np.mean(tally.ellipses))}
    if tally.everything["model"].objects:
        result["everything"] = {k: v.ratios() for k, v in tally.everything.items()}
        result["everything_masks"] = tally.everything["model"].predicted
    return result


def markdown(scores: dict[str, dict[str, Any]], sets: Sequence[Set]) -> str:
    """The scores as tables."""
    lines = [
        "| mean IoU | " + " | ".join(f"{n} ({s['objects']})" for n, s in scores.items()) + " |"
    ]
    lines.append("|---" * (len(scores) + 1) + "|")

    def row(label: str, *path: str) -> None:
        values: list[str] = []
        for entry in scores.values():
            value: Any = entry
            for key in path:
                value = value.get(key, {}) if isinstance(value, dict) else value
            missing = isinstance(value, dict) or math.isnan(value)
            values.append("-" if missing else f"{value:.3f}")
        lines.append(f"| {label} | " + " | ".join(values) + " |")

    for kind, words in (("centre", "central point"), ("anywhere", "random point"), ("box", "box")):
        row(f"**{words}**: highest predicted IoU", "model", kind, "chosen")
        row(f"{words}: best of three", "model", kind, "best")
        row(f"{words}: single mask", "model", kind, "single")
        row(f"{words}: as segcli predict gives it", "model", kind, "delivered")
        if kind != "box":
            row(f"{words}: Felzenszwalb, one scale", f"controls_{kind}", "felzenszwalb")
            row(f"{words}: Felzenszwalb, best of three", f"controls_{kind}",
                "felzenszwalb_best_of_3")  # fmt: skip
            row(f"{words}: disc of the best radius", f"controls_{kind}", "disc")
            row(f"{words}: disc, best of three radii", f"controls_{kind}", "disc_best_of_3")
    row("box: ellipse in the box", "controls_box", "ellipse")
    row("central point on another picture's embedding", "another_picture", "chosen")
    for kind, words in (("centre", "central point"), ("anywhere", "random point"), ("box", "box")):
        row(f"mean error of predicted IoU, {words}", "model", kind, "error")
        row(f"the same, single mask, {words}", "model", kind, "error_single")
    partial = {s.name for s in sets if not s.complete}
    for who in ("model", "otsu", "felzenszwalb"):
        for key, words in (("f1", "F1@0.5 pooled"), ("overlap", "best overlap"),
                           ("ar100", "AR@100")):  # fmt: skip
            row(f"everything, {who}: {words}", "everything", who, key)
    if partial:
        lines.append(f"\nF1 says little on {', '.join(sorted(partial))}: labelled in part.")
    return "\n".join(lines) + "\n"


def overlay(image: NDArray[np.uint8], masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """Picture with its masks in colour, larger ones underneath, each with a bright rim."""
    rng = np.random.default_rng(7)
    out = image.astype(np.float32) * 0.75
    for mask in sorted(masks, key=lambda m: -int(m.sum())):
        colour = rng.uniform(60, 255, 3)
        out[mask] = 0.45 * out[mask] + 0.55 * colour
        inner = mask.copy()
        inner[1:-1, 1:-1] = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        out[mask & ~inner] = colour
    return out.astype(np.uint8)


def draw_pictures(
    scorer: Scorer, sets: Sequence[Set], out: Path, each: int = 4, photographs: bool = True
) -> dict[str, int]:
    """Write overlays of segment-everything and return the number of masks by picture."""
    named: list[tuple[str, NDArray[np.uint8]]] = []
    for chosen in sets:
        step = max(1, len(chosen.pictures) // each)
        for i, read in enumerate(chosen.pictures[::step][:each]):
            named.append((f"{chosen.name}_{i}", read().image))
    if photographs:
        for name in ("astronaut", "coffee", "coins", "chelsea", "rocket", "cell"):
            image = getattr(pictures, name)()
            named.append((name, image if image.ndim == 3 else np.stack([image] * 3, -1)))
    counts, pairs = {}, {}
    out.mkdir(parents=True, exist_ok=True)
    for name, image in named:
        masks = scorer.segment(image)
        counts[name] = len(masks)
        pairs[name] = Image.fromarray(np.concatenate([image, overlay(image, masks)], 1))
        pairs[name].save(out / f"{name.replace('/', '_')}.jpg", quality=85)
    # Only pictures that anyone may redistribute go on the sheet.
    free = [pair for name, pair in pairs.items() if not name.startswith("photos/")]
    contact_sheet(free).save(out / "sheet.jpg", quality=80)
    return counts


def contact_sheet(
    pictures: Sequence[Image.Image], columns: int = 3, width: int = 400
) -> Image.Image:
    """Pictures of any size in rows of `columns`, each fitted into `width` x `width` / 2 pixels."""
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * width, rows * width // 2), "white")
    for i, picture in enumerate(pictures):
        small = picture.copy()
        small.thumbnail((width - 6, width // 2 - 6))
        sheet.paste(small, (i % columns * width + 3, i // columns * width // 2 + 3))
    return sheet


def _folder(images: Path, labels: Path) -> list[Callable[[], Scene]]:
    return [lambda pair=pair: read_picture(*pair) for pair in pair_files(images, labels)]


def find_sets(options: argparse.Namespace) -> list[Set]:
    """Sets named on the command line, in the order of the report."""
    sets = []
    if options.scenes:
        drawn = [lambda s=s: make_scene(HELD_OUT_SEED + s) for s in range(options.scenes)]
        sets.append(Set("scenes", drawn, True, True))
    root = options.data
    if root is not None and (root / "nuclei" / "test").is_dir():
        folder = root / "nuclei" / "test"
        sets.append(Set("nuclei", _folder(folder / "images", folder / "labels"), True, True))
    if root is not None and (root / "photos" / "test").is_dir():
        for name in ("panoptic", "instances", "one_object"):
            folder = root / "photos" / "test" / name
            pictures = _folder(folder / "images", folder / "labels")
            sets.append(Set(f"photos/{name}", pictures, name == "panoptic", False))
    for images, labels in zip(options.images, options.labels, strict=True):
        sets.append(Set(images.parent.name or "own", _folder(images, labels), True, True))
    if options.pictures:
        sets = [
            Set(s.name, s.pictures[:: math.ceil(len(s.pictures) / options.pictures)], s.everything,
                s.complete)
            for s in sets
        ]  # fmt: skip
    return sets


def run(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Score all sets, print the tables, write report.json, report.md and pictures/."""
    sets = find_sets(options)
    if not sets:
        print("nothing to measure: no --scenes, no --data, no --images")
        return {}
    torch.set_num_threads(1)
    scorer = Scorer(options.model, sets)
    tasks = [(i, j) for i, s in enumerate(sets) for j in range(len(s.pictures))]
    tallies = [Tally() for _ in sets]
    _SHARED.append(scorer)
    with multiprocessing.get_context("fork").Pool(options.workers) as pool:
        for index, tally in pool.imap_unordered(_score, tasks):
            tallies[index].add(tally)
    scores = {s.name: summary(t) for s, t in zip(sets, tallies, strict=True)}
    photos = [t for s, t in zip(sets, tallies, strict=True) if s.name.startswith("photos/")]
    if photos:
        together = Tally()
        for tally in photos:
            together.add(tally)
        scores["photos"] = summary(together)
    options.out.mkdir(parents=True, exist_ok=True)
    table = markdown(scores, sets)
    (options.out / "report.json").write_text(json.dumps(scores, indent=1) + "\n")
    (options.out / "report.md").write_text(table)
    print(table)
    if options.draw:
        counts = draw_pictures(scorer, sets, options.out / "pictures")
        print("masks drawn:", counts)
    return scores


# Forked workers find the loaded model here.
_SHARED: list[Scorer] = []


def _score(task: tuple[int, int]) -> tuple[int, Tally]:
    return _SHARED[-1](task)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure."""
    here = Path(__file__).resolve()
    data = here.parents[3] / "shared" / "data"
    weights = here.parents[2] / "segcli" / "models" / "weights" / "tiny"
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--model", type=Path, default=weights, help="model directory (default: the bundled one)")
    add("--out", type=Path, default=Path("build/tiny-report"), help="folder of the report")
    add("--data", type=Path, default=data if data.is_dir() else None,
        help="root with nuclei/test and photos/test (default: ../shared/data)")  # fmt: skip
    add("--no-data", dest="data", action="store_const", const=None, help="leave --data out")
    add("--images", type=Path, action="append", default=[], help="own pictures (repeatable)")
    add("--labels", type=Path, action="append", default=[], help="label map folders of --images")
    add("--scenes", type=int, default=120, help="number of held-out scenes")
    add("--pictures", type=int, default=0, help="about so many pictures a set (0 = all)")
    add("--no-draw", dest="draw", action="store_false", help="write no overlays")
    add("--workers", type=int, default=os.cpu_count() or 1)
    run(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
