"""What a format is: how one file layout is written, recognised and read.

A format is one module with one `Format` value, listed once in `segcli.formats`.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import IO, Any, Literal

from segcli.errors import MaskError, SegcliError
from segcli.records import LabelKind, Segmentation

__all__ = [
    "Format",
    "Overlap",
    "ReadOptions",
    "Source",
    "WriteOptions",
    "check_inside",
    "free_stem",
    "json_text",
    "located",
    "replacing",
    "size_lookup",
    "stem_of",
    "unique_stems",
]

Overlap = Literal["score", "small-on-top", "large-on-top"]


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Choices a writer needs beyond the segmentation itself.

    Attributes:
        overlap: which segment keeps a pixel that several claim in a label map.
        image_ids: COCO image id by image path or file name, taken from a ground-truth file.
        colors: (red, green, blue) by class id, for formats that list them.
    """

    overlap: Overlap = "score"
    image_ids: Mapping[str, int] | None = None
    colors: Mapping[int, tuple[int, int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Choices a reader needs when the files alone do not say.

    Attributes:
        kind: what label values mean; None lets the files decide.
        kind_why: who says so.
        ignore_index: label value that must not count, or None.
        ignored: further label values of class maps that must not count, as a class list names them.
        class_names: name by class id, for formats that store class names or none at all.
        class_colors: class id by (red, green, blue), for colour-coded label maps.
        things: class ids of countable things, where the files do not say; None: not stated.
        label_divisor: a panoptic label value is category * divisor + instance.
        image_sizes: (height, width) by image path or by its stem, for formats that store no size.
        size_of: the same as a function of the key, which then answers instead; None = unknown.
        coco_names: image path by COCO image id, taken from the ground truth, for COCO results.
    """

    kind: LabelKind | None = None
    kind_why: str = "--kind says so"
    ignore_index: int | None = None
    ignored: frozenset[int] = frozenset()
    class_names: Mapping[int, str] | None = None
    class_colors: Mapping[tuple[int, int, int], int] | None = None
    things: frozenset[int] | None = None
    label_divisor: int = 1000
    image_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    size_of: Callable[[str], tuple[int, int] | None] | None = None
    coco_names: Mapping[int, str] = field(default_factory=dict)


class Source(ABC):
    """One side of an evaluation: predictions or ground truth, opened but not yet decoded.

    Attributes:
        format: the format's name.
        kind: what it holds: binary masks, semantic classes, instances or panoptic segments.
        description: one line for people: what it was taken for, and why.
        failed: image paths that the source itself says could not be segmented.
        certain: False when `kind` is a guess from values that could mean something else as well.
        border: True when it holds the label value 255 and not 254, as a void border around objects.
        single: True when it is one file that holds one image's masks, whatever its name.
        categories: name by category id of all categories it lists; empty when it lists none.
        things: the category ids of countable things, the others being stuff; None: not stated.
        ignored: the category ids, of those listed, that do not count.
        annotated: whether several annotators may have made masks of one image, see `read_all`.
        parsed: whether all of it is in memory once it is opened, so that reading decodes no file.
    """

    format: str
    kind: LabelKind
    description: str
    failed: Sequence[str] = ()
    certain: bool = True
    border: bool = False
    single: bool = False
    categories: Mapping[int, str] = MappingProxyType({})
    things: frozenset[int] | None = None
    ignored: frozenset[int] = frozenset()
    annotated: bool = False
    parsed: bool = False

    def facts(self) -> dict[str, Any] | None:
        """What made the masks, where they are made when read; None where they lie ready."""
        return None

    def prepare(self) -> None:  # noqa: B027 (most have nothing to do)
        """Do what can fail for all images alike, before the first one is read."""

    @abstractmethod
    def keys(self) -> Sequence[str]:
        """The image paths it holds, relative, with "/", in order; a folder's ends in "/"."""

    @abstractmethod
    def read(self, key: str) -> Segmentation:
        """Decode one image's masks.

        Raises:
            MaskError: the file is damaged or inconsistent.
        """

    def read_all(self, key: str) -> tuple[Segmentation, ...]:
        """The masks that each annotator made of one image; one where the format knows only one.

        Raises:
            MaskError: the file is damaged or inconsistent.
        """
        return (self.read(key),)

    def __iter__(self) -> Iterator[tuple[str, Segmentation]]:
        """Every (key, segmentation), one image in memory at a time."""
        return ((key, self.read(key)) for key in self.keys())


@dataclass(frozen=True, slots=True)
class Format:
    """How one layout on disk is written, recognised and read.

    Attributes:
        name: the word after ``--format`` and ``--to``.
        summary: one line: what files it makes.
        loses: what the format cannot hold, or "".
        write_image: (segmentation, folder, stem, options) → files written, for layouts with files
            per image; `stem` is the mirrored relative path without suffix.
        write_dataset: (segmentations, file, options) → files written, for layouts with one file
            for all images; written from the records once all images are done.
        check: raises MaskError for a result that `write_dataset` cannot write, so that the others
            can be written without it.
        holds_void: whether it keeps apart pixels that must not count.
        file_name: name of the one file of a layout that has one for all images, or ""; with a
            folder where it lies among files of each image.
        recognise: path → what it looks like in words, or None when it is something else.
        open: (path, options) → its Source.
    """

    name: str
    summary: str
    loses: str = ""
    write_image: Callable[[Segmentation, Path, str, WriteOptions], list[Path]] | None = None
    write_dataset: Callable[[Iterable[Segmentation], Path, WriteOptions], list[Path]] | None = None
    recognise: Callable[[Path], str | None] | None = None
    open: Callable[[Path, ReadOptions], Source] | None = None
    file_name: str = ""
    holds_void: bool = False
    check: Callable[[Segmentation], None] | None = None


def size_lookup(options: ReadOptions) -> Callable[[str], tuple[int, int] | None]:
    """Finds (height, width) in `options.image_sizes` by path, or by stem as suffixes differ."""
    if options.size_of is not None:
        return options.size_of
    sizes = options.image_sizes
    by_stem = {stem_of(path): size for path, size in sizes.items()}
    return lambda key: sizes.get(key) or by_stem.get(stem_of(key)) or sizes.get(stem_of(key))


def json_text(value: Any, **options: Any) -> str:  # noqa: ANN401 (JSON)
    """JSON that can always be written as UTF-8.

    Names of files that are not UTF-8 are escaped; all other text stays readable.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, ensure_ascii=True, **options)
    return text


def stem_of(key: str) -> str:
    """An image key without the suffix of its last part: ``a/b.tar.png`` → ``a/b.tar``.

    A page of a multi-page file has its number behind the stem: ``x.tif#page=2`` → ``x_page2``.
    A key that ends in "/" is a folder that stands for an image, and has no suffix: ``a/b.c/`` →
    ``a/b.c``.
    """
    if key.endswith("/"):
        return key[:-1]
    path, _, page = key.partition("#page=")
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    stem = f"{stem}_page{page}" if page else stem
    return f"{folder}/{stem}" if folder else stem


def check_inside(key: str) -> None:
    """Refuse an image key that is no path below the folder that results are written to.

    Raises:
        MaskError: it is empty or absolute, or leads out of the folder.
    """
    # Parts are judged as both families of systems read them: files travel between them.
    places = (PurePosixPath(key), PureWindowsPath(key))
    outside = any(p.is_absolute() or p.drive or p.root or ".." in p.parts for p in places)
    if outside or "\0" in key or not PurePosixPath(key).parts:
        raise MaskError(
            f"{key}: is no path below the folder that is written",
            why="an image's results are written under its own path, which must be relative and "
            "without '..'",
            fix="make the file names in the source relative",
        )


def unique_stems(keys: Sequence[str]) -> list[str]:
    """A name without suffix for each image key, so that no two images share one.

    It is the stem; where that is shared (``x.jpg`` and ``x.png``, also ``X.jpg`` on file systems
    that ignore case), the whole name; where that is shared too, the whole name and a number.

    Args:
        keys: paths of images, relative, with "/".

    Returns:
        One stem for each key, in the order of the keys; no two are equal, case left aside.
    """
    stems = [stem_of(key) for key in keys]
    whole = [_whole_name(key) for key in keys]
    # A whole name may in turn be the stem of another image (x.jpg and x.jpg.png).
    while clashing := _clashing(stems, whole):
        for index in clashing:
            stems[index] = whole[index]
    free = Counter(stem.casefold() for stem in stems)
    taken = {name for name, count in free.items() if count == 1}
    # Numbers are last: names that only case tells apart, or one key twice.
    return [s if free[s.casefold()] == 1 else _numbered(s, taken) for s in stems]


def located(where: str, error: SegcliError, fix: str) -> MaskError:
    """A mask's error with the file and place it is in, and a way out where it names none."""
    return MaskError(f"{where}: {error.message}", why=error.why, fix=error.fix or fix)


def free_stem(key: str, taken: set[str]) -> str:
    """As `unique_stems`, one key at a time: the first of its names that is not taken yet.

    Args:
        key: path of an image.
        taken: the names given so far, case folded; the new one is added.
    """
    stem, whole = stem_of(key), _whole_name(key)
    return _numbered(whole if stem.casefold() in taken else stem, taken)


def _whole_name(key: str) -> str:
    path, mark, page = key.partition("#page=")
    return stem_of(key if key.endswith("/") else f"{path}.{mark}{page}")


def _clashing(stems: Sequence[str], whole: Sequence[str]) -> list[int]:
    """Indices of shared stems that are not whole names yet."""
    shared = Counter(stem.casefold() for stem in stems)
    return [i for i, s in enumerate(stems) if shared[s.casefold()] > 1 and s != whole[i]]


def _numbered(stem: str, taken: set[str]) -> str:
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}_{number}"
    taken.add(name.casefold())
    return name


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file under a temporary name and rename it into place, so it is whole or absent.

    The temporary name ends in ``.part`` and is removed when the block fails. Devices and named
    pipes are written to as they are.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(_part_name(path.name))
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _part_name(name: str) -> str:
    if len(os.fsencode(name)) <= 240:
        return f".{name}.part"
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()}.part"
