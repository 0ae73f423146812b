"""segcli's scores against those of other tools: seconds, ratios and the largest difference.

    python examples/benchmarks/eval.py
    python examples/benchmarks/eval.py --only miou --pairs 50 --peers hotcoco

Every tool is given the same synthetic files in the same run. Those that are not installed are
named, and left out.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clock import Result, Scores
    from ours import Part
    from work import Files

_OURS = "segcli"
_COMMAND = "whole process of segcli eval"
_NAMES = ("miou", "ap", "ap-loaded", "pq", "boundary-ap", "hd95", "memory")


def main() -> None:
    """Measure what was asked for, and print one table a part."""
    options = _options()
    _bind(options.threads)
    from ours import PARTS  # noqa: PLC0415 (numpy must find the number of threads set)

    print(_machine(options.threads))
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only or _NAMES:
            if name == "memory":
                lines = _memory(PARTS["miou"], Path(folder), options)
            else:
                part = PARTS[name]
                print(f"\n## {name}: {part.title}, {part.amount(options.pairs, options.size)}\n")
                files = part.make(Path(folder) / name, part.images(options.pairs), options.size)
                lines = _compare(name, part, files, options)
            for line in lines:
                print(line, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=_NAMES, help="parts to run; all without")
    parser.add_argument("--peers", nargs="+", help="tools with these words in their names; or all")
    parser.add_argument("--pairs", type=int, default=200, help="images; some parts take a share")
    parser.add_argument("--size", type=int, default=1024, help="pixels along an edge")
    parser.add_argument("--threads", type=int, default=2, help="threads, and processors used")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each tool; the best counts")
    parser.add_argument(
        "--patience", type=float, default=30.0, help="seconds after which a tool has run enough"
    )
    return parser.parse_args()


def _bind(threads: int) -> None:
    """Give every tool the same threads and processors; before numpy is imported."""
    for name in ("OMP", "OPENBLAS", "MKL", "RAYON"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _machine(threads: int) -> str:
    ours = f"segcli {version('segcli')}, numpy {version('numpy')}, Pillow {version('pillow')}"
    return f"{ours}, Python {platform.python_version()}, {platform.machine()}, {threads} threads"


def _compare(name: str, part: Part, files: Files, options: argparse.Namespace) -> Iterator[str]:
    from clock import Tool, Unavailable, in_turns  # noqa: PLC0415
    from ours import prepare, prepare_command  # noqa: PLC0415
    from peers import PEERS, prepare_peer  # noqa: PLC0415

    tools = {_OURS: Tool(partial(prepare, name, files, options.threads))}
    if not part.loaded:
        tools[_COMMAND] = Tool(partial(prepare_command, name, files, options.threads))
    remarks = []
    for peer in PEERS[name]:
        if options.peers and not any(word.lower() in peer.name.lower() for word in options.peers):
            continue
        try:
            tools[peer.name] = Tool(partial(prepare_peer, name, peer.name, files))
        except ImportError:
            remarks.append(f"{peer.name} is not installed: pip install {peer.package}")
        except Unavailable as error:
            remarks.append(f"{peer.name} is left out: {error}")
        else:
            remarks += [f"{peer.name}: {peer.remark}"] if peer.remark else []
    yield from _table(in_turns(tools, options.repeats, options.patience))
    for remark in remarks:
        yield f"\n{remark}."


def _table(results: dict[str, Result]) -> Iterator[str]:
    ours = results[_OURS]
    yield "| tool | wall s | CPU s | times segcli, wall | times segcli, CPU | largest difference |"
    yield "|---|--:|--:|--:|--:|--:|"
    for name, found in results.items():
        ratios = f"{found.wall / ours.wall:.2f} | {found.processor / ours.processor:.2f}"
        apart = "" if name == _OURS else _difference(ours.scores, found.scores)
        yield f"| {name} | {found.wall:.3f} | {found.processor:.3f} | {ratios} | {apart} |"


def _difference(ours: Scores, theirs: Scores) -> str:
    shared = [(ours[name], value) for name, value in theirs.items() if name in ours]
    if not shared:
        return "no score in common"
    # A score that only one of the two has is as far apart as can be.
    missing = [(math.isnan(a), math.isnan(b)) for a, b in shared]
    gaps = [
        math.inf if any(lacks) else abs(a - b)
        for (a, b), lacks in zip(shared, missing, strict=True)
        if not all(lacks)
    ]
    return f"{max(gaps, default=0.0):.1e} of {len(shared)} scores"


def _memory(part: Part, folder: Path, options: argparse.Namespace) -> Iterator[str]:
    from ours import peak_memory  # noqa: PLC0415

    yield f"\n## memory: peak of the whole process, {part.title}, {options.size}x{options.size}\n"
    yield "| images | MiB |"
    yield "|--:|--:|"
    for count in (max(1, options.pairs // 4), options.pairs):
        files = part.make(folder / f"memory-{count}", count, options.size)
        yield f"| {count} | {peak_memory(part, files, options.threads):.0f} |"


if __name__ == "__main__":
    main()
