"""A random sample of golden fields, for replay: the same for the same seed."""

from __future__ import annotations

from motlan.lineage.evidence import golden_rows
from motlan.merge.provenance import POINTER
from motlan.workspace import Workspace


def sample(work: Workspace, entity: str, size: int, seed: int) -> list[tuple[str, str]]:
    """Return pairs of person id and golden field, all where there are fewer than `size`."""
    with work.engine(f"sampling {entity}") as engine:
        rows = engine.execute(
            f"""select entity_id, pointer.field from
                (select entity_id, unnest({POINTER}) as pointer from {golden_rows(work, entity)})
                order by hash(entity_id || pointer.field || $seed), entity_id, pointer.field limit $size""",
            {"seed": str(seed), "size": size},
        ).fetchall()
    return [(person, field) for person, field in rows]
