"""`motlan release`: publications that change so much that two people have to let them go."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from motlan.cli.output import AsJson, err, examples, local_time, out, read_reason, releaser, report_errors
from motlan.publication import approval
from motlan.workspace import open_workspace

app = typer.Typer(
    help="Publications held back by a limit of change (mapping/breakers.yaml).",
    epilog=examples("motlan release list", "motlan release show RUN", "motlan release approve RUN"),
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
        state = approval.decide(open_workspace().store, run, releaser(), action, read_reason())
    if as_json:
        out.print_json(json.dumps({"run": run, "state": state}))
    else:
        err.print(f"run {run}: {state}", markup=False, highlight=False)
