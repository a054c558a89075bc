"""Erasure of one register's record: its values and salts are destroyed in every store, and tombstones stay.

What the log's roots are over keeps its commitments: the log still verifies, the proofs of others still check, and who knows every
field of the record and not its salt can confirm nothing. Files are rewritten under their own paths: written aside, named in the
log with the digest before and after, put into place by a rename each. A kill at any point is gone on with by `resume`.

What stays: the bus's own person ids, references of landed rows, who looked at what, and what other registers say of the person.
A person none of whose records is left is erased from golden rows and feeds too; of all others the next reconcile, which does
everything anew, leaves out what the record said.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa

from motlan import sweep
from motlan.errors import ConfigurationError, ContractError, InternalError
from motlan.ingest import payloads
from motlan.lake.digests import digest_of, stat_of
from motlan.lake.replace import ASIDE, aside, name_anew, put_in_place
from motlan.ledger import erasures, holds, log, runs
from motlan.ledger.file_entries import append_files
from motlan.ledger.row_log import ROWS
from motlan.proof import checkpoints
from motlan.quality.check_state import CHECKS
from motlan.stewardship import erased_store
from motlan.stewardship.erased_rows import Rewriting
from motlan.stewardship.erasure_search import Found, find
from motlan.store import tables
from motlan.workspace import Workspace

MARKER = "erasing.json"
"""File in the installation's folder while an erasure is under way: what of it stands in no log."""
Watch = Callable[[str, int, int], None]
"""Is given what is done, how much of it is, and how much there is."""


@contextmanager
def _alone(work: Workspace, dataset: str, entity: str) -> Iterator[None]:
    """Be the only one that writes what is of an entity and of the dataset."""
    names = sorted(one.name for one in work.registry.datasets_of(entity)) or [dataset]
    locks = [holds.lock_of("sync", name) for name in names]
    locks += [holds.lock_of(kind, entity) for kind in ("reconcile", "publish", "care")]
    with ExitStack() as held:
        for lock in locks:
            held.enter_context(holds.hold(work.store, lock, wait=holds.patience()))
        yield


def _require_nothing_open(work: Workspace, dataset: str, entity: str) -> None:
    """Refuse where a run may bring back what it staged, and remove what closed runs left.

    Raises:
        ContractError: A run is not at its end.
    """
    table = tables.runs.c
    of = sa.or_(
        sa.and_(table.kind == "sync", table.subject == dataset),
        sa.and_(table.kind == "reconcile", table.subject == entity),
    )
    newest = sa.select(sa.func.max(table.id)).where(of).group_by(table.kind)
    query = sa.select(table.id, table.state).where(
        of,
        sa.or_(
            table.state.in_(("running", *runs.WAITING)), sa.and_(table.state.in_(runs.STOPPED), table.id.in_(newest))
        ),
    )
    with work.store.engine.connect() as connection:
        found = connection.execute(query.order_by(table.id).limit(1)).one_or_none()
    if found:
        what = "publish or refuse it" if found.state in runs.WAITING else "go on with it (`motlan runs retry`)"
        raise ContractError(
            f"a run is not at its end ({found.state}), and has what is to be erased",
            where=found.id,
            next_step=f"{what}, or end it: `motlan runs abort {found.id}`. Then erase.",
        )
    for kind, subject in (("sync", dataset), ("reconcile", entity)):
        sweep.discard(work, kind, subject, newest_too=True)
    sweep.sweep(work)


