"""Sizes of the pictures that masks belong to, from the pictures' headers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from segcli.errors import InputError
from segcli.formats.base import stem_of
from segcli.formats.files import files_below
from segcli.images import IMAGE_SUFFIXES

__all__ = ["picture_sizes"]

_TURNED = frozenset({5, 6, 7, 8})
_ORIENTATION = 274


def picture_sizes(folder: Path) -> Callable[[str], tuple[int, int] | None]:
    """Finds (height, width) of the upright picture that a mask file belongs to, by its stem.

    The stem is the path without suffix, or the file name alone where no two pictures share it; a
    header is read only when it is asked for.

    Args:
        folder: the pictures, in folders as the masks are, or all in one.

    Raises:
        InputError: the folder is missing or holds no pictures.
    """
    names = [n for n in files_below(folder) if Path(n).suffix.lower() in IMAGE_SUFFIXES]
    if not names:
        raise InputError(
            f"{folder}: holds no pictures", fix="give the folder of pictures that the masks are of"
        )
    by_stem = {stem_of(name): name for name in names}
    by_name: dict[str, str | None] = {}
    for name in names:
        last = _last(stem_of(name))
        by_name[last] = None if last in by_name else name

    def size_of(key: str) -> tuple[int, int] | None:
        stem = stem_of(key)
        name = by_stem.get(stem) or by_name.get(_last(stem))
        return None if name is None else _size(folder / name)

    return size_of


def _last(stem: str) -> str:
    return stem.rpartition("/")[2]


def _size(path: Path) -> tuple[int, int] | None:
    try:
        with Image.open(path) as picture:
            turned = picture.getexif().get(_ORIENTATION, 1) in _TURNED
            width, height = picture.size
    except Exception:  # noqa: BLE001 (decoders raise whatever they like on damaged files)
        return None
    return (width, height) if turned else (height, width)
