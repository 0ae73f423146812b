"""YOLO detections as prompts: a text file a picture, a box a line."""

from __future__ import annotations

from pathlib import Path

from segcli.errors import InputError
from segcli.formats.files import files_below
from segcli.predict.prompts.asked import Asked, Row, a_number, checked

__all__ = ["read_yolo_boxes"]

_NAMES = "classes.txt"
_NO_LABELS = frozenset({_NAMES, "readme.txt", "license.txt", "train.txt", "val.txt"})
_FIX = "a line is: class x_center y_center width height [confidence], divided by the picture's size"


def read_yolo_boxes(path: Path) -> list[Row]:
    """Rows of a folder of YOLO detections, or of one such file.

    Names of classes are taken from ``classes.txt`` where the folder has one.

    Raises:
        InputError: there are none, or a line is malformed.
    """
    root = path if path.is_dir() else path.parent
    files = sorted(files_below(path)) if path.is_dir() else [path.name]
    texts = [
        name
        for name in files
        if name.lower().endswith(".txt") and name.rpartition("/")[2].lower() not in _NO_LABELS
    ]
    if not texts:
        raise InputError(f"{path}: holds no .txt files of boxes", fix=_FIX)
    names = _lines(root / _NAMES) if (root / _NAMES).is_file() else []
    rows = []
    for text in texts:
        file = root / text
        objects = tuple(
            _asked(line, f"{file} line {number}", names)
            for number, line in enumerate(_lines(file), start=1)
            if line.strip()
        )
        rows.append(Row(text.rpartition(".")[0], str(file), objects))
    return rows


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read", why=str(error)) from error


def _asked(line: str, where: str, names: list[str]) -> Asked:
    parts = line.split()
    if len(parts) not in (5, 6) or not parts[0].isdecimal():
        raise InputError(
            f"{where}: no box",
            why="it looks like a polygon, which is a mask already" if len(parts) > 6 else "",
            fix=_FIX,
        )
    x, y, width, height = (a_number(part, where, "the number") for part in parts[1:5])
    category = int(parts[0])
    return checked(
        Asked(
            where,
            box_xyxy=(x - width / 2, y - height / 2, x + width / 2, y + height / 2),
            category=category,
            category_name=names[category].strip() if category < len(names) else None,
            normalized=True,
        )
    )
