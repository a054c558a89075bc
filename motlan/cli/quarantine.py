"""`motlan quarantine`: see what was held back, mend it, let it pass, take it in again, hand it to its owner."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from motlan import pipeline
from motlan.cli.output import LARGEST, AsJson, Table, examples, me, out, report_done, report_errors, working
from motlan.errors import ConfigurationError
from motlan.quarantine import decisions, export, listing
from motlan.workspace import open_workspace

app = typer.Typer(
    help="Rows that blocking rules held back.",
    epilog=examples("motlan quarantine list", "motlan quarantine replay --dataset {dataset}"),
    no_args_is_help=True,
)


class State(StrEnum):
    """States of an entry."""

    open = "open"
    fixed = "fixed"
    waived = "waived"
    closed = "closed"


class Form(StrEnum):
    """Formats of an export."""

    csv = "csv"
    xlsx = "xlsx"
    ndjson = "ndjson"


Entry = Annotated[str, typer.Argument(help="An entry's id, or its first 8 digits or more.")]
OfDataset = Annotated[str | None, typer.Option("--dataset", help="Only this dataset's.")]
OfRule = Annotated[str | None, typer.Option("--rule", help="Only rows that broke this rule.")]
InState = Annotated[State | None, typer.Option("--state", help="Only entries in this state.")]


def _wanted(dataset: str | None, rule: str | None, state: State | None) -> listing.Wanted:
    return listing.Wanted(dataset, rule, state.value if state else None)


def _said(ask_values: bool) -> tuple[str, dict[str, str | None]]:
    """Ask for a decision's reason and values at a prompt, or read them as JSON from standard input.

    They may name persons, so they are never arguments: those stand in process lists and shell histories.
    """
    values: dict[str, str | None] = {}
    if sys.stdin.isatty():
        while ask_values and (column := input("Column to change (empty: no more): ").strip()):
            values[column] = input(f"New value of {column} (empty: none): ") or None
        return input("Why: "), values
    try:
        given = json.load(sys.stdin)
        why, values = given["why"], given.get("values", {})
        sound = isinstance(why, str) and all(isinstance(value, str | None) for value in values.values())
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise ConfigurationError(
            "standard input is not the decision as JSON",
            next_step='give {"why": "...", "values": {"column": "text or null"}}; a waiver needs no values.',
        )
    return why, values


@app.command("list", epilog=examples("motlan quarantine list", "motlan quarantine list --dataset {dataset} --json"))
def list_(
    dataset: OfDataset = None,
    rule: OfRule = None,
    state: InState = None,
    limit: Annotated[int, typer.Option(help="Most entries shown; the counts are of all.", min=0, max=LARGEST)] = 50,
    as_json: AsJson = False,
) -> None:
    """Count and list entries: ids, keys, rules, places and times; no value of any person."""
    with report_errors(as_json):
        work, wanted = open_workspace(), _wanted(dataset, rule, state)
        if dataset:
            work.registry.dataset(dataset)
        counts, entries = listing.counts(work, wanted), listing.listed(work, wanted, limit)
    if as_json:
        out.print_json(json.dumps({"counts": counts, "entries": entries}))
        return
    sums = Table("dataset", "rule", "state", "entries", "times seen", title="quarantine")
    for count in counts:
        sums.add_row(*(escape(str(value)) for value in count.values()))
    out.print(sums)
    table = Table("entry", "dataset", "key", "state", "rules", "seen", "last seen", "due", "place")
    for entry in entries:
        place = f"{entry['ref']} {entry['locator'] or ''}"
        cells = (entry["id"][:12], entry["dataset"], entry["source_key"] or "", entry["state"])
        due = entry["due_date"] + (" !" if entry["overdue"] else "")
        seen = (", ".join(entry["rules"]), str(entry["times_seen"]), entry["last_seen"][:16], due, place)
        table.add_row(*map(escape, (*cells, *seen)))
    out.print(table)


@app.command(epilog=examples("motlan quarantine show 0123456789ab", "motlan quarantine show 0123456789ab --json"))
def show(entry: Entry, as_json: AsJson = False) -> None:
    """Show one entry with its row as it was sent, and why it is held. The look is written into the ledger."""
    with report_errors(as_json):
        found = listing.show(open_workspace(), entry, me())
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("", "", title=f"entry {found['id']}", show_header=False)
    for name in ("dataset", "source_key", "state", "closed_as", "closed_by", "times_seen", "first_seen", "last_seen"):
        if found[name] is not None:
            table.add_row(name.replace("_", " "), escape(str(found[name])))
    table.add_row("place", escape(f"{found['ref']} {found['locator'] or ''}"))
    for reason in found["reasons"]:
        table.add_row("rule", f"{reason['rule']} (fingerprint {reason['fingerprint'][:12]})")
        table.add_row("", escape(f"{reason['vi']} / {reason['en']}"))
    for decision in found["decisions"]:
        by = f"{decision['principal']} on {decision['recorded_at'][:16]}"
        table.add_row(decision["action"], escape(f"{by}: {decision['reason']}"))
    for name, value in found["raw"].items():
        shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in name)
        table.add_row(escape(shown), escape(repr(value)))
    out.print(table)


@app.command(
    epilog=examples("motlan quarantine fix 0123456789ab", "motlan quarantine fix 0123456789ab --json < fix.json")
)
def fix(entry: Entry, as_json: AsJson = False) -> None:
    """Say how a row should read; the next replay takes it in so. Asks for columns, values and why, or reads JSON."""
    with report_errors(as_json):
        work = open_workspace()
        decisions.require_live(work, entry)
        why, values = _said(ask_values=True)
        done = decisions.fix(work, entry, me(), why, values)
    _report({"entry": done, "state": "fixed"}, as_json)


@app.command(
    epilog=examples(
        "motlan quarantine waive 0123456789ab",
        "motlan quarantine waive --dataset {dataset} --rule schema_drift < why.json",
    )
)
def waive(
    entry: Annotated[str | None, typer.Argument(help="An entry's id, or its first 8 digits or more.")] = None,
    dataset: OfDataset = None,
    rule: OfRule = None,
    as_json: AsJson = False,
) -> None:
    """Let a row pass as it is at the next replay; or all open rows of a dataset that broke a rule. Asks why."""
    with report_errors(as_json):
        if bool(entry) == bool(dataset and rule):
            raise ConfigurationError("what is waived?", next_step="name an entry, or --dataset and --rule.")
        work = open_workspace()
        if entry:
            decisions.require_live(work, entry, waives=True)
        else:
            work.registry.dataset(dataset or "")
        why, _ = _said(ask_values=False)
        if entry:
            done: dict[str, Any] = {"entry": decisions.waive(work, entry, me(), why)}
        else:
            done = {"entries": decisions.waive_all(work, dataset or "", rule or "", me(), why)}
    _report({**done, "state": "waived"}, as_json)


@app.command(
    epilog=examples("motlan quarantine replay", "motlan quarantine replay --dataset {dataset} --rule has_a_name")
)
def replay(dataset: OfDataset = None, rule: OfRule = None, as_json: AsJson = False) -> None:
    """Clean and check the waiting rows again, under today's mapping and rules, each dataset in a run of its own."""
    stands = "datasets that are done stay done, nothing of the others is visible. Next: run the same again."
    with report_errors(as_json, stands), working("replaying", as_json):
        names = [dataset] if dataset else list(open_workspace().registry.datasets)
        done = {name: pipeline.replay(name, [rule] if rule else []) for name in names}
    if as_json:
        out.print_json(json.dumps(done))
        return
    table = Table("dataset", "run", "replayed", "accepted", "still held")
    for name, counts in done.items():
        if "run" in counts:
            landed, cleaned = counts["land"]["landed"], counts["clean"]
            table.add_row(name, counts["run"], *map(str, (landed, cleaned["accepted"], cleaned["quarantined"])))
    out.print(table if table.row_count else "nothing waits")


@app.command(
    "export",
    epilog=examples(
        "motlan quarantine export {dataset} --format xlsx --out held.xlsx",
        "motlan quarantine export {dataset} --state open --format ndjson --out held.ndjson",
    ),
)
def export_(
    dataset: Annotated[str, typer.Argument(help="As `motlan status` lists them.")],
    to: Annotated[Path, typer.Option("--out", help="The file; only you may read it.")],
    form: Annotated[Form, typer.Option("--format", help="csv and xlsx are made harmless, ndjson is exact.")] = Form.csv,
    rule: OfRule = None,
    state: InState = None,
    as_json: AsJson = False,
) -> None:
    """Write a dataset's entries with their raw rows and reasons to a file for the agency that owns them."""
    with report_errors(as_json), working("exporting", as_json):
        wanted = _wanted(dataset, rule, state)
        rows = export.export(open_workspace(), wanted, form.value, to, me())
    _report({"dataset": dataset, "rows": rows, "file": str(to)}, as_json)


def _report(done: dict[str, Any], as_json: bool) -> None:
    report_done(done, as_json, ", ".join(f"{name} {value}" for name, value in done.items()))
