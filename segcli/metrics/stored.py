"""Sums and options as JSON data and back, told from their type hints."""

from __future__ import annotations

import copy
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from segcli.metrics.numbers import hints_of

__all__ = ["Json", "restore", "store"]

Json = dict[str, Any]
T = typing.TypeVar("T")


class _UnstorableError(Exception):
    """A value that has no form in JSON."""


def store(value: T, zero: T) -> Json | None:
    """A dataclass as plain JSON data, without loss: numbers that JSON has no form for are text.

    Args:
        value: what is stored, such as the sums of one image.
        zero: the same of nothing, such as the sums of no image; fields equal to its are left out.

    Returns:
        An object, or None when the value holds what no JSON can carry, such as an evaluator.
    """
    try:
        stored = _store(value, zero)
    except _UnstorableError:
        return None
    return stored if isinstance(stored, dict) else None


def restore(data: Json, zero: T) -> T:
    """What `store` made the data of.

    Args:
        data: what `store` returned.
        zero: the same of nothing.

    Raises:
        ValueError: the data do not fit.
    """
    try:
        restored: T = _restore(type(zero), data, zero)
    except (TypeError, KeyError, AttributeError, ZeroDivisionError, OverflowError) as error:
        raise ValueError(f"do not fit {type(zero).__name__}: {error}") from error
    return restored


def _store(value: Any, zero: Any) -> Any:  # noqa: ANN401 (a value of any type)
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if isinstance(value, (float, Fraction)):
        return _stored_number(value)
    if isinstance(value, (list, tuple)):
        return [_store(v, None) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted(_store(v, None) for v in value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, (int, str)) for key in value):
            raise _UnstorableError
        return {str(key): _store(inner, None) for key, inner in value.items()}
    return _store_fields(value, zero)


def _store_fields(value: Any, zero: Any) -> Json:  # noqa: ANN401 (a dataclass)
    kind: Any = type(value)
    if not is_dataclass(value) or hints_of(kind) is None:
        raise _UnstorableError
    other = zero if type(zero) is kind else kind()
    pairs = {f.name: (getattr(value, f.name), getattr(other, f.name)) for f in fields(value)}
    stored = {name: (_store(own, nil), _store(nil, nil)) for name, (own, nil) in pairs.items()}
    return {name: own for name, (own, nil) in stored.items() if own != nil}


def _stored_number(value: float | Fraction) -> float | int | str:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value.denominator == 1:
        return value.numerator
    return float(value) if Fraction(float(value)) == value else str(value)


def _restore(hint: Any, data: Any, zero: Any) -> Any:  # noqa: ANN401, PLR0911 (as the hint says)
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        if data is None:
            return None
        inner = next(a for a in arguments if a is not type(None))
        return _restore(inner, data, zero)
    if origin in (bool, str, type(None)):
        return data
    if origin in (int, float, Fraction):
        return origin(data)
    if origin is np.ndarray:
        # The second argument of an array's type is its dtype.
        scalar = typing.get_args(arguments[1])[0]
        return np.array(data, scalar)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_restore(arguments[0], v, None) for v in data)
    if origin is tuple:
        return tuple(_restore(a, v, None) for a, v in zip(arguments, data, strict=True))
    if isinstance(origin, type) and issubclass(origin, (list, set, frozenset)):
        return origin(_restore(arguments[0], v, None) for v in data)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, value = arguments
        return {_restore(key, k, None): _restore(value, v, None) for k, v in data.items()}
    return _restore_fields(origin, data, zero)


def _restore_fields(kind: Any, data: Json, zero: Any) -> Any:  # noqa: ANN401 (a dataclass)
    hints = hints_of(kind)
    if hints is None or not set(data) <= set(hints):
        raise TypeError(f"unknown fields {sorted(set(data) - set(hints or ()))}")
    other = zero if type(zero) is kind else kind()
    return kind(
        **{
            f.name: _restore(hints[f.name], data[f.name], getattr(other, f.name))
            if f.name in data
            else copy.deepcopy(getattr(other, f.name))
            for f in fields(kind)
        }
    )
