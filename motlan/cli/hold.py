"""`motlan hold`: publishing, or what one agency sends, held back while landing goes on."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.markup import escape

from motlan.cli.output import AsJson, Table, examples, local_time, me, out, read_reason, report_done, report_errors
from motlan.cli.subjects import group_about
from motlan.publication import hold
from motlan.workspace import open_workspace

app = typer.Typer(
    cls=group_about("begin"),
    help="Hold publishing (`motlan hold publish`), or what an agency sends (`motlan hold AGENCY`); landing goes on. "
    "`motlan release publish` or `motlan release AGENCY` ends it.",
    epilog=examples("motlan hold publish", "motlan hold AGENCY", "motlan hold list"),
    no_args_is_help=True,
)
Subject = Annotated[str, typer.Argument(metavar="publish|AGENCY", help="What is held.")]


@app.command("begin", epilog=examples("motlan hold publish", "motlan hold AGENCY --json < why.json"))
def begin(subject: Subject, as_json: AsJson = False) -> None:
    """Hold publishing, or an agency; `motlan hold SUBJECT` is the same. Asks why, or reads {"why": "..."}.

    While publishing is held, runs land and reconcile, and none is published. While an agency is held, its registers are
    pulled, and what is landed from then on stays out of reconcile runs.
    """
    with report_errors(as_json):
        work = open_workspace()
        hold.check_subject(work.registry, subject)
        hold.require_free(work.store, subject)
        hold.begin(work.store, subject, me(), read_reason())
    line = f"{subject}: held. Next: `motlan release {subject}` ends the hold."
    report_done({"subject": subject, "state": "held"}, as_json, line)


@app.command("list", epilog=examples("motlan hold list", "motlan hold list --all --json"))
def list_(
    ended: Annotated[bool, typer.Option("--all", help="Those that ended, too.")] = False, as_json: AsJson = False
) -> None:
    """List what is held: since when, by whom, and why."""
    with report_errors(as_json):
        found = hold.listed(open_workspace().store, ended=ended)
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("held", "since (local)", "by", "why", *(["ended (local)", "by", "why"] if ended else []))
    for row in found:
        table.add_row(*map(escape, _cells(row, ended)))
    out.print(table if table.row_count else "nothing is held")


def _cells(row: dict[str, Any], ended: bool) -> list[str]:
    cells = [row["subject"], local_time(row["held_at"]), row["principal"], row["reason"]]
    if ended:
        cells += [local_time(row["ended_at"]), row["ended_by"] or "", row["ended_reason"] or ""]
    return cells
