"""The ledger is only added to: triggers refuse the rest, and the feeds' role appends nothing but accesses to the log."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
WHOLE = (
    "log_entries",
    "log_nodes",
    "accesses",
    "versions",
    "approvals",
    "run_decisions",
    "quarantine_decisions",
    "value_decisions",
)
PARTLY = {
    "log_checkpoints": ("size", "signed_at"),
    "link_decisions": (
        "id",
        "entity",
        "left_dataset",
        "left_key",
        "right_dataset",
        "right_key",
        "verdict",
        "principal",
        "reason",
        "recorded_at",
        "assignment",
        "match_weight",
        "probability",
    ),
}
"""Table -> columns that are never changed: a checkpoint gets cosignatures; a decision is withdrawn, and gets its rows."""


def upgrade() -> None:
    """Make the triggers."""
    op.create_index("accesses_refused", "accesses", ["id"], postgresql_where=sa.text("action = 'feed.refused'"))
    op.execute("""
        create function refuse_change() returns trigger language plpgsql as $$
        begin
            if current_setting('motlan.maintenance', true) = 'on'
               and pg_has_role(current_user, (select relowner from pg_class where oid = tg_relid), 'member') then
                return null;
            end if;
            raise exception '% of % is refused: the ledger is only added to', lower(tg_op), tg_table_name
                using errcode = 'insufficient_privilege';
        end $$""")
    op.execute("""
        create function refuse_kind() returns trigger language plpgsql as $$
        begin
            if new.kind <> 'access' and current_user::text in (current_database() || '_feeds', current_database() || '_audit')
            then
                raise exception 'this role appends accesses alone' using errcode = 'insufficient_privilege';
            end if;
            return new;
        end $$""")
    op.execute("""
        create trigger of_feeds before insert on log_entries for each row execute function refuse_kind()""")
    for table in WHOLE:
        op.execute(f"""
            create trigger append_only before update or delete or truncate on {table}
            for each statement execute function refuse_change()""")
    for table, columns in PARTLY.items():
        op.execute(f"""
            create trigger append_only before update of {", ".join(columns)} or delete or truncate on {table}
            for each statement execute function refuse_change()""")
