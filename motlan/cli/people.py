"""`motlan people`, `sign-in`, `sign-out`, `whoami`: who may decide here, and who is at this terminal."""

from __future__ import annotations

import json
import pwd
import sys
from typing import Annotated

import typer
from rich.markup import escape

from motlan import people, principals
from motlan.cli.output import AsJson, Table, err, examples, local_time, out, read_hidden, report_errors
from motlan.errors import ConfigurationError
from motlan.settings import Settings, load
from motlan.store import Store, open_store

app = typer.Typer(
    help="The people who sign in here.",
    epilog=examples("motlan people add an --role admin", "motlan people list", "motlan sign-in an"),
    no_args_is_help=True,
)
SIGN_IN = examples("motlan sign-in an", "motlan sign-in an < secret.txt")
SIGN_OUT = examples("motlan sign-out")
WHOAMI = examples("motlan whoami", "motlan whoami --json")
Name = Annotated[str, typer.Argument(help="What the person signs in as.")]


def _open() -> tuple[Store, Settings]:
    settings = load()
    return open_store(settings), settings


@app.command(epilog=examples("motlan people add an --role admin", "motlan people add binh --account binh"))
def add(
    name: Name,
    role: Annotated[str, typer.Option(help=f"One of {', '.join(people.ROLES)}.")] = people.STEWARD,
    account: Annotated[str | None, typer.Option(help="The machine account that is theirs alone, if any.")] = None,
) -> None:
    """Add a person, and print the one-time secret with which they sign in first. Give it to nobody else."""
    with report_errors():
        uid = None
        if account is not None:
            try:
                uid = pwd.getpwnam(account).pw_uid
            except (KeyError, ValueError):
                raise ConfigurationError("this machine has no such account", next_step="name another one.") from None
        out.print(people.add(*_open(), name, role, uid), markup=False, highlight=False)


@app.command(epilog=examples("motlan people reset an"))
def reset(name: Name) -> None:
    """Print a new one-time secret for somebody who forgot their passphrase."""
    with report_errors():
        out.print(people.reset(*_open(), name), markup=False, highlight=False)


@app.command(epilog=examples("motlan people remove an"))
def remove(name: Name) -> None:
    """Remove a person; what they decided stays. Their name is not given again."""
    with report_errors():
        people.remove(*_open(), name)
        err.print(f"{name}: removed", markup=False, highlight=False)


@app.command("list", epilog=examples("motlan people list", "motlan people list --json"))
def list_(as_json: AsJson = False) -> None:
    """List who may sign in, and who once could."""
    with report_errors(as_json):
        found = people.listed(_open()[0])
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("name", "role", "account", "state", "added (local)", "by")
    for row in found:
        cells = (row["name"], row["role"], row["account"] or "", row["state"], local_time(row["added_at"]))
        table.add_row(*map(escape, (*cells, row["added_by"])))
    out.print(table if table.row_count else "nobody yet: motlan people add NAME --role admin")


def sign_in(name: Name, as_json: AsJson = False) -> None:
    """Sign in on this machine account, for some hours.

    Asks for the passphrase, or reads it as the first line of standard input; it is never an argument. With the one-time
    secret instead, a passphrase is chosen: asked for twice, or read as the second line.
    """
    with report_errors(as_json):
        store, settings = _open()
        until = people.sign_in(store, settings, name, read_hidden("Passphrase or one-time secret: "), _chosen)
        principal = principals.current(store, settings)
    if as_json:
        out.print_json(json.dumps({"principal": principal, "until": until.isoformat()}))
    else:
        err.print(f"{principal} until {local_time(until.isoformat())}", markup=False, highlight=False)


def _chosen() -> str:
    chosen = read_hidden(f"New passphrase, {people.SHORTEST} characters or more: ")
    if sys.stdin.isatty() and read_hidden("Once more: ") != chosen:
        raise ConfigurationError("the two passphrases differ", next_step="sign in again with the one-time secret.")
    return chosen


def sign_out(as_json: AsJson = False) -> None:
    """End the sign-in of this machine account."""
    with report_errors(as_json):
        store, settings = _open()
        was = people.sign_out(store, settings)
    if as_json:
        out.print_json(json.dumps({"signed_out": was}))
    else:
        err.print("signed out" if was else "nobody was signed in")


def whoami(as_json: AsJson = False) -> None:
    """Show as whom you act here: as the person who signed in, or else as the machine account."""
    with report_errors(as_json):
        store, settings = _open()
        person = principals.signed_in(store, settings)
        found = {"principal": principals.current(store, settings), "account": principals.account()}
        if person is not None:
            found |= {"role": person["role"], "until": person["expires_at"].isoformat()}
    if as_json:
        out.print_json(json.dumps(found))
        return
    until = (
        f" ({found['role']}, on {found['account']}, until {local_time(found['until'])})" if person is not None else ""
    )
    out.print(f"{found['principal']}{until}", markup=False, highlight=False)
