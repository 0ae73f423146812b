"""One label map or binary mask per image, decoded one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from segcli.errors import MaskError
from segcli.formats.base import ReadOptions, Source
from segcli.formats.colors import check_palette, color_classes, color_ids
from segcli.formats.files import ARRAYS, LOSSY, Raster, raster_of, read_pixels, read_raster
from segcli.masks.dense import DenseRLE
from segcli.masks.panoptic import PanopticCode
from segcli.records import RLE, ImageRef, LabelKind, LabelMap, Segmentation

__all__ = ["Colors", "Judged", "RasterSource"]

Colors = Literal["refused", "ids", "classes"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a set of files was taken for.

    Attributes:
        kind: see `Source`.
        certain: see `Source`.
        border: see `Source`.
        white: True when 0 and 255 are the only values of all files looked at.
        single: see `Source`.
        colors: what colours are: an error, ids (R + 256 G + 65536 B), or classes of a class list.
        categories: see `Source`.
        things: see `Source`.
    """

    kind: LabelKind
    certain: bool = True
    white: bool = False
    border: bool = False
    single: bool = False
    colors: Colors = "refused"
    categories: Mapping[int, str] = field(default_factory=dict)
    things: frozenset[int] | None = None


class RasterSource(Source):
    """One label map or binary mask per image; pages of a TIFF are images of their own."""

    def __init__(
        self,
        root: Path,
        keys: Sequence[str],
        options: ReadOptions,
        *,
        format_name: str,
        judged: Judged,
        description: str,
    ) -> None:
        self.format = format_name
        self.kind = judged.kind
        self.certain = judged.certain
        self.border = judged.border
        self.single = judged.single
        self.categories = judged.categories
        self.things = judged.things
        self.description = description
        self._judged = judged
        self._root = root
        self._prefix = str(root / "x").removesuffix("x")
        self._keys = keys
        self._options = options

    def keys(self) -> Sequence[str]:
        """Paths of the mask files, relative to the folder; `#page=N` where there are several."""
        return self._keys

    def read(self, key: str) -> Segmentation:
        """Decode one mask file into a LabelMap; `segments` stays empty but for panoptic maps."""
        name, _, number = key.partition("#page=")
        path, page = self._root / name, int(number) if number else None
        raster = self._raster(path, page)
        if raster.lossy and self.kind != "binary":
            raise _lossy(path)
        height, width = raster.values.shape
        image = ImageRef(path=name, height=height, width=width, source=str(path), page=page)
        if self.kind == "panoptic":
            return self._panoptic(image, raster.values)
        return self._labelled(image, raster.values)

    def plain_file(self, key: str) -> str | None:
        """The file of a key, where each of its values means something by itself; else None.

        Then what is in the file follows from its values alone, and `read_values` will do.
        """
        simple = self.kind in ("binary", "semantic") and self._judged.colors == "refused"
        if not simple or self._options.class_colors or not key.lower().endswith(".png"):
            return None
        return self._source(key)

    def read_values(
        self, key: str, values: npt.NDArray[np.uint8], size: tuple[int, int]
    ) -> Segmentation:
        """As `read`, of a picture in which each value is given as often as one likes.

        Args:
            key: of a file that `plain_file` names.
            values: (N,) values, each that the file holds at least once.
            size: (height, width) of the picture in the file.

        Returns:
            That picture's segmentation, but for its pixels: (1, N), one for each value given.

        Raises:
            MaskError: as `read`.
        """
        height, width = size
        image = ImageRef(key, height, width, source=self._source(key))
        return self._labelled(image, values[None])

    def _source(self, key: str) -> str:
        # As `str(root / key)`, which takes longer than counting what a small file holds.
        return f"{self._prefix}{key}"

    def _labelled(self, image: ImageRef, stored: npt.NDArray[Any]) -> Segmentation:
        values, ignore = self._values(image.source, stored)
        return Segmentation(
            image=image,
            labels=LabelMap(values, self.kind),
            ignore=ignore,
            categories=dict(self.categories),
            things=self.things,
        )

    def _raster(self, path: Path, page: int | None) -> Raster:
        colors, classes = self._judged.colors, self._options.class_colors or {}
        if path.suffix.lower() in ARRAYS:
            return read_raster(path, page)
        pixels = read_pixels(path, page)
        if colors == "refused":
            if classes and self.kind in ("semantic", "binary"):
                check_palette(path, pixels, classes)
            return raster_of(path, pixels)
        opaque = pixels.mode == "RGBA" and bool((pixels.values[..., 3] == 255).all())
        colored = pixels.mode == "RGB" or opaque
        if colored and colors == "ids":
            return Raster(color_ids(path, pixels), "colour")
        if colors == "ids":
            return raster_of(path, pixels)
        if not colored:
            raise MaskError(
                f"{path}: has no colours ({pixels.mode}), and the masks beside it have",
                why="whether its values are classes is a guess",
                fix="give folders of colour-coded masks and of other masks apart",
            )
        return Raster(color_classes(path, pixels, classes), "colour")

    def _values(
        self, path: str, values: npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.integer[Any]], RLE | None]:
        void = self._void(values)
        ignore = None if void is None else DenseRLE(void)
        if self.kind == "binary":
            return _inside(path, values, void, strict=self._options.kind is None), ignore
        if self.kind == "instance" and void is not None:
            return np.where(void, 0, values), ignore
        if values.dtype == bool or (self._judged.white and _is_white(values)):
            return (values != 0).view(np.uint8), ignore
        return values, ignore

    def _void(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
        index = self._options.ignore_index
        listed = {*self._options.ignored} if self.kind == "semantic" else set()
        listed |= set() if index is None else {index}
        if not listed:
            return None
        void: npt.NDArray[np.bool_]
        void = values == listed.pop() if len(listed) == 1 else np.isin(values, sorted(listed))
        return void if void.any() else None

    def _panoptic(self, image: ImageRef, values: npt.NDArray[Any]) -> Segmentation:
        index = self._options.ignore_index
        void = self._options.ignored | (frozenset() if index is None else {index})
        code = PanopticCode(
            divisor=self._options.label_divisor,
            things=self.things or frozenset(),
            void=void,
            zero_is_class=0 in self.categories and 0 not in void,
        )
        try:
            ids, segments = code.read(values)
        except MaskError as error:
            where = f"{image.source}: {error.message}"
            raise MaskError(where, why=error.why, fix=error.fix) from error
        return Segmentation(
            image=image,
            segments=segments,
            labels=LabelMap(ids, "panoptic"),
            categories=dict(self.categories),
            things=self.things,
        )


def _is_white(values: npt.NDArray[Any]) -> bool:
    """{0, 255}: a binary mask, whatever it is taken for, where all files beside it are the same."""
    if values.dtype != np.uint8 or int(values.max()) != 255:
        return False
    counts = np.bincount(values.ravel(), minlength=256)
    return int(counts[0] + counts[255]) == values.size


def _inside(
    path: str,
    values: npt.NDArray[Any],
    void: npt.NDArray[np.bool_] | None,
    *,
    strict: bool,
) -> npt.NDArray[np.uint8]:
    inside: npt.NDArray[np.bool_] = values != 0
    if void is not None:
        inside &= ~void
    mask: npt.NDArray[np.uint8] = inside.view(np.uint8)
    if values.dtype == bool:
        return mask
    top = int(values.max(where=inside, initial=0))
    one_value = np.count_nonzero(values == top) == np.count_nonzero(inside)
    if not (one_value if top else not inside.any()):
        antialiased = values.dtype == np.uint8 and top == 255
        if strict or antialiased or Path(path).suffix.lower() in LOSSY:
            raise _not_binary(path, values)
    elif strict and top not in (0, 1, 255, 65535):
        raise _not_binary(path, values)
    return mask


def _not_binary(path: str, values: npt.NDArray[Any]) -> MaskError:
    present = np.unique(values)
    some = ", ".join(str(v) for v in present[:6].tolist())
    more = f", … {present[-1]} ({len(present)} values)" if len(present) > 6 else ""
    return MaskError(
        f"{path}: is not a binary mask: its values are {some}{more}",
        why="a binary mask has two values, 0 and one other; in-between greys come from JPEG, "
        "antialiasing or smooth resizing, and where to cut them is a guess",
        fix="threshold the masks (128 of 255 is usual) and save them as PNG; "
        "for label maps give --kind semantic or --kind instance",
    )


def _lossy(path: Path) -> MaskError:
    return MaskError(
        f"{path}: a label map saved as JPEG",
        why="JPEG changes pixel values, so its labels are not those that were saved",
        fix="export the label maps again as PNG",
    )
