"""The command line: what a data engineer and an auditor type. It calls the same pipeline as the scheduler's tasks."""

from __future__ import annotations

import getpass
import json
import sys
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.tree import Tree

from motlan import pipeline
from motlan.cli import (
    agencies,
    audit,
    backup,
    care,
    clean,
    compare,
    contract,
    doctor,
    feeds,
    golden,
    hold,
    impact,
    link,
    model,
    people,
    quality,
    quarantine,
    reclean,
    release,
    retract,
    review,
    runs,
    serving,
    status,
    watermark,
)
from motlan.cli.output import (
    AsJson,
    OfEntity,
    Quiet,
    Wait,
    duration,
    err,
    examples,
    local_time,
    me,
    out,
    report_errors,
    working,
)
from motlan.cli.steps import show_steps
from motlan.ledger.holds import patient

app = Quiet(
    help="Motlan, the bus between registers: pull, clean, check, link, merge, publish, prove.",
    epilog=examples("motlan sync {dataset}", "motlan reconcile && motlan publish", "motlan status --json"),
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
)
AGAIN = (
    "nothing of it is visible. Next: `motlan runs list --kind {}` names the run, `motlan runs retry RUN` goes on with it; "
    "`motlan {}` begins anew."
)
PUBLISHED = (
    "a publication is numbered or it is not, and loaded or not. Next: `motlan publish`, or `motlan project`, goes on."
)
"""What stands after Ctrl-C, and what to do."""
store_app = typer.Typer(
    help="The embedded PostgreSQL server.", epilog=examples("motlan store start"), no_args_is_help=True
)
app.add_typer(store_app, name="store")
app.add_typer(feeds.app, name="feeds")
app.add_typer(backup.app, name="backup")
app.add_typer(backup.restore_app, name="restore")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(contract.app, name="contract")
app.add_typer(clean.app, name="clean")
app.add_typer(golden.app, name="golden")
app.add_typer(agencies.app, name="agencies")
app.add_typer(audit.app, name="audit")
app.add_typer(hold.app, name="hold")
app.add_typer(release.app, name="release")
app.add_typer(model.app, name="model")
app.add_typer(review.app, name="review")
app.add_typer(watermark.app, name="watermark")
app.add_typer(people.app, name="people")
app.add_typer(runs.app, name="runs")
app.add_typer(serving.metrics_app, name="metrics")
app.command("serve", epilog=serving.SERVE)(serving.serve)
app.command("sign-in", epilog=people.SIGN_IN)(people.sign_in)
app.command("sign-out", epilog=people.SIGN_OUT)(people.sign_out)
app.command("whoami", epilog=people.WHOAMI)(people.whoami)
app.command("care", epilog=care.EPILOG)(care.care)
app.command("compare", epilog=compare.EPILOG)(compare.compare)
app.command("impact", epilog=impact.EPILOG)(impact.impact)
app.command("reclean", epilog=reclean.EPILOG)(reclean.reclean)
app.command("retract", epilog=retract.EPILOG)(retract.retract)
app.command("status", epilog=status.EPILOG)(status.status)
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.command("quality", epilog=quality.EPILOG)(quality.quality)
app.command("link", epilog=link.EPILOG)(link.link)
for _point in entry_points(group="motlan.cli"):
    app.add_typer(_point.load(), name=_point.name)


