"""Benchmarks on the command line: `motlan bench NAME --json` prints one JSON object.

Keys: `bench`, `args`, `machine`, `figures` (flat name -> number), and tables under keys of their own.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rich.table import Table

from motlan.commands.screen import AsJson, err, examples, out, told

app = typer.Typer(
    help="Benchmarks, each against the generator's truth or a floor measured in the same run.",
    epilog=examples("motlan bench quality --people 20000 --seed 1 --json"),
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Keep the benchmark's name a part of the command while there is one."""


def machine() -> dict[str, Any]:
    """Describe the machine, as far as figures depend on it."""
    return {
        "cpus": os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total >> 20,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


People = Annotated[int, typer.Option(min=12, help="People of the simulated country.")]
Seed = Annotated[int, typer.Option(help="Seed of the world.")]
Dirt = Annotated[str, typer.Option(help="A profile of simulators/dirt.yaml: default, heavy or clean.")]
Work = Annotated[
    Path | None, typer.Option(help="Folder to work in; by default one under MOTLAN_VAR, removed afterwards.")
]


def report(name: str, args: dict[str, Any], result: dict[str, Any], as_json: bool) -> None:
    """Print a benchmark's result: one JSON object, or its figures as a table."""
    if as_json:
        out.print_json(json.dumps({"bench": name, "args": args, "machine": machine(), **result}))
        return
    table = Table(
        "figure", "value", title=f"bench {name}, " + ", ".join(f"{key} {value}" for key, value in args.items())
    )
    for figure, value in result["figures"].items():
        table.add_row(figure, "" if value is None else f"{value:,.6g}")
    out.print(table)


@app.command(
    epilog=examples(
        "motlan bench linking --people 100000 --seed 1",
        "motlan bench linking --people 1000000 --seed 7 --dirt heavy --json > linking.json",
    )
)
def linking(
    people: People = 100_000,
    seed: Seed = 1,
    dirt: Dirt = "default",
    rounds: Annotated[int, typer.Option(min=1, help="Alternating pairs of runs; medians are told.")] = 3,
    peer: Annotated[bool, typer.Option(help="Run Splink alone on the same rows.")] = True,
    memory_limit: Annotated[str, typer.Option(help="The engine's memory limit, of both.")] = "",
    threads: Annotated[int, typer.Option(min=1, help="The engine's threads, of both.")] = 2,
    work: Work = None,
    as_json: AsJson = False,
) -> None:
    """Link and merge a dense simulated country; score against its truth, time against Splink alone."""
    from bench.linking import limit_for, run
    from bench.progress import shown

    limit = memory_limit or limit_for(people)
    with told(as_json), shown(err) as tell:
        result = run(
            people=people,
            seed=seed,
            dirt=dirt,
            rounds=rounds,
            peer=peer,
            memory_limit=limit,
            threads=threads,
            folder=work,
            tell=tell,
        )
    args = {"people": people, "seed": seed, "dirt": dirt, "rounds": rounds, "memory_limit": limit, "threads": threads}
    report("linking", args, result, as_json)


@app.command(
    epilog=examples(
        "motlan bench quality --people 20000 --seed 1",
        "motlan bench quality --people 1000000 --seed 7 --dirt heavy --json > quality.json",
    )
)
def quality(
    people: People = 20_000,
    seed: Seed = 1,
    dirt: Dirt = "default",
    work: Work = None,
    as_json: AsJson = False,
) -> None:
    """Clean and check a simulated country's registers; score against its truth, time against a plain copy."""
    from bench.progress import shown
    from bench.quality import run

    with told(as_json), shown(err) as tell:
        result = run(people=people, seed=seed, dirt=dirt, folder=work, tell=tell)
    report("quality", {"people": people, "seed": seed, "dirt": dirt}, result, as_json)
    if as_json:
        return
    kinds = Table("kind of dirt", "values", "repairable", "repaired", "a row rule finds", "found")
    for kind, row in result["dirt"].items():
        shares = ["" if row[key] is None else f"{row[key]:.4%}" for key in ("repaired_share", "recall")]
        found_by = row["expected"] or "across registers"
        kinds.add_row(kind, f"{row['values']:,}", "yes" if row["repairable"] else "", shares[0], found_by, shares[1])
    out.print(kinds)
