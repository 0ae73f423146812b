"""The output folder: whose it is, whether it can be written, and holding it alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from segcli.errors import OutputError
from segcli.formats import get
from segcli.formats.coco import images_file
from segcli.formats.ndjson import FILE_NAME as RECORDS_NAME
from segcli.predict.manifest import FILE_NAME as MANIFEST_NAME
from segcli.predict.manifest import Manifest, read_manifest, refuse_other_settings
from segcli.predict.outputs import OVERLAY_FOLDER

__all__ = ["earlier_manifest", "locked", "probe_writable"]


def earlier_manifest(folder: Path, manifest: Manifest, *, overwrite: bool) -> Mapping[str, Any]:
    """The manifest of earlier results that this run may continue or replace, or an empty one.

    Raises:
        OutputError: the folder is a file, or holds other work.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"'{folder}' is a file, not a folder")
    try:
        earlier = read_manifest(folder)
    except OutputError:
        if not overwrite:
            raise
        earlier = None
    if earlier is None:
        if not overwrite:
            _refuse_foreign(folder, manifest)
        return {}
    if not overwrite:
        refuse_other_settings(folder, earlier, manifest)
    return earlier


def _refuse_foreign(folder: Path, manifest: Manifest) -> None:
    names = [RECORDS_NAME]
    for name in manifest.settings["format"]:
        file = get(name).file_name
        names += [file, images_file(Path(file)).name] if file else [name]
    if manifest.settings["overlay"]:
        names.append(OVERLAY_FOLDER)
    if taken := [name for name in names if (folder / name).exists()]:
        raise OutputError(
            f"'{folder}' already holds '{taken[0]}', and no {MANIFEST_NAME} says how it was made",
            fix="another -o, or --overwrite to write into it",
        )


def probe_writable(folder: Path) -> None:
    """Make the folder and try to write into it.

    Raises:
        OutputError: it cannot be made or written.
    """
    probe = folder / f".segcli-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot write to '{folder}'", why=str(error), fix="another -o, or its permissions"
        ) from error


def locked(folder: Path) -> AbstractContextManager[None]:
    """Hold the folder alone; the lock goes with the process, however that ends.

    Raises:
        OutputError: another process holds it.
    """
    try:
        import fcntl  # noqa: PLC0415 (POSIX only)
    except ImportError:
        return nullcontext()
    return _flocked(folder, fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def _flocked(folder: Path, flock: Callable[[int, int], None], how: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            flock(handle, how)
        except BlockingIOError as error:
            raise OutputError(
                f"another segcli is writing to '{folder}'", fix="wait for it, or another -o"
            ) from error
        except OSError:
            # Some network file systems have no locks; then the user must see to it.
            pass
        yield
    finally:
        os.close(handle)


def names_of(paths: Sequence[Path], folder: Path) -> list[str]:
    """Paths relative to the folder, with "/"."""
    return [path.relative_to(folder).as_posix() for path in paths]
