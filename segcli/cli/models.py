"""`segcli models`: which models there are, what they are, and how to get them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segcli.cli.options import Debug, Json, NoColor, Quiet, Verbose
from segcli.cli.output import Output, reporting

if TYPE_CHECKING:
    from segcli.models.catalog import ModelRef

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
    """List the models with short names, which are on this machine, and the families that load.

    Examples:

        segcli models list

        segcli models list --json | jq '.families[].type'
    """
    del debug
    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    rows = [_described(name) for name in _catalog()]
    families = _families()
    if json:
        output.json({"schema": "segcli.models/1", "models": rows, "families": families})
        return
    from rich.markup import escape  # noqa: PLC0415 (rich is slow to import)
    from rich.table import Table  # noqa: PLC0415

    table = Table("name", "here", "MB", "licence", "family", "what it is", box=None, pad_edge=False)
    for row in rows:
        here = "yes" if row["present"] else "no"
        table.add_row(row["name"], here, str(row["megabytes"]), row["licence"], row["family"],
                      row["summary"])  # fmt: skip
    output.stdout.print(table)
    output.stdout.print()
    table = Table("family", "tasks (default first)", "what it is", box=None, pad_edge=False)
    for family in families:
        example = f"; {family['example']}" if family["example"] else ""
        table.add_row(family["type"], ", ".join(family["tasks"]),
                      escape(family["summary"] + example))  # fmt: skip
    output.stdout.print(table)
    output.note(
        "any Hub id (owner/name) or local directory of these families works; segcli models info "
        "NAME says what a checkpoint was trained for, its classes and its licence"
    )


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

        segcli models info tiny-panoptic
    """
    del debug
    from segcli.models.catalog import find, weights_hash  # noqa: PLC0415 (stay quick)

    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    model = find(name)
    facts: dict[str, Any] = {
        "schema": "segcli.model/1",
        "name": model.name,
        "type": model.model_type,
        "licence": _licence(model),
        "summary": model.card.get("summary", ""),
        "directory": str(model.directory),
        "revision": model.revision,
        "weights": weights_hash(model),
        "megabytes": round(
            sum(p.stat().st_size for p in model.directory.glob("*.safetensors")) / 1e6, 1
        ),
        **_abilities(model),
    }
    if json:
        output.json(facts)
        return
    for key, value in facts.items():
        if key in ("generate", "settings", "classes"):
            output.line("segment-everything settings:" if key == "generate" else f"{key}:")
            for setting, number in value.items():
                output.line(
                    f"  {setting.replace('_', '-') if key != 'classes' else setting}: {number}"
                )
        elif isinstance(value, list):
            output.line(f"{key}: {', '.join(map(str, value))}")
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


def _abilities(model: ModelRef) -> dict[str, Any]:
    """What a model can do and with which settings."""
    from dataclasses import asdict  # noqa: PLC0415 (`--version` must stay quick)

    from segcli.models.settings import generate_settings  # noqa: PLC0415

    facts = model.classes
    if facts is None and model.words is not None and not model.takes_prompts:
        return {"settings": dict(model.words.defaults)}
    if facts is None:
        return {"generate": asdict(generate_settings(model.generate_defaults))}
    from segcli.predict.classes import settings_for  # noqa: PLC0415
    from segcli.predict.settings import PredictSettings  # noqa: PLC0415

    effective = settings_for(model, PredictSettings())
    assert effective is not None
    hidden = ("task", "keep")
    return {
        "task": facts.task,
        "why": facts.why,
        "tasks": list(facts.tasks),
        "things": None if facts.things is None else [facts.categories[n] for n in facts.things],
        "settings": {k: v for k, v in asdict(effective).items() if k not in hidden},
        "classes": {str(number): text for number, text in facts.categories.items()},
    }


def _families() -> list[dict[str, Any]]:
    from segcli.models.classes.families import CLASS_FAMILIES  # noqa: PLC0415 (stay quick)
    from segcli.models.settings import FAMILIES  # noqa: PLC0415
    from segcli.models.words.settings import WORD_FAMILIES  # noqa: PLC0415

    prompted = [
        {"type": name, "tasks": ["everything", "prompts"], "summary": "masks without classes",
         "example": None}
        for name in FAMILIES
        if not name.endswith("_video")
    ]  # fmt: skip
    worded = [
        {"type": name, "tasks": ["words"], "summary": family.summary, "example": family.example}
        for name, family in WORD_FAMILIES.items()
        if not name.endswith("_video")
    ]
    return (
        prompted
        + worded
        + [
            {
                "type": family.name,
                "tasks": sorted(family.tasks, key=lambda task: task != "panoptic"),
                "summary": family.summary,
                "example": family.example or None,
            }
            for family in CLASS_FAMILIES.values()
        ]
    )


def _described(name: str) -> dict[str, Any]:
    from segcli.errors import ModelError  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.models.catalog import CATALOG, find  # noqa: PLC0415

    entry = CATALOG[name]
    family = entry.family
    try:
        family = find(name).family.name
        present = True
    except ModelError:
        present = False
    return {
        "name": name,
        "hub_id": entry.hub_id or None,
        "present": present,
        "family": family,
        "megabytes": entry.megabytes,
        "licence": entry.licence,
        "summary": entry.summary,
    }


def _licence(model: ModelRef) -> str:
    """The licence of a model's weights, as the catalog, its segcli.json or its card states it."""
    from segcli.models.catalog import CATALOG  # noqa: PLC0415 (`--version` must stay quick)

    if model.name in CATALOG:
        return CATALOG[model.name].licence
    stated = model.card.get("license")
    card = model.directory / "README.md"
    if stated is None and card.is_file():
        head = card.read_text(encoding="utf-8", errors="replace").split("\n---", 1)[0]
        found = re.search(r"^license:[ \t]*(\S+)", head, re.MULTILINE)
        stated = found and found[1]
    return str(stated or "unknown: see the model's card")
