"""``manifest.json``: how the results in a folder were made, and whether more may join them."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from segcli import __version__
from segcli.errors import OutputError
from segcli.formats.base import json_text, replacing

__all__ = [
    "FILE_NAME",
    "Manifest",
    "library_versions",
    "read_manifest",
    "refuse_other_settings",
]

FILE_NAME = "manifest.json"
SCHEMA = "segcli.manifest/1"
_LIBRARIES = ("torch", "torchvision", "transformers", "timm", "numpy", "pillow", "hotcoco")


@dataclass(slots=True)
class Manifest:
    """The record of a run.

    Attributes:
        settings: everything that decides the results; a folder holds results of one of these.
        model: name, revision and weights hash.
        argv: the command as it was typed.
        sources: where each setting came from.
        files: the files, one for all images, that were written, relative to the folder.
        run: device, counts and times of the last run.
    """

    settings: dict[str, Any]
    model: dict[str, Any]
    argv: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it whole or not at all."""
        content = {
            "schema": SCHEMA,
            "segcli": __version__,
            "settings": self.settings,
            "model": self.model,
            "argv": self.argv,
            "sources": self.sources,
            "files": self.files,
            "run": self.run,
            "platform": {"python": platform.python_version(), "system": platform.platform()},
            "libraries": library_versions(),
        }
        text = json_text(content, indent=2)
        with replacing(folder / FILE_NAME) as file:
            file.write(f"{text}\n".encode())


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of an output folder, or None when there is none.

    Raises:
        OutputError: it cannot be read.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(content)
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(
            f"cannot read {path}", why=str(error), fix="choose another -o, or --overwrite"
        ) from error


def refuse_other_settings(folder: Path, earlier: Mapping[str, Any], manifest: Manifest) -> None:
    """Allow a run to continue only what was made in the same way.

    Raises:
        OutputError: the folder's results were made with other settings or another model.
    """
    weights = (earlier.get("model") or {}).get("weights")
    before = {**(earlier.get("settings") or {}), "weights": weights}
    now = {**manifest.settings, "weights": manifest.model.get("weights")}
    # Through JSON, so that tuples and lists compare as they are stored.
    now = json.loads(json.dumps(now))
    changed = [
        f"{name}: {before.get(name)!r} there, {now.get(name)!r} now"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if changed:
        raise OutputError(
            f"{folder} holds results made with other settings",
            why="; ".join(changed),
            fix="the earlier settings to continue, another -o, or --overwrite to redo all",
        )


def library_versions() -> dict[str, str | None]:
    """Versions of the libraries that decide results, by package name; None when missing."""
    return {name: _version(name) for name in _LIBRARIES}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
