"""Publish: one small transaction makes a run visible, numbers its feed and appends to the log.

Publishing moves no rows, so it is quick at any size. The projection (see `project`) is loaded after it.
"""

from __future__ import annotations

import sqlalchemy as sa

from motlan.errors import ContractError
from motlan.ledger import log, runs
from motlan.ledger.file_entries import append_files
from motlan.ledger.results import Begun, Compared, Linked, Merged, Published
from motlan.publication import epochs
from motlan.store import tables


def last_number(connection: sa.Connection, entity: str | None = None) -> int:
    """Return the number of the newest publication, of an entity or of all; 0 where there is none.

    All publications are numbered together, without gaps within an epoch; the changes of each entity have numbers of their own.
    """
    table = tables.publications.c
    query = sa.select(sa.func.coalesce(sa.func.max(table.number), 0))
    return int(connection.execute(query.where(table.entity == entity) if entity else query).scalar_one())


def publish(connection: sa.Connection, run: runs.Run) -> Published:
    """Make a reconciled run visible, in the publisher's transaction.

    Raises:
        ContractError: Another run of its entity was published since this one began: its comparison is stale.
    """
    linked, compared = run.result(Linked), run.result(Compared)
    changed = linked.changed + compared.versions + compared.corrections + compared.findings
    changed += sum(related["versions"] for related in compared.related_entities.values())
    given = epochs.given_out(connection)
    seq = given.seqs.get(run.subject, 0)
    if not changed:
        runs.set_state(connection, run.id, "unchanged")
        return Published(number=None, first_seq=seq + 1, last_seq=seq, changes=0)
    if last_number(connection, run.subject) != run.result(Begun).after_publication:
        raise ContractError(
            "another run was published since this one began", where=run.id, next_step="run `motlan reconcile` again."
        )
    number = given.publication + 1
    values = {"number": number, "run": run.id, "entity": run.subject, "first_seq": seq + 1}
    connection.execute(sa.insert(tables.publications).values(**values, changes=compared.changes))
    for name, related in compared.related_entities.items():
        _number_related(connection, number, name, given.seqs.get(name, 0) + 1, related["changes"])
    for snapshots in (linked.snapshots, compared.snapshots):
        for table, snapshot in snapshots.items():
            runs.record_snapshot(connection, run.id, table, snapshot)
    runs.set_state(connection, run.id, "published")
    decided = {"link": linked.version, "merge": run.result(Merged).version}
    append_files(connection)
    body = {**values, "changes": compared.changes, "versions": decided, "rows": compared.rows}
    log.append(connection, "publication", body)
    return Published(number=number, first_seq=seq + 1, last_seq=seq + compared.changes, changes=compared.changes)


def _number_related(connection: sa.Connection, publication: int, entity: str, first: int, changes: int) -> None:
    """Give an entity beside the main one the next numbers of its own feed."""
    values = {"publication": publication, "entity": entity, "first_seq": first, "changes": changes}
    connection.execute(sa.insert(tables.related_publications).values(**values))


def find_published(connection: sa.Connection, run: str) -> Published:
    """Return what publishing a run gave, for a retry after a kill."""
    table = tables.publications
    found = connection.execute(sa.select(table).where(table.c.run == run)).one()
    last_seq = found.first_seq + found.changes - 1
    return Published(number=found.number, first_seq=found.first_seq, last_seq=last_seq, changes=found.changes)
