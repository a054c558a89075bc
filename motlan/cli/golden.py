"""`motlan golden`: what a golden value was over time, and people's word that a record's value is not to be believed."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape

from motlan.cli.output import (
    LARGEST,
    AsJson,
    OfEntity,
    Table,
    examples,
    local_time,
    me,
    opened,
    out,
    read_reason,
    report_done,
    report_errors,
)
from motlan.merge import value_overrides
from motlan.stewardship import overrides
from motlan.stewardship.golden_history import history as read_history
from motlan.workspace import open_workspace

app = typer.Typer(
    help="Single golden values: their history, and what people decide about them.",
    epilog=examples("motlan golden exclude PERSON_ID death_date", "motlan golden decisions"),
    no_args_is_help=True,
)


@app.command("exclude", epilog=examples("motlan golden exclude PERSON_ID death_date < why.json"))
def exclude(
    person: Annotated[str, typer.Argument(help="The bus's own person id, as `motlan lineage` shows it.")],
    field: Annotated[str, typer.Argument(help="The golden field, such as that of a wrong death.")],
    entity: OfEntity = None,
    as_json: AsJson = False,
) -> None:
    """Set aside the value that a golden field was taken from. The next reconcile goes without it. Asks why."""
    with report_errors(as_json):
        work, of = opened(entity)
        found = overrides.find_value(work, of, person, field, me())
        number = overrides.exclude_value(work, found, me(), read_reason())
    _report(number, value_overrides.EXCLUDE, as_json)


@app.command("reinstate", epilog=examples("motlan golden reinstate 1 < why.json"))
def reinstate(
    decision: Annotated[int, typer.Argument(max=LARGEST, help="Its number, as `motlan golden decisions` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Take back a decision that set a value aside. Asks why."""
    with report_errors(as_json):
        work = open_workspace()
        overrides.find_decision(work, decision)
        number = overrides.reinstate(work, decision, me(), read_reason())
    _report(number, value_overrides.REINSTATE, as_json)


@app.command(epilog=examples("motlan golden decisions", "motlan golden decisions --json"))
def decisions(entity: OfEntity = None, as_json: AsJson = False) -> None:
    """List the values that are set aside, and those that their source said again since: records, fields, who, why; no value."""
    with report_errors(as_json):
        found = overrides.listed(*opened(entity))
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("number", "dataset", "key", "field", "who", "when (local)", "why", "state")
    for row in found:
        cells = (row["dataset"], row["key"], row["field"], row["principal"], local_time(row["at"]), row["reason"])
        table.add_row(str(row["decision"]), *map(escape, cells), row["state"])
    out.print(table if table.row_count else "no value is set aside")


@app.command(epilog=examples("motlan golden history PERSON_ID FIELD"))
def history(
    person: Annotated[str, typer.Argument(help="The bus's own person id, as `motlan lineage` shows it.")],
    field: Annotated[str, typer.Argument(help="The golden field.")],
    entity: OfEntity = None,
    as_json: AsJson = False,
) -> None:
    """Show what a golden field was, when the bus said so, and of when the record is. The look is written into the ledger."""
    with report_errors(as_json):
        found = read_history(*opened(entity), person, field, me())
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("publication", "recorded (local)", "event", "value", "said by", "as of", "decided by")
    for row in found:
        rule = f"{row['rule']}{', disputed' if row['disputed'] else ''}" if row["rule"] else ""
        cells = (row["event"], row["value"] or "", row["dataset"] or "", row["as_of"] or "", rule)
        table.add_row(str(row["publication"]), local_time(row["recorded_at"]), *map(escape, cells))
    out.print(table)


def _report(number: int, action: str, as_json: bool) -> None:
    line = f"decision {number}: {action}; it holds from the next `motlan reconcile` on"
    report_done({"decision": number, "action": action}, as_json, line)
