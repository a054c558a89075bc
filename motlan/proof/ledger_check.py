"""The check of the ledger: what PostgreSQL says of publications, versions and decisions, against the log."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from motlan.ledger import accesses
from motlan.ledger.row_log import read_commitments
from motlan.ledger.versions import version_id
from motlan.proof.findings import Finding
from motlan.proof.log_check import Read
from motlan.store import tables


def check_ledger(connection: sa.Connection, read: Read) -> Iterator[Finding]:
    """Give the publications, runs, versions and decisions that are not as the log says."""
    yield from _publications(connection, read)
    yield from _landings(connection, read)
    yield from _versions(connection)
    yield from _decisions(connection, read)


def check_accesses(connection: sa.Connection, read: Read) -> Iterator[Finding]:
    """Give the accesses that are not as the log says."""
    for number, day, what in accesses.mismatches(connection, read.accesses):
        said = "the log knows no such access" if what == "added" else f"the access was {what}"
        yield Finding("accesses", "accesses", str(number), day, said)


def _publications(connection: sa.Connection, read: Read) -> Iterator[Finding]:
    table = tables.publications
    found = {row["run"]: row for row in connection.execute(sa.select(table)).mappings()}
    for run, body in read.publications.items():
        row = found.pop(run, None)
        place = f"publication {body['number']}"
        if row is None:
            yield Finding("ledger", place, "", body["day"], "the publication is missing")
        elif any(row[name] != body[name] for name in ("number", "entity", "first_seq", "changes")):
            yield Finding("ledger", place, "", body["day"], "the publication is not as the log says")
    for row in found.values():
        day = str(row["recorded_at"].date())
        yield Finding("ledger", f"publication {row['number']}", "", day, "the log knows no such publication")


def _landings(connection: sa.Connection, read: Read) -> Iterator[Finding]:
    """A sync run that landed rows is visible if and only if the log says so."""
    table = tables.runs.c
    query = sa.select(table.id, table.started_at).where(table.kind == "sync", table.state == "visible")
    landed = sa.cast(table.steps["land"]["landed"].astext, sa.BigInteger) > 0
    found = {row.id: str(row.started_at.date()) for row in connection.execute(query.where(landed))}
    for run in sorted(found.keys() - read.landings.keys()):
        yield Finding("ledger", f"run {run}", "", found[run], "the log knows no such landing")
    for run in sorted(read.retracted & found.keys()):
        yield Finding("ledger", f"run {run}", "", found[run], "the run was taken back and is visible")
    for run in sorted(read.landings.keys() - read.retracted - found.keys()):
        yield Finding("ledger", f"run {run}", "", read.landings[run]["day"], "the run that landed rows is not visible")


def _versions(connection: sa.Connection) -> Iterator[Finding]:
    """A version is named by the hash of what it says; publications and landings name those that made them."""
    table = tables.versions
    known = set()
    for row in connection.execute(sa.select(table).execution_options(yield_per=1_000)).mappings():
        known.add(row["id"])
        if version_id(row["kind"], row["subject"], row["body"]) != row["id"]:
            day = str(row["created_at"].date())
            yield Finding("ledger", f"version {row['id'][:12]}", "", day, "the version does not say what it did")
    named = {version for body in read_versions(connection) for version in body}
    for version in sorted(named - known):
        yield Finding("ledger", f"version {version[:12]}", "", "", "the version is missing")


def _decisions(connection: sa.Connection, read: Read) -> Iterator[Finding]:
    """What people decided, who may decide, and the keys of agencies: each row is bound by the log."""
    left = dict(read.rows)
    for name, commitment, day in read_commitments(connection):
        table, _, key = name.partition(" ")
        bound = left.pop(name, None)
        if bound is None:
            yield Finding("ledger", table, key, day, "the log knows no such row")
        elif bound[0] != commitment:
            yield Finding("ledger", table, key, bound[1], "the row is not as the log says")
    for name, (_, day) in left.items():
        table, _, key = name.partition(" ")
        yield Finding("ledger", table, key, day, "the row is missing")


def read_versions(connection: sa.Connection) -> Iterator[list[str]]:
    """Give the versions that entries of the log name."""
    entry = tables.log_entries.c
    query = sa.select(entry.kind, entry.body).where(entry.kind.in_(("landing", "publication")))
    for kind, body in connection.execute(query):
        yield [body["version"]] if kind == "landing" else [one for one in body["versions"].values() if one]
