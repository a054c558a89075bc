"""What every command shares: the two consoles, errors told plainly, examples made from the registry."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console

from motlan import registry
from motlan.errors import MotlanError

# A pipe has no width of its own; 80 columns would cut the tables.
_WIDTH = None if sys.stdout.isatty() else 120
out, err = Console(width=_WIDTH), Console(stderr=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]


def _first_dataset() -> str:
    try:
        return next(iter(registry.load().datasets))
    except MotlanError:
        return "DATASET"


EXAMPLE = _first_dataset()


def examples(*lines: str) -> str:
    """Format examples for a command's help; `{dataset}` is the first that the registry declares."""
    shown = "\n\n".join(line.replace("{dataset}", EXAMPLE) for line in lines)
    return f"Examples:\n\n{shown}"


def local_time(moment: str | None) -> str:
    """Show a stored UTC moment in the time of this place; what is no moment (a drop's name) stays."""
    try:
        return datetime.fromisoformat(moment or "").astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return moment or ""


@contextmanager
def told(as_json: bool = False) -> Iterator[None]:
    """Turn our own errors into a clear message and an exit code of 1."""
    try:
        yield
    except MotlanError as error:
        if as_json:
            out.print_json(json.dumps({"error": type(error).__name__, "message": str(error)}))
        else:
            err.print(f"[red]{type(error).__name__}[/red]: ", end="")
            err.print(str(error), markup=False, highlight=False)
        raise typer.Exit(1) from None


@contextmanager
def working(what: str, as_json: bool = False) -> Iterator[None]:
    """Show that something goes on, where a person looks."""
    if as_json:
        yield
    else:
        with err.status(what):
            yield
