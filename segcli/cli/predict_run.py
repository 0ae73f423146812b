"""Running a prediction on the command line: records out, progress and what was done told."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import typer

from segcli.cli.output import EXIT_PARTIAL, Output

if TYPE_CHECKING:
    from segcli.predict.api import Prediction

__all__ = ["print_plan", "run_prediction"]


def run_prediction(prediction: Prediction, output: Output, *, emit: bool) -> None:
    """Run a prediction that was checked, telling how far it is.

    Args:
        prediction: the run.
        output: where it is told.
        emit: write each record to standard output.

    Raises:
        typer.Exit: some pictures failed.
    """
    from segcli.cli.process import settle  # noqa: PLC0415 (`--version` must stay quick)
    from segcli.cli.progress import progress  # noqa: PLC0415 (rich loads here)
    from segcli.formats.ndjson import to_line  # noqa: PLC0415

    # Models are read from local directories only; this keeps every library off the network.
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Threads that spin while they wait make torch many times slower on a machine that is busy.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if not output.verbose:
        warnings.simplefilter("ignore")
    settle()
    output.hear_warnings()
    _introduce(prediction, output)
    loaded = prediction.load()
    skipped = len(prediction.items) - len(prediction.todo)
    if skipped:
        output.note(f"{skipped} of {len(prediction.items)} pictures are done already")
    with progress(prediction, output) as tell:
        for record in prediction.records(loaded):
            tell(record)
            if emit:
                output.line(to_line(record))
    counts = prediction.counts
    folder = prediction.request.folder
    if emit:
        output.line(
            to_line(
                {
                    "schema": "segcli.summary/1",
                    "status": "summary",
                    **counts,
                    "out": str(folder) if folder else None,
                }
            )
        )
    output.note(
        f"{counts['ok']} pictures segmented, {counts['skipped']} done before, "
        f"{counts['errors']} failed; {counts['segments']} masks"
        + (f" in {folder}" if folder else "")
    )
    if counts["errors"]:
        raise typer.Exit(EXIT_PARTIAL)


def _introduce(prediction: Prediction, output: Output) -> None:
    """One line that says what a bundled model is and names stronger ones."""
    card = prediction.model.card
    if prediction.todo and "summary" in card:
        stronger = ", ".join(card.get("stronger", ()))
        output.note(
            f"model {prediction.model.name}: {card['summary'].rstrip('.')}"
            + (f"; stronger: {stronger} (segcli models pull NAME)" if stronger else "")
        )


def print_plan(prediction: Prediction, output: Output, *, as_json: bool) -> None:
    """Print what a run would do."""
    settings = prediction.manifest.settings
    plan = {
        "schema": "segcli.plan/1",
        "images": len(prediction.items),
        "todo": len(prediction.todo),
        "model": prediction.manifest.model,
        "settings": settings,
        "out": str(prediction.request.folder) if prediction.request.folder else None,
        "items": [
            {"path": item.image.key, "source": item.image.source, "stem": item.stem}
            for item in prediction.todo
        ],
    }
    if as_json:
        output.json(plan)
        return
    for item in prediction.todo:
        output.line(f"{item.image.key} -> {item.stem}")
    output.note(
        f"plan: {len(prediction.todo)} of {len(prediction.items)} pictures to do with model "
        f"{prediction.model.name}, formats {', '.join(settings['format'])}; nothing was run"
    )
