"""What was said of a person over time, in both times: when the bus said it (recorded), and of when the record is (valid)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from motlan.errors import DataError
from motlan.expressions import literal, quote
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import golden_table
from motlan.ledger import accesses, runs
from motlan.merge.provenance import pointer
from motlan.store import tables
from motlan.workspace import Workspace


def history(work: Workspace, entity: str, person: str, field: str, principal: str) -> list[dict[str, Any]]:
    """Return the values that a golden field had, oldest first; the look is written into the ledger first.

    Args:
        work: The open installation.
        entity: The entity's name.
        person: The bus's own person id.
        field: The golden field.
        principal: Who asks.

    Returns:
        Of each published value: `publication` and `recorded_at`; `event` (created, updated, removed); `value`, and `dataset`,
        `as_of` (the record's own moment), `rule`, `disputed` where it is known.

    Raises:
        ConfigurationError: There is no such entity.
        DataError: There is no such person, or the entity has no such field.
    """
    accesses.record(work.store, principal, "golden.history", f"{entity} {person} {field}")
    with work.store.engine.connect() as connection:
        files = work.lake.files(golden_table(entity), set(runs.visible(connection, "reconcile", entity)))
        columns = (tables.publications.c.run, tables.publications.c.number, tables.publications.c.recorded_at)
        published = {run: (number, at.isoformat()) for run, number, at in connection.execute(sa.select(*columns))}
    found: list[Any] = []
    if files and field in work.registry.entity(entity).fields:
        with work.engine(f"the history of a {entity}") as engine:
            found = engine.execute(
                f"""select _run, _op, value, p.dataset, p.as_of, p.rule, p.disputed from (
                        select _run, _op, {quote(field)} as value,
                               {pointer(literal(field))} as p
                        from {read_parquet(files)} where entity_id = $person)
                    qualify _op != 'updated' or (value, p) is distinct from lag((value, p)) over (order by _run)
                    order by _run""",
                {"person": person},
            ).fetchall()
    if not found:
        raise DataError(f"there is no golden {field} of this {entity}", next_step="check the person id and the field.")
    names = ("event", "value", "dataset", "as_of", "rule", "disputed")
    return [
        {"publication": published[run][0], "recorded_at": published[run][1], **dict(zip(names, row, strict=True))}
        for run, *row in found
    ]
