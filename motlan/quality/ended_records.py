"""Records that their register no longer has, as findings: a citizen whom the spine dropped did not cease to be.

What is left of the person's rows stays together under the same id; who has none left is no golden person any more. Either way a
finding says so, of the record and of the person that it was of, until the register has the record again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from motlan.expressions import literal, one
from motlan.lake.iceberg import SCRATCH, Versions, read_parquet
from motlan.lake.tables import key_of, links_table
from motlan.ledger import runs
from motlan.ledger.results import Begun
from motlan.partitioning import PersonRanges
from motlan.quality.rule_counts import Tally
from motlan.workspace import Workspace


def find(
    work: Workspace,
    run: runs.Run,
    engine: duckdb.DuckDBPyConnection,
    parts: PersonRanges,
    inputs: Mapping[str, Sequence[str]],
) -> dict[str, int]:
    """Leave the findings of all end rules beside those of the first part of persons; return how many records ended, by dataset.

    Columns as those of `motlan.quality.cross_register`: the person is the one that the record was linked to last.
    """
    links = links_table(run.subject)
    published = work.lake.base_and_deltas(links, run.result(Begun).published)
    queries, counts, ends = [], {}, work.registry.rules_of(run.subject).ends
    for dataset in work.registry.datasets_of(run.subject):
        asked = [rule for rule in ends if rule.applies_to(dataset.name)]
        went = went_query(work, run, dataset.name, inputs) if asked and published else None
        if not went:
            continue
        name = literal(dataset.name)
        last = (
            f"(select _key, entity_id, _ref from {Versions.of(published).newest(key_of(links), f'dataset = {name}')} "
            f"semi join {went} using (_key))"
        )
        counts[dataset.name] = int(one(engine, f"select count(*) from {last}")[0])
        for rule in asked:
            what = ", ".join(map(literal, (rule.dimension, rule.severity, rule.field)))
            queries.append(
                f"select {name} as dataset, _key, {literal(rule.name)} as rule, entity_id, _ref, {what} from {last}"
            )
    if not queries:
        return counts
    target = parts.path("findings", 0).with_name("ended.parquet")
    columns = "dataset, _key, rule, entity_id, _ref, dimension, severity, field"
    engine.execute(
        f"copy (from ({' union all '.join(queries)}) as ended({columns})) to {literal(str(target))} ({SCRATCH})"
    )
    return counts


def went_query(work: Workspace, run: runs.Run, dataset: str, inputs: Mapping[str, Sequence[str]]) -> str | None:
    """Return the SQL of the records of a dataset that its register no longer has: `_key`; None where it never missed any."""
    if not (gone := work.gone_files(dataset, inputs)):
        return None
    now = f"(select _key from {work.kept(run.id, 'links')} where dataset = {literal(dataset)})"
    return f"(select distinct _key from {read_parquet(gone)} anti join {now} using (_key))"


def count(
    work: Workspace,
    run: runs.Run,
    inputs: Mapping[str, Sequence[str]],
    left: Mapping[str, tuple[int, int]],
    tally: Tally,
) -> None:
    """Count into a tally what end rules answer, of registers that miss any record.

    Args:
        work: The open installation.
        run: The reconcile run.
        inputs: Dataset -> the sync runs to read.
        left: Dataset -> how many rows are linked, and how many records ended.
        tally: Where to.
    """
    if not work.lake.files(links_table(run.subject), set(run.result(Begun).published)):
        return
    for dataset, (linked, ended) in left.items():
        if work.gone_files(dataset, inputs):
            for rule in work.registry.rules_of(run.subject).ends:
                if rule.applies_to(dataset):
                    tally.add(dataset, rule.name, None, linked + ended, linked)
