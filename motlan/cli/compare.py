"""`motlan compare`: whether a source and the bus say the same, without trust in the source's cursor."""

from __future__ import annotations

import json
from functools import partial
from typing import Annotated

import typer

from motlan import pipeline
from motlan.cli.output import AsJson, Table, err, examples, out, progress_bars, report_errors

EPILOG = examples("motlan compare {dataset}", "motlan compare {dataset} --json")
_WORDS = {
    "there": "records of the source",
    "here": "records held here",
    "same": "the same on both sides",
    "different": "different, though the source did not say that they changed",
    "missing_here": "missing here, though they are older than the watermark",
    "missing_there": "held here, and gone at the source",
    "not_pulled_yet": "changed since the last sync: the next one brings them",
    "without_key": "rows without a key, not compared",
}


def compare(
    dataset: Annotated[str, typer.Argument(help="As `motlan status` lists them.")],
    as_json: AsJson = False,
) -> None:
    """Pull everything of a dataset and count in what it differs from what is held here; nothing is landed.

    Exits with 1 where a record is different or missing. `motlan watermark reset` then lets the next sync pull all of it.
    """
    with report_errors(as_json), progress_bars(as_json) as show:
        show(part := f"comparing {dataset}", 0, None)
        found = pipeline.compare(dataset, partial(show, part))
    if as_json:
        out.print_json(json.dumps(found))
    else:
        table = Table("what", "records", title=f"{dataset}: the source and the bus")
        for name, words in _WORDS.items():
            table.add_row(words, f"{found[name]:,}")
        out.print(table)
        if found["drift"]:
            err.print(
                f"{found['drift']:.4%} drifted. Next: tell its owner, then `motlan watermark reset {dataset}` and sync again.",
                markup=False,
                highlight=False,
            )
    if found["drift"]:
        raise typer.Exit(1)
