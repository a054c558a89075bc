"""The fixed tables of the store. Alembic owns them; projections of the lake are made elsewhere, from the schemas."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

metadata = MetaData()


def _salt() -> Column[Any]:
    return Column(
        "salt", Uuid, nullable=False, server_default=func.gen_random_uuid(), comment="of the row's commitment"
    )


runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True, comment="sorts by start"),
    Column("kind", Text, nullable=False, comment="sync or reconcile"),
    Column("subject", Text, nullable=False, comment="a dataset, or an entity"),
    Column(
        "state",
        Text,
        nullable=False,
        comment="running, visible, reconciled, waiting, released, refused, published, unchanged, failed, abandoned or aborted",
    ),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
    Column("steps", JSONB, nullable=False, server_default="{}", comment="step -> counts and seconds"),
    Column("error", Text, comment="never a personal value"),
    Column(
        "holder",
        JSONB(none_as_null=True),
        comment="who is or was the last at work on it: process, machine, account, step",
    ),
    Column("held_at", DateTime(timezone=True), comment="since when"),
    Column("swept_at", DateTime(timezone=True), comment="when what it staged and nobody will read was removed"),
    Index("runs_by_subject", "kind", "subject", "id"),
    Index("runs_running", "id", postgresql_where=text("state = 'running'")),
)
run_decisions = Table(
    "run_decisions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("run", Text, ForeignKey("runs.id"), nullable=False),
    Column("principal", Text, nullable=False),
    Column("action", Text, nullable=False, comment="abort"),
    Column("reason", Text, nullable=False, comment="in the person's words; may name persons"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _salt(),
    Index("run_decisions_by_run", "run"),
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
    Column("cursor", Text, nullable=False, comment="in canonical form"),
    Column("key", Text, nullable=False),
    Column("run", Text, ForeignKey("runs.id"), comment="the run that earned it; none where a person set it"),
    Column("written", Text, nullable=False, server_default="", comment="a cursor in the form that the source writes"),
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
area_results = Table(
    "area_results",
    metadata,
    Column("run", Text, primary_key=True),
    Column("dataset", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("area", Text, primary_key=True, comment="of residence; empty where none is known"),
    Column("assessed", BigInteger, nullable=False),
    Column("passed", BigInteger, nullable=False),
    ForeignKeyConstraint(["run", "dataset", "rule"], ["rule_results.run", "rule_results.dataset", "rule_results.rule"]),
)
open_findings = Table(
    "open_findings",
    metadata,
    Column("dataset", Text, primary_key=True),
    Column("kind", Text, primary_key=True, comment="row, cross or correction"),
    Column("subject", Text, primary_key=True, comment="the rule; of a correction the field"),
    Column("since", Date, primary_key=True, comment="day in UTC on which the findings were first seen"),
    Column("number", BigInteger, nullable=False, comment="open at the newest reconcile"),
)
log_entries = Table(
    "log_entries",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False, comment="0, 1, 2, ..."),
    Column("kind", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("leaf_hash", LargeBinary, nullable=False),
    Column("root_hash", LargeBinary, nullable=False, comment="RFC 9162 tree head after this entry"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, comment="part of the leaf"),
)
log_nodes = Table(
    "log_nodes",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False, comment="1, 2, ...: of 2^level entries"),
    Column("index", BigInteger, primary_key=True, autoincrement=False, comment="of entries from index * 2^level on"),
    Column("hash", LargeBinary, nullable=False),
)
log_checkpoints = Table(
    "log_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False, comment="entries of the log that it signs"),
    Column("note", Text, nullable=False, comment="C2SP tlog-checkpoint, with the cosignatures of witnesses"),
    Column("signed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
lake_files = Table(
    "lake_files",
    metadata,
    Column("path", Text, primary_key=True, comment="under the lake's folder"),
    Column("table_name", Text, nullable=False),
    Column("run", Text, comment="the run that staged it; none of a table's metadata"),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("stat", Text, nullable=False, comment="size, moments and number of the file when its content was read last"),
    Column("entry", BigInteger, comment="the log's entry that names it"),
    Column("removed_at", DateTime(timezone=True), comment="since when the bus itself has removed it"),
    Column("removal", BigInteger, comment="the log's entry that tells of it"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Index("lake_files_by_table", "table_name"),
    Index(
        "lake_files_unlogged",
        "path",
        postgresql_where=text("entry is null or removed_at is not null and removal is null"),
    ),
)
accesses = Table(
    "accesses",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("principal", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False, comment="the bus's own person ids or ranges, never an identifier"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("entity", Text),
    Column("persons", ARRAY(Text), comment="the bus's own ids, where they are few"),
    Column("first_seq", BigInteger, comment="of a page of changes"),
    Column("last_seq", BigInteger, comment="of a page of changes; of a snapshot the number at which its rows stand"),
    Column("first_key", UUID(as_uuid=False), comment="of a page of a snapshot: the bus's own ids"),
    Column("last_key", UUID(as_uuid=False)),
    Column("fields", ARRAY(Text)),
    Column("purpose", Text),
    Column("legal_basis", Text),
    Column("case_reference", Text),
    Column("salt", LargeBinary, comment="random; what the commitment in the log is made with"),
    Column("commitment", LargeBinary, comment="SHA-256 of the salt and the row's canonical JSON"),
    Column("log_index", BigInteger, comment="the log's entry"),
    Index("accesses_by_person", "persons", postgresql_using="gin"),
    Index("accesses_by_principal", "principal", "id"),
    Index("accesses_refused", "id", postgresql_where=text("action = 'feed.refused'")),
    Index("accesses_in_bulk", "entity", "last_seq", postgresql_where=text("last_seq is not null")),
)
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True, comment="public: what lists and revocations name; opens nothing"),
    Column("agency", Text, nullable=False),
    Column("key_hash", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    _salt(),
    UniqueConstraint("key_hash"),
    Index("api_keys_by_agency", "agency"),
)
people = Table(
    "people",
    metadata,
    Column("id", Text, primary_key=True, comment="random; what the log names"),
    Column("name", Text, nullable=False, comment="what one signs in as"),
    Column("role", Text, nullable=False, comment="admin, steward or reviewer"),
    Column("uid", BigInteger, comment="the machine account that is this person's own; none where it is shared"),
    Column("secret", Text, nullable=False, comment="Argon2id in PHC form, of the passphrase or the one-time secret"),
    Column(
        "one_time_until",
        DateTime(timezone=True),
        comment="until when a one-time secret opens; none: a passphrase",
    ),
    Column("failed", Integer, nullable=False, server_default="0", comment="wrong passphrases since the last right one"),
    Column("failed_at", DateTime(timezone=True)),
    Column("added_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("added_by", Text, nullable=False),
    Column("removed_at", DateTime(timezone=True), comment="removed people keep their row: decisions name them"),
    _salt(),
    UniqueConstraint("name"),
)
sign_ins = Table(
    "sign_ins",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("person", Text, ForeignKey("people.id"), nullable=False),
    Column(
        "uid",
        BigInteger,
        nullable=False,
        comment="the machine account on which they signed in; the token holds there alone",
    ),
    Column("began_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True)),
    Index("sign_ins_by_person", "person"),
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
    _salt(),
    Index("quarantine_decisions_by_entry", "entry"),
)
value_decisions = Table(
    "value_decisions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("entity", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    Column("key", Text, nullable=False, comment="the record's key at its source"),
    Column("field", Text, nullable=False),
    Column("digest", Text, nullable=False, comment="keyed hash of the value"),
    Column("ref", Text, nullable=False, comment="the landed row, as it was seen"),
    Column("action", Text, nullable=False, comment="exclude, or reinstate"),
    Column("principal", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="in the person's words; may name persons"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _salt(),
    Index("value_decisions_by_record", "entity", "dataset", "key", "field", "digest"),
)
approvals = Table(
    "approvals",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True),
    Column("principal", Text, primary_key=True, comment="nobody decides twice"),
    Column("action", Text, nullable=False, comment="approve or refuse"),
    Column("reason", Text, nullable=False, comment="in the person's words"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    _salt(),
)
publication_holds = Table(
    "publication_holds",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("subject", Text, nullable=False, comment="publish, or an agency"),
    Column("principal", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="in the person's words; may name persons"),
    Column("held_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
    Column("ended_by", Text),
    Column("ended_reason", Text, comment="in the person's words; may name persons"),
    _salt(),
    Index("publication_holds_in_force", "subject", unique=True, postgresql_where=text("ended_at is null")),
)
alerts = Table(
    "alerts",
    metadata,
    Column("cause", Text, primary_key=True, comment="class of the error, and what is common to those told together"),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("times", Integer, nullable=False, comment="failures since it began"),
    Column("first_at", DateTime(timezone=True), nullable=False),
    Column("last_at", DateTime(timezone=True), nullable=False),
    Column("told_at", DateTime(timezone=True), nullable=False),
)
feed_epochs = Table(
    "feed_epochs",
    metadata,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False, comment="2, 3, ...; the first has no row"),
    Column("publication", BigInteger, nullable=False, comment="the newest one that was given out before"),
    Column("seqs", JSONB, nullable=False, comment="entity -> the last number of its feed that was given out before"),
    Column("reason", Text, nullable=False),
    Column("began_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
related_publications = Table(
    "related_publications",
    metadata,
    Column("publication", BigInteger, ForeignKey("publications.number"), primary_key=True),
    Column("entity", Text, primary_key=True),
    Column("first_seq", BigInteger, nullable=False, comment="of this entity's own feed"),
    Column("changes", BigInteger, nullable=False),
)
link_models = Table(
    "link_models",
    metadata,
    Column("id", Text, ForeignKey("versions.id"), primary_key=True),
    Column("entity", Text, nullable=False),
    Column("state", Text, nullable=False, comment="proposed, released, superseded or refused"),
    Column("body", JSONB, nullable=False),
    Column("run", Text, ForeignKey("runs.id"), comment="the run that staged its frequencies"),
    Column("drift", Double, comment="largest change of a level's weight against the model released before, in bits"),
    Column("report", JSONB, comment="what it would change: counts, never a personal value"),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("created_by", Text, comment="who fitted it; none of the first, which the bus itself learned"),
    Column("released_by", Text, comment="who released or refused it"),
    Column("released_at", DateTime(timezone=True)),
    Column("reason", Text, comment="in the person's words"),
    Index("link_models_released", "entity", unique=True, postgresql_where=text("state = 'released'")),
)
PAIR = ("left_dataset", "left_key", "right_dataset", "right_key")
"""Columns of a pair of records, by register and key at the source: the lesser (register, key) stands left."""


def _pair() -> tuple[Column[str], ...]:
    return tuple(Column(name, Text, nullable=False) for name in PAIR)


def _refs() -> tuple[Column[str | None], ...]:
    return tuple(Column(name, Text, comment="the landed row, as it was seen") for name in ("left_ref", "right_ref"))


link_cases = Table(
    "link_cases",
    metadata,
    Column("entity", Text, primary_key=True),
    *(Column(name, Text, primary_key=True) for name in PAIR),
    Column("purpose", Text, primary_key=True, comment="known: its answer is certain; sample: a link that was made"),
    Column("answer", Boolean, comment="of a known one: whether they are the same"),
    Column("match_weight", Double),
    Column("probability", Double),
    Column("queued_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
link_assignments = Table(
    "link_assignments",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("entity", Text, nullable=False),
    *_pair(),
    Column("principal", Text, nullable=False, comment="whose it is to decide"),
    Column("purpose", Text, nullable=False, comment="unsure, known, sample, contradiction or stale"),
    Column("needed", Integer, nullable=False, comment="how many reviewers have to agree"),
    Column("match_weight", Double, comment="as the machine had it when the pair was assigned"),
    Column("probability", Double),
    Column("assigned_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    *_refs(),
    UniqueConstraint("entity", *PAIR, "principal"),
    Index("link_assignments_by_principal", "principal", "entity"),
)
link_decisions = Table(
    "link_decisions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("entity", Text, nullable=False),
    *_pair(),
    Column("verdict", Text, nullable=False, comment="same, different or unknown"),
    Column("principal", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="in the person's words; may name persons"),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("assignment", BigInteger, ForeignKey("link_assignments.id"), nullable=False),
    Column("match_weight", Double, comment="as the machine had it when the pair was assigned"),
    Column("probability", Double),
    Column("withdrawn_at", DateTime(timezone=True)),
    Column("withdrawn_by", Text),
    Column("withdrawn_reason", Text),
    *_refs(),
    _salt(),
    Index("link_decisions_by_pair", "entity", *PAIR),
    Index("link_decisions_in_force", "assignment", unique=True, postgresql_where=text("withdrawn_at is null")),
)
link_contradictions = Table(
    "link_contradictions",
    metadata,
    Column("run", Text, ForeignKey("runs.id"), primary_key=True, comment="the reconcile run that linked without it"),
    Column("decision", BigInteger, ForeignKey("link_decisions.id"), primary_key=True),
    Column("reason", Text, nullable=False, comment="contradiction or stale"),
)
