"""Settings from many places, one winner each, and the place it came from.

flag > SEGCLI_* environment > --config FILE > --preset NAME > ./segcli.toml > built-in
"""

from __future__ import annotations

import difflib
import os
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from segcli.errors import ConfigError, closest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Layers", "Resolved", "preset_names", "resolve"]

PROJECT_FILE = "segcli.toml"
SECTIONS = ("predict", "eval")
# Variables that are switches of the program rather than settings of a command.
_SWITCHES = frozenset({"SEGCLI_DEBUG"})
_NEARLY = 0.88
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Layers:
    """Where settings may come from.

    Attributes:
        flags: values given on the command line, by setting name.
        config_file: the file of ``--config``.
        preset: the name of ``--preset``.
        environ: the environment.
        folder: where ``segcli.toml`` is looked for.
    """

    flags: Mapping[str, Any]
    config_file: str | None = None
    preset: str | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    folder: Path = Path()


@dataclass(frozen=True, slots=True)
class Resolved(typing.Generic[S]):
    """The effective settings and, by name, the place each came from."""

    settings: S
    sources: dict[str, str]


def resolve(section: str, schema: type[S], layers: Layers) -> Resolved[S]:
    """Find every setting's effective value.

    Args:
        section: the command, which is also the table in TOML files.
        schema: a dataclass whose fields, types and defaults are the settings.
        layers: the places to look.

    Raises:
        ConfigError: a name is unknown, a value has the wrong type, or a file cannot be read.
    """
    hints = typing.get_type_hints(schema)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for setting in fields(typing.cast("Any", schema)):
        factory = setting.default_factory
        values[setting.name] = setting.default if factory is MISSING else factory()
        sources[setting.name] = "built-in"
    for source, layer in _found(section, layers, set(hints)):
        for name, value in layer.items():
            values[name] = _typed(value, hints[name], f"{name} in {source}")
            sources[name] = source
    return Resolved(schema(**values), sources)


def preset_names() -> list[str]:
    """Names of the presets that ship with segcli."""
    return sorted(path.stem for path in _preset_folder().glob("*.toml"))


def _found(section: str, layers: Layers, known: set[str]) -> list[tuple[str, dict[str, Any]]]:
    """Every place that says something, weakest first."""
    found: list[tuple[str, dict[str, Any]]] = []
    project = layers.folder / PROJECT_FILE
    if project.is_file():
        found.append((PROJECT_FILE, _from_file(project, section, known)))
    if layers.preset is not None:
        path = _preset_folder() / f"{layers.preset}.toml"
        if not path.is_file():
            raise ConfigError(
                f"unknown preset '{layers.preset}'",
                why=f"presets: {', '.join(preset_names())}",
                fix=closest(layers.preset, preset_names()),
            )
        settings = _from_file(path, section, known)
        if not settings:
            raise ConfigError(
                f"preset '{layers.preset}' has no settings for {section}",
                fix=f"segcli config show {section} --preset NAME shows what one sets",
            )
        found.append((f"preset {layers.preset}", settings))
    if layers.config_file is not None:
        path = Path(layers.config_file)
        found.append((layers.config_file, _from_file(path, section, known)))
    found.extend(_from_environment(layers.environ, known))
    flags = {name: value for name, value in layers.flags.items() if value is not None}
    found.append(("flag", flags))
    return found


def _from_file(path: Path, section: str, known: set[str]) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}", why=str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML", why=str(error)) from error
    for table in content:
        if table not in SECTIONS:
            raise ConfigError(
                f"unknown table or setting '{table}' in {path}",
                why="settings stand in the tables " + " and ".join(f"[{s}]" for s in SECTIONS),
                fix=closest(table, SECTIONS),
            )
    table = content.get(section, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: [{section}] is not a table", fix=f"[{section}] on its own line")
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in known:
            raise ConfigError(
                f"unknown setting '{key}' in [{section}] of {path}",
                fix=closest(name, known) or f"segcli config show {section}",
            )
        values[name] = value
    return values


def _from_environment(
    environ: Mapping[str, str], known: set[str]
) -> list[tuple[str, dict[str, Any]]]:
    prefix = "SEGCLI_"
    found: list[tuple[str, dict[str, Any]]] = []
    for variable in sorted(environ):
        name = variable.removeprefix(prefix).lower()
        if not variable.startswith(prefix) or variable in _SWITCHES:
            continue
        if name in known:
            found.append((variable, {name: environ[variable]}))
        elif meant := difflib.get_close_matches(name, known, 1, _NEARLY):
            # Other commands have settings of their own, so only near misses can be told apart.
            raise ConfigError(
                f"unknown variable {variable}", fix=f"did you mean {prefix}{meant[0].upper()}?"
            )
    return found


def _typed(value: Any, hint: Any, where: str) -> Any:  # noqa: ANN401 (values of any setting)
    """A value as its field's type, from TOML, a flag or the text of an environment variable."""
    wanted = _plain_types(hint)
    if isinstance(value, str) and str not in wanted:
        return _parsed(value, wanted, where)
    if isinstance(value, (list, tuple)) and tuple in wanted:
        return tuple(str(v) for v in value)
    if isinstance(value, bool) != (bool in wanted):
        raise ConfigError(f"{where}: {value!r} is not {_called(wanted)}")
    if isinstance(value, int) and float in wanted and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted):
        raise ConfigError(f"{where}: {value!r} is not {_called(wanted)}")
    return value


def _parsed(text: str, wanted: tuple[type, ...], where: str) -> Any:  # noqa: ANN401
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    try:
        if bool in wanted:
            return words[text.lower()]
        if tuple in wanted:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return int(text) if int in wanted else float(text)
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{where}: {text!r} is not {_called(wanted)}") from error


def _plain_types(hint: Any) -> tuple[type, ...]:  # noqa: ANN401 (a type annotation)
    origin = typing.get_origin(hint)
    if origin in {typing.Union, types.UnionType}:
        return tuple(t for arg in typing.get_args(hint) for t in _plain_types(arg))
    if origin is typing.Literal:
        return tuple({type(arg) for arg in typing.get_args(hint)})
    return (origin or hint,)


def _called(wanted: tuple[type, ...]) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    names[tuple] = "a list of words"
    return " or ".join(names[t] for t in wanted if t in names)


def _preset_folder() -> Path:
    installed = Path(__file__).parent / "presets"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "configs"
