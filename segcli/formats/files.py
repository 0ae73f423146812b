"""Files of a source: which count, and what the pictures and arrays among them hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile

from segcli.errors import InputError, MaskError
from segcli.formats import png
from segcli.formats.kept import Kept

__all__ = [
    "ARRAYS",
    "LOSSY",
    "PICTURES",
    "PhotographError",
    "Pixels",
    "Raster",
    "files_below",
    "listed_once",
    "look_at",
    "looks_like_photograph",
    "of_listing",
    "photographs_beside",
    "raster_files",
    "raster_of",
    "read_pixels",
    "read_raster",
    "spread",
]

LOSSY = frozenset({".jpg", ".jpeg"})
PICTURES = frozenset({".png", ".tif", ".tiff", ".bmp", ".gif", ".pgm"}) | LOSSY
ARRAYS = frozenset({".npy", ".npz"})
_MASK_NAMES = ("labels", "masks")
_FEW_BITS = {"L;2": 85, "L;4": 17}
_MODES = {"1": "1-bit", "L": "8-bit grey", "P": "palette", "I": "32-bit", "F": "float"}


@dataclass(frozen=True, slots=True)
class Raster:
    """One decoded mask file.

    Attributes:
        values: (H, W) bools or integers as stored: palette indices, never colours.
        mode: how the file stores them, in words: ``1-bit``, ``8-bit grey``, ``palette``,
            ``16-bit``, ``32-bit``, ``alpha`` or ``array``.
        lossy: True for a JPEG, whose values are not what was saved.
    """

    values: npt.NDArray[Any]
    mode: str
    lossy: bool = False


@dataclass(frozen=True, slots=True)
class Pixels:
    """One decoded picture.

    Attributes:
        values: (H, W) or (H, W, channels) as Pillow gives them.
        mode: Pillow's name for the kind of its pixels.
        stretch: what Pillow multiplied greys of few bits by.
        palette: red, green and blue of each index in turn, where it has a palette.
    """

    values: npt.NDArray[Any]
    mode: str
    stretch: int = 1
    palette: tuple[int, ...] = ()


_LOOKED_AT: Kept[Pixels] = Kept(1 << 27)
_FOUND: ContextVar[dict[Any, Any] | None] = ContextVar("found", default=None)

T = TypeVar("T")


class PhotographError(MaskError):
    """A picture that is no mask: it has colours, or the greys of a photograph."""


def files_below(root: Path) -> Iterator[str]:
    """Relative paths, with "/" and sorted, of all files below a folder, hidden ones left out.

    Links to folders are followed, but for those that lead back to a folder they lie in.

    Raises:
        InputError: a folder cannot be read.
    """
    yield from _listed(root)


@contextmanager
def listed_once() -> Iterator[None]:
    """While it lasts, what `@of_listing` functions find is remembered: folders are listed once."""
    before = _FOUND.set({})
    try:
        yield
    finally:
        _FOUND.reset(before)


def of_listing(find: Callable[[Path], T]) -> Callable[[Path], T]:
    """Remember, within `listed_once`, what a function finds in the files below a folder."""

    @wraps(find)
    def found(root: Path) -> T:
        known = _FOUND.get()
        if known is None:
            return find(root)
        if (find, root) not in known:
            known[find, root] = find(root)
        result: T = known[find, root]
        return result

    return found


@of_listing
def _listed(root: Path) -> tuple[str, ...]:
    return tuple(_files_below(root))


def _files_below(root: Path) -> Iterator[str]:
    for folder, names, files in os.walk(root, onerror=_unreadable, followlinks=True):
        names[:] = sorted(n for n in names if _is_entered(root, Path(folder, n)))
        below = Path(folder).relative_to(root).as_posix()
        prefix = "" if below == "." else f"{below}/"
        yield from (
            prefix + name
            for name in sorted(files)
            if not name.startswith(".") and not name.endswith(".part")
        )


def _unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise InputError(f"{error.filename}: cannot be read", why=str(error)) from error


def _is_entered(root: Path, folder: Path) -> bool:
    if folder.name.startswith(".") or folder.name == "__MACOSX":
        return False
    if not folder.is_symlink():
        return True
    target, below = folder.resolve(), folder.relative_to(root)
    around = (root / part for part in below.parents)
    return not any(place.resolve().is_relative_to(target) for place in around)


@of_listing
def raster_files(root: Path) -> list[str]:
    """Relative paths of the mask files below a folder, or the name of the one file given.

    Beside files of other kinds, a JPEG is left out when one of those has its name, or when it looks
    like a photograph.
    """
    names: Iterable[str] = files_below(root) if root.is_dir() else [root.name]
    found = sorted(n for n in names if _suffix(n) in PICTURES or _suffix(n) in ARRAYS)
    # Pictures and masks often lie in folders of their own: images/x.jpg, masks/x.png.
    others = {_stem_name(name) for name in found if _suffix(name) not in LOSSY}
    if not others:
        return found
    return [n for n in found if _suffix(n) not in LOSSY or _is_mask(root / n, n, others)]


def _is_mask(path: Path, name: str, others: set[str]) -> bool:
    return _stem_name(name) not in others and not looks_like_photograph(path)


def looks_like_photograph(path: Path) -> bool:
    """Whether a JPEG has colours, or mostly greys between black and white.

    A file that cannot be decoded is none: its error must be seen.
    """
    try:
        state = path.stat()
        return _looks_like_photograph(path, state.st_mtime_ns, state.st_size)
    except Exception:  # noqa: BLE001 (decoders raise whatever they like on damaged files)
        return False


@lru_cache(maxsize=65536)
def _looks_like_photograph(path: Path, _modified: int, _size: int) -> bool:
    with Image.open(path) as picture:
        # An eighth of the size shows as much, and decodes many times faster.
        picture.draft(None, (256, 256))
        values = np.asarray(picture.convert("RGB")).astype(np.int16)
    if int(np.ptp(values, axis=2).max()) > 40:
        return True
    greys = values[..., 1]
    return int(np.count_nonzero((greys > 60) & (greys < 195))) * 4 > greys.size


def photographs_beside(root: Path) -> int:
    """How many JPEGs `raster_files` leaves out."""
    names = sum(_suffix(n) in LOSSY for n in files_below(root)) if root.is_dir() else 0
    return names - sum(_suffix(n) in LOSSY for n in raster_files(root)) if names else 0


def spread(names: list[str], most: int) -> list[str]:
    """At most `most` names, evenly spread over the list."""
    if len(names) <= most:
        return names
    return [names[i * (len(names) - 1) // (most - 1)] for i in range(most)]


def read_raster(path: Path, page: int | None = None) -> Raster:
    """Decode one mask file.

    Args:
        path: a picture with one channel (or three equal ones, or a mask in its alpha channel), or
            one array in .npy or .npz.
        page: page of a multi-page TIFF, from 0; None: the file must have one.

    Raises:
        MaskError: the file is damaged, has colours, or is no (H, W) map of integers.
    """
    if _suffix(path.name) not in ARRAYS:
        return raster_of(path, read_pixels(path, page))
    with _told(path):
        return _read_array(path)


def read_pixels(path: Path, page: int | None = None) -> Pixels:
    """Decode one picture, its colours too, or give what `look_at` decoded.

    Raises:
        MaskError: the file is damaged, is turned by EXIF, or has several pages and none is chosen.
    """
    kept = _LOOKED_AT.take(path) if page is None else None
    if kept is not None:
        return kept
    with _told(path), Image.open(path) as picture:
        _check_upright(path, picture)
        pages = getattr(picture, "n_frames", 1)
        if page is not None:
            picture.seek(page)
        elif pages > 1:
            raise MaskError(
                f"{path}: holds {pages} pages",
                why="a mask file belongs to one image",
                fix="save each page as its own file",
            )
        mode, stretch = picture.mode, _few_bits(picture)
        values = png.pixels(picture)
        return Pixels(values, mode, stretch, tuple(picture.getpalette() or ()))


def look_at(path: Path, page: int | None = None) -> Raster:
    """The same as `read_raster`, where the file will be read again before long.

    Raises:
        MaskError: as `read_raster`.
    """
    if page is not None or _suffix(path.name) in ARRAYS:
        return read_raster(path, page)
    pixels = read_pixels(path)
    raster = raster_of(path, pixels)
    _LOOKED_AT.put(path, pixels, pixels.values.nbytes)
    return raster


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever a decoder raises becomes our error, naming the file."""
    try:
        yield
    except MaskError:
        raise
    except FileNotFoundError as error:
        raise MaskError(f"{path}: no such file", fix="restore it, or list it no more") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise MaskError(
            f"{path}: cannot be decoded",
            why=f"{error}",
            fix="the file may be cut off: export or copy it again",
        ) from error


