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

from motlan.cli.output import AsJson, err, examples, out, report_errors

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
    with report_errors(as_json), shown(err) as tell:
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
    people: People = 100_000,
    seed: Seed = 1,
    dirt: Dirt = "default",
    work: Work = None,
    as_json: AsJson = False,
) -> None:
    """Clean and check a simulated country's registers; score against its truth, time against a plain copy."""
    from bench.progress import shown
    from bench.quality import run

    with report_errors(as_json), shown(err) as tell:
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


@app.command(
    epilog=examples(
        "motlan bench national --people 1000000 --seed 1 --work /data/national --json > docs/results/national-1m.json",
        "motlan bench national --people 100000000 --peer-people 0 --no-load --lean --work /data/national",
    )
)
def national(
    people: People = 1_000_000,
    seed: Seed = 1,
    dirt: Dirt = "default",
    people_a_range: Annotated[int, typer.Option(min=12, help="People made at a time; a multiple of 12.")] = 1_000_000,
    ranges_a_run: Annotated[int, typer.Option(min=1, help="Ranges that one sync run lands and cleans.")] = 5,
    peer_people: Annotated[int, typer.Option(min=0, help="Run Splink alone beside it up to this size.")] = 10_000_000,
    memory_limit: Annotated[str, typer.Option(help="The engine's memory limit, ours and the floor's.")] = "4GB",
    threads: Annotated[int, typer.Option(min=1, help="The engine's threads, of all.")] = 2,
    load: Annotated[bool, typer.Option(help="Load the publication into PostgreSQL as well.")] = True,
    lean: Annotated[bool, typer.Option(help="Remove the generator's rows once they are in the lake.")] = False,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder to work in: kept, and gone on with after a kill. By default one under MOTLAN_VAR."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a whole simulated country from landed rows to a publication and into PostgreSQL; measure every step."""
    from bench.national import run
    from bench.national.bar import shown
    from bench.national.pipeline import Setting
    from motlan import settings as environment

    with report_errors(as_json):
        folder = work or environment.load().var / "bench" / "national"
        setting = Setting(folder.resolve(), memory_limit, threads, load, lean, ranges_a_run)
        with shown(err, people) as progress:
            result = run(
                people=people,
                seed=seed,
                dirt=dirt,
                setting=setting,
                people_a_range=people_a_range,
                peer_people=peer_people,
                progress=progress,
            )
    args = {
        "people": people,
        "seed": seed,
        "dirt": dirt,
        "people_a_range": people_a_range,
        "ranges_a_run": ranges_a_run,
        "peer_people": peer_people,
        "memory_limit": memory_limit,
        "threads": threads,
        "load": load,
        "lean": lean,
    }
    report("national", args, result, as_json)


Days = Annotated[int, typer.Option(min=3, help="Days of changes.")]
Memory = Annotated[str, typer.Option(help="The engine's memory limit.")]
Threads = Annotated[int, typer.Option(min=1, help="The engine's threads.")]
Kept = Annotated[
    Path | None,
    typer.Option(
        help="Folder to work in: kept, and gone on with after a kill. By default one under MOTLAN_VAR, removed afterwards."
    ),
]


@app.command(
    epilog=examples(
        "motlan bench incremental --people 100000 --days 8 --share 0.001",
        "motlan bench incremental --people 1000000 --days 30 --share 0.001 --work /data/days --json > days.json",
    )
)
def incremental(
    people: People = 100_000,
    days: Days = 8,
    share: Annotated[float, typer.Option(min=0, max=0.1, help="Share of the people who change on a day.")] = 0.001,
    seed: Seed = 1,
    dirt: Dirt = "default",
    memory_limit: Memory = "4GB",
    threads: Threads = 2,
    work: Kept = None,
    as_json: AsJson = False,
) -> None:
    """Let days of changes pass on a simulated country; time them against a full run, and hold the end against one."""
    from bench.incremental import Asked, run_in
    from bench.progress import shown

    asked = Asked(people, days, max(1, round(share * people)), seed, dirt, memory_limit, threads)
    with report_errors(as_json), shown(err) as tell:
        result = run_in(asked, work, tell)
    args = {"people": people, "days": days, "share": share, "seed": seed, "dirt": dirt}
    report("incremental", args | {"memory_limit": memory_limit, "threads": threads}, result, as_json)
    if not as_json:
        _show_steps(result["steps"])


def _show_steps(steps: dict[str, dict[str, float]]) -> None:
    names = list(dict.fromkeys(step for taken in steps.values() for step in taken))
    table = Table("step", *steps, title="seconds")
    for name in names:
        table.add_row(name, *(f"{taken[name]:.2f}" if name in taken else "" for taken in steps.values()))
    out.print(table)


@app.command(
    epilog=examples(
        "motlan bench growth --people 300000 --people 1000000 --people 3000000 --changes 1000 --json > growth.json"
    )
)
def growth(
    people: Annotated[
        list[int] | None, typer.Option(min=12, help="People of a country; give it several times.")
    ] = None,
    days: Days = 7,
    changes: Annotated[int, typer.Option(min=1, help="Rows that change on a day, in every country.")] = 1_000,
    seed: Seed = 1,
    dirt: Dirt = "default",
    memory_limit: Memory = "4GB",
    threads: Threads = 2,
    work: Kept = None,
    as_json: AsJson = False,
) -> None:
    """Let days with the same number of changes pass on countries of several sizes: how a day's cost grows with the country."""
    from bench.incremental import Asked, compare_sizes
    from bench.progress import shown

    sizes = sorted(people or [300_000, 1_000_000, 3_000_000])
    asked = [Asked(size, days, changes, seed, dirt, memory_limit, threads) for size in sizes]
    with report_errors(as_json), shown(err) as tell:
        result = compare_sizes(asked, work, tell)
    args = {"people": sizes, "days": days, "changes": changes, "seed": seed, "dirt": dirt}
    report("growth", args | {"memory_limit": memory_limit, "threads": threads}, result, as_json)
    if not as_json:
        _show_steps({f"{size:,} people": taken for size, taken in result["steps"].items()})


@app.command(
    epilog=examples("motlan bench charts docs/results/*.json --out docs/charts --page docs/benchmarks.md"),
)
def charts(
    results: Annotated[list[Path], typer.Argument(help="What `motlan bench NAME --json` printed.", dir_okay=False)],
    to: Annotated[Path, typer.Option("--out", help="Folder for the pictures.")] = Path("docs/charts"),
    page: Annotated[Path | None, typer.Option(help="Page whose tables are written anew.", dir_okay=False)] = None,
) -> None:
    """Draw what was measured as SVG, and write its tables into a page."""
    from bench import charts as drawing

    with report_errors():
        loaded = drawing.load(results)
        to.mkdir(parents=True, exist_ok=True)
        for name, svg in drawing.charts(loaded).items():
            (to / name).write_text(svg, encoding="utf-8")
            out.print(to / name)
        if page:
            page.write_text(drawing.filled(page.read_text(encoding="utf-8"), drawing.tables(loaded)), encoding="utf-8")


@app.command(
    epilog=examples(
        "motlan bench store --rows 1000000",
        "motlan bench store --rows 10000000 --json > store.json",
    )
)
def store(
    rows: Annotated[int, typer.Option(min=1000, help="Golden persons.")] = 1_000_000,
    work: Work = None,
    as_json: AsJson = False,
) -> None:
    """Load golden persons into PostgreSQL, look them up, change one in a thousand; time against one bare COPY."""
    from bench.progress import shown
    from bench.store import run

    with report_errors(as_json), shown(err) as tell:
        result = run(rows=rows, folder=work, tell=tell)
    report("store", {"rows": rows}, result, as_json)


@app.command(
    epilog=examples(
        "motlan bench pull --people 20000 --seed 1",
        "motlan bench pull --people 100000 --seed 7 --rounds 5 --json > pull.json",
    )
)
def pull(
    people: People = 30_000,
    seed: Seed = 1,
    dirt: Dirt = "default",
    rounds: Annotated[int, typer.Option(min=1, help="Turns of floor, ours and peer; medians are told.")] = 3,
    peer: Annotated[bool, typer.Option(help="Run zeep, dlt and lxml's tree on the same rows.")] = True,
    work: Work = None,
    as_json: AsJson = False,
) -> None:
    """Pull a simulated country's registers over SOAP, REST, XML files and SQL; time it against a floor and peers."""
    from bench.progress import shown
    from bench.pull import run

    with report_errors(as_json), shown(err) as tell:
        result = run(people=people, seed=seed, dirt=dirt, rounds=rounds, peer=peer, folder=work, tell=tell)
    report("pull", {"people": people, "seed": seed, "dirt": dirt, "rounds": rounds}, result, as_json)


@app.command(
    epilog=examples(
        "motlan bench lineage --people 20000 --seed 1",
        "motlan bench lineage --people 1000000 --seed 7 --work /data/lineage --json > lineage.json",
    )
)
def lineage(
    people: People = 20_000,
    seed: Seed = 1,
    dirt: Dirt = "default",
    answers: Annotated[int, typer.Option(min=1, help="Persons of whom a field is asked.")] = 100,
    replayed: Annotated[int, typer.Option(min=1, help="Golden fields that are replayed.")] = 10_000,
    work: Kept = None,
    as_json: AsJson = False,
) -> None:
    """Ask a published country why the state says this: how long an answer takes, whether all replays, what pointers weigh."""
    from bench.lineage import run
    from bench.progress import shown

    with report_errors(as_json), shown(err) as tell:
        result = run(people=people, seed=seed, dirt=dirt, answers=answers, replayed=replayed, folder=work, tell=tell)
    args = {"people": people, "seed": seed, "dirt": dirt, "answers": answers, "replayed": replayed}
    report("lineage", args, result, as_json)
