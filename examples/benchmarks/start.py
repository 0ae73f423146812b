"""How long a model takes to load in a new process, beyond importing torch.

    python examples/benchmarks/start.py --model tiny --repeats 5

segcli's way and transformers' (`AutoModelForMaskGeneration`, `AutoImageProcessor`) take turns, each
in a process of its own; the least and the median are shown.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

SEGCLI = """
from segcli.models.catalog import find
from segcli.models.sam.runtime import load_runtime
load_runtime(find({model!r}), torch.device("cpu"), torch.float32)
"""
STOCK = """
from segcli.models.catalog import find
import transformers
directory = find({model!r}).directory
transformers.AutoModelForMaskGeneration.from_pretrained(directory, dtype=torch.float32)
transformers.AutoImageProcessor.from_pretrained(directory)
"""
CLOCK = """
import time
started = time.perf_counter()
import torch
imported = time.perf_counter()
{load}
print(imported - started, time.perf_counter() - imported)
"""


def measure(load: str) -> list[float]:
    """Seconds of importing torch and of loading, in a new process."""
    code = CLOCK.format(load=load)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(  # noqa: S603 (this interpreter, code from above)
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return [float(word) for word in done.stdout.split()]


def main() -> None:
    """Measure in turns and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="short name or folder")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    ways = {"segcli": SEGCLI, "transformers": STOCK}
    seen: dict[str, list[float]] = {"import torch": [], **{way: [] for way in ways}}
    for _ in range(options.repeats):
        for way, code in ways.items():
            imported, loaded = measure(code.format(model=options.model))
            seen["import torch"].append(imported)
            seen[way].append(loaded)
    for name, seconds in seen.items():
        print(f"{name}: least {min(seconds):.2f} s, median {statistics.median(seconds):.2f} s")


if __name__ == "__main__":
    main()
