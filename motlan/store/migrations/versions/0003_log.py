"""The log's inner nodes and signed checkpoints, the digests of the lake's files; a leaf is of moment, kind and body."""

import hashlib

import rfc8785
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
_BOUND = (
    "run_decisions",
    "api_keys",
    "people",
    "quarantine_decisions",
    "value_decisions",
    "approvals",
    "publication_holds",
    "link_decisions",
)


def upgrade() -> None:
    """Make the tables, and the log's tree anew."""
    op.create_table(
        "log_nodes",
        sa.Column(
            "level",
            sa.SmallInteger(),
            autoincrement=False,
            nullable=False,
            comment="1, 2, ...: of 2^level entries",
        ),
        sa.Column(
            "index",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="of entries from index * 2^level on",
        ),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "index"),
    )
    op.create_table(
        "log_checkpoints",
        sa.Column(
            "size",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="entries of the log that it signs",
        ),
        sa.Column(
            "note", sa.Text(), nullable=False, comment="C2SP tlog-checkpoint, with the cosignatures of witnesses"
        ),
        sa.Column("signed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("size"),
    )
    op.create_table(
        "lake_files",
        sa.Column("path", sa.Text(), nullable=False, comment="under the lake's folder"),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), comment="the run that staged it; none of a table's metadata"),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column(
            "stat",
            sa.Text(),
            nullable=False,
            comment="size, moments and number of the file when its content was read last",
        ),
        sa.Column("entry", sa.BigInteger(), comment="the log's entry that names it"),
        sa.Column("removed_at", sa.DateTime(timezone=True), comment="since when the bus itself has removed it"),
        sa.Column("removal", sa.BigInteger(), comment="the log's entry that tells of it"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("path"),
    )
    op.create_index("lake_files_by_table", "lake_files", ["table_name"])
    op.create_index(
        "lake_files_unlogged",
        "lake_files",
        ["path"],
        postgresql_where=sa.text("entry is null or removed_at is not null and removal is null"),
    )
    for table in _BOUND:
        default = sa.text("gen_random_uuid()")
        salt = sa.Column("salt", sa.Uuid(), server_default=default, nullable=False, comment="of the row's commitment")
        op.add_column(table, salt)
    op.alter_column("log_entries", "recorded_at", server_default=None, comment="part of the leaf")
    _make_tree()


def _make_tree() -> None:
    """Compute the leaf of each entry as it is now, the heads, and the inner nodes."""
    connection = op.get_bind()
    select = sa.text(
        'select "index", kind, body, recorded_at at time zone \'utc\' as at from log_entries order by "index"'
    )
    update = sa.text('update log_entries set leaf_hash = :leaf, root_hash = :head where "index" = :index')
    insert = sa.text('insert into log_nodes (level, "index", hash) values (:level, :index, :hash)')
    frontier: list[bytes | None] = []
    for row in connection.execute(select).mappings().all():
        moment = row["at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        data = rfc8785.dumps({"at": moment, "body": row["body"], "kind": row["kind"]})
        node = leaf = hashlib.sha256(b"\x00" + data).digest()
        level = 0
        while level < len(frontier) and (left := frontier[level]) is not None:
            node = hashlib.sha256(b"\x01" + left + node).digest()
            frontier[level] = None
            level += 1
            connection.execute(insert, {"level": level, "index": row["index"] >> level, "hash": node})
        frontier += [None] * (level + 1 - len(frontier))
        frontier[level] = node
        head: bytes | None = None
        for part in frontier:
            if part is not None:
                head = part if head is None else hashlib.sha256(b"\x01" + part + head).digest()
        connection.execute(update, {"leaf": leaf, "head": head, "index": row["index"]})
