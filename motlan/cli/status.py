"""`motlan status`: where things stand, how old data are, what waits, and what comes next. It starts no server."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from rich.markup import escape

from motlan.cli.output import AsJson, Table, duration, examples, local_time, out, report_errors
from motlan.config.registry import Registry
from motlan.ingest import watermark as watermarks
from motlan.ingest.drift import described
from motlan.settings import load
from motlan.status import status as read
from motlan.store import server
from motlan.workspace import open_workspace

EPILOG = examples("motlan status", "motlan status --json")


def status(as_json: AsJson = False) -> None:
    """Show where each dataset and the feed stand, how old data are, what waits, what failed, and when what is pulled next.

    It starts no server: where the embedded PostgreSQL does not run, it says so and exits with 1.
    """
    with report_errors(as_json):
        server.require_running(load())
        work = open_workspace()
        found = read(work)
    if as_json:
        out.print_json(json.dumps(found))
        return
    _print_datasets(found)
    _print_freshness(found)
    _print_quality(found, work.registry)
    _print_backlog(found)
    _print_runs(found)
    _print_people(found)
    if publication := found["publication"]:
        said = f"publication {publication['number']}, feed up to seq {publication['last_seq']:,}"
        out.print(said if publication["projected"] else f"{said}, [yellow]not projected yet: motlan project[/yellow]")


def _print_datasets(found: dict[str, Any]) -> None:
    table = Table("dataset", "state", "pulled", "in register", "accepted", "quarantined", "pulled up to (local)")
    notes = []
    for name, row in found["datasets"].items():
        counts = (row.get(key) for key in ("pulled", "source_total", "accepted", "quarantined"))
        cells = ("" if count is None else f"{count:,}" for count in counts)
        table.add_row(escape(name), row["state"], *cells, local_time(row.get("watermark")))
        if row.get("error"):
            notes.append(f"[red]{escape(name)}: {escape(row['error'])}[/red]")
        if changed := described(row.get("drift") or {}):
            notes.append(f"[yellow]{escape(name)}: {escape(f'columns changed: {changed}')}[/yellow]")
        if odd := watermarks.described(row.get("cursors") or {}):
            notes.append(
                f"[yellow]{escape(name)}: records {odd}: they move no watermark (see cursor_type in agencies.yaml)[/yellow]"
            )
    out.print(table)
    for note in notes:
        out.print(note, highlight=False)


def _print_freshness(found: dict[str, Any]) -> None:
    table = Table("dataset", "age", "promised", "", "pulled (local)", "next pull (local)", title="how old data are")
    for name, row in found["freshness"].items():
        age = "" if row["age"] is None else duration(row["age"])
        late = f"[red]late: {row['why']}[/red]" if row["late"] else "[green]as promised[/green]"
        after = found["next_runs"][name]
        shown = local_time(after) if after else "[red]its schedule cannot be read[/red]"
        table.add_row(escape(name), age, duration(row["promised"]), late, local_time(row["pulled_at"]), shown)
    out.print(table)


def _print_quality(found: dict[str, Any], registry: Registry) -> None:
    quality = Table("agency", *(said.vi for said in registry.dimensions.values()), title="quality, 0 to 100")
    for agency, scores in found["quality"].items():
        quality.add_row(agency, *("" if score is None else f"{score:.2f}" for score in scores.values()))
    out.print(quality)


def _print_backlog(found: dict[str, Any]) -> None:
    waits = found["backlog"]
    for what, command in (
        ("quarantine", "rows in quarantine: motlan quarantine list"),
        ("unreconciled", "sync runs that are not reconciled: motlan reconcile"),
    ):
        if counts := waits[what]:
            words = ", ".join(f"{name} {number:,}" for name, number in counts.items())
            out.print(f"{command} ({escape(words)})", highlight=False)
    for run in waits["unpublished"]:
        if run["state"] != "waiting":
            out.print(
                f"run {run['run']} of {run['entity']} is {run['state']} and not published: motlan publish",
                highlight=False,
            )
    for one in waits["unprojected"]:
        out.print(f"[yellow]publication {one['number']} is not projected yet: motlan project[/yellow]")
    if corrections := found["corrections"]:
        words = ", ".join(f"{name} {number:,}" for name, number in corrections.items())
        out.print(f"corrections open: {words}")


def _print_runs(found: dict[str, Any]) -> None:
    for run in found["failed"]:
        said = f"{run['kind']} {run['subject']}, run {run['run']}, {run['state']}: motlan runs show {run['run']}"
        out.print(f"[red]{escape(said)}[/red]", highlight=False)
        if run["kind"] != "sync" and run["error"]:  # of a sync it stands with its dataset
            out.print(f"[red]{escape(run['error'])}[/red]", highlight=False)
    for retry in found["retries"]:
        said = f"{retry['kind']} {retry['subject']} is tried again (run {retry['run']}), after: {retry['error']}"
        out.print(f"[yellow]{escape(said)}[/yellow]")


def _print_people(found: dict[str, Any]) -> None:
    """Say what waits for people, and what they hold."""
    if number := found["contradictions"]:
        out.print(
            f"[yellow]{number:,} decisions about pairs could not be heeded: motlan review list --contradicted[/yellow]"
        )
    if number := found["values_said_again"]:
        out.print(f"[yellow]{number:,} values set aside are said again: motlan golden decisions[/yellow]")
    for run in found["waiting"]:
        out.print(f"[yellow]run {run} waits for people to release it: motlan release show {run}[/yellow]")
    for held in found["holds"]:
        since = datetime.fromisoformat(held["held_at"]).astimezone()
        said = f"{held['subject']} is held since {since:%Y-%m-%d %H:%M} by {held['principal']}: motlan hold list"
        out.print(f"[yellow]{escape(said)}[/yellow]")