def erase(
    work: Workspace,
    dataset: str,
    principal: str,
    reason: str,
    *,
    key: str | None = None,
    refs: Sequence[str] = (),
    request: str = "",
    watch: Watch = lambda _, __, ___: None,
) -> dict[str, Any]:
    """Erase a record.

    Args:
        work: The open installation.
        dataset: Whose record it is.
        principal: Who erases.
        reason: Why; it stands in the log for ever, and names nobody.
        key: The record's key at its source.
        refs: In place of it, references of its landed rows.
        request: The request that it carries out.
        watch: Is given how far it is.

    Returns:
        `erasure` (its id) and the counts of `Found`, `files` (how many were rewritten) and `entry` of the log.

    Raises:
        ConfigurationError: The reason is missing, or another erasure is under way.
        ContractError: A run is not at its end, or a file was altered before.
        DataError: Nothing is landed of the record.
        TransientError: Another process is at work on the dataset or its entity.
    """
    if not reason.strip():
        raise ConfigurationError("an erasure needs its reason", next_step="give --reason; name nobody in it.")
    name = work.registry.dataset(dataset).name
    entity = work.registry.dataset(dataset).entity
    with _alone(work, name, entity):
        with work.store.engine.connect() as connection:
            if other := erasures.under_way(connection):
                raise ConfigurationError(
                    "another erasure is under way",
                    where=str(other["erasure"]),
                    next_step="run `motlan erase --resume` first.",
                )
        _require_nothing_open(work, name, entity)
        _remove_asides(work)
        found = find(work, name, key=key, refs=refs)
        begun = _begin(work, found, {"request": request, "principal": principal, "reason": reason.strip()}, watch)
        entry = _finish(work, begun, watch)
    return {**found.counts(), "erasure": begun["erasure"], "files": len(begun["files"]), "entry": entry}


def _remove_asides(work: Workspace) -> None:
    """Remove what an erasure wrote aside that was killed before it began."""
    for path in work.lake.root.glob(f"*/*/run=*/*{ASIDE}"):
        path.unlink()


def _begin(work: Workspace, found: Found, asked: Mapping[str, str], watch: Watch) -> Mapping[str, Any]:
    """Write all files aside, then in one transaction empty the store's tables and let the log name what will be."""
    erased = found.erased
    with work.engine(f"erasing a record of {erased.dataset}") as engine:
        erased.load(engine)
        rewriting = Rewriting(erased, engine, work.lake.root)
        with work.store.engine.connect() as connection:
            names = sorted(work.lake.tables(connection))
        planned = [(table, added.path) for table in names for added in work.lake.added(table)]
        paths: list[str] = []
        for number, (table, path) in enumerate(planned):
            paths += rewriting.rewrite(table, path)
            watch("writing files aside", number + 1, len(planned))
    body: log.Body = {
        "erasure": secrets.token_hex(8),
        "dataset": erased.dataset,
        "landed": list(erased.refs),
        "persons": len(erased.gone),
        "payloads": sorted(name for name, others in found.payloads.items() if others),
        **asked,
        "files": _digests(work, paths),
    }
    _mark(work, body["erasure"], rewriting.tables, sorted(found.payloads))
    things = {table.split(".")[1]: rows for table, rows in rewriting.things.items()}
    with work.store.publishing() as connection:
        append_files(connection)
        bound = erased_store.erase(connection, work, erased, things)
        body |= {ROWS: bound} if bound else {}
        erasures.begin(connection, body)
    return body


def _digests(work: Workspace, paths: Sequence[str]) -> dict[str, list[str]]:
    """Return the digests of files before and after.

    Raises:
        InternalError: A file is not the one that was recorded.
    """
    files = tables.lake_files.c
    names = {os.path.relpath(path, work.lake.root): path for path in paths}
    query = sa.select(files.path, files.sha256).where(files.path.in_(names), files.removed_at.is_(None))
    with work.store.engine.connect() as connection:
        known = {row.path: bytes(row.sha256) for row in connection.execute(query)}
    found = {}
    for name, path in sorted(names.items()):
        before = digest_of(path)
        if known.get(name) != before:
            raise InternalError(
                f"the file lake/{name} was altered: its content is not what was recorded",
                where="lake",
                next_step="`motlan audit verify` finds what else was changed. Nothing was erased.",
            )
        new = aside(path)
        empty = not pq.read_metadata(new).num_rows  # Iceberg's readers pass over a file without rows
        found[name] = [before.hex(), "" if empty else digest_of(new).hex()]
        if empty:
            new.unlink()
    return found


