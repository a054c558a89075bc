"""`motlan accesses`: who has looked at whose data."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from motlan.cli.output import LARGEST, AsJson, Table, examples, local_time, me, out, report_errors, working
from motlan.workspace import open_workspace

app = typer.Typer(
    help="Who has looked at whose data, when, for what.",
    epilog=examples("motlan accesses list --person ID", "motlan accesses list --principal AGENCY --since 2026-11-01"),
    no_args_is_help=True,
)


@app.callback()
def accesses() -> None:
    """Who has looked at whose data, when, for what."""


@app.command(
    "list",
    epilog=examples(
        "motlan accesses list --person ID",
        "motlan accesses list --principal AGENCY --since 2026-11-01 --json",
        "motlan --purpose 'complaint' --case 2026/117 accesses list --person ID",
    ),
)
def listed(
    person: Annotated[str | None, typer.Option(help="The bus's own id of a person: all who saw their data.")] = None,
    principal: Annotated[
        str | None, typer.Option(help="An agency, `person:NAME` or `user:ACCOUNT`: all that they saw.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(help="From this moment on, UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=LARGEST, help="The newest so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List looks, the newest first: single ones, and pages of feeds that had the person. Listing them is a look, too."""
    from motlan.proof.access_list import Wanted, list_accesses

    with report_errors(as_json), working("reading the accesses", as_json):
        moment = since.replace(tzinfo=UTC) if since else None
        found = list_accesses(open_workspace(), Wanted(person, principal, moment, limit), me())
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("access", "when (local)", "who", "what", "whose", "fields", "for what", "legal basis", "case")
    for row in found:
        basis = (row["purpose"], row["legal_basis"], row["case_reference"])
        cells = (row["principal"], row["action"], _whose(row), ", ".join(row["fields"] or ()), *basis)
        table.add_row(str(row["id"]), local_time(row["recorded_at"]), *(escape(cell or "") for cell in cells))
    out.print(table if table.row_count else "nobody has looked")


def _whose(row: dict[str, Any]) -> str:
    """Return whose data an access was about: persons, numbers of a feed, or what the ledger says."""
    if row["persons"]:
        return ", ".join(row["persons"])
    if row["first_seq"] is not None:
        return f"{row['entity']} changes {row['first_seq']:,} to {row['last_seq']:,}"
    return str(row["subject"])
