"""Hand-made cases for traps of scoring, and the commands that are run on them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from helpers import segcli
from PIL import Image


@dataclass(frozen=True)
class Run:
    """What a command answered."""

    code: int
    result: dict[str, Any]
    stderr: str

    def score(self, name: str) -> float:
        value: Any = self.result["metrics"]
        for part in name.split("."):
            value = value[part]
        return value

    @property
    def codes(self) -> set[str]:
        return {finding["code"] for finding in self.result["findings"]}

    def finding(self, code: str) -> dict[str, str]:
        return next(f for f in self.result["findings"] if f["code"] == code)


def run(*words: object, stdin: str = "") -> Run:
    """One evaluation, or one dry look, as a user makes it."""
    done = segcli("eval", *map(str, words), "--json", input=stdin)
    assert "Traceback" not in done.stderr
    assert done.returncode != 1, done.stderr
    return Run(done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr)


def both(*words: object) -> tuple[Run, Run]:
    """The evaluation, and the dry look."""
    return run(*words), run(*words, "--check")


def save(folder: Path, **maps: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, values in maps.items():
        Image.fromarray(values).save(folder / f"{stem}.png")
    return folder


def box(rows: slice, columns: slice, shape=(20, 30), value: int = 255, dtype=np.uint8):
    values = np.zeros(shape, dtype)
    values[rows, columns] = value
    return values


def maps(shift: int = 0) -> dict[str, np.ndarray]:
    """Two class maps of the classes 0 to 3."""
    one = np.zeros((20, 30), np.uint8)
    one[:10, :10], one[:10, 20:], one[12:, 5:25] = 1, 2, 3
    two = one[::-1].copy()
    return {"a": np.roll(one, shift, axis=1), "b": np.roll(two, shift, axis=1)}


def objects(count: int, size: int = 60) -> np.ndarray:
    """`count` objects of 2x2 pixels that do not touch: (size, size) int32."""
    values = np.zeros((size, size), np.int32)
    across = size // 3
    assert count <= across * across
    for number in range(count):
        y, x = 3 * (number // across), 3 * (number % across)
        values[y : y + 2, x : x + 2] = number + 1
    return values


def coco(
    tmp_path: Path, truths: list[np.ndarray], guesses: list[np.ndarray], **fields: Any
) -> tuple[Path, Path]:
    """Results and a dataset of one image; `fields` change every result."""
    from segcli.masks.rle import encode, to_coco

    height, width = truths[0].shape
    dataset = {
        "images": [{"id": 7, "file_name": "x.jpg", "height": height, "width": width}],
        "annotations": [
            {
                "id": number,
                "image_id": 7,
                "category_id": 1 + number % 2,
                "iscrowd": 0,
                "area": int(np.count_nonzero(mask)),
                "bbox": [0, 0, 1, 1],
                "segmentation": to_coco(encode(mask)),
            }
            for number, mask in enumerate(truths, start=1)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    results = [
        {
            "image_id": 7,
            "category_id": 1 + number % 2,
            "score": 1 - number / 1000,
            "segmentation": to_coco(encode(mask)),
            **{k: v(number) if callable(v) else v for k, v in fields.items()},
        }
        for number, mask in enumerate(guesses, start=1)
    ]
    paths = tmp_path / "results.json", tmp_path / "dataset.json"
    paths[0].write_text(json.dumps(results))
    paths[1].write_text(json.dumps(dataset))
    return paths


def squares(count: int = 4, size: int = 40) -> list[np.ndarray]:
    """Masks of 6x6 pixels side by side."""
    found = []
    for number in range(count):
        y, x = 8 * (number // 5), 8 * (number % 5)
        found.append(box(slice(y, y + 6), slice(x, x + 6), (size, size), 1).astype(bool))
    return found
