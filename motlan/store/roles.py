"""The store's roles, each with what it needs: the owner migrates, `_bus` works, `_feeds` serves, `_audit` reads.

The script is PostgreSQL's SQL for whoever may make roles; it is run again after a new version of the bus, and changes nothing
where all is as it says. No role but the owner can change or remove what the ledger has, and the owner is no service's.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from motlan.errors import ConfigurationError
from motlan.store.tables import metadata

BUS, FEEDS, AUDIT = "bus", "feeds", "audit"
KINDS = (BUS, FEEDS, AUDIT)
MEANINGS = {
    BUS: "pipeline and commands: adds to the ledger, and changes or removes nothing of it",
    FEEDS: "the feeds' server: reads what it serves, adds accesses",
    AUDIT: "auditors: reads, adds accesses",
}
LEDGER = (
    "log_entries",
    "log_nodes",
    "log_checkpoints",
    "accesses",
    "versions",
    "approvals",
    "run_decisions",
    "quarantine_decisions",
    "value_decisions",
    "link_decisions",
)
"""Tables that are only added to."""
_CHANGED = {
    "log_checkpoints": "note",
    "link_decisions": "withdrawn_at, withdrawn_by, withdrawn_reason, left_ref, right_ref",
}
"""Columns of them that are filled later: cosignatures of witnesses; that a decision was withdrawn, and its rows."""
SERVED = ("alembic_version", "api_keys", "publications", "related_publications", "feed_epochs")
"""Tables that the feeds read, beside feeds and golden tables."""
_HIDDEN = ("secrets", "sign_ins", "people", "api_keys")
"""Tables that auditors do not read: what keys, passphrases and persons' ids follow from."""
_PROJECTED = "^(golden|feed|corrections)_"


def maintain(connection: sa.Connection) -> None:
    """Let this transaction change the ledger, as an erasure that the law wants does; it is its owner's alone.

    Raises:
        ConfigurationError: This role does not own the ledger.
    """
    owns = (
        "select pg_has_role(current_user, (select relowner from pg_class where oid = 'accesses'::regclass), 'member')"
    )
    if not connection.execute(sa.text(owns)).scalar_one():
        raise ConfigurationError(
            "this database role may not change the ledger", next_step="do it with the URL of the tables' owner."
        )
    connection.execute(sa.text("select set_config('motlan.maintenance', 'on', true)"))


def role(database: str, kind: str) -> str:
    """Return the name of a database's role."""
    return f"{database}_{kind}"


def script(database: str, owner: str) -> str:
    """Return the SQL that makes the roles of a database and gives each what it needs.

    Args:
        database: The store's database.
        owner: The role that owns its tables, and migrates them.
    """
    return "\n".join(
        f"{statement.strip()};"
        for statement in (
            *_roles(database),
            *_of_bus(database, owner),
            *of_feeds(role(database, FEEDS)),
            *_of_audit(database, owner),
        )
    )


def _roles(database: str) -> Iterable[str]:
    for kind in KINDS:
        name = role(database, kind)
        yield (
            f"do $$ begin if not exists (select from pg_roles where rolname = '{name}') then create role \"{name}\" login; "
            "end if; end $$"
        )
        yield f'grant connect on database "{database}" to "{name}"'
        yield f'grant usage on schema public to "{name}"'


def _of_bus(database: str, owner: str) -> Iterable[str]:
    """It works on all tables, adds to the ledger, and owns what is made again from the lake."""
    name, fixed = role(database, BUS), ", ".join(f"'{table}'" for table in metadata.tables)
    yield f'grant create, temporary on database "{database}" to "{name}"'
    yield f'grant create on schema public to "{name}"'
    yield f'grant select, insert, update, delete on all tables in schema public to "{name}"'
    yield f'grant usage, select on all sequences in schema public to "{name}"'
    yield f'revoke update, delete, truncate on {", ".join(LEDGER)} from "{name}"'
    yield f'revoke insert, update, delete, truncate on alembic_version from "{name}"'
    for table, columns in _CHANGED.items():
        yield f'grant update ({columns}) on {table} to "{name}"'
    for statement in (
        f'grant select, insert, update, delete on tables to "{name}"',
        f'grant usage, select on sequences to "{name}"',
    ):
        yield f'alter default privileges for role "{owner}" in schema public {statement}'
    yield f"""do $$ declare one record; begin
        for one in select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
                   and relname ~ '{_PROJECTED}' and relname not in ({fixed}) and pg_get_userbyid(relowner) = '{owner}' loop
            execute format('alter table public.%I owner to %I', one.relname, '{name}');
        end loop; end $$"""


def of_feeds(name: str) -> Iterable[str]:
    """Return what the role that serves the feeds needs of the fixed tables: it adds accesses, and their entries of the log."""
    yield f'grant select on {", ".join(SERVED)} to "{name}"'
    yield f'grant insert on accesses to "{name}"'
    yield f'grant usage on sequence accesses_id_seq to "{name}"'
    # Hashes alone: what entries say is no business of the feeds.
    yield f'grant select on log_nodes, log_checkpoints to "{name}"'
    yield f'grant select ("index", leaf_hash, root_hash) on log_entries to "{name}"'
    # Each access is an entry; a trigger lets this role append no other kind.
    yield f'grant insert on log_entries, log_nodes to "{name}"'


def _of_audit(database: str, owner: str) -> Iterable[str]:
    """It reads all but what secrets follow from, and can add its own accesses."""
    name, bus = role(database, AUDIT), role(database, BUS)
    yield f'grant select on all tables in schema public to "{name}"'
    yield f'revoke all on {", ".join(_HIDDEN)} from "{name}"'
    yield f'grant insert on accesses, log_entries, log_nodes to "{name}"'
    yield f'grant usage on sequence accesses_id_seq to "{name}"'
    for maker in (owner, bus):  # in whatever schema: what is built anew is built aside
        yield f'alter default privileges for role "{maker}" grant select on tables to "{name}"'
