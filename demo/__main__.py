"""`make demo` and `make up`. See `demo/report.py` for what the report holds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from demo.main import Choice, leave_running, run
from demo.standing import Asked
from motlan.cli.output import Quiet
from motlan.errors import MotlanError

app = Quiet(add_completion=False, rich_markup_mode=None, pretty_exceptions_show_locals=False)
ROOT = Path(__file__).resolve().parent.parent

People = Annotated[int, typer.Option(min=1000, max=1_000_000, help="How many people the world has.")]
Seed = Annotated[int, typer.Option(help="The same seed makes the same world.")]
Dirt = Annotated[str, typer.Option(help="A profile of simulators/dirt.yaml: default, heavy or clean.")]
Var = Annotated[Path, typer.Option(help="Where the state and the report go.")]


@app.callback(invoke_without_command=True, epilog="Examples:\n\npython -m demo --people 20000 --seed 42 --days 3")
def demo(
    context: typer.Context,
    people: People = 20_000,
    seed: Seed = 1,
    days: Annotated[int, typer.Option(min=0, max=30, help="Days of changes after the first.")] = 0,
    dirt: Dirt = "default",
    var: Var = ROOT / "var" / "demo",
) -> None:
    """Run the main job on a synthetic country and write report.json."""
    if context.invoked_subcommand is None:
        _guarded(lambda: run(ROOT, Choice(people, seed, days, dirt, var.resolve())))


@app.command(epilog="Examples:\n\npython -m demo up --people 5000\n\npython -m demo up --fresh")
def up(
    people: Annotated[
        int | None, typer.Option(min=1000, max=1_000_000, help="How many people a new world has.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same world.")] = None,
    dirt: Annotated[str | None, typer.Option(help="A profile of simulators/dirt.yaml.")] = None,
    var: Var = ROOT / "var" / "up",
    fresh: Annotated[bool, typer.Option("--fresh", help="Make a new world in place of the one that is there.")] = False,
) -> None:
    """Leave a world running, with a real Airflow, until Ctrl-C. The one that is there goes on, with all that it holds."""
    _guarded(lambda: leave_running(ROOT, Asked(people, seed, dirt), var.resolve(), fresh=fresh))


def _guarded(work) -> None:  # type: ignore[no-untyped-def]
    try:
        code = work()
    except MotlanError as error:
        Console(stderr=True).print(f"[red]Failed.[/red] {error}", highlight=False, soft_wrap=True)
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


app()
