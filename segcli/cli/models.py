"""`segcli models`: which models there are, what they are, and how to get them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from segcli.cli.options import Debug, Json, NoColor, Quiet, Verbose
from segcli.cli.output import Output, reporting

__all__ = ["models_app"]

models_app = typer.Typer(
    help="List, describe and download models.", no_args_is_help=True, rich_markup_mode="markdown"
)


@models_app.command("list")
@reporting
def list_command(
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """List the models with short names, and which are on this machine.

    Example:

        segcli models list
    """
    del debug
    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    rows = [_described(name) for name in _catalog()]
    if json:
        output.json({"schema": "segcli.models/1", "models": rows})
        return
    from rich.table import Table  # noqa: PLC0415 (rich is slow to import)

    table = Table("name", "here", "MB", "licence", "what it is", box=None, pad_edge=False)
    for row in rows:
        here = "yes" if row["present"] else "no"
        table.add_row(row["name"], here, str(row["megabytes"]), row["licence"], row["summary"])
    output.stdout.print(table)
    output.note("any Hub id (owner/name) or local directory of these families works as well")


@models_app.command("info")
@reporting
def info_command(
    name: Annotated[str, typer.Argument(help="Short name, local directory or Hub id.")],
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Say where a model lies and which settings it uses.

    Example:

        segcli models info tiny
    """
    del debug
    from dataclasses import asdict  # noqa: PLC0415 (`--version` must stay quick)

    from segcli.models.catalog import find, weights_hash  # noqa: PLC0415
    from segcli.models.settings import generate_settings  # noqa: PLC0415

    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    model = find(name)
    facts: dict[str, Any] = {
        "schema": "segcli.model/1",
        "name": model.name,
        "type": model.model_type,
        "licence": _licence(name, model.card),
        "summary": model.card.get("summary", ""),
        "directory": str(model.directory),
        "revision": model.revision,
        "weights": weights_hash(model),
        "megabytes": round(
            sum(p.stat().st_size for p in model.directory.glob("*.safetensors")) / 1e6, 1
        ),
        "generate": asdict(generate_settings(model.generate_defaults)),
    }
    if json:
        output.json(facts)
        return
    for key, value in facts.items():
        if key == "generate":
            output.line("segment-everything settings:")
            for setting, number in value.items():
                output.line(f"  {setting.replace('_', '-')}: {number}")
        elif key != "schema" and value:
            output.line(f"{key}: {value}")


@models_app.command("pull")
@reporting
def pull_command(
    name: Annotated[str, typer.Argument(help="Short name or Hub id (owner/name).")],
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Download a model into the Hub cache: safetensors only.

    Example:

        segcli models pull sam-vit-base
    """
    del debug
    from segcli.models.catalog import pull  # noqa: PLC0415 (`--version` must stay quick)

    model = pull(name)
    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    output.note(f"{name} is in {model.directory}")
    if json:
        output.json({"schema": "segcli.model/1", "name": name, "directory": str(model.directory)})


def _catalog() -> list[str]:
    from segcli.models.catalog import CATALOG  # noqa: PLC0415 (`--version` must stay quick)

    return list(CATALOG)


def _described(name: str) -> dict[str, Any]:
    from segcli.errors import ModelError  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.models.catalog import CATALOG, find  # noqa: PLC0415

    entry = CATALOG[name]
    try:
        find(name)
        present = True
    except ModelError:
        present = False
    return {
        "name": name,
        "hub_id": entry.hub_id or None,
        "present": present,
        "megabytes": entry.megabytes,
        "licence": entry.licence,
        "summary": entry.summary,
    }


def _licence(name: str, card: Any) -> str:  # noqa: ANN401 (parsed JSON)
    from segcli.models.catalog import CATALOG  # noqa: PLC0415 (`--version` must stay quick)

    if name in CATALOG:
        return CATALOG[name].licence
    return str(card.get("license", "unknown: see the model's card"))
