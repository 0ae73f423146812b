"""The tools that segcli is measured against, each used as its own documentation shows.

Every function prepares one: it imports what it needs, which is not measured, and returns what is.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from clock import Run, Scores, Unavailable
from numpy.typing import NDArray
from PIL import Image
from work import CLASSES, THINGS, Files

__all__ = ["PEERS", "Peer", "prepare_peer"]

_COCO_NAMES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)


@dataclass(frozen=True)
class Peer:
    """One tool that computes the same numbers.

    Attributes:
        name: what the table calls it.
        package: what to install, or "" for code of this folder.
        prepare: gives what is measured.
        remark: how it differs, for the notes under the table.
    """

    name: str
    package: str
    prepare: Callable[[Files], Run]
    remark: str = ""


def prepare_peer(part: str, name: str, files: Files) -> Run:
    """A peer of a part, by its name.

    Raises:
        ImportError: it is not installed.
        Unavailable: it cannot run here.
    """
    (peer,) = (peer for peer in PEERS[part] if peer.name == name)
    return peer.prepare(files)


def _hotcoco_folders(files: Files) -> Run:
    from hotcoco.semantic import SemanticEval  # noqa: PLC0415

    def run() -> Scores:
        evaluator = SemanticEval(CLASSES, ignore_index=None)
        evaluator.update_folders(files.gt, files.pred)
        results = evaluator.results()
        return _miou([row["IoU"] for row in results["per_class"]], results["mIoU"])

    return run


def _torchmetrics(files: Files, *, validate: bool) -> Run:
    import torch  # noqa: PLC0415
    from torchmetrics import JaccardIndex  # noqa: PLC0415

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    def run() -> Scores:
        metric = JaccardIndex(
            task="multiclass", num_classes=CLASSES, average=None, validate_args=validate
        )
        for gt, pred in files.both():
            truth, guess = (torch.from_numpy(_pixels(path)) for path in (gt, pred))
            metric.update(guess, truth)
        ious = metric.compute().tolist()
        # It says 0 for a class that occurs nowhere.
        return _miou(ious, float(np.mean([value for value in ious if value])))

    return run


def _hugging_face(files: Files) -> Run:
    os.environ.update(HF_HUB_OFFLINE="1", HF_EVALUATE_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    import evaluate  # noqa: PLC0415

    try:
        metric = evaluate.load(os.environ.get("MEAN_IOU", "mean_iou"))
    except Exception as error:
        raise Unavailable(
            "its script mean_iou.py is not on this machine: load it once with network, or give "
            "its path as MEAN_IOU"
        ) from error

    def run() -> Scores:
        pairs = [(_pixels(gt), _pixels(pred)) for gt, pred in files.both()]
        # As its own tutorials call it: `compute` copies every pixel through Arrow first.
        found = metric._compute(  # noqa: SLF001
            predictions=[pred for _, pred in pairs],
            references=[gt for gt, _ in pairs],
            num_labels=CLASSES,
            ignore_index=CLASSES,
        )
        return _miou(list(found["per_category_iou"]), float(found["mean_iou"]))

    return run


def _miou(ious: list[float], mean: float) -> Scores:
    return {"miou": mean, **{f"iou {i}": float(value) for i, value in enumerate(ious)}}


def _pycocotools(files: Files) -> Run:
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    return _coco_run(files, COCOeval)


def _hotcoco_ap(files: Files) -> Run:
    from hotcoco import COCO, COCOeval  # noqa: PLC0415

    def run() -> Scores:
        truth = COCO(str(files.gt))
        with contextlib.redirect_stdout(io.StringIO()):
            return _evaluated(COCOeval(truth, truth.load_res(str(files.pred)), "segm"))

    return run


def _pycocotools_loaded(files: Files) -> Run:
    from pycocotools.coco import COCO  # noqa: PLC0415
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(files.gt))
        guesses = truth.loadRes(str(files.pred))

    def run() -> Scores:
        with contextlib.redirect_stdout(io.StringIO()):
            return _evaluated(COCOeval(truth, guesses, "segm"))

    return run


def _hotcoco_loaded(files: Files) -> Run:
    from hotcoco import COCO, COCOeval  # noqa: PLC0415

    truth = COCO(str(files.gt))
    guesses = truth.load_res(str(files.pred))

    def run() -> Scores:
        with contextlib.redirect_stdout(io.StringIO()):
            return _evaluated(COCOeval(truth, guesses, "segm"))

    return run


def _plain_boundary(files: Files) -> Run:
    from pycocotools import mask as coco_mask  # noqa: PLC0415
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415
    from scipy import ndimage  # noqa: PLC0415

    def boundary(rle: dict[str, Any]) -> Any:  # noqa: ANN401
        mask = coco_mask.decode(rle)
        depth = max(1, round(0.02 * float(np.hypot(*mask.shape))))
        inner = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=depth)
        return coco_mask.encode(np.asfortranarray(mask & ~inner))

    class BoundaryEval(COCOeval):  # type: ignore[misc]
        """Overlap is the smaller of the masks' IoU and their boundaries' IoU."""

        def computeIoU(self, image: int, category: int) -> Any:  # noqa: ANN401, N802
            found = super().computeIoU(image, category)
            if len(found) == 0:
                return found
            truths, guesses = self._gts[image, category], self._dts[image, category]
            order = np.argsort([-d["score"] for d in guesses], kind="mergesort")
            ranked = [guesses[i] for i in order[: self.params.maxDets[-1]]]
            outlines = coco_mask.iou(
                [boundary(d["segmentation"]) for d in ranked],
                [boundary(g["segmentation"]) for g in truths],
                [0] * len(truths),
            )
            return np.minimum(found, outlines)

    return _coco_run(files, BoundaryEval)


def _coco_run(files: Files, evaluator: Any) -> Run:  # noqa: ANN401 (a class of pycocotools)
    from pycocotools.coco import COCO  # noqa: PLC0415

    def run() -> Scores:
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(files.gt))
            return _evaluated(evaluator(truth, truth.loadRes(str(files.pred)), "segm"))

    return run


def _evaluated(evaluation: Any) -> Scores:  # noqa: ANN401 (COCOeval of either tool)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return _twelve(evaluation.stats)


def _twelve(stats: Iterable[float]) -> Scores:
    # Both tools say -1 where a score is undefined.
    values = [math.nan if value < 0 else float(value) for value in stats]
    return dict(zip(_COCO_NAMES, values, strict=True))


def _hotcoco_panoptic(files: Files) -> Run:
    from hotcoco.panoptic import PanopticEval  # noqa: PLC0415

    def run() -> Scores:
        evaluation = PanopticEval(str(files.gt), str(files.pred))
        evaluation.evaluate()
        results = evaluation.results()
        return {
            f"{score}{ending}": float(results[group][score])
            for group, ending in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff"))
            for score in ("pq", "sq", "rq")
        }

    return run


def _plain_panoptic(files: Files) -> Run:
    def run() -> Scores:
        tallies: dict[int, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0])
        for truth, guess in zip(_segments(files.gt), _segments(files.pred), strict=True):
            _match(truth, guess, tallies)
        return _qualities(tallies)

    return run


Segments = list[tuple[int, NDArray[np.bool_]]]


def _segments(path: Any) -> Iterator[Segments]:  # noqa: ANN401 (Path)
    for annotation in json.loads(path.read_text(encoding="utf-8"))["annotations"]:
        with Image.open(path.with_suffix("") / annotation["file_name"]) as picture:
            ids = np.asarray(picture).astype(np.int64) @ (1, 256, 256**2)
        yield [(s["category_id"], ids == s["id"]) for s in annotation["segments_info"]]


def _match(truths: Segments, guesses: Segments, tallies: dict[int, list[float]]) -> None:
    """Pairs of one class that overlap by more than half are matches, and no others can be."""
    left = list(range(len(guesses)))
    for category, truth in truths:
        for index in left:
            if guesses[index][0] != category:
                continue
            both = np.count_nonzero(truth & guesses[index][1])
            overlap = both / np.count_nonzero(truth | guesses[index][1])
            if overlap > 0.5:
                tallies[category][0] += 1
                tallies[category][3] += overlap
                left.remove(index)
                break
        else:
            tallies[category][2] += 1
    for index in left:
        tallies[guesses[index][0]][1] += 1


def _qualities(tallies: dict[int, list[float]]) -> Scores:
    scores = {}
    for ending, wanted in (("", range(CLASSES)), ("_things", THINGS), ("_stuff", ())):
        stuff = ending == "_stuff"
        chosen = [t for c, t in tallies.items() if (c - 1 in wanted) or (stuff and c <= THINGS[0])]
        pq = [s / (tp + fp / 2 + fn / 2) for tp, fp, fn, s in chosen]
        sq = [s / tp if tp else 0.0 for tp, _, _, s in chosen]
        rq = [tp / (tp + fp / 2 + fn / 2) for tp, fp, fn, _ in chosen]
        for name, values in (("pq", pq), ("sq", sq), ("rq", rq)):
            scores[f"{name}{ending}"] = float(np.mean(values))
    return scores


def _surface_distance(files: Files) -> Run:
    from surface_distance import (  # noqa: PLC0415
        compute_robust_hausdorff,
        compute_surface_distances,
    )

    def run() -> Scores:
        found = {}
        for gt, pred in files.both():
            distances = compute_surface_distances(_pixels(gt) > 0, _pixels(pred) > 0, (1, 1))
            found[gt.stem] = float(compute_robust_hausdorff(distances, 95))
        return {"hd95": float(np.mean(list(found.values())))}

    return run


def _pixels(path: Any) -> NDArray[np.uint8]:  # noqa: ANN401 (Path)
    with Image.open(path) as picture:
        return np.array(picture)


PEERS: dict[str, tuple[Peer, ...]] = {
    "miou": (
        Peer("hotcoco, folders", "hotcoco", _hotcoco_folders),
        Peer(
            "torchmetrics JaccardIndex + Pillow",
            "torchmetrics",
            lambda files: _torchmetrics(files, validate=True),
        ),
        Peer(
            "the same, validate_args=False",
            "torchmetrics",
            lambda files: _torchmetrics(files, validate=False),
        ),
        Peer("Hugging Face evaluate mean_iou", "evaluate", _hugging_face),
    ),
    "ap": (
        Peer("pycocotools", "pycocotools", _pycocotools),
        Peer("hotcoco, COCOeval", "hotcoco", _hotcoco_ap),
    ),
    "ap-loaded": (
        Peer("pycocotools", "pycocotools", _pycocotools_loaded),
        Peer("hotcoco, COCOeval", "hotcoco", _hotcoco_loaded),
    ),
    "pq": (
        Peer("hotcoco, PanopticEval", "hotcoco", _hotcoco_panoptic),
        Peer("a boolean mask for each segment", "", _plain_panoptic),
    ),
    "boundary-ap": (
        Peer(
            "pycocotools + scipy erosion of each mask",
            "pycocotools",
            _plain_boundary,
            "boundary-iou-api is not on PyPI: this is its way of computing, with scipy for OpenCV",
        ),
    ),
    "hd95": (Peer("surface-distance", "surface-distance", _surface_distance),),
}
