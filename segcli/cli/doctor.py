"""`segcli doctor`: does this machine have what segcli needs?"""

from __future__ import annotations

import os
import platform
from typing import Any

import typer

from segcli import __version__
from segcli.cli.options import Debug, Json, NoColor, Quiet, Verbose
from segcli.cli.output import Output, reporting
from segcli.errors import ConfigError

__all__ = ["doctor_command"]


@reporting
def doctor_command(
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Check libraries, devices and models of this machine.

    Example:

        segcli doctor
    """
    del debug
    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    checks = [*_libraries(), *_devices(), *_models()]
    failed = [c for c in checks if not c["ok"]]
    if json:
        output.json(
            {"schema": "segcli.doctor/1", "segcli": __version__, "ok": not failed, "checks": checks}
        )
    else:
        output.note(f"segcli {__version__}, Python {platform.python_version()}")
        for check in failed if quiet else checks:
            output.line(f"{'ok ' if check['ok'] else 'BAD'} {check['name']}: {check['detail']}")
    if failed:
        raise typer.Exit(ConfigError.exit_code)


def _libraries() -> list[dict[str, Any]]:
    from segcli.predict.manifest import library_versions  # noqa: PLC0415 (slow to import)

    return [
        {"name": name, "ok": found is not None, "detail": found or "not installed"}
        for name, found in library_versions().items()
    ]


def _devices() -> list[dict[str, Any]]:
    try:
        import torch  # noqa: PLC0415 (slow to import)

        from segcli.models.device import choose_device, choose_dtype  # noqa: PLC0415
    except ImportError as error:
        return [{"name": "torch", "ok": False, "detail": str(error)}]
    device = choose_device("auto")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    dtype = str(choose_dtype("auto", device)).removeprefix("torch.")
    return [
        {"name": "device", "ok": True, "detail": f"auto is {device} in {dtype}"},
        {"name": "CUDA devices", "ok": True, "detail": ", ".join(names) or "none"},
        {
            "name": "CPU",
            "ok": True,
            "detail": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads for torch",
        },
    ]


def _models() -> list[dict[str, Any]]:
    from segcli.errors import ModelError  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.models.catalog import DEFAULT, find  # noqa: PLC0415

    try:
        detail, ok = str(find(DEFAULT).directory), True
    except ModelError as error:
        detail, ok = error.message, False
    return [{"name": f"bundled model {DEFAULT}", "ok": ok, "detail": detail}]
