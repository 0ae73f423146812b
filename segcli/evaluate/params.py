"""The `params` block: every convention behind the numbers, the versions and what was compared."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import distribution
from typing import Any

from segcli import __version__
from segcli.evaluate.accumulate import Accumulator
from segcli.evaluate.bootstrap import bootstrap_params
from segcli.evaluate.protocol import options_for
from segcli.evaluate.settings import EvalSettings
from segcli.formats.base import Source
from segcli.metrics import Protocol

__all__ = ["hash_pairs", "params_block"]

_LIBRARIES = {"hotcoco": "hotcoco", "numpy": "numpy", "pillow": "PIL", "scipy": "scipy"}
_AVERAGING = (
    "pooled: pixels or objects summed over the data set, then one ratio; mean_of_images: one ratio "
    "an image, then their mean, undefined ones left out"
)
_MISSING = {
    "error": "left out of the scores and reported as failures",
    "skip": "left out of the scores",
    "empty": "ground truth without prediction scored as if nothing was predicted; predictions "
    "without ground truth left out",
}


def hash_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over the sorted (prediction, ground truth) paths, in hexadecimal."""
    digest = hashlib.sha256()
    for pred, gt in sorted(pairs):
        digest.update(f"{pred}\t{gt}\n".encode())
    return digest.hexdigest()


def params_block(
    settings: EvalSettings,
    protocol: tuple[Protocol, str],
    sources: tuple[Source, Source],
    pairing: dict[str, Any],
    totals: Accumulator,
) -> dict[str, Any]:
    """What must be known to quote or repeat the numbers; the same input gives the same block."""
    pred, gt = sources
    share = 100 * totals.ignored / totals.pixels if totals.pixels else 0.0
    options = options_for(settings, gt)
    names = options.class_names
    return {
        "protocol": protocol[0],
        "protocol_why": protocol[1],
        "averaging": _AVERAGING,
        "pred": _side(pred),
        "gt": _side(gt),
        "metrics": list(settings.families),
        "model": pred.facts(),
        "lower_is_better": totals.lower_is_better(),
        "class_names": None if names is None else _by_id(names),
        "classes_ignored": sorted(options.ignored),
        "class_agnostic": settings.class_agnostic,
        "ignore_index": settings.ignore_index,
        "reduce_zero_label": settings.reduce_zero_label,
        "ignored_percent": share,
        "pairing": {
            **pairing,
            "missing": settings.missing,
            "missing_means": _MISSING[settings.missing],
        },
        "sizes": {
            "mismatch": settings.resize_pred or "error",
            "predictions_resized": totals.resized,
        },
        "bootstrap": _bootstrap(settings),
        "undefined": "null, with a reason under `undefined`; never 0 or -1, never in a mean",
        "undefined_images": totals.undefined_images(),
        "conventions": totals.conventions(),
        "versions": {"segcli": __version__, **_versions()},
    }


def _versions() -> dict[str, str]:
    """Of the libraries that compute, as they say themselves where they are loaded."""
    loaded = {
        name: getattr(sys.modules.get(m), "__version__", "") for name, m in _LIBRARIES.items()
    }
    return {name: said or _version(name) for name, said in loaded.items()}


def _version(name: str) -> str:
    # Parsing all that a package says of itself takes longer than scoring twenty images.
    said = distribution(name).read_text("METADATA") or ""
    found = re.search(r"^Version: *(\S+)", said, re.MULTILINE)
    return found[1] if found else ""


def _bootstrap(settings: EvalSettings) -> dict[str, Any] | None:
    return bootstrap_params(settings.resamples, settings.seed) if settings.resamples else None


def _by_id(names: Mapping[int, str]) -> dict[str, str]:
    return {str(number): name for number, name in sorted(names.items())}


def _side(source: Source) -> dict[str, str]:
    return {"format": source.format, "kind": source.kind, "description": source.description}
