"""How many values each cleaner changed: counted when asked, from what was landed, so that no run pays for it."""

from __future__ import annotations

from motlan.config.registry import Dataset
from motlan.expressions import DUCKDB, FUNCTIONS, Expression, one, quote
from motlan.ingest.clean import RAW, select_canonical
from motlan.ingest.raw_columns import absent, sql_names
from motlan.lake.iceberg import read_parquet
from motlan.lake.tables import raw_table
from motlan.ledger import runs
from motlan.workspace import Workspace


def _cleaners() -> frozenset[str]:
    return frozenset(name for name, function in FUNCTIONS.items() if function.idempotent)


def uncleaned(made: Expression, columns: dict[str, str]) -> str | None:
    """Return the SQL of a field as it would be without its cleaners; None where it has none (a code list's word)."""
    calls = made.calls(_cleaners())
    given = {call.whole.text: call.arguments[0].sql(DUCKDB, columns) for call in calls}
    return made.sql(DUCKDB, columns, given) if given else None


def count_query(dataset: Dataset) -> str:
    """Return the query from `raw_rows` to one row: per cleaned field `<field>` (values) and `<field>_changed`."""
    columns = sql_names(dataset.columns)
    columns |= {field: quote(field) for field in dataset.fields if field not in columns}
    counts = [
        f"count({quote(field)}) as {quote(field)}, "
        f"count(*) filter ({quote(field)} <> {before}) as {quote(field + '_changed')}"
        for field, made in dataset.expressions.items()
        if (before := uncleaned(made, columns))
    ]
    return f"select {', '.join(counts)} from ({select_canonical(dataset)})"


def changes(work: Workspace, dataset: Dataset) -> dict[str, dict[str, int]]:
    """Count the newest visible run of a dataset: cleaned field -> `values` that came out, and how many `changed`.

    A value that came out null was not changed but refused: a rule's finding tells of it.
    """
    with work.store.engine.connect() as connection:
        visible = runs.visible(connection, "sync", dataset.name)
    files = work.lake.files(raw_table(dataset.name), {max(visible)}) if visible else []
    if not files:
        return {}
    with work.engine(f"counting changes of {dataset.name}") as engine:
        sent = {row[0] for row in engine.execute(f"describe from {read_parquet(files)}").fetchall()}
        unsent = absent(dataset.columns, sent)
        engine.execute(f"create or replace temp view {RAW} as select *{unsent} from {read_parquet(files)}")
        counted = one(engine, count_query(dataset))
    cleaned = [field for field, made in dataset.expressions.items() if made.calls(_cleaners())]
    pairs = zip(cleaned, counted[::2], counted[1::2], strict=True)
    return {field: {"values": values, "changed": changed} for field, values, changed in pairs}