def _read_array(path: Path) -> Raster:
    loaded = np.load(path, allow_pickle=False)
    if not isinstance(loaded, np.ndarray):
        with loaded:
            loaded = loaded[_array_name(path, loaded.files)]
    if loaded.ndim == 3 and 1 in (loaded.shape[0], loaded.shape[-1]):
        loaded = loaded[0] if loaded.shape[0] == 1 else loaded[..., 0]
    return Raster(_whole(path, loaded), "1-bit" if loaded.dtype == bool else "array")


def _array_name(path: Path, names: Sequence[str]) -> str:
    """The only array of an .npz, or the only one that has the name of a mask."""
    named = names if len(names) == 1 else [n for n in names if n.lower() in _MASK_NAMES]
    if len(named) != 1:
        raise MaskError(
            f"{path}: holds {len(names)} arrays ({', '.join(names)})",
            why=f"a mask file holds one (H, W) array, or one that is named {_one_of(_MASK_NAMES)}",
            fix="numpy.savez(path, labels=array)",
        )
    return named[0]


def _one_of(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def raster_of(path: Path, pixels: Pixels) -> Raster:
    """The mask that a picture holds.

    Raises:
        MaskError: it has colours, or is no map of integers.
    """
    values, mode = pixels.values, pixels.mode
    if values.ndim == 3:
        values, words = _one_channel(path, values, mode)
    else:
        words = "16-bit" if mode.startswith("I;16") else _MODES.get(mode, mode)
    if pixels.stretch > 1:
        values = values // pixels.stretch
    return Raster(_whole(path, values), words, _suffix(path.name) in LOSSY)


def _few_bits(picture: ImageFile.ImageFile) -> int:
    """What Pillow multiplies greys of 2 and 4 bits by, to fill 8 bits; labels must not be."""
    tile = picture.tile[0] if picture.tile else None
    args = tile[3] if tile else None
    raw = args[0] if isinstance(args, tuple) and args else args
    return _FEW_BITS.get(raw, 1) if isinstance(raw, str) else 1


def _check_upright(path: Path, picture: Image.Image) -> None:
    tags = getattr(picture, "tag_v2", None)
    if tags is not None:
        orientation = tags.get(274, 1)
    else:
        orientation = picture.getexif().get(274, 1) if "exif" in picture.info else 1
    if orientation not in (0, 1):
        raise MaskError(
            f"{path}: has EXIF orientation {orientation}",
            why="whether its pixels are already upright cannot be known, and no score would tell",
            fix="save the mask upright and without EXIF (exiftool -Orientation= FILE)",
        )


def _one_channel(path: Path, values: npt.NDArray[Any], mode: str) -> tuple[npt.NDArray[Any], str]:
    colours, alpha = values, None
    if mode in ("RGBA", "LA", "PA"):
        colours, alpha = values[..., :-1], values[..., -1]
    opaque = alpha is None or bool((alpha == 255).all())
    first = colours[..., 0]
    if alpha is not None and not opaque and bool((colours == colours[0, 0]).all()):
        return alpha, "alpha"
    if opaque and mode == "PA":
        return first, "palette"
    if opaque and mode != "CMYK" and bool((colours == first[..., None]).all()):
        # Grey in three channels is how some tools save binary masks; label maps are not saved so.
        top = int(first.max())
        if mode == "LA" or np.count_nonzero(first == top) + np.count_nonzero(first == 0) >= (
            first.size
        ):
            return np.ascontiguousarray(first), "8-bit grey"
    raise PhotographError(
        f"{path}: is a colour picture ({mode})",
        why="a label map has one channel; which class a colour stands for is nowhere stated",
        fix="--class-names FILE.toml that says the color of each class; or --kind instance if each "
        "colour is an object's id; or save masks with one channel",
    )


def _whole(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.ndim != 2 or values.size == 0:
        raise MaskError(
            f"{path}: has shape {values.shape}",
            why="a mask has two axes (H, W)",
            fix="save one (H, W) array a file",
        )
    if values.dtype.kind in "bui":
        return values
    if values.dtype.kind == "f" and bool(
        (np.abs(values) < 2**53).all() & (values == np.rint(values)).all()
    ):
        return values.astype(np.int64)
    raise MaskError(
        f"{path}: holds {values.dtype} values that are not whole numbers",
        why="labels are integers; probabilities need a threshold first",
        fix="threshold them (0.5 is usual), or round them to the class ids they are",
    )


def _stem_name(name: str) -> str:
    return _parts(name)[0]


def _suffix(name: str) -> str:
    return _parts(name)[1].lower()


def _parts(name: str) -> tuple[str, str]:
    """Stem and suffix of a path with "/", as pathlib has them: it takes a second for 100,000."""
    last = name.rpartition("/")[2]
    stem, _, suffix = last.rpartition(".")
    return (stem, f".{suffix}") if stem and suffix else (last, "")
