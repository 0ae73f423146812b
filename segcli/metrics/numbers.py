"""The numbers in sums: every count by where it is, and sums put together again from counts.

Most sums are dataclasses of counts whose `add` adds field by field. What adds is told from their
type hints, so a new metric can be resampled and stored without a line about it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from segcli.metrics.base import Sums

__all__ = ["Number", "Path", "hints_of", "numbers", "put", "understood"]

Number = int | float | Fraction
Path = tuple[Hashable, ...]

_NUMBERS = (int, float, Fraction)
_SAID = (str, bool, type(None))


def understood(zero: Sums) -> bool:
    """Whether every field is a number, a fixed number of them, by key, or words to be kept.

    Args:
        zero: the sums of no image: an array or a tuple that is empty here has no fixed size.
    """
    return _adds(type(zero), zero)


@cache
def hints_of(kind: type) -> Mapping[str, Any] | None:
    """The type of each field of a dataclass, or None where they cannot be told."""
    # Kept, because type hints are text that Python compiles again at each look.
    try:
        return typing.get_type_hints(kind)
    except NameError:
        return None


def _adds(hint: Any, zero: Any) -> bool:  # noqa: ANN401, PLR0911 (a type hint and its value)
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (*_NUMBERS, *_SAID):
        return True
    if isinstance(origin, type) and issubclass(origin, (frozenset, set)):
        return True
    if origin in {typing.Union, types.UnionType}:
        said = [a for a in arguments if not _is_said(a)]
        # A count that may be missing is not simply a number that adds.
        return not said or (len(said) == 1 == len(arguments) and _adds(said[0], zero))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return len(arguments) == 2 and _adds(arguments[1], _first(zero))
    if origin is np.ndarray:
        return isinstance(zero, np.ndarray) and zero.size > 0 and zero.dtype != object
    if origin in {list, tuple}:
        return bool(zero) and all(type(z) in _NUMBERS for z in zero)
    if isinstance(origin, type) and is_dataclass(origin):
        inner = hints_of(origin)
        made = origin() if zero is None else zero
        return inner is not None and all(
            _adds(inner[f.name], getattr(made, f.name)) for f in fields(origin)
        )
    return False


def _is_said(hint: Any) -> bool:  # noqa: ANN401 (a type hint)
    origin, arguments = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in _SAID:
        return True
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return len(arguments) == 2 and arguments[1] is str
    return isinstance(origin, type) and issubclass(origin, (frozenset, set))


def _first(zero: Any) -> Any:  # noqa: ANN401 (a value of any type)
    return next(iter(zero.values()), None) if isinstance(zero, Mapping) else None


def numbers(value: Any, path: Path = ()) -> Iterator[tuple[Path, Number]]:  # noqa: ANN401
    """Every number other than 0 in understood sums, and where it is."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        flat = value.ravel()
        for i in np.flatnonzero(flat).tolist():
            yield (*path, i), flat[i].item()
    elif isinstance(value, (int, float, Fraction)) and not isinstance(value, bool):
        if value:
            yield path, value
    else:
        for key, inner in _inside(value):
            yield from numbers(inner, (*path, key))


def _inside(value: Any) -> Iterable[tuple[Hashable, Any]]:  # noqa: ANN401 (a value of any type)
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, (list, tuple)):
        return enumerate(value)
    if is_dataclass(value):
        return [(f.name, getattr(value, f.name)) for f in fields(value)]
    return ()


def put(like: Any, found: Mapping[Path, Number], zero: Any, path: Path = ()) -> Any:  # noqa: ANN401
    """A copy of understood sums with other numbers; where none is given it is 0.

    Args:
        like: the sums that are copied, with every key that the numbers have.
        found: the numbers, by where they are.
        zero: the sums of no image. Keys that these lack and that would hold nothing but 0 are left
            out, as if no image had them.
        path: where `like` is.
    """
    if isinstance(like, (bool, str, frozenset, set)) or like is None:
        return like
    if isinstance(like, np.generic):
        like = like.item()
    if isinstance(like, (int, float, Fraction)):
        return type(like)(found.get(path, 0))
    if isinstance(like, np.ndarray):
        values = [found.get((*path, i), 0) for i in range(like.size)]
        return np.array(values, like.dtype).reshape(like.shape)
    if isinstance(like, Mapping):
        return _put_by_key(like, found, zero, path)
    if isinstance(like, (list, tuple)):
        return type(like)(put(v, found, v, (*path, i)) for i, v in enumerate(like))
    other = zero if type(zero) is type(like) else type(like)()
    return type(like)(
        **{
            f.name: put(getattr(like, f.name), found, getattr(other, f.name), (*path, f.name))
            for f in fields(like)
        }
    )


def _put_by_key(
    like: Mapping[Any, Any],
    found: Mapping[Path, Number],
    zero: Any,  # noqa: ANN401 (as like is)
    path: Path,
) -> dict[Any, Any]:
    known = zero if isinstance(zero, Mapping) else {}
    kept = {}
    for key, inner in like.items():
        value = put(inner, found, known.get(key), (*path, key))
        if key in known or isinstance(value, str) or any(True for _ in numbers(value)):
            kept[key] = value
    return kept
