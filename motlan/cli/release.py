"""`motlan release`: publications that change so much that two people have to let them go, and the end of holds."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape

from motlan.cli.output import (
    AsJson,
    Table,
    examples,
    local_time,
    out,
    read_reason,
    releaser,
    report_done,
    report_errors,
)
from motlan.cli.subjects import group_about
from motlan.publication import approval, hold
from motlan.workspace import open_workspace

app = typer.Typer(
    cls=group_about("end"),
    help="Publications held back by a limit of change (mapping/breakers.yaml), and the end of holds: "
    "`motlan release publish`, `motlan release AGENCY`.",
    epilog=examples("motlan release list", "motlan release approve RUN", "motlan release publish"),
    no_args_is_help=True,
)
RunId = Annotated[str, typer.Argument(help="The run's id, as `motlan release list` shows it.")]


@app.command("list", epilog=examples("motlan release list", "motlan release list --json"))
def list_(as_json: AsJson = False) -> None:
    """List the publications that were held back, and what became of them."""
    with report_errors(as_json):
        found = approval.listed(open_workspace().store)
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("run", "entity", "state", "started (local)", "limits passed", "decisions")
    for row in found:
        state = f"{row['state']}, stale" if row["stale"] else row["state"]
        cells = (row["run"], row["entity"], state, local_time(row["started_at"]))
        table.add_row(*cells, str(row["passed"]), str(row["decisions"]))
    out.print(table if table.row_count else "nothing was held back")


@app.command(epilog=examples("motlan release show RUN", "motlan release show RUN --json"))
def show(run: RunId, as_json: AsJson = False) -> None:
    """Show what a publication would change, by register and area, and who decided. Numbers only."""
    with report_errors(as_json):
        found = approval.show(open_workspace().store, run)
    if as_json:
        out.print_json(json.dumps(found))
        return
    out.print(f"run {run}: {found['state']}, {len(found['decisions'])} of {found['approvals']} decisions")
    if found["stale"]:
        out.print("[yellow]stale: others were published since it was compared; run `motlan reconcile` anew[/yellow]")
    passed = Table("measure", "register", "area", "changed", "known", "limit", "in", title="limits passed")
    for row in found["passed"]:
        area = row["area"] or "all"
        numbers = (f"{row['changed']:,}", f"{row['known']:,}", f"{row['limit']:.2%}")
        over = f"{row['days']} days" if "days" in row else "this run"
        passed.add_row(row["measure"], row["source"], area, *numbers, over)
    out.print(passed)
    counts = Table("measure", "register", "persons", title="all that changes")
    for measure, by_register in found["counts"].items():
        for register, number in by_register.items():
            counts.add_row(measure, register, f"{number:,}")
    out.print(counts)
    for decision in found["decisions"]:
        by = f"{decision['action']} by {decision['principal']}, {local_time(decision['recorded_at'])}"
        out.print(escape(f"{by}: {decision['reason']}"))


@app.command(epilog=examples("motlan release approve RUN", "motlan release approve RUN < why.json"))
def approve(run: RunId, as_json: AsJson = False) -> None:
    """Let a publication go, as one of the people needed; then run `motlan publish`. Asks why."""
    _decide(run, "approve", as_json)


@app.command(epilog=examples("motlan release refuse RUN", "motlan release refuse RUN < why.json"))
def refuse(run: RunId, as_json: AsJson = False) -> None:
    """Refuse a publication for good; the next reconcile compares anew. Asks why."""
    _decide(run, "refuse", as_json)


def _decide(run: str, action: str, as_json: bool) -> None:
    with report_errors(as_json):
        store, principal = open_workspace().store, releaser()
        approval.require_decidable(store, run, principal)
        state = approval.decide(store, run, principal, action, read_reason())
    report_done({"run": run, "state": state}, as_json, f"run {run}: {state}")


@app.command("end", epilog=examples("motlan release publish", "motlan release AGENCY --json < why.json"))
def end(
    subject: Annotated[str, typer.Argument(metavar="publish|AGENCY", help="What is held.")], as_json: AsJson = False
) -> None:
    """End a hold of publishing or of an agency; `motlan release SUBJECT` is the same. Asks why, or reads {"why": "..."}."""
    with report_errors(as_json):
        work, principal = open_workspace(), releaser()
        hold.check_subject(work.registry, subject)
        hold.require_endable(work.store, subject, principal)
        hold.end(work.store, subject, principal, read_reason())
    step = "motlan publish" if subject == hold.PUBLISH else "motlan reconcile"
    report_done(
        {"subject": subject, "state": "released"}, as_json, f"{subject}: no longer held. Next: `{step}` goes on."
    )
