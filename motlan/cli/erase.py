"""`motlan erase`: one register's record is destroyed in every store, by one person who asks and another who confirms."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from motlan import people, principals
from motlan.cli.output import (
    AsJson,
    Table,
    err,
    examples,
    local_time,
    out,
    progress_bars,
    read_hidden,
    releaser,
    report_done,
    report_errors,
)
from motlan.errors import AccessError, ConfigurationError
from motlan.ledger import erasures
from motlan.settings import load
from motlan.store import open_store
from motlan.workspace import Workspace, open_workspace

EPILOG = examples(
    "motlan erase {dataset} --dry-run",
    "motlan erase {dataset} --reason 'order 12/2026 of the court'",
    "motlan erase --confirm ID",
    "motlan erase --list",
)
STANDS = "an erasure that began is gone on with by `motlan erase --resume`; before that nothing is changed."


def erase(
    dataset: Annotated[str | None, typer.Argument(help="As `motlan status` lists them.")] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(
            help="A landed row of the record, as `motlan lineage` shows it, in place of its key.", metavar="REF"
        ),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Why. It stands in the log for ever: name nobody, and no number of theirs.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be destroyed; ask for nothing.")] = False,
    confirm: Annotated[
        str | None, typer.Option(help="Carry out what another person asked for.", metavar="REQUEST")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an erasure that was stopped.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="After a restore: erase what was erased since its backup.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="List requests and erasures.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Destroy one register's record in every store: landed rows, what was made of them, and the payloads that hold it.

    Asks for the record's key at its source at a prompt, or reads it from standard input; it is never an argument, because
    arguments stand in process lists and shell histories. One person asks, and an admin who is another person confirms.

    Values and salts are destroyed; references, the bus's own person ids and commitments stay, so that the log still verifies.
    Erase at the source first: what it still has, the next sync lands again. Afterwards `motlan reconcile` and `motlan publish`
    leave out what the record said of persons whom other registers know.
    """
    from motlan.stewardship import erasure_requests as requests

    with report_errors(as_json, STANDS):
        work = open_workspace()
        if list_:
            _show(requests.listed(work), as_json)
        elif resume or again or confirm:
            _carry_out(work, confirm, resume=resume, yes=yes, as_json=as_json)
        else:
            _request(work, dataset, row or [], reason, dry_run=dry_run, as_json=as_json)


def _request(
    work: Workspace, dataset: str | None, rows: list[str], reason: str | None, *, dry_run: bool, as_json: bool
) -> None:
    from motlan.stewardship import erasure_requests as requests
    from motlan.stewardship.erasure_search import find

    if dataset is None:
        raise ConfigurationError("a dataset is needed", next_step="see `motlan erase --help`.")
    if not (reason or dry_run):
        raise ConfigurationError("an erasure needs its reason", next_step="give --reason; name nobody in it.")
    principal = releaser()
    work.registry.dataset(dataset)
    key = None if rows else read_hidden("Key of the record: ")
    found = find(work, dataset, key=key, refs=rows)
    if dry_run:
        requests.record_look(work, found, principal)
        report_done(found.counts(), as_json, _describe(found.counts()))
        return
    request = requests.request(work, found, principal, reason or "")
    line = f"{_describe(found.counts())}\nasked for. Next: another person, an admin, runs `motlan erase --confirm {request}`."
    report_done({**found.counts(), "request": request}, as_json, line)


def _carry_out(work: Workspace, request: str | None, *, resume: bool, yes: bool, as_json: bool) -> None:
    from motlan.stewardship import erasure
    from motlan.stewardship import erasure_requests as requests

    principal = _admin()
    if request:
        asked = requests.find(work, request)
        if not yes and sys.stdin.isatty():
            about = f"{len(asked['landed'])} landed rows of {asked['dataset']} ({asked['reason']})"
            typer.confirm(f"Destroy {about} for ever?", abort=True, err=True)
    with progress_bars(as_json) as watch:
        if request:
            done: list[dict[str, Any]] = [requests.confirm(work, request, principal, watch)]
        elif resume:
            done = [erasure.resume(work, watch)]
        else:
            done = requests.repeat(work, principal, watch)
    erasures.save_list(work.store, work.settings.backup)
    kept = work.settings.backup_days if work.settings.backup else None
    if as_json:
        out.print_json(json.dumps({"erased": done, "backups_keep_days": kept}))
        return
    for one in done:
        err.print(
            f"erased: {one['rows']} landed rows of {one['dataset']}; {one['files']} files, entry {one['entry']} of the log."
        )
    if kept:
        err.print(
            f"Backups hold it for {kept} days more (MOTLAN_BACKUP_KEEP). After a restore: `motlan erase --again`."
        )
    err.print("Next: `motlan reconcile` and `motlan publish`; the reconcile does everything anew.", markup=False)


def _admin() -> str:
    """Return who acts here: an admin who signed in.

    Raises:
        AccessError: Nobody did, or somebody who is none.
    """
    settings = load()
    found = principals.signed_in(open_store(settings), settings)
    if found is None or found["role"] != people.ADMIN:
        raise AccessError(
            "only an admin who signed in carries out an erasure", next_step="run `motlan sign-in NAME` as one."
        )
    return f"{principals.PERSON}{found['name']}"


def _describe(counts: dict[str, Any]) -> str:
    others = counts["rows_of_others_in_payloads"]
    return (
        f"{counts['rows']} landed rows of {counts['dataset']}, {counts['payloads']} payloads (with {others} rows of others, "
        f"which stay, and whose file as received is gone then), {counts['quarantine_entries']} entries of the quarantine; "
        f"{counts['persons_erased']} persons of whom nothing is left, {counts['persons_left']} of whom other records are"
    )


def _show(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("request", "erasure", "dataset", "rows", "state", "at (local)", "by", "why")
    for one in found:
        cells = (one["request"] or "", one["erasure"] or "", one["dataset"], str(one["rows"]), one["state"])
        table.add_row(*cells, local_time(one["at"]), one["principal"], one["reason"])
    out.print(table if table.row_count else "nothing was erased")
