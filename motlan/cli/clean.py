"""`motlan clean`: what cleaning does to a value, shown step by step."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from motlan.cli.output import AsJson, Table, examples, out, report_errors
from motlan.config import registry
from motlan.expressions import connect, explain, load_code_lists
from motlan.ingest.cleaner_changes import changes
from motlan.workspace import open_workspace

app = typer.Typer(
    help="Cleaners.",
    epilog=examples("motlan clean explain --as text", "motlan clean changes DATASET"),
    no_args_is_help=True,
)


@app.command(
    "explain",
    epilog=examples(
        "motlan clean explain --as text",
        "printf '%s' \"$VALUE\" | motlan clean explain --as text --json",
        "motlan clean explain --as partial_date --with either",
        "motlan clean explain --as code_at --with LIST --with 2024-05-01",
    ),
)
def explained(
    function: Annotated[str, typer.Option("--as", help="A function of the catalogue.")],
    others: Annotated[list[str] | None, typer.Option("--with", help="Its other arguments, in order.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show each step of a cleaner on one value.

    Asks for the value at a prompt, or reads it from standard input; it is never an argument, because arguments stand in
    process lists and shell histories.
    """
    value = getpass.getpass("Value: ") if sys.stdin.isatty() else sys.stdin.read().removesuffix("\n")
    with report_errors(as_json):
        declared = registry.load()
        with connect(threads=1) as con:
            load_code_lists(con, declared.code_lists)
            steps = explain(con, function, value, others or ())
    if as_json:
        out.print_json(json.dumps({"as": function, "steps": [asdict(step) for step in steps]}))
        return
    table = Table("step", "", "value after it", "note", title=function)
    for step in steps:
        table.add_row(step.name, "changed" if step.changed else "", repr(step.value), step.note or "")
    out.print(table)


@app.command("changes", epilog=examples("motlan clean changes DATASET", "motlan clean changes DATASET --json"))
def counted(
    dataset: Annotated[str, typer.Argument(help="A dataset of agencies.yaml.")],
    as_json: AsJson = False,
) -> None:
    """Count, per field, how many values of the newest run its cleaners changed."""
    with report_errors(as_json):
        work = open_workspace()
        counts = changes(work, work.registry.dataset(dataset))
    if as_json:
        out.print_json(json.dumps({"dataset": dataset, "fields": counts}))
        return
    table = Table("field", "values", "changed", title=dataset)
    for field, count in counts.items():
        table.add_row(field, str(count["values"]), str(count["changed"]))
    out.print(table)