def _mark(work: Workspace, erasure: str, named: Mapping[str, Sequence[str]], destroyed: Sequence[str]) -> None:
    """Leave in a file what a resumed erasure needs and no log may have: which payloads are destroyed."""
    root = work.lake.root
    of_tables = {table: [os.path.relpath(path, root) for path in paths] for table, paths in named.items()}
    draft = work.settings.var / f"{MARKER}.draft"
    with draft.open("w", encoding="utf-8") as file:
        json.dump({"erasure": erasure, "tables": of_tables, "payloads": list(destroyed)}, file)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(work.settings.var / MARKER)


def resume(work: Workspace, watch: Watch = lambda _, __, ___: None) -> dict[str, Any]:
    """Go on with an erasure that was stopped.

    Raises:
        ConfigurationError: None is under way.
    """
    with work.store.engine.connect() as connection:
        begun = erasures.under_way(connection)
    if begun is None:
        raise ConfigurationError("no erasure is under way", next_step="see `motlan erase --list`.")
    dataset = work.registry.dataset(str(begun["dataset"]))
    with _alone(work, dataset.name, dataset.entity):
        entry = _finish(work, begun, watch)
    names = {"dataset": dataset.name, "rows": len(begun["landed"]), "persons_erased": begun["persons"]}
    return {**names, "erasure": begun["erasure"], "files": len(begun["files"]), "entry": entry}


def _finish(work: Workspace, begun: Mapping[str, Any], watch: Watch) -> int:
    """Put the files into place, destroy the payloads, name the files anew, and say so in the log; return the entry's index."""
    marked = _read_mark(work, begun)
    root = work.lake.root
    for number, (name, (before, after)) in enumerate(begun["files"].items()):
        put_in_place(root / name, before, after)
        _record(work, name, after)
        watch("putting files into place", number + 1, len(begun["files"]))
    for name in marked["payloads"]:
        payloads.path(work.settings.payloads, name).unlink(missing_ok=True)
    for entity in work.registry.entities:  # what the last cross-check left: the next reconcile does everything anew
        shutil.rmtree(root / CHECKS / entity, ignore_errors=True)
    for number, (table, names) in enumerate(marked["tables"].items()):
        name_anew(work.lake, table, [str(root / name) for name in names])
        with work.store.publishing() as connection:
            append_files(connection)
        watch("naming files anew", number + 1, len(marked["tables"]))
    with work.store.publishing() as connection:
        append_files(connection)
        entry = erasures.end(connection, begun)
    (work.settings.var / MARKER).unlink(missing_ok=True)
    _vacuum(work)
    checkpoints.try_sign(work.store, work.settings)
    return entry


def _read_mark(work: Workspace, begun: Mapping[str, Any]) -> dict[str, Any]:
    path = work.settings.var / MARKER
    marked: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if marked.get("erasure") == begun["erasure"]:
        return marked
    named: dict[str, list[str]] = {}
    for name in begun["files"]:
        named.setdefault(".".join(name.split("/")[:2]), []).append(name)
    return {"tables": named, "payloads": begun["payloads"]}


def _record(work: Workspace, name: str, after: str) -> None:
    """Record the digest of a file that is in place now."""
    if after:
        files, path = tables.lake_files, work.lake.root / name
        values = {"sha256": bytes.fromhex(after), "bytes": path.stat().st_size, "stat": stat_of(path)}
        with work.store.engine.begin() as connection:
            connection.execute(sa.update(files).where(files.c.path == name).values(**values))


def _vacuum(work: Workspace) -> None:
    """Let PostgreSQL overwrite what rows were before."""
    with work.store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("vacuum"))
