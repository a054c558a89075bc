"""The command line: what a data engineer and an auditor type. It calls the same pipeline as the scheduler's tasks."""

from __future__ import annotations

from functools import partial
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer

from motlan import pipeline
from motlan.cli import (
    accesses,
    agencies,
    audit,
    backup,
    care,
    clean,
    compare,
    contract,
    doctor,
    erase,
    feeds,
    golden,
    hold,
    impact,
    lineage,
    link,
    model,
    openlineage,
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
    whatif,
)
from motlan.cli.output import (
    AsJson,
    OfEntity,
    Quiet,
    Table,
    Wait,
    duration,
    err,
    examples,
    out,
    progress_bars,
    report_errors,
    working,
)
from motlan.cli.steps import show_steps
from motlan.ledger.accesses import Basis, on_basis
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
app.add_typer(accesses.app, name="accesses")
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
app.command("whatif", epilog=whatif.EPILOG)(whatif.whatif)
app.command("status", epilog=status.EPILOG)(status.status)
app.command("doctor", epilog=doctor.EPILOG)(doctor.doctor)
app.command("erase", epilog=erase.EPILOG)(erase.erase)
app.command("quality", epilog=quality.EPILOG)(quality.quality)
app.command("link", epilog=link.EPILOG)(link.link)
app.command("lineage", epilog=lineage.EPILOG)(lineage.lineage)
app.command("openlineage", epilog=openlineage.EPILOG)(openlineage.openlineage)
for _point in entry_points(group="motlan.cli"):
    app.add_typer(_point.load(), name=_point.name)


@app.callback()
def act_on_basis(
    context: typer.Context,
    purpose: Annotated[
        str | None,
        typer.Option(envvar="MOTLAN_PURPOSE", help="What you look for, of commands that show people's data; no names."),
    ] = None,
    legal_basis: Annotated[
        str | None, typer.Option(envvar="MOTLAN_LEGAL_BASIS", help="The text that allows you to look.")
    ] = None,
    case: Annotated[
        str | None, typer.Option(envvar="MOTLAN_CASE", help="The number of the case, request or audit.")
    ] = None,
) -> None:
    """Motlan, the bus between registers: pull, clean, check, link, merge, publish, prove."""
    said = Basis(purpose or f"command {context.invoked_subcommand}", legal_basis, case)
    context.with_resource(on_basis(said))


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
        progress_bars(as_json) as show,
    ):
        show(part := f"pulling {dataset}", 0, None)
        progress = partial(show, part)
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


@store_app.command("roles", epilog=examples("motlan store roles --sql > roles.sql", "psql -f roles.sql"))
def store_roles(
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL; nothing is done.")] = False,
    database: Annotated[str, typer.Option(help="The store's database.")] = "motlan",
    owner: Annotated[str, typer.Option(help="The role that owns its tables, and migrates them.")] = "motlan",
) -> None:
    """Show the database roles that the bus, the feeds and auditors work as, on a server of yours, and what each may.

    Let whoever may make roles run it after the first start, and after each new version; give the roles passwords.
    """
    from motlan.store import roles

    if sql:
        out.print(roles.script(database, owner), markup=False, highlight=False, soft_wrap=True)
        return
    table = Table("role", "for")
    for kind, what in roles.MEANINGS.items():
        table.add_row(roles.role(database, kind), what)
    out.print(table)


def main() -> None:
    """Run the command line."""
    app()
