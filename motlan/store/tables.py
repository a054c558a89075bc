"""The fixed tables of the store. Alembic owns them; projections of the lake are made elsewhere, from the schemas."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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
province_results = Table(
    "province_results",
    metadata,
    Column("run", Text, primary_key=True),
    Column("dataset", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("province", Text, primary_key=True, comment="of residence; empty where none is known"),
    Column("assessed", BigInteger, nullable=False),
    Column("passed", BigInteger, nullable=False),
    ForeignKeyConstraint(["run", "dataset", "rule"], ["rule_results.run", "rule_results.dataset", "rule_results.rule"]),
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
quarantine_entries = Table(
    "quarantine_entries",
    metadata,
    Column("id", Text, primary_key=True, comment="keyed hash of dataset, source key and content"),
    Column("dataset", Text, nullable=False),
    Column("source_key", Text, comment="the record's key at its source"),
    Column("state", Text, nullable=False, comment="open, fixed, waived or closed"),
    Column("ref", Text, nullable=False, comment="the landed row, as it was seen last"),
    Column("locator", Text, comment="where in its payload it stood"),
    Column("moment", Text, comment="the source's own moment of the row"),
    Column("version", Text, ForeignKey("versions.id"), nullable=False, comment="the clean version that refused it"),
    Column("rules", ARRAY(Text), nullable=False, comment="the blocking rules that it broke"),
    Column("fingerprints", ARRAY(Text), nullable=False, comment="versions of these rules, in order"),
    Column("first_seen", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("last_seen", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("times_seen", BigInteger, nullable=False),
    Column("fix", Text, comment="payload with a person's fix, while it waits or holds"),
    Column("waived", Boolean, nullable=False, server_default=false()),
    Column("closed_as", Text, comment="replayed, or corrected by the source"),
    Column("closed_by", Text, ForeignKey("runs.id"), comment="the run that brought the accepted row"),
    Index("quarantine_entries_by_state", "dataset", "state"),
    Index("quarantine_entries_by_key", "dataset", "source_key"),
)
quarantine_decisions = Table(
    "quarantine_decisions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("entry", Text, ForeignKey("quarantine_entries.id"), nullable=False),
    Column("principal", Text, nullable=False),
    Column("action", Text, nullable=False, comment="fix or waive"),
    Column("reason", Text, nullable=False, comment="in the person's words; may name persons"),
    Column("payload", Text, comment="a fix: the payload with before and after"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("quarantine_decisions_by_entry", "entry"),
)
