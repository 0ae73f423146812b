"""Layouts with a folder per image: told from folders of label maps by names alone."""

from __future__ import annotations

import re
from pathlib import Path

from segcli.formats.files import PICTURES, files_below, of_listing
from segcli.formats.sniff import panoptic_json

__all__ = [
    "CLASSES",
    "CLASSES_SCHEMA",
    "COLUMNS",
    "METADATA",
    "amg_folders",
    "any_folders",
    "cityscapes_files",
    "folder_name",
    "holds_class_list",
    "object_folders",
    "owns_folder",
]

METADATA = "metadata.csv"
CLASSES = "classes.json"
CLASSES_SCHEMA = "segcli.classes/1"
COLUMNS = (
    "id",
    "area",
    "bbox_x0",
    "bbox_y0",
    "bbox_w",
    "bbox_h",
    "point_input_x",
    "point_input_y",
    "predicted_iou",
    "stability_score",
    "crop_box_x0",
    "crop_box_y0",
    "crop_box_w",
    "crop_box_h",
)
_CITYSCAPES = re.compile(
    r"(.+?)(?:_gtFine|_gtCoarse)?_(labelIds|labelTrainIds|instanceIds|instanceTrainIds)\.png"
)
_NUMBER = re.compile(r"\d{4,}\.png")


def folder_name(root: Path, below: str) -> str:
    """The key of a folder: its path below the root, or its own name if it is the root, and "/"."""
    return f"{below or root.resolve().name}/"


@of_listing
def amg_folders(root: Path) -> list[str]:
    """Folders below `root` ("" is itself) that hold a metadata.csv with Meta's header.

    Where there is one, folders with masks whose metadata.csv is damaged belong to them.
    """
    found = [n for n in files_below(root) if n.rpartition("/")[2] == METADATA]
    whole = {n.rpartition("/")[0] for n in found if _has_header(root / n)}
    beside = {n.rpartition("/")[0] for n in found} - whole if whole else set()
    return sorted(whole | {b for b in beside if (root / b / "0.png").is_file()})


def _has_header(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.readline(400).decode("utf-8", "replace").strip() == ",".join(COLUMNS)
    except OSError:
        return False


@of_listing
def object_folders(root: Path) -> dict[str, list[str]]:
    """Mask files by image folder, for layouts with one file per object.

    Two layouts count: `<image>/0000.png, 0001.png, …` without a gap (at least four digits, as
    segcli writes them), and `<image>/masks/*.png` with at most one picture beside it in
    `<image>/images` (the nuclei challenge). Anything else gives an empty dictionary.
    """
    by_folder = _pictures(root)
    nested = _masks_folders(by_folder)
    if nested:
        return nested
    return by_folder if by_folder and all(_is_numbered(f) for f in by_folder.values()) else {}


def any_folders(root: Path) -> dict[str, list[str]]:
    """Mask files by image folder, whatever their names, for who says that this is the layout.

    Empty when pictures lie both in `root` itself and in folders below it.
    """
    by_folder = _pictures(root)
    return by_folder if len(by_folder) == 1 or "" not in by_folder else {}


def _pictures(root: Path) -> dict[str, list[str]]:
    by_folder: dict[str, list[str]] = {}
    for name in files_below(root):
        if Path(name).suffix.lower() in PICTURES:
            by_folder.setdefault(name.rpartition("/")[0], []).append(name)
    return by_folder


def _masks_folders(by_folder: dict[str, list[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for folder, names in by_folder.items():
        image, _, last = folder.rpartition("/")
        if last == "masks" and image and len(by_folder.get(f"{image}/images", ())) <= 1:
            found[image] = names
    images = {f"{image}/images" for image in found} | {f"{image}/masks" for image in found}
    return found if found and not set(by_folder) - images else {}


def _is_numbered(names: list[str]) -> bool:
    parts = [name.rpartition("/") for name in names]
    if not all(folder and _NUMBER.fullmatch(name) for folder, _, name in parts):
        return False
    numbers = sorted(int(name[:-4]) for _, _, name in parts)
    canonical = all(name == f"{int(name[:-4]):04d}.png" for _, _, name in parts)
    return canonical and numbers == list(range(len(numbers)))


@of_listing
def cityscapes_files(path: Path) -> dict[str, dict[str, str]]:
    """Cityscapes' label files below a folder, or the one given: kind → key → relative path.

    A kind is the end of the name (``labelIds``), a key the path without that (``a/b.png``). Empty
    when most other pictures beside them are neither colours of the same labels nor photographs.
    """
    found: dict[str, dict[str, str]] = {}
    others = 0
    for name in files_below(path) if path.is_dir() else [path.name]:
        if match := _CITYSCAPES.fullmatch(name):
            found.setdefault(match[2], {})[f"{match[1]}.png"] = name
        elif not name.endswith(("_color.png", "_leftImg8bit.png")):
            others += Path(name).suffix.lower() in PICTURES
    return found if sum(map(len, found.values())) > others else {}


def holds_class_list(path: Path) -> bool:
    """Whether a folder holds the class list that segcli writes beside class maps.

    Other tools' files of that name say nothing of what the masks beside them are.
    """
    listed = path / CLASSES
    if not listed.is_file():
        return False
    with listed.open("rb") as file:
        return f'"schema":"{CLASSES_SCHEMA}"'.encode() in file.read(200).replace(b" ", b"")


@of_listing
def owns_folder(path: Path) -> bool:
    """Whether another layout owns the pictures at a path: they are no label maps of their own.

    Those of a folder per image are parts of images; others have meanings that a file beside them or
    their names say.
    """
    if holds_class_list(path):
        return True
    if cityscapes_files(path) or (path.is_dir() and panoptic_json(path)):
        return True
    return path.is_dir() and bool(amg_folders(path) or object_folders(path))
