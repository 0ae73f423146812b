"""`segcli models`: which models there are, what they are, and how to get them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segcli.cli.options import Debug, Json, NoColor, Quiet, Verbose
from segcli.cli.output import Output, reporting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from segcli.models.catalog import ModelRef

__all__ = ["models_app"]

_PROMPTED = ["everything", "prompts"]

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
    _print_list(output, rows, families)
    output.note(
        "segcli models pull NAME fetches one; any Hub id (owner/name) or local directory of these "
        "families works too; segcli models info NAME says what a model can do, and its defaults"
    )


def _print_list(output: Output, rows: list[dict[str, Any]], families: list[dict[str, Any]]) -> None:
    from rich.padding import Padding  # noqa: PLC0415 (rich is slow to import)
    from rich.table import Column, Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(
        Column("name", no_wrap=True), "here", Column("MB", justify="right"), "licence",
        Column("family", no_wrap=True), "what it is", box=None, pad_edge=False,
    )  # fmt: skip
    for row in rows:
        here = "yes" if row["present"] else "no"
        table.add_row(row["name"], here, str(row["megabytes"]), row["licence"], row["family"],
                      row["summary"])  # fmt: skip
    output.stdout.print("Models with a short name, for --model:\n")
    output.stdout.print(table)
    output.stdout.print("\nFamilies that load, with their tasks, the default first:\n")
    for family in families:
        example = f"; {family['example']}" if family["example"] else ""
        output.stdout.print(Text(f"{family['type']}: {', '.join(family['tasks'])}"))
        # A line of its own, so that a checkpoint's name is never broken.
        output.stdout.print(Padding(Text(family["summary"] + example), (0, 0, 0, 4), expand=False))


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
    """Say what a model can do, where it lies and which settings it uses.

    Example:

        segcli models info tiny-panoptic
    """
    del debug
    from segcli.errors import ModelError  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.models.catalog import CATALOG, find  # noqa: PLC0415

    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    try:
        facts = _facts(find(name))
    except ModelError as error:
        if name not in CATALOG:
            raise
        facts = _stated(name)
        output.note(f"{error.message}: {error.fix}")
    if json:
        output.json(facts)
        return
    for line in _told(facts):
        output.line(line)


def _facts(model: ModelRef) -> dict[str, Any]:
    """What is known of a model on this machine."""
    from segcli.models.catalog import weights_hash  # noqa: PLC0415 (stay quick)

    size = sum(p.stat().st_size for p in model.directory.glob("*.safetensors"))
    return {
        "schema": "segcli.model/1",
        "name": model.name,
        "present": True,
        "type": model.model_type,
        "licence": _licence(model),
        "summary": model.card.get("summary", ""),
        "directory": str(model.directory),
        "revision": model.revision,
        "weights": weights_hash(model),
        "megabytes": round(size / 1e6, 1),
        **_abilities(model),
    }


def _stated(name: str) -> dict[str, Any]:
    """What the catalog says of a model that is not on this machine, and its family's defaults."""
    from dataclasses import asdict  # noqa: PLC0415 (`--version` must stay quick)

    from segcli.models.catalog import CATALOG  # noqa: PLC0415
    from segcli.models.settings import FAMILIES, generate_settings  # noqa: PLC0415

    row, entry = _described(name), CATALOG[name]
    return {
        "schema": "segcli.model/1",
        "name": name,
        "present": False,
        "type": entry.family,
        "licence": entry.licence,
        "summary": entry.summary,
        "hub_id": entry.hub_id,
        "megabytes": entry.megabytes,
        "tasks": row["tasks"],
        "generate": asdict(generate_settings(FAMILIES[entry.family].defaults)),
    }


_HEADINGS = {
    "generate": "segment-everything settings",
    "prompts": "settings of prompts",
}


def _told(facts: dict[str, Any]) -> Iterator[str]:
    """Facts as lines for people: settings are named as the options of `segcli predict` are."""
    for key, value in facts.items():
        if key == "present":
            yield f"on this machine: {'yes' if value else 'no'}"
        elif isinstance(value, dict):
            yield f"{_HEADINGS.get(key, key)}:"
            for setting, number in value.items():
                if key == "classes":
                    yield f"  {setting}: {number}"
                elif setting == "multimask" and isinstance(number, bool):
                    yield f"  multimask: {'all' if number else 'single'}"
                else:
                    said = ("no", "yes")[number] if isinstance(number, bool) else number
                    yield f"  {setting.replace('_', '-')}: {said}"
        elif isinstance(value, list):
            yield f"{key}: {', '.join(map(str, value))}"
        elif key != "schema" and value:
            yield f"{key}: {value}"


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

    from segcli.models.answer_settings import answer_settings  # noqa: PLC0415
    from segcli.models.settings import generate_settings  # noqa: PLC0415

    facts = model.classes
    if facts is None and model.words is not None and not model.takes_prompts:
        return {"tasks": ["words"], "settings": dict(model.words.defaults)}
    if facts is None:
        prompts = asdict(answer_settings(model.prompt_defaults))
        return {
            "tasks": [*_PROMPTED, *(["words"] if model.words else [])],
            "generate": asdict(generate_settings(model.generate_defaults)),
            "prompts": {
                name: prompts[name] for name in ("multimask", "cascade", "clip_to_box", "connected")
            },
        }
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
        {"type": name, "tasks": _PROMPTED, "summary": "masks without classes", "example": None}
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
    from segcli.models.settings import FAMILIES  # noqa: PLC0415
    from segcli.models.words.settings import WORD_FAMILIES  # noqa: PLC0415

    entry = CATALOG[name]
    # Checkpoints of videos have a type of their own, and load as their family for pictures.
    family = FAMILIES[entry.family].name if entry.family in FAMILIES else entry.family
    tasks = [*_PROMPTED, *(["words"] if entry.family in WORD_FAMILIES else [])]
    try:
        model = find(name)
        family, present = model.family.name, True
        tasks = list(model.classes.tasks) if model.classes else tasks
    except ModelError:
        present = False
    return {
        "name": name,
        "hub_id": entry.hub_id or None,
        "present": present,
        "family": family,
        "tasks": tasks,
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
