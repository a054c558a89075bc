"""Command line of the simulated agencies."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from simulators.agencies import Agencies
from simulators.agencies import set_day as show_day
from simulators.ranges import MOST_PEOPLE, free_disk, make_ranges, needed_disk
from simulators.world import make_world, take_credentials

app = typer.Typer(help="A synthetic country and its four agencies.", no_args_is_help=True, add_completion=False)
_console = Console(stderr=True)

World = Annotated[Path, typer.Option("--world", help="Folder of the world.", exists=True, file_okay=False)]


@app.command(epilog="Example: python -m simulators world --people 20000 --seed 1 --days 3 --out var/world")
def world(
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    people: Annotated[int, typer.Option(help="People on day 0.", min=12)] = 20_000,
    seed: Annotated[int, typer.Option(help="Same seed, same world.")] = 1,
    days: Annotated[int, typer.Option(help="Days of changes after day 0.", min=0)] = 0,
    dirt: Annotated[str, typer.Option(help="Profile of dirt.yaml: default, heavy, clean.")] = "default",
    dense: Annotated[
        bool, typer.Option("--dense", help="As many people share a birth date as among 100 million.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the realised counts as JSON.")] = False,
) -> None:
    """Make a world of people and registers."""
    with _console.status(f"making {people:,} people"):
        try:
            counts = make_world(out, people=people, seed=seed, days=days, dirt=dirt, dense=dense)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    _tell_counts(counts, as_json)


@app.command(epilog="Example: python -m simulators country --people 10000000 --seed 1 --dense --out var/country")
def country(
    out: Annotated[Path, typer.Option(help="Folder to make, or to go on with.")],
    people: Annotated[int, typer.Option(help="People on day 0.", min=12, max=MOST_PEOPLE)] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Same seed, same country.")] = 1,
    dirt: Annotated[str, typer.Option(help="Profile of dirt.yaml: default, heavy, clean.")] = "default",
    dense: Annotated[
        bool, typer.Option("--dense", help="As many people share a birth date as among 100 million.")
    ] = False,
    people_a_range: Annotated[int, typer.Option(help="People made at a time (in twelves).", min=12)] = 1_000_000,
    memory_limit: Annotated[str, typer.Option(help="Memory of the engine.")] = "3GB",
    as_json: Annotated[bool, typer.Option("--json", help="Print the realised counts as JSON.")] = False,
) -> None:
    """Make the registers of up to 100 million people, range by range, without agencies; a killed run goes on."""
    needed = needed_disk(out, people=people, people_a_range=people_a_range)
    _console.print(f"{needed / 1e9:.1f} GB of disk are still to be filled, {free_disk(out) / 1e9:.1f} GB are free")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    try:
        with Progress(*columns, console=_console) as bar:
            task = bar.add_task("starting", total=people)
            counts = make_ranges(
                out,
                people=people,
                seed=seed,
                dirt=dirt,
                dense=dense,
                people_a_range=people_a_range,
                memory_limit=memory_limit,
                tell=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
            )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    _tell_counts(counts, as_json)


def _tell_counts(counts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(counts, ensure_ascii=False) + "\n")
        return
    for dataset, rows in counts["rows"].items():
        _console.print(f"{dataset}: {rows['0']:,} rows, {sum(counts['dirt'][dataset].values()):,} damaged values")


@app.command(epilog="Example: python -m simulators serve --world var/world --population-form flat")
def serve(
    world: World,
    population_form: Annotated[str, typer.Option(help="qcvn109 or flat.")] = "qcvn109",
    insurance_capacity: Annotated[float, typer.Option(help="Requests a second.", min=0.1)] = 20,
    ports: Annotated[str, typer.Option(help="Of population, insurance and tax; 0 for a free one.")] = "0,0,0",
    credentials: Annotated[
        Path | None,
        typer.Option(help="Folder with a file credential_<agency> of user:secret each, in place of the world's own."),
    ] = None,
) -> None:
    """Start the four agencies; stop them on SIGTERM or Ctrl-C."""
    chosen = ports.split(",")
    if len(chosen) != 3 or not all(port.isdigit() for port in chosen) or population_form not in ("qcvn109", "flat"):
        raise typer.BadParameter("--ports takes three numbers, --population-form qcvn109 or flat")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    if credentials is not None:
        take_credentials(world, credentials)
    file = world / "agencies.json"
    numbers = (int(chosen[0]), int(chosen[1]), int(chosen[2]))
    agencies = Agencies(world, population_form=population_form, insurance_capacity=insurance_capacity, ports=numbers)
    with _console.status("starting the agencies"):
        agencies.__enter__()
    try:
        file.touch(mode=0o600)
        file.write_text(json.dumps({"env": agencies.env}, indent=2) + "\n", encoding="utf-8")
        _console.print(f"the agencies answer; see {file}")
        stopping.wait()
    finally:
        file.unlink(missing_ok=True)
        agencies.stop()


@app.command(epilog="Example: python -m simulators day --world var/world --day 1")
def day(
    world: World,
    day: Annotated[int, typer.Option("--day", help="Day to show.", min=0)],
) -> None:
    """Make the changes up to a day visible at the running agencies."""
    file = world / "agencies.json"
    url = json.loads(file.read_text(encoding="utf-8"))["env"]["MOTLAN_EDUCATION_URL"] if file.exists() else None
    try:
        show_day(world, day, url)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    _console.print(f"the agencies show day {day}")


if __name__ == "__main__":
    app(prog_name="python -m simulators")
