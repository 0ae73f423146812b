"""Class lists: names, colours, which classes are things, and which do not count."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from segcli.errors import InputError, closest
from segcli.formats.base import ReadOptions

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["ClassList", "Color", "class_list_names", "read_class_list", "with_classes"]

Color = tuple[int, int, int]
_EXAMPLE = 'JSON {"0": "background", "1": "cell"} or ["background", "cell"], or one name a line'
_ENTRY = 'each class has an id and a name: [[class]] id = 1, name = "cell", color = [255, 0, 0]'


@dataclass(frozen=True, slots=True)
class ClassList:
    """The classes of a data set.

    Attributes:
        names: name by class id, ignored classes too.
        colors: (red, green, blue), each 0 to 255, by class id, where stated.
        things: ids of countable things, the others being stuff; None: not stated.
        ignored: ids of classes that do not count in ground truth.
    """

    names: Mapping[int, str]
    colors: Mapping[int, Color] = field(default_factory=dict)
    things: frozenset[int] | None = None
    ignored: frozenset[int] = frozenset()

    @property
    def ids_by_color(self) -> dict[Color, int]:
        """Class id by colour; a colour that several classes share stands for none of them."""
        shared = Counter(self.colors.values())
        return {color: number for number, color in self.colors.items() if shared[color] == 1}

    @property
    def evaluated(self) -> dict[int, str]:
        """Name by id of the classes that count."""
        return {number: name for number, name in self.names.items() if number not in self.ignored}

    def zero_reduced(self) -> ClassList:
        """The list after the class 0 became void and every other id one less."""
        down = {number: number - 1 for number in self.names if number > 0}
        return ClassList(
            names={down[n]: name for n, name in self.names.items() if n in down},
            colors={down[n]: color for n, color in self.colors.items() if n in down},
            things=None if self.things is None else frozenset(n - 1 for n in self.things if n > 0),
            ignored=frozenset(n - 1 for n in self.ignored if n > 0),
        )


def with_classes(options: ReadOptions, classes: ClassList) -> ReadOptions:
    """Choices of a reader, with what a class list says."""
    return replace(
        options,
        ignored=classes.ignored,
        class_names=classes.names,
        class_colors=classes.ids_by_color,
        things=classes.things,
    )


def class_list_names() -> list[str]:
    """Names of the class lists that ship with segcli."""
    return sorted(path.stem for path in _folder().glob("*.toml"))


def read_class_list(path: str | Path) -> ClassList:
    """Read a class list from a file, or take one that ships with segcli by its name.

    Args:
        path: TOML with a table ``[[class]]`` for each class (`id`, `name`, and where they apply
            `color`, `thing`, `ignored`); JSON: an object of id → name, a list of names from id 0, a
            list of such tables, or a file that has one under `categories` (COCO) or `classes`; any
            other file: one name a line, from id 0. Or the name of a list that ships with segcli,
            where no file has that name.

    Raises:
        InputError: the file cannot be read, is empty or malformed, or there is no such list.
    """
    file = Path(path)
    if not file.is_file() and not file.suffix and file.name == str(path):
        file = _shipped(file.name)
    try:
        found = _parsed(file, file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read as class names", why=str(error), fix=_EXAMPLE
        ) from error
    if not found.names:
        raise InputError(f"{path}: holds no class names", fix=_EXAMPLE)
    return found


def _shipped(name: str) -> Path:
    known = class_list_names()
    if name not in known:
        raise InputError(
            f"{name}: no such file, and no class list that ships with segcli",
            why=f"class lists: {', '.join(known)}",
            fix=closest(name, known) or "give a file of class names",
        )
    return _folder() / f"{name}.toml"


def _folder() -> Path:
    installed = Path(__file__).parent.parent / "presets"
    root = installed if installed.is_dir() else Path(__file__).parent.parent.parent / "configs"
    return root / "classes"


def _parsed(path: Path, text: str) -> ClassList:
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return _from_tables(tomllib.loads(text).get("class", []))
    if suffix != ".json":
        return ClassList(_numbered(text.splitlines()))
    parsed: Any = json.loads(text)
    for key in ("categories", "classes"):
        if isinstance(parsed, dict) and isinstance(parsed.get(key), list):
            return _from_tables(parsed[key])
    if isinstance(parsed, dict):
        return ClassList({int(number): str(name) for number, name in parsed.items()})
    if not isinstance(parsed, list):
        raise ValueError("it is neither an object nor a list")  # noqa: TRY004 (told as one)
    if any(isinstance(entry, dict) for entry in parsed):
        return _from_tables(parsed)
    return ClassList(_numbered(str(name) for name in parsed))


def _numbered(names: Iterable[str]) -> dict[int, str]:
    return {i: name.strip() for i, name in enumerate(names) if name.strip()}


def _from_tables(tables: Any) -> ClassList:  # noqa: ANN401 (parsed JSON or TOML)
    if not isinstance(tables, list):
        raise ValueError(f"its classes are no list of tables; {_ENTRY}")  # noqa: TRY004
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    things: dict[int, bool] = {}
    ignored = set()
    for table in tables:
        number, name = _identity(table)
        if number in names:
            raise ValueError(f"the class id {number} occurs twice")
        names[number] = name
        if (color := table.get("color")) is not None:
            colors[number] = _color(name, color)
        thing = table.get("thing", table.get("isthing"))
        if thing is not None:
            things[number] = bool(thing)
        if table.get("ignored", False):
            ignored.add(number)
    stated = frozenset(n for n, thing in things.items() if thing) if things else None
    return ClassList(names, colors, stated, frozenset(ignored))


def _identity(table: Any) -> tuple[int, str]:  # noqa: ANN401 (parsed JSON or TOML)
    if not isinstance(table, dict) or "id" not in table or "name" not in table:
        raise ValueError(f"{table!r} is no class; {_ENTRY}")
    number = table["id"]
    if isinstance(number, bool) or not isinstance(number, int):
        raise ValueError(f"the class id {number!r} is not a whole number")  # noqa: TRY004
    return number, str(table["name"])


def _color(name: str, color: Any) -> Color:  # noqa: ANN401 (parsed JSON or TOML)
    whole = isinstance(color, list) and len(color) == 3 and all(type(c) is int for c in color)
    if not whole or not all(0 <= c <= 255 for c in color):
        raise ValueError(f"the color {color!r} of {name} is not [red, green, blue], each 0 to 255")
    return color[0], color[1], color[2]