@app.command(
    epilog=examples(
        "motlan sync {dataset}", "motlan sync {dataset} --since 2026-01-01T00:00:00Z", "motlan sync {dataset} --dry-run"
    )
)
def sync(
    dataset: Annotated[str, typer.Argument(help="As `motlan status` lists them.")],
    full: Annotated[bool, typer.Option("--full", help="Pull everything, whatever the watermark is.")] = False,
    since: Annotated[
        str | None,
        typer.Option(help="Pull from this cursor on: as the source writes it, or a moment in UTC.", metavar="CURSOR"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask the source how much would be pulled; land nothing.")
    ] = False,
    as_json: AsJson = False,
    wait: Wait = None,
) -> None:
    """Pull what changed in a dataset, land it, clean and check it."""
    with (
        report_errors(as_json, AGAIN.format("sync", f"sync {dataset}")),
        patient(wait),
        Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=err,
            transient=True,
        ) as bar,
    ):
        task = bar.add_task(f"pulling {dataset}", total=None)

        def progress(rows: int, total: int | None) -> None:
            bar.update(task, completed=rows, total=total)

        if dry_run:
            counts = {"preview": pipeline.preview(dataset, full=full, since=since, watch=progress)}
        else:
            counts = pipeline.sync(dataset, progress, full=full, since=since)
    show_steps(counts, as_json, f"sync {dataset}")


@app.command(epilog=examples("motlan reconcile", "motlan reconcile --full", "motlan reconcile --json"))
def reconcile(
    entity: OfEntity = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="Do everything anew, whatever changed: it comes to the same, and takes longer."),
    ] = False,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Begin though a required dataset had no sync yet.")
    ] = False,
    as_json: AsJson = False,
    wait: Wait = None,
) -> None:
    """Link rows to persons, merge them, check across registers, and stage what changed.

    What changed since the run before, and whom it can affect, is done anew, and the rest is carried on. Everything is done where
    a model, a rule, a mapping or a code list changed, or very much of the country: this is said before it begins, with the time
    that the newest full run took.
    """
    with report_errors(as_json, AGAIN.format("reconcile", "reconcile")), patient(wait), working("reconciling", as_json):
        counts = pipeline.reconcile(
            entity, full=full, incomplete=incomplete, forecast=None if as_json else _show_forecast
        )
    show_steps(counts, as_json, "reconcile")


def _show_forecast(found: dict[str, Any]) -> None:
    """Say before a full run why it is one, and how long it may take."""
    if not found["why_full"]:
        return
    told = f"everything is done anew: {found['why_full']}"
    if found["seconds"] is not None:
        told += f". About {duration(found['seconds'])} for {found['rows']:,} rows, as run {found['last_full']} took"
    err.print(f"{found['entity']}: {told}.", markup=False, highlight=False)


Mend = Annotated[
    bool, typer.Option("--mend", help="Leave out what the store cannot hold (U+0000); the log tells how much of what.")
]


@app.command(epilog=examples("motlan publish"))
def publish(entity: OfEntity = None, mend: Mend = False, as_json: AsJson = False, wait: Wait = None) -> None:
    """Publish the newest reconciled run: number its feed, append to the log, load the projection."""
    with report_errors(as_json, PUBLISHED), patient(wait), working("publishing", as_json):
        published = pipeline.publish(entity=entity, mend=mend)
        projected = pipeline.project(published["run"], mend=mend)
    show_steps({"publish": published, "project": projected}, as_json, "publish")


@app.command(epilog=examples("motlan project", "motlan project --mend"))
def project(entity: OfEntity = None, mend: Mend = False, as_json: AsJson = False) -> None:
    """Load publications into the golden tables and the feed that are not there yet, such as after a failure."""
    with report_errors(as_json, PUBLISHED), working("projecting", as_json):
        projected = pipeline.project(entity=entity, mend=mend)
    show_steps({"project": projected}, as_json, "project")


