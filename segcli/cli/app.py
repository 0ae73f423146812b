"""The `segcli` command and its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from segcli import __version__
from segcli.cli.compare import compare_command
from segcli.cli.config import config_app
from segcli.cli.convert import convert_command
from segcli.cli.doctor import doctor_command
from segcli.cli.eval import eval_command
from segcli.cli.models import models_app
from segcli.cli.predict import predict_command

__all__ = ["app", "main"]

app = typer.Typer(
    name="segcli",
    help="Masks from pictures, and scores from masks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("predict")(predict_command)
app.command("eval")(eval_command)
app.command("compare")(compare_command)
app.command("convert")(convert_command)
app.add_typer(models_app, name="models")
app.add_typer(config_app, name="config")
app.command("doctor")(doctor_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"segcli {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            metavar="",
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Masks from pictures, and scores from masks."""


def main() -> None:
    """Run the command line."""
    app()
