"""`motlan runs`: what was tried and how far it came; go on with a run, or end it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Group
from rich.markup import escape

from motlan import pipeline
from motlan.cli.output import (
    LARGEST,
    AsJson,
    Table,
    Wait,
    examples,
    local_time,
    me,
    out,
    parse_since,
    read_reason,
    report_done,
    report_errors,
    working,
)
from motlan.cli.steps import describe_counts, show_steps
from motlan.errors import ConfigurationError
from motlan.ledger import control, runs
from motlan.ledger.holds import patient
from motlan.workspace import open_workspace

app = typer.Typer(
    help="Runs: what was tried, how far it came, and what to do with one that failed.",
    epilog=examples("motlan runs list --state failed", "motlan runs show RUN", "motlan runs retry RUN"),
    no_args_is_help=True,
)
RunId = Annotated[str, typer.Argument(help="The run's id, as `motlan runs list` shows it.")]
_COLOURS = {"failed": "red", "abandoned": "red", "aborted": "yellow", "waiting": "yellow", "running": "cyan"}


@app.command("list", epilog=examples("motlan runs list", "motlan runs list --subject {dataset} --since 7d --json"))
def list_(
    kind: Annotated[str | None, typer.Option(help="Only sync, reconcile or fit runs.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only of this dataset, or of this entity.")] = None,
    state: Annotated[str | None, typer.Option(help=f"Only these: {', '.join(control.STATES)}.")] = None,
    since: Annotated[str | None, typer.Option(help="Only since a date or a time here, or 90m, 36h, 7d ago.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST, help="Most runs shown.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List runs, the newest first: what, when, how long, how many rows."""
    with report_errors(as_json):
        if state is not None and state not in control.STATES:
            raise ConfigurationError(f"no run has the state {state}", next_step=f"use {', '.join(control.STATES)}.")
        wanted = control.Wanted(kind, subject, state, parse_since(since), limit)
        found = control.listed(open_workspace().store, wanted)
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("run", no_wrap=True)
    table.add_column("what")
    for name in ("state", "began (local)", "seconds", "rows"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("seconds", "rows") else "left")
    for row in found:
        rows = "" if row["rows"] is None else f"{row['rows']:,}"
        began, what = local_time(row["started_at"]), f"{row['kind']} {row['subject']}"
        table.add_row(row["run"], what, _coloured(row["state"]), began, f"{row['seconds']:,.1f}", rows)
    out.print(table if table.row_count else "no run is like that")


def _coloured(state: str) -> str:
    colour = _COLOURS.get(state)
    return f"[{colour}]{state}[/{colour}]" if colour else state


@app.command(epilog=examples("motlan runs show RUN", "motlan runs show RUN --json"))
def show(run: RunId, as_json: AsJson = False) -> None:
    """Show a run: its steps with counts and seconds, who works on it, its error, and what to do next."""
    with report_errors(as_json):
        found = control.show(open_workspace().store, run)
    if as_json:
        out.print_json(json.dumps(found))
        return
    out.print(Group(*_lines(found)), _steps(found))
    if found["snapshots"]:
        table = Table("table of the lake", "snapshot")
        for name, snapshot in found["snapshots"].items():
            table.add_row(escape(name), str(snapshot))
        out.print(table)
    out.print(f"Next: {found['next']}.", markup=False, highlight=False)


def _lines(found: dict[str, Any]) -> list[str]:
    ended = f", ended {local_time(found['ended_at'])}" if found["ended_at"] else ""
    lines = [
        f"[bold]{found['kind']} {escape(found['subject'])}[/bold], run {found['run']}: {_coloured(found['state'])}",
        f"began {local_time(found['started_at'])}{ended}, {found['seconds']:,.1f} s; {escape(found['holder'])}",
    ]
    if found["error"]:
        lines.append(f"[red]{escape(found['error'])}[/red]")
    if found["why_full"]:
        lines.append(f"everything was done anew: {escape(found['why_full'])}")
    lines += [
        f"{number} sync runs of {name} are left out: its agency is held" for name, number in found["left_out"].items()
    ]
    if found["held"]:
        lines.append(f"{found['held']} limits of change are passed")
    if found["publication"]:
        lines.append(f"publication {found['publication']}{'' if found['projected'] else ', not projected yet'}")
    for one in found["decisions"]:
        lines.append(
            escape(f"{one['action']} by {one['principal']}, {local_time(one['recorded_at'])}: {one['reason']}")
        )
    return lines


def _steps(found: dict[str, Any]) -> Table:
    table = Table("step", "seconds", "what happened")
    for step in found["steps"]:
        seconds = "" if step["seconds"] is None else f"{step['seconds']:,.1f}"
        table.add_row(step["step"], seconds, escape(describe_counts(step["counts"])) if step["done"] else "not done")
    return table


@app.command(epilog=examples("motlan runs retry RUN", "motlan runs retry RUN --wait 600"))
def retry(run: RunId, as_json: AsJson = False, wait: Wait = None) -> None:
    """Go on with a run that failed or was abandoned, from its first step that is not done."""
    stands = f"the steps that are done stay done. Next: `motlan runs retry {run}` goes on with the others."
    with report_errors(as_json, stands), patient(wait), working("going on", as_json):
        counts = pipeline.resume(run)
    show_steps(counts, as_json, f"run {run}")


@app.command(epilog=examples("motlan runs abort RUN", "motlan runs abort RUN --json < why.json"))
def abort(run: RunId, as_json: AsJson = False) -> None:
    """Close a run for good, so that its open work is not kept and nobody goes on with it. Asks why, or reads {"why": "..."}.

    What is at work on it ends at its next commit with an error. What is visible or published cannot be aborted.
    """
    with report_errors(as_json):
        store = open_workspace().store
        was = control.require_abortable(store, run)
        at_work = [row["told"] for row in runs.at_work(store) if row["run"] == run and not row["abandoned"]]
        control.abort(store, run, me(), read_reason())
    line = f"run {run}: aborted; nothing of it is kept."
    if at_work:
        line += f" Still there: {at_work[0]}; end that process, or wait until it notices."
    line += f" Next: `motlan {'reconcile' if was.kind == 'reconcile' else f'{was.kind} {was.subject}'}` begins anew."
    report_done({"run": run, "state": runs.ABORTED, "was": was.state, "at_work": at_work}, as_json, line)
