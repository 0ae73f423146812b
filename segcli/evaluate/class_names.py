"""Class names from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segcli.errors import InputError

__all__ = ["read_class_names"]

_EXAMPLE = 'JSON {"0": "background", "1": "cell"} or ["background", "cell"], or one name a line'


def read_class_names(path: str | Path) -> dict[int, str]:
    """Read the class list.

    Args:
        path: JSON: an object of id → name, or a list of names from id 0; any other file: one name a
            line, from id 0.

    Returns:
        Name by class id.

    Raises:
        InputError: the file cannot be read, is empty, or an id is not a whole number.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        parsed: Any = json.loads(text) if str(path).endswith(".json") else text.splitlines()
        names = _by_id(parsed)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as class names", why=str(error), fix=_EXAMPLE
        ) from error
    if not names:
        raise InputError(f"{path}: holds no class names", fix=_EXAMPLE)
    return names


def _by_id(parsed: Any) -> dict[int, str]:  # noqa: ANN401 (parsed JSON)
    if isinstance(parsed, dict):
        return {int(number): str(name) for number, name in parsed.items()}
    if isinstance(parsed, list):
        return {i: str(name).strip() for i, name in enumerate(parsed) if str(name).strip()}
    raise ValueError("it is neither an object nor a list")
