"""Find the pictures that were asked for, and give each a relative path that identifies it."""

from __future__ import annotations

import glob
import io
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from segcli.errors import InputError
from segcli.images import IMAGE_SUFFIXES, page_count

__all__ = ["Found", "InputImage", "find_images", "read_list", "split_list"]

STDIN_NAME = "stdin"


@dataclass(frozen=True, slots=True)
class InputImage:
    """One picture to segment.

    Attributes:
        path: relative path with "/" under which its results are kept.
        source: where it is, as it was asked for; "-" for standard input.
        page: page of a multi-page TIFF, or None.
        data: the bytes, when they came from standard input.
    """

    path: str
    source: str
    page: int | None = None
    data: bytes | None = None

    @property
    def key(self) -> str:
        """The identity of one picture: the path, and the page where there are several."""
        return self.path if self.page is None else f"{self.path}#page={self.page}"

    def read(self) -> bytes:
        """The file's bytes.

        Raises:
            OSError: it cannot be read.
        """
        return Path(self.source).read_bytes() if self.data is None else self.data


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave: the pictures, and how many other files in folders were passed over."""

    images: tuple[InputImage, ...]
    passed_over: int


def find_images(
    inputs: Sequence[str],
    *,
    files_from: str | None = None,
    null_separated: bool = False,
    exclude: Path | None = None,
    listed: Sequence[str] | None = None,
) -> Found:
    """Find pictures in files, folders (with all their sub-folders), globs, lists and ``-``.

    The relative path of a picture starts below the folder it was found in; below the part of a
    glob without wildcards; in a list, below the deepest folder that holds the whole list. Several
    inputs start below the deepest folder that holds them all.

    Args:
        inputs: files, folders, globs, or ``-`` for a picture's bytes on standard input.
        files_from: a file with one path a line, or ``-`` for standard input.
        null_separated: the list is separated by NUL, as ``find -print0`` writes it.
        exclude: a folder to leave out, such as the output folder inside the input folder.
        listed: the paths of the list, where it was read already.

    Raises:
        InputError: an input does not exist or matches nothing, or nothing was asked for.
    """
    if not inputs and files_from is None and listed is None:
        raise InputError("no pictures were given", fix="segcli predict PICTURES -o OUT")
    if "-" in inputs and files_from == "-":
        raise InputError("standard input cannot be a picture and a list at once")
    search = _Search(exclude.resolve() if exclude else None)
    for text in inputs:
        search.add(text)
    if listed is None and files_from is not None:
        listed = split_list(read_list(files_from), null_separated=null_separated)
    if listed is not None:
        search.add_list(list(listed))
    return search.found()


class _Search:
    """Collects (base folder, file) pairs, then names every file relative to the common base."""

    def __init__(self, exclude: Path | None) -> None:
        self._exclude = exclude
        self._files: list[tuple[str, str]] = []
        self._stdin: list[InputImage] = []
        self._passed_over = 0

    def add(self, text: str) -> None:
        path = Path(text)
        if text == "-":
            data = sys.stdin.buffer.read()
            pages = page_count(io.BytesIO(data))
            numbers = range(pages) if pages > 1 else [None]
            self._stdin += [InputImage(STDIN_NAME, "-", page, data) for page in numbers]
        elif path.is_dir():
            if self._excluded(path):
                raise InputError(
                    f"'{text}' is the output folder, or inside it",
                    why="results would be taken for pictures by the next run",
                    fix="another -o",
                )
            self._add_folder(text, text)
        elif path.exists():
            self._files.append((str(path.parent), text))
        elif glob.has_magic(text):
            self._add_glob(text)
        else:
            raise InputError(f"no such file or folder: '{text}'")

    def add_list(self, paths: list[str]) -> None:
        if not paths:
            raise InputError("the list of pictures is empty")
        folders = [os.path.dirname(os.path.abspath(p)) for p in paths]  # noqa: PTH100, PTH120
        base = _common_folder(folders)
        self._files += [(base, p) for p in paths]

    def found(self) -> Found:
        base = _common_folder([base for base, _ in self._files]) if self._files else ""
        images: dict[str, InputImage] = {}
        for _, source in self._files:
            relative = os.path.relpath(os.path.abspath(source), base)  # noqa: PTH100
            path = PurePosixPath(*Path(relative).parts).as_posix()
            pages = page_count(Path(source))
            for page in range(pages):
                image = InputImage(path, source, page if pages > 1 else None)
                images.setdefault(image.key, image)
        ordered = sorted(images.values(), key=lambda i: (i.path, i.page or 0))
        return Found((*ordered, *self._stdin), self._passed_over)

    def _add_folder(self, folder: str, base: str) -> None:
        count = len(self._files)
        for file in self._walk(folder):
            if Path(file).suffix.lower() in IMAGE_SUFFIXES:
                self._files.append((base, file))
            else:
                self._passed_over += 1
        if len(self._files) == count:
            raise InputError(
                f"no pictures in folder '{folder}'",
                why="pictures are known by their suffix: " + " ".join(sorted(IMAGE_SUFFIXES)),
                fix="name files with other suffixes one by one, or with --files-from",
            )

    def _add_glob(self, pattern: str) -> None:
        matches = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (absolute patterns)
        if not matches:
            raise InputError(f"nothing matches '{pattern}'")
        parts = Path(pattern).parts
        plain = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        base = str(Path(*parts[:plain])) if plain else "."
        for match in matches:
            if Path(match).is_dir():
                if "**" not in parts:
                    self._add_folder(match, base)
            elif not self._excluded(Path(match).parent):
                self._files.append((base, match))

    def _walk(self, folder: str) -> Iterator[str]:
        seen: set[str] = set()
        for root, folders, files in os.walk(folder, onerror=_unreadable, followlinks=True):
            if (real := os.path.realpath(root)) in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(
                f for f in folders if not f.startswith(".") and not self._excluded(Path(root, f))
            )
            yield from (str(Path(root, f)) for f in sorted(files) if not f.startswith("."))

    def _excluded(self, folder: Path) -> bool:
        return self._exclude is not None and folder.resolve().is_relative_to(self._exclude)


def _unreadable(error: OSError) -> None:
    raise InputError(f"cannot read folder '{error.filename}'", why=str(error)) from error


def _common_folder(folders: list[str]) -> str:
    absolute = sorted({os.path.abspath(f) for f in folders})  # noqa: PTH100
    return os.path.commonpath(absolute)


def read_list(files_from: str) -> bytes:
    """The bytes of a list, from a file or from standard input (``-``).

    Raises:
        InputError: it cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if files_from == "-" else Path(files_from).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the list '{files_from}'", why=str(error)) from error


def split_list(data: bytes, *, null_separated: bool) -> list[str]:
    """The paths of a list: one a line, or separated by NUL."""
    parts = data.split(b"\0") if null_separated else data.splitlines()
    return [os.fsdecode(part) for part in parts if part]
