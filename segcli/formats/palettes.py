"""Colours for classes: those a data set is usually drawn in, or ones that differ well."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

from segcli.errors import ConfigError, closest
from segcli.formats.classes import Color, class_list_names, read_class_list

__all__ = ["palette_colors"]

_GOLDEN_ANGLE = 0.381966


def palette_colors(categories: Mapping[int, str], palette: str | None = None) -> dict[int, Color]:
    """A colour for each class.

    Args:
        categories: name by class id.
        palette: name of a class list of segcli; ``auto`` colours by id; None takes the list that
            names all of the classes, or else ``auto``.

    Returns:
        Colour by class id: the list's for classes of the same name, and others by id.

    Raises:
        ConfigError: there is no such list with colours.
    """
    by_name: dict[str, Color] = {}
    if palette not in (None, "auto"):
        by_name = _listed(str(palette))
    elif palette is None:
        by_name = _of_the_same_names(categories)
    return {
        number: by_name.get(_plain(text)) or _automatic(number)
        for number, text in sorted(categories.items())
    }


def _listed(name: str) -> dict[str, Color]:
    known = [n for n in class_list_names() if read_class_list(n).colors]
    if name not in known:
        raise ConfigError(
            f"unknown palette '{name}'",
            why=f"palettes: {', '.join(known)}, auto",
            fix=closest(name, [*known, "auto"]),
        )
    listed = read_class_list(name)
    return {_plain(listed.names[n]): color for n, color in listed.colors.items()}


def _of_the_same_names(categories: Mapping[int, str]) -> dict[str, Color]:
    wanted = {_plain(text) for text in categories.values()}
    found = []
    for name in class_list_names():
        listed = read_class_list(name)
        if listed.colors and wanted <= {_plain(text) for text in listed.names.values()}:
            found.append((len(listed.names), name))
    return _listed(min(found)[1]) if found else {}


def _automatic(number: int) -> Color:
    """Hues a golden angle apart, in turn brighter and darker."""
    red, green, blue = colorsys.hsv_to_rgb(
        number * _GOLDEN_ANGLE % 1.0, 0.9 - 0.35 * (number // 3 % 2), 1.0 - 0.3 * (number // 5 % 2)
    )
    return round(red * 255), round(green * 255), round(blue * 255)


def _plain(text: str) -> str:
    return text.strip().casefold().replace("_", " ")
