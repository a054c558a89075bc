"""Accesses say whose which fields were seen and on which basis; each is an entry of the log, those that were there before too."""

import hashlib
import secrets
from datetime import UTC, datetime

import rfc8785
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns, and enter the accesses that are there into the log."""
    for column in (
        sa.Column("entity", sa.Text()),
        sa.Column("persons", postgresql.ARRAY(sa.Text()), comment="the bus's own ids, where they are few"),
        sa.Column("first_seq", sa.BigInteger(), comment="of a page of changes"),
        sa.Column(
            "last_seq",
            sa.BigInteger(),
            comment="of a page of changes; of a snapshot the number at which its rows stand",
        ),
        sa.Column("first_key", postgresql.UUID(as_uuid=False), comment="of a page of a snapshot: the bus's own ids"),
        sa.Column("last_key", postgresql.UUID(as_uuid=False)),
        sa.Column("fields", postgresql.ARRAY(sa.Text())),
        sa.Column("purpose", sa.Text()),
        sa.Column("legal_basis", sa.Text()),
        sa.Column("case_reference", sa.Text()),
        sa.Column("salt", sa.LargeBinary(), comment="random; what the commitment in the log is made with"),
        sa.Column("commitment", sa.LargeBinary(), comment="SHA-256 of the salt and the row's canonical JSON"),
        sa.Column("log_index", sa.BigInteger(), comment="the log's entry"),
    ):
        op.add_column("accesses", column)
    op.create_index("accesses_by_person", "accesses", ["persons"], postgresql_using="gin")
    op.create_index("accesses_by_principal", "accesses", ["principal", "id"])
    op.create_index(
        "accesses_in_bulk", "accesses", ["entity", "last_seq"], postgresql_where=sa.text("last_seq is not null")
    )
    _enter()


def _enter() -> None:
    """Append an entry to the log for each access that is there."""
    connection = op.get_bind()
    select = sa.text(
        "select id, principal, action, subject, recorded_at at time zone 'utc' as at from accesses order by id"
    )
    update = sa.text("update accesses set salt = :salt, commitment = :made, log_index = :index where id = :id")
    insert = sa.text(
        'insert into log_entries ("index", kind, body, leaf_hash, root_hash, recorded_at) '
        "values (:index, 'access', cast(:body as jsonb), :leaf, :head, :at)"
    )
    inner = sa.text('insert into log_nodes (level, "index", hash) values (:level, :index, :hash)')
    index = connection.execute(sa.text("select count(*) from log_entries")).scalar_one()
    frontier = _frontier(connection, index)
    for row in connection.execute(select).mappings().all():
        said = {name: row[name] for name in ("id", "principal", "action", "subject")}
        said |= {"recorded_at": row["at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
        salt, at = secrets.token_bytes(16), datetime.now(UTC)
        made = hashlib.sha256(salt + rfc8785.dumps(said)).digest()
        body = {"access": row["id"], "commitment": made.hex()}
        data = rfc8785.dumps({"at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "body": body, "kind": "access"})
        node = leaf = hashlib.sha256(b"\x00" + data).digest()
        level = 0
        while level in frontier:
            node = hashlib.sha256(b"\x01" + frontier.pop(level) + node).digest()
            level += 1
            connection.execute(inner, {"level": level, "index": index >> level, "hash": node})
        frontier[level] = node
        head = b""
        for part in sorted(frontier):
            head = hashlib.sha256(b"\x01" + frontier[part] + head).digest() if head else frontier[part]
        text = rfc8785.dumps(body).decode()
        connection.execute(insert, {"index": index, "body": text, "leaf": leaf, "head": head, "at": at})
        connection.execute(update, {"salt": salt, "made": made, "index": index, "id": row["id"]})
        index += 1


def _frontier(connection: sa.Connection, size: int) -> dict[int, bytes]:
    """Return level -> head of the complete subtree of 2^level entries that stands at the log's end."""
    found = {}
    for level in range(size.bit_length()):
        if size >> level & 1:
            table, column = ("log_entries", "leaf_hash") if level == 0 else ("log_nodes", "hash")
            where = f'"index" = {(size >> level) - 1}' + (f" and level = {level}" if level else "")
            found[level] = bytes(
                connection.execute(sa.text(f"select {column} from {table} where {where}")).scalar_one()
            )
    return found
