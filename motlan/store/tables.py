"""The fixed tables of the store. Alembic owns them; projections of the lake are made elsewhere, from the schemas."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True, comment="sorts by start"),
    Column("kind", Text, nullable=False, comment="sync or reconcile"),
    Column("subject", Text, nullable=False, comment="a dataset, or an entity"),
    Column("state", Text, nullable=False, comment="running, visible, published, unchanged or failed"),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
    Column("steps", JSONB, nullable=False, server_default="{}", comment="step -> counts and seconds"),
    Column("error", Text, comment="never a personal value"),
)
snapshots = Table(
    "snapshots",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    Column("table_name", Text, primary_key=True),
    Column("snapshot_id", BigInteger, nullable=False),
)
watermarks = Table(
    "watermarks",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("cursor", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("run", Text, ForeignKey("runs.id"), nullable=False),
)
versions = Table(
    "versions",
    metadata,
    Column("id", Text, primary_key=True, comment="SHA-256 of kind, subject and body"),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
publications = Table(
    "publications",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3, ... without gaps"),
    Column("run", Text, ForeignKey("runs.id"), nullable=False, unique=True),
    Column("entity", Text, nullable=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("projected_at", DateTime(timezone=True)),
)
rule_results = Table(
    "rule_results",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    Column("dataset", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("field", Text, nullable=False),
    Column("dimension", Text, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("assessed", BigInteger, nullable=False),
    Column("passed", BigInteger, nullable=False),
)
log_entries = Table(
    "log_entries",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False, comment="0, 1, 2, ..."),
    Column("kind", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("root_hash", LargeBinary, nullable=False, comment="RFC 9162 tree head after this entry"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
accesses = Table(
    "accesses",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("principal", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="the bus's own person ids or ranges, never an identifier"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
api_keys = Table(
    "api_keys",
    metadata,
    Column("agency", Text, primary_key=True),
    Column("key_hash", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("key_hash"),
)
secrets = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False, comment="random, made once for this installation"),
)
