"""What every command shares: the two consoles, errors told plainly, examples made from the registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from motlan import registry
from motlan.errors import MotlanError

out, err = Console(), Console(stderr=True)
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
