"""Scores from values are those from pixels, with every convention, and with the same errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segcli.errors import SegcliError
from segcli.evaluate import EvalSettings, Side, evaluate, open_sides
from segcli.evaluate import by_value as module
from segcli.formats.classes import ClassList

SIZE = (24, 30)


def folders(root: Path, made) -> tuple[Path, Path]:
    """`made(number)` gives prediction and ground truth of six images, as pictures or bytes."""
    for number in range(6):
        for side, picture in zip(("pred", "gt"), made(number), strict=True):
            path = root / side / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(picture, bytes):
                path.write_bytes(picture)
            else:
                made_of = Image.fromarray if isinstance(picture, np.ndarray) else Image.Image.copy
                made_of(picture).save(path)
    return root / "pred", root / "gt"


def classes(number: int, top: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(number)
    truth = np.repeat(random.integers(0, top, (SIZE[0], SIZE[1] // 5), np.uint8), 5, axis=1)
    return np.roll(truth, 1, axis=1), truth


def told(sides: tuple[Path, Path], wanted: EvalSettings, kind=None) -> dict:
    """Everything that an evaluation says, or its error."""
    rows: list = []
    try:
        opened = open_sides(*(Side(str(side), kind=kind) for side in sides), wanted)
        found = evaluate(*opened, wanted, on_image=lambda row: rows.append(repr(row.scores)))
    except SegcliError as error:
        return {"error": (error.message, error.why, error.fix)}
    return {
        "metrics": {k: repr(v) for k, v in found.metrics.items()},
        "tables": repr(found.tables),
        "params": json.dumps(found.params, sort_keys=True, default=str),
        "counts": found.counts,
        "failures": found.failures,
        "notes": found.notes,
        "rows": rows,
    }


def both_ways(
    sides: tuple[Path, Path], wanted: EvalSettings, monkeypatch, kind=None
) -> tuple[dict, int]:
    """What is told, which must be the same from pixels, and how many pairs were read by value."""
    asked = []
    read = module.ValueReader.read

    def counting(self, *keys):
        found = read(self, *keys)
        asked.append(found is not None)
        return found

    monkeypatch.setattr(module.ValueReader, "read", counting)
    quick = told(sides, wanted, kind)
    monkeypatch.setattr(module.ValueReader, "read", lambda *_: None)
    monkeypatch.setattr("segcli.evaluate.sides._values_suffice", lambda *_: False)
    assert told(sides, wanted, kind) == quick
    monkeypatch.undo()
    return quick, sum(asked)


LISTED = ClassList({i: f"class {i}" for i in range(6)}, ignored=frozenset({2}))
SETTINGS = {
    "semantic": EvalSettings("semantic"),
    "as it comes": EvalSettings(),
    "ignored": EvalSettings("semantic", ignore_index=3),
    "zero reduced": EvalSettings("semantic", reduce_zero_label=True),
    "binary": EvalSettings("binary", ignore_index=4),
    "listed": EvalSettings("semantic", classes=LISTED),
    "listed and reduced": EvalSettings("semantic", classes=LISTED, reduce_zero_label=True),
    "one worker": EvalSettings("semantic", workers=1),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_class_maps(tmp_path, monkeypatch, name):
    """All conventions that change what a value means."""
    quick, by_value = both_ways(folders(tmp_path, classes), SETTINGS[name], monkeypatch)
    assert "error" not in quick
    assert not quick["failures"] or name == "listed and reduced"
    assert by_value == 6 or name == "listed and reduced"


@pytest.mark.parametrize("protocol", ["binary", "semantic", None])
def test_masks_of_0_and_255(tmp_path, monkeypatch, protocol):
    """White is inside, and no void, whatever protocol looks at it."""

    def made(number):
        return [(side > 2).astype(np.uint8) * np.uint8(255) for side in classes(number)]

    wanted = EvalSettings(protocol)
    quick, by_value = both_ways(folders(tmp_path, made), wanted, monkeypatch)
    assert by_value == 6
    values = [float(value) for value in quick["metrics"].values()]
    assert all(0 < value < 1 for value in values)


def test_palettes(tmp_path, monkeypatch):
    """Indices count, not colours, beside greys and in few bits too."""

    def made(number):
        pictures = [Image.fromarray(side) for side in classes(number)]
        for picture in pictures:
            picture.putpalette(bytes(range(48)))
        return pictures if number else [Image.fromarray(side) for side in classes(number)]

    _, by_value = both_ways(folders(tmp_path, made), EvalSettings("semantic"), monkeypatch)
    assert by_value == 6


@pytest.mark.parametrize("mode", ["1", "I;16", "LA"])
def test_other_files_among_them(tmp_path, monkeypatch, mode):
    """Files of other kinds are read by their pixels, or are the errors that they were."""

    def made(number):
        pred, gt = classes(number)
        if number not in (1, 4):
            return pred, gt
        odd = gt.astype(np.uint16) if mode == "I;16" else Image.fromarray(gt).convert(mode)
        return pred, odd

    sides = folders(tmp_path, made)
    quick, by_value = both_ways(sides, EvalSettings("semantic"), monkeypatch, "semantic")
    assert by_value == 4
    assert not quick["failures"]


def test_colours_are_the_error_that_they_were(tmp_path, monkeypatch):
    """Pictures among the masks are refused before anything is scored."""

    def made(number):
        pred, gt = classes(number)
        return pred, Image.fromarray(gt).convert("RGB") if number == 3 else gt

    sides = folders(tmp_path, made)
    quick, _ = both_ways(sides, EvalSettings("semantic"), monkeypatch)
    assert "3.png: is a colour picture" in quick["error"][0]


def test_damaged_and_unequal_files_are_the_same_failures(tmp_path, monkeypatch):
    """Cut off, another size, not there, no picture: the same words as ever."""

    def made(number):
        pred, gt = classes(number)
        return pred[:-1] if number == 0 else pred, gt

    pred, gt = folders(tmp_path, made)
    (gt / "1.png").write_bytes((gt / "1.png").read_bytes()[:60])
    (pred / "2.png").write_bytes(b"none")
    (pred / "3.png").unlink()
    quick, by_value = both_ways((pred, gt), EvalSettings("semantic"), monkeypatch)
    assert by_value == 2
    assert len(quick["failures"]) == 4


def test_values_outside_the_list_are_errors(tmp_path, monkeypatch):
    """A stray value is refused, with its file and the value."""

    def made(number):
        pred, gt = classes(number)
        pred[0, 0] = 77 if number == 2 else pred[0, 0]
        return pred, gt

    wanted = EvalSettings("semantic", classes=LISTED)
    quick, _ = both_ways(folders(tmp_path, made), wanted, monkeypatch)
    (failure,) = quick["failures"]
    assert "77" in failure.error
    assert "2.png" in failure.error


def test_in_between_greys_are_no_binary_mask(tmp_path, monkeypatch):
    """They are refused with the values that the file holds."""

    def made(number):
        pred, gt = ((side > 2).astype(np.uint8) * np.uint8(255) for side in classes(number))
        if number == 5:
            pred[0, :3] = 17, 100, 200
        return pred, gt

    wanted = EvalSettings("binary")
    quick, _ = both_ways(folders(tmp_path, made), wanted, monkeypatch, "binary")
    (failure,) = quick["failures"]
    assert "0, 17, 100, 200, 255" in failure.error


def test_object_ids_are_no_classes(tmp_path, monkeypatch):
    """Folders that are judged to hold objects are judged so from counts as well."""

    def made(number):
        values = np.zeros(SIZE, np.uint8)
        for i in range(3 + number):
            values[2 * i : 2 * i + 1, 3:20] = i + 1
        return values, values

    quick, by_value = both_ways(folders(tmp_path, made), EvalSettings(), monkeypatch)
    assert "instance" in quick["params"]
    assert by_value == 0


def test_scores_that_need_pixels_read_them(tmp_path, monkeypatch):
    """Boundaries lie somewhere: counts do not tell."""
    wanted = EvalSettings("semantic", families=("classes", "boundary"))
    quick, by_value = both_ways(folders(tmp_path, classes), wanted, monkeypatch)
    assert by_value == 0
    assert "boundary_miou.pooled" in quick["metrics"] or "error" not in quick


def test_both_sides_of_one_folder_are_noticed(tmp_path, monkeypatch):
    """A side compared with itself is said, from counts too."""
    _, gt = folders(tmp_path, classes)
    quick, by_value = both_ways((gt, gt), EvalSettings("semantic"), monkeypatch)
    assert by_value == 6
    assert float(quick["metrics"]["miou.pooled"]) == 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 40, 256]))
def test_any_values(tmp_path_factory, seed, top):
    """Random maps of any values, down to one pixel."""
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 12, 2))
    sides = folders(
        tmp_path_factory.mktemp("any"),
        lambda _: [random.integers(0, top, shape).astype(np.uint8) for _ in range(2)],
    )
    with pytest.MonkeyPatch.context() as patch:
        for wanted in (SETTINGS["semantic"], SETTINGS["ignored"], SETTINGS["zero reduced"]):
            both_ways(sides, wanted, patch)
