"""`segcli config`: effective settings and where each comes from."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

import typer

from segcli.cli.options import ConfigFile, Debug, Json, NoColor, Preset, Quiet, Verbose
from segcli.cli.output import Output, reporting

__all__ = ["config_app"]

config_app = typer.Typer(
    help="Show settings and presets.", no_args_is_help=True, rich_markup_mode="markdown"
)


@config_app.command("show")
@reporting
def show_command(
    section: Annotated[str, typer.Argument(help="The command whose settings to show.")] = "predict",
    config: ConfigFile = None,
    preset: Preset = None,
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """Print each effective setting with its source.

    Examples:

        segcli config show

        segcli config show predict --preset fast
    """
    del debug
    from segcli.config import Layers, resolve  # noqa: PLC0415 (`--version` must stay quick)

    schema = _schema(section)
    resolved = resolve(section, schema, Layers({}, config, preset))
    rows = {
        field.name.replace("_", "-"): {
            "value": getattr(resolved.settings, field.name),
            "source": resolved.sources[field.name],
        }
        for field in fields(schema)
    }
    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    if json:
        output.json({"schema": "segcli.config/1", section: rows})
        return
    for name, row in rows.items():
        value = "(not set)" if row["value"] is None else row["value"]
        output.line(f"{name} = {value}   # {row['source']}")


@config_app.command("presets")
@reporting
def presets_command(
    json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    debug: Debug = False,
) -> None:
    """List the presets.

    Example:

        segcli config presets
    """
    del debug
    output = Output(quiet=quiet, verbose=verbose, no_color=no_color)
    from segcli.config import preset_names  # noqa: PLC0415 (`--version` must stay quick)

    if json:
        output.json({"schema": "segcli.presets/1", "presets": preset_names()})
        return
    for name in preset_names():
        output.line(name)


def _schema(section: str) -> type[Any]:
    from segcli.errors import ConfigError, closest  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.evaluate import EvalConfig  # noqa: PLC0415
    from segcli.predict.settings import PredictSettings  # noqa: PLC0415

    schemas: dict[str, type[Any]] = {"predict": PredictSettings, "eval": EvalConfig}
    if section not in schemas:
        raise ConfigError(f"no settings for '{section}'", fix=closest(section, schemas))
    return schemas[section]
