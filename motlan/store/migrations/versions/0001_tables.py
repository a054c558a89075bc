"""The fixed tables, as `motlan.store.tables` declares them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

TABLES = (
    "related_publications",
    "quarantine_decisions",
    "link_contradictions",
    "area_results",
    "watermarks",
    "snapshots",
    "sign_ins",
    "rule_results",
    "quarantine_entries",
    "publications",
    "link_models",
    "link_decisions",
    "approvals",
    "versions",
    "value_decisions",
    "secrets",
    "runs",
    "people",
    "open_findings",
    "log_entries",
    "link_cases",
    "link_assignments",
    "api_keys",
    "accesses",
)
"""All of them, those that refer to others first."""


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "accesses",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column(
            "subject", sa.Text(), nullable=False, comment="the bus's own person ids or ranges, never an identifier"
        ),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False, comment="public: what lists and revocations name; opens nothing"),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_hash"),
    )
    op.create_index("api_keys_by_agency", "api_keys", ["agency"], unique=False)
    op.create_table(
        "link_assignments",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("left_dataset", sa.Text(), nullable=False),
        sa.Column("left_key", sa.Text(), nullable=False),
        sa.Column("right_dataset", sa.Text(), nullable=False),
        sa.Column("right_key", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False, comment="whose it is to decide"),
        sa.Column("purpose", sa.Text(), nullable=False, comment="unsure, known, sample, contradiction or stale"),
        sa.Column("needed", sa.Integer(), nullable=False, comment="how many reviewers have to agree"),
        sa.Column(
            "match_weight", sa.Double(), nullable=True, comment="as the machine had it when the pair was assigned"
        ),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("assigned_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("left_ref", sa.Text(), nullable=True, comment="the landed row, as it was seen"),
        sa.Column("right_ref", sa.Text(), nullable=True, comment="the landed row, as it was seen"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("entity", "left_dataset", "left_key", "right_dataset", "right_key", "principal"),
    )
    op.create_index("link_assignments_by_principal", "link_assignments", ["principal", "entity"], unique=False)
    op.create_table(
        "link_cases",
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("left_dataset", sa.Text(), nullable=False),
        sa.Column("left_key", sa.Text(), nullable=False),
        sa.Column("right_dataset", sa.Text(), nullable=False),
        sa.Column("right_key", sa.Text(), nullable=False),
        sa.Column(
            "purpose", sa.Text(), nullable=False, comment="known: its answer is certain; sample: a link that was made"
        ),
        sa.Column("answer", sa.Boolean(), nullable=True, comment="of a known one: whether they are the same"),
        sa.Column("match_weight", sa.Double(), nullable=True),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("entity", "left_dataset", "left_key", "right_dataset", "right_key", "purpose"),
    )
    op.create_table(
        "log_entries",
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False, comment="0, 1, 2, ..."),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("root_hash", sa.LargeBinary(), nullable=False, comment="RFC 9162 tree head after this entry"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("index"),
    )
    op.create_table(
        "open_findings",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="row, cross or correction"),
        sa.Column("subject", sa.Text(), nullable=False, comment="the rule; of a correction the field"),
        sa.Column("since", sa.Date(), nullable=False, comment="day in UTC on which the findings were first seen"),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="open at the newest reconcile"),
        sa.PrimaryKeyConstraint("dataset", "kind", "subject", "since"),
    )
    op.create_table(
        "people",
        sa.Column("id", sa.Text(), nullable=False, comment="random; what the log names"),
        sa.Column("name", sa.Text(), nullable=False, comment="what one signs in as"),
        sa.Column("role", sa.Text(), nullable=False, comment="admin, steward or reviewer"),
        sa.Column(
            "uid",
            sa.BigInteger(),
            nullable=True,
            comment="the machine account that is this person's own; none where it is shared",
        ),
        sa.Column(
            "secret",
            sa.Text(),
            nullable=False,
            comment="Argon2id in PHC form, of the passphrase or the one-time secret",
        ),
        sa.Column(
            "one_time_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="until when a one-time secret opens; none: a passphrase",
        ),
        sa.Column(
            "failed",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="wrong passphrases since the last right one",
        ),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column(
            "removed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="removed people keep their row: decisions name them",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Text(), nullable=False, comment="sorts by start"),
        sa.Column("kind", sa.Text(), nullable=False, comment="sync or reconcile"),
        sa.Column("subject", sa.Text(), nullable=False, comment="a dataset, or an entity"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="running, visible, reconciled, waiting, released, refused, published, unchanged, failed or abandoned",
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "steps",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="step -> counts and seconds",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="never a personal value"),
        sa.Column(
            "holder",
            postgresql.JSONB(none_as_null=True, astext_type=sa.Text()),
            nullable=True,
            comment="who is or was the last at work on it: process, machine, account, step",
        ),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=True, comment="since when"),
        sa.Column(
            "swept_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when what it staged and nobody will read was removed",
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("runs_by_subject", "runs", ["kind", "subject", "id"], unique=False)
    op.create_index("runs_running", "runs", ["id"], unique=False, postgresql_where=sa.text("state = 'running'"))
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False, comment="random, made once for this installation"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "value_decisions",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="the record's key at its source"),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="keyed hash of the value"),
        sa.Column("ref", sa.Text(), nullable=False, comment="the landed row, as it was seen"),
        sa.Column("action", sa.Text(), nullable=False, comment="exclude, or reinstate"),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the person's words; may name persons"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "value_decisions_by_record", "value_decisions", ["entity", "dataset", "key", "field", "digest"], unique=False
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.Text(), nullable=False, comment="SHA-256 of kind, subject and body"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "approvals",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False, comment="nobody decides twice"),
        sa.Column("action", sa.Text(), nullable=False, comment="approve or refuse"),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the person's words"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["run"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("run", "principal"),
    )
    op.create_table(
        "link_decisions",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("left_dataset", sa.Text(), nullable=False),
        sa.Column("left_key", sa.Text(), nullable=False),
        sa.Column("right_dataset", sa.Text(), nullable=False),
        sa.Column("right_key", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False, comment="same, different or unknown"),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the person's words; may name persons"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("assignment", sa.BigInteger(), nullable=False),
        sa.Column(
            "match_weight", sa.Double(), nullable=True, comment="as the machine had it when the pair was assigned"
        ),
        sa.Column("probability", sa.Double(), nullable=True),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("withdrawn_by", sa.Text(), nullable=True),
        sa.Column("withdrawn_reason", sa.Text(), nullable=True),
        sa.Column("left_ref", sa.Text(), nullable=True, comment="the landed row, as it was seen"),
        sa.Column("right_ref", sa.Text(), nullable=True, comment="the landed row, as it was seen"),
        sa.ForeignKeyConstraint(
            ["assignment"],
            ["link_assignments.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "link_decisions_by_pair",
        "link_decisions",
        ["entity", "left_dataset", "left_key", "right_dataset", "right_key"],
        unique=False,
    )
    op.create_index(
        "link_decisions_in_force",
        "link_decisions",
        ["assignment"],
        unique=True,
        postgresql_where=sa.text("withdrawn_at is null"),
    )
    op.create_table(
        "link_models",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="proposed, released, superseded or refused"),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("run", sa.Text(), nullable=True, comment="the run that staged its frequencies"),
        sa.Column(
            "drift",
            sa.Double(),
            nullable=True,
            comment="largest change of a level's weight against the model released before, in bits",
        ),
        sa.Column(
            "report",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what it would change: counts, never a personal value",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "created_by",
            sa.Text(),
            nullable=True,
            comment="who fitted it; none of the first, which the bus itself learned",
        ),
        sa.Column("released_by", sa.Text(), nullable=True, comment="who released or refused it"),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True, comment="in the person's words"),
        sa.ForeignKeyConstraint(
            ["id"],
            ["versions.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "link_models_released", "link_models", ["entity"], unique=True, postgresql_where=sa.text("state = 'released'")
    )
    op.create_table(
        "publications",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False, comment="1, 2, 3, ... without gaps"),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("projected_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["run"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("run"),
    )
    op.create_table(
        "quarantine_entries",
        sa.Column("id", sa.Text(), nullable=False, comment="keyed hash of dataset, source key and content"),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("source_key", sa.Text(), nullable=True, comment="the record's key at its source"),
        sa.Column("state", sa.Text(), nullable=False, comment="open, fixed, waived or closed"),
        sa.Column("ref", sa.Text(), nullable=False, comment="the landed row, as it was seen last"),
        sa.Column("locator", sa.Text(), nullable=True, comment="where in its payload it stood"),
        sa.Column("moment", sa.Text(), nullable=True, comment="the source's own moment of the row"),
        sa.Column("version", sa.Text(), nullable=False, comment="the clean version that refused it"),
        sa.Column("rules", postgresql.ARRAY(sa.Text()), nullable=False, comment="the blocking rules that it broke"),
        sa.Column(
            "fingerprints", postgresql.ARRAY(sa.Text()), nullable=False, comment="versions of these rules, in order"
        ),
        sa.Column("first_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("times_seen", sa.BigInteger(), nullable=False),
        sa.Column("fix", sa.Text(), nullable=True, comment="payload with a person's fix, while it waits or holds"),
        sa.Column("waived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("closed_as", sa.Text(), nullable=True, comment="replayed, or corrected by the source"),
        sa.Column("closed_by", sa.Text(), nullable=True, comment="the run that brought the accepted row"),
        sa.ForeignKeyConstraint(
            ["closed_by"],
            ["runs.id"],
        ),
        sa.ForeignKeyConstraint(
            ["version"],
            ["versions.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("quarantine_entries_by_key", "quarantine_entries", ["dataset", "source_key"], unique=False)
    op.create_index("quarantine_entries_by_state", "quarantine_entries", ["dataset", "state"], unique=False)
    op.create_table(
        "rule_results",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("assessed", sa.BigInteger(), nullable=False),
        sa.Column("passed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("run", "dataset", "rule"),
    )
    op.create_table(
        "sign_ins",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column(
            "uid",
            sa.BigInteger(),
            nullable=False,
            comment="the machine account on which they signed in; the token holds there alone",
        ),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person"],
            ["people.id"],
        ),
        sa.PrimaryKeyConstraint("token_hash"),
    )
    op.create_index("sign_ins_by_person", "sign_ins", ["person"], unique=False)
    op.create_table(
        "snapshots",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("run", "table_name"),
    )
    op.create_table(
        "watermarks",
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False, comment="in canonical form"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=True, comment="the run that earned it; none where a person set it"),
        sa.Column(
            "written",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="a cursor in the form that the source writes",
        ),
        sa.ForeignKeyConstraint(
            ["run"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("dataset"),
    )
    op.create_table(
        "area_results",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("area", sa.Text(), nullable=False, comment="of residence; empty where none is known"),
        sa.Column("assessed", sa.BigInteger(), nullable=False),
        sa.Column("passed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run", "dataset", "rule"],
            ["rule_results.run", "rule_results.dataset", "rule_results.rule"],
        ),
        sa.PrimaryKeyConstraint("run", "dataset", "rule", "area"),
    )
    op.create_table(
        "link_contradictions",
        sa.Column("run", sa.Text(), nullable=False, comment="the reconcile run that linked without it"),
        sa.Column("decision", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="contradiction or stale"),
        sa.ForeignKeyConstraint(
            ["decision"],
            ["link_decisions.id"],
        ),
        sa.ForeignKeyConstraint(
            ["run"],
            ["runs.id"],
        ),
        sa.PrimaryKeyConstraint("run", "decision"),
    )
    op.create_table(
        "quarantine_decisions",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="fix or waive"),
        sa.Column("reason", sa.Text(), nullable=False, comment="in the person's words; may name persons"),
        sa.Column("payload", sa.Text(), nullable=True, comment="a fix: the payload with before and after"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["entry"],
            ["quarantine_entries.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("quarantine_decisions_by_entry", "quarantine_decisions", ["entry"], unique=False)
    op.create_table(
        "related_publications",
        sa.Column("publication", sa.BigInteger(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False, comment="of this entity's own feed"),
        sa.Column("changes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["publication"],
            ["publications.number"],
        ),
        sa.PrimaryKeyConstraint("publication", "entity"),
    )


def downgrade() -> None:
    """Remove them, and all that they hold."""
    for table in TABLES:
        op.drop_table(table)
