"""Everything segcli raises on purpose, and the exit code each carries.

SegcliError (1)
├── UsageError (2)            what was asked cannot be done; nothing was processed
│   ├── ConfigError           a setting, preset or config file is wrong
│   ├── InputError            an input path, list or ground truth is wrong or missing
│   ├── OutputError           the output cannot be written, or holds other work
│   ├── ModelError            a model is unknown, missing, unsafe or unfit
│   └── MissingExtraError     an optional dependency is not installed
├── WriteError (3)            results cannot be written; the run stopped, what is finished is kept
├── ItemError (3)             one item failed, the others go on
│   ├── ImageError            one picture cannot be read
│   ├── MaskError             one mask or annotation cannot be read
│   └── PairError             one prediction does not fit its ground truth
└── GateError (4)             a score missed its gate
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ConfigError",
    "GateError",
    "ImageError",
    "InputError",
    "ItemError",
    "MaskError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "PairError",
    "SegcliError",
    "UsageError",
    "WriteError",
    "closest",
]


class SegcliError(Exception):
    """A failure that has a name.

    Args:
        message: what went wrong, naming the value and where it came from.
        why: the reason, when the message alone does not say it.
        fix: a command or option that would work.
    """

    exit_code = 1

    def __init__(self, message: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.fix = fix


class UsageError(SegcliError):
    """What was asked cannot be done; nothing was processed."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting, preset or configuration file is wrong."""


class InputError(UsageError):
    """An input path, list or ground truth is wrong or missing."""


class OutputError(UsageError):
    """The output cannot be written, or holds work made with other settings."""


class ModelError(UsageError):
    """A model is unknown, missing, unsafe or unfit for what was asked."""


class MissingExtraError(UsageError):
    """An optional dependency is not installed."""


class WriteError(SegcliError):
    """Results cannot be written; the run stopped, and what was finished is kept."""

    exit_code = 3


class ItemError(SegcliError):
    """One item failed; the others go on."""

    exit_code = 3


class ImageError(ItemError):
    """One picture cannot be read."""


class MaskError(ItemError):
    """One mask or annotation cannot be read."""


class PairError(ItemError):
    """One prediction does not fit its ground truth."""


class GateError(SegcliError):
    """A score missed its gate."""

    exit_code = 4


def closest(name: str, known: Iterable[str]) -> str:
    """A hint such as ``did you mean 'labels'?`` for an unknown name, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean '{matches[0]}'?" if matches else ""