@app.command(
    epilog=examples(
        "motlan lineage full_name",
        "motlan lineage full_name --person ID",
        "printf '%s' \"$NUMBER\" | motlan lineage --json",
    )
)
def lineage(
    field: Annotated[str | None, typer.Argument(help="A golden field; all that are filled where absent.")] = None,
    entity: OfEntity = None,
    person: Annotated[str, typer.Option(help="The bus's own id of a person, in place of an identifier.")] = "",
    as_json: AsJson = False,
) -> None:
    """Show why the state says this: from golden value back to the landed row.

    Asks for the identifier (or the bus's own person id) at a prompt, or reads it from standard input; an identifier is never
    an argument, because arguments stand in process lists and shell histories. The look is written into the ledger. Exits
    with 1 where a value does not replay equal.
    """
    from motlan.lineage.trace import check_field, find_person, numbers_of, trace
    from motlan.workspace import open_workspace

    with report_errors(as_json):
        work = open_workspace()
        of = work.registry.linked(entity)
        if field:
            check_field(work, of.name, field)
        if not person:
            identifier = getpass.getpass("Identifier: ") if sys.stdin.isatty() else sys.stdin.readline()
            person = find_person(work, of.name, identifier.strip())
        chains = trace(work, of.name, person, [field] if field else [], principal=me())
        numbers = [row for row in numbers_of(work, of.name, person) if field in (None, row["field"])]
    if as_json:
        out.print_json(json.dumps({of.id_column: person, "fields": chains, "numbers": numbers}))
    else:
        tree = Tree(f"{of.name} {person}")
        for chain in chains:
            _grow(tree, chain)
        for row in numbers:
            until = f"until {row['until']}" if row["until"] else "stands"
            tree.add(
                f"{row['field']} {row['value']} since {row['since']}, {until}: {row['dataset']} {escape(row['key'])}"
            )
        out.print(tree)
    if not all(chain["replays_equal"] for chain in chains):
        raise typer.Exit(1)


def _grow(tree: Tree, chain: dict[str, Any]) -> None:
    source, decision = chain["source"], chain["decision"]
    landed, link = source["landed"], source["link"]
    why = "; ".join([*chain["reasons"], *(f"see {file}" for file in chain["files"])])
    mark = "[green]replays equal[/green]" if chain["replays_equal"] else f"[red]does NOT replay: {escape(why)}[/red]"
    top = tree.add(f"[bold]{chain['field']}[/bold] = {chain['value']}   {mark}")
    disputed = ", disputed" if decision["disputed"] else ""
    merged = top.add(f"merged by {decision['rule']}{disputed} (version {decision['version'][:12]})")
    said = merged.add(
        f"said by {source['dataset']} ({source['owner']}), record {source['key']}, as of {source['source_moment']}"
    )
    weight = "" if link["match_weight"] is None else f", weight {link['match_weight']:.1f}"
    said.add(f"linked by {link['rule']}{weight} (version {link['version'][:12]})")
    cleaned = said.add(
        f"cleaned by {source['cleaned_by']['expression']} (version {source['cleaned_by']['version'][:12]})"
    )
    row = cleaned.add(f"landed row {landed['row']} at {local_time(landed['at'])}, {landed['locator']}")
    for name, value in landed["raw"].items():
        row.add(f"{name} = {value!r}")
    row.add(f"commitment {landed['commitment'][:16]}…, payload sha256 {landed['payload_sha256'][:16]}…")


@store_app.command("start", epilog=examples("motlan store start"))
def store_start() -> None:
    """Start the embedded server where it does not run yet; print the database's URL."""
    from motlan.settings import load
    from motlan.store import server

    with report_errors():
        out.print(server.start(load()), markup=False, highlight=False, soft_wrap=True)


@store_app.command("watch", epilog=examples("motlan store watch"))
def store_watch() -> None:
    """Start the embedded server, and start it again whenever it ends, until Ctrl-C."""
    from motlan.settings import load
    from motlan.store import supervisor

    with report_errors():
        supervisor.watch(load(), lambda what: err.print(what, markup=False, highlight=False))


@store_app.command("stop", epilog=examples("motlan store stop"))
def store_stop() -> None:
    """Stop the embedded server."""
    from motlan.settings import load
    from motlan.store import server

    with report_errors():
        out.print("stopped" if server.stop(load()) else "was not running")


def main() -> None:
    """Run the command line."""
    app()
