"""Class names from a file, or from a class list that ships with segcli."""

from __future__ import annotations

from pathlib import Path

from segcli.formats.classes import ClassList, class_list_names, read_class_list

__all__ = ["ClassList", "class_list_names", "read_class_list", "read_class_names"]


def read_class_names(path: str | Path) -> dict[int, str]:
    """Read the class list.

    Args:
        path: see `read_class_list`.

    Returns:
        Name by class id.

    Raises:
        InputError: see `read_class_list`.
    """
    return dict(read_class_list(path).names)
