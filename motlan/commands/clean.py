"""`motlan clean`: what cleaning does to a value, shown step by step."""

from __future__ import annotations

import getpass
import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from motlan import registry
from motlan.commands.screen import AsJson, examples, out, told
from motlan.engine import connect, explain, load_code_lists

app = typer.Typer(help="Cleaners.", epilog=examples("motlan clean explain --as person_name"), no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep the command's name a part of the line while there is one."""


@app.command(
    "explain",
    epilog=examples(
        "motlan clean explain --as person_name",
        "printf '%s' \"$NAME\" | motlan clean explain --as person_name --json",
        "motlan clean explain --as partial_date --with dmy",
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
    with told(as_json), connect(threads=1) as con:
        load_code_lists(con, registry.load().code_lists)
        steps = explain(con, function, value, others or ())
    if as_json:
        out.print_json(json.dumps({"as": function, "steps": [asdict(step) for step in steps]}))
        return
    table = Table("step", "", "value after it", title=function)
    for step in steps:
        table.add_row(step.name, "changed" if step.changed else "", repr(step.value))
    out.print(table)
