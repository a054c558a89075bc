"""`motlan feeds`: the agencies' API, and the keys that open it."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape

from motlan.cli import serving
from motlan.cli.output import AsJson, Table, err, examples, local_time, out, report_errors
from motlan.errors import ConfigurationError
from motlan.feeds import keys as api_keys
from motlan.workspace import Workspace, open_workspace

app = typer.Typer(
    help="The agencies' API.", epilog=examples("motlan feeds key AGENCY", "motlan feeds serve"), no_args_is_help=True
)


def _checked(work: Workspace, agency: str) -> str:
    if agency not in work.registry.agencies:
        raise ConfigurationError(
            f"there is no agency {agency}", next_step=f"use one of {', '.join(work.registry.agencies)}."
        )
    return agency


@app.command(epilog=examples("motlan feeds key AGENCY", "motlan feeds key AGENCY --days 90"))
def key(
    agency: Annotated[str, typer.Argument(help="An agency of the registry.")],
    days: Annotated[int, typer.Option(help="How long it holds.", min=1, max=api_keys.LONGEST)] = api_keys.DAYS,
) -> None:
    """Make a further API key for an agency, and print it this once. Revoke the one that it replaces."""
    with report_errors():
        work = open_workspace()
        out.print(api_keys.issue(work.store, _checked(work, agency), days), markup=False, highlight=False)


@app.command(epilog=examples("motlan feeds keys", "motlan feeds keys AGENCY --json"))
def keys(
    agency: Annotated[str | None, typer.Argument(help="Only this agency's.")] = None, as_json: AsJson = False
) -> None:
    """List the API keys: their ids, whose they are, and until when they hold. The keys themselves are kept nowhere."""
    with report_errors(as_json):
        work = open_workspace()
        found = api_keys.listed(work.store, agency and _checked(work, agency))
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("key", "agency", "state", "issued (local)", "expires (local)", "revoked (local)")
    for row in found:
        moments = (local_time(row[name]) for name in ("created_at", "expires_at", "revoked_at"))
        table.add_row(row["key"], escape(row["agency"]), row["state"], *moments)
    out.print(table if table.row_count else "no key was issued yet: motlan feeds key AGENCY")


@app.command(epilog=examples("motlan feeds revoke 0123456789ab"))
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY", help="A key's id, as `motlan feeds keys` lists it.")],
    as_json: AsJson = False,
) -> None:
    """End an API key at once."""
    with report_errors(as_json):
        agency = api_keys.revoke(open_workspace().store, key_id)
    if as_json:
        out.print_json(json.dumps({"key": key_id, "agency": agency, "state": "revoked"}))
    else:
        err.print(f"key {key_id} of {agency}: revoked", markup=False, highlight=False)


app.command("serve", epilog=serving.SERVE)(serving.serve)
