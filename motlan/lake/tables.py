"""The lake's tables: the name, the key and the published rows of each, named here and nowhere else.

Of a dataset: its landed rows, what became of them, and the records that its register no longer has; rows are only added. Of an
entity: appended versions, of which the newest of each key stands (see `motlan.lake.iceberg.current`).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from motlan.lake.iceberg import current

if TYPE_CHECKING:
    from motlan.lake.iceberg import Lake

RAW, CLEAN, QUARANTINE, GONE = "raw", "clean", "quarantine", "gone"
"""Namespaces of the tables of a dataset."""
LINKS, PAIRS, IDENTITIES, REVIEWS, FREQUENCIES, IDENTIFIERS, ROW_KEYS, FORMER, NAMES = (
    "links",
    "pairs",
    "identities",
    "reviews",
    "frequencies",
    "identifiers",
    "row_keys",
    "former",
    "names",
)
"""Namespaces of the tables of a linked entity that linking writes."""
GOLDEN, CORRECTIONS, FINDINGS = "golden", "corrections", "findings"
"""Namespaces of the tables of a linked entity that a publication changes; `golden` also of the entities beside it."""
SALTS = "salts"
"""Namespace of the tables of the salts of golden rows: of `golden.person` it is `salts.person`."""
KEYS = {
    GOLDEN: ("entity_id",),
    LINKS: ("dataset", "_key"),
    REVIEWS: ("dataset", "_key"),
    IDENTITIES: ("entity_id",),
    IDENTIFIERS: ("dataset", "_key", "field", "period"),
    ROW_KEYS: ("n",),
    FORMER: ("n",),
    NAMES: ("field", "value"),
    CORRECTIONS: ("dataset", "_key", "field"),
    FINDINGS: ("dataset", "_key", "rule"),
}
"""Namespace of a table of appended versions -> the columns that identify a row. `period` counts a record's values of an
identifier from 1."""


def raw_table(dataset: str) -> str:
    """Return the name of the table of a dataset's landed rows."""
    return f"{RAW}.{dataset}"


def clean_table(dataset: str) -> str:
    """Return the name of the table of a dataset's accepted rows."""
    return f"{CLEAN}.{dataset}"


def quarantine_table(dataset: str) -> str:
    """Return the name of the table of a dataset's rows that a blocking rule held back."""
    return f"{QUARANTINE}.{dataset}"


def gone_table(dataset: str) -> str:
    """Return the name of the table of the records that a register no longer had: `_key`, `_run`."""
    return f"{GONE}.{dataset}"


def links_table(entity: str) -> str:
    """Return the name of the table of an entity's links: which linked entity each record is of, and why."""
    return f"{LINKS}.{entity}"


def pairs_table(entity: str) -> str:
    """Return the name of the table of weighed pairs: rows by number, a hash of each one's `_ref`, weight, version."""
    return f"{PAIRS}.{entity}"


def identities_table(entity: str) -> str:
    """Return the name of the table of the ids of an entity that are not plainly those of their clusters' founders."""
    return f"{IDENTITIES}.{entity}"


def reviews_table(entity: str) -> str:
    """Return the name of the table of the pairs that the machine leaves to people."""
    return f"{REVIEWS}.{entity}"


def frequencies_table(entity: str) -> str:
    """Return the name of the table of frequencies: `comparison`, `value`, `share`; those of a model in its run's files."""
    return f"{FREQUENCIES}.{entity}"


def identifiers_table(entity: str) -> str:
    """Return the name of the table of the numbers that were borne, of records whose numbers changed."""
    return f"{IDENTIFIERS}.{entity}"


def row_keys_table(entity: str) -> str:
    """Return the name of the table of current rows as linking compares them, with hashes of what they are found by."""
    return f"{ROW_KEYS}.{entity}"


def former_table(entity: str) -> str:
    """Return the name of the table of the spine's earlier rows by which records may be known still."""
    return f"{FORMER}.{entity}"


def names_table(entity: str) -> str:
    """Return the name of the table of the numbers that a thing beside a person may be named by."""
    return f"{NAMES}.{entity}"


def golden_table(entity: str) -> str:
    """Return the name of the table of golden records, of a linked entity or of one beside it."""
    return f"{GOLDEN}.{entity}"


def salts_table(golden: str) -> str:
    """Return the name of the table of the salts of a golden table's rows (see `motlan.publication.golden_commitments`)."""
    return f"{SALTS}.{golden.split('.')[1]}"


def corrections_table(entity: str) -> str:
    """Return the name of the table of corrections: created is opened, updated refreshed, removed closed."""
    return f"{CORRECTIONS}.{entity}"


def findings_table(entity: str) -> str:
    """Return the name of the table of what rules across registers found."""
    return f"{FINDINGS}.{entity}"


def key_of(table: str) -> tuple[str, ...]:
    """Return the key of a table of appended versions of a linked entity."""
    return KEYS[table.split(".")[0]]


def published(lake: Lake, table: str, runs: Collection[str], where: str = "true") -> str | None:
    """Return the SQL of the published rows of a table of appended versions of a linked entity; None where nothing is published.

    Args:
        lake: The lake.
        table: The table's name.
        runs: The published reconcile runs of the entity.
        where: A condition on the key, the same for all versions of a row.
    """
    files = lake.base_and_deltas(table, set(runs))
    return current(files, key_of(table), where) if files else None
