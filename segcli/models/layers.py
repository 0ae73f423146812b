"""Settings given in layers: a family's, a model's own, the user's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from segcli.errors import ConfigError, closest

__all__ = ["layered"]


def layered(
    settings: type[Any], layers: Sequence[Mapping[str, Any]], *, besides: Collection[str] = ()
) -> dict[str, Any]:
    """The values of a settings dataclass from layers of them, later layers winning.

    Args:
        settings: the dataclass.
        layers: values by name of the field.
        besides: fields that no layer may give.

    Raises:
        ConfigError: a name is no field that may be given.
    """
    known = {f.name for f in fields(settings)} - set(besides)
    values: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in known:
                raise ConfigError(f"unknown setting '{name}'", fix=closest(name, known))
            values[name] = value
    return values
