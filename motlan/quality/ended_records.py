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
    tally: Tally,
) -> int:
    """Leave the findings of all end rules beside those of the first part of persons, and count them; return how many they are.

    Columns as those of `motlan.quality.cross_register`: the person is the one that the record was linked to last.
    """
    links = links_table(run.subject)
    published = work.lake.base_and_deltas(links, run.result(Begun).published)
    queries, ends = [], work.registry.rules_of(run.subject).ends
    for dataset in work.registry.datasets_of(run.subject):
        asked = [rule for rule in ends if rule.applies_to(dataset.name)]
        gone = work.gone_files(dataset.name, inputs) if asked else []
        if not gone or not published:
            continue
        name = literal(dataset.name)
        now = f"(select _key from {work.kept(run.id, 'links')} where dataset = {name})"
        went = f"(select distinct _key from {read_parquet(gone)} anti join {now} using (_key))"
        last = (
            f"(select _key, entity_id, _ref from {Versions.of(published).newest(key_of(links), f'dataset = {name}')} "
            f"semi join {went} using (_key))"
        )
        ended = int(one(engine, f"select count(*) from {last}")[0])
        left = int(one(engine, f"select count(*) from {parts.rows([], None, [dataset.name])}")[0])
        for rule in asked:
            tally.add(dataset.name, rule.name, None, left + ended, left)
            what = ", ".join(map(literal, (rule.dimension, rule.severity, rule.field)))
            queries.append(
                f"select {name} as dataset, _key, {literal(rule.name)} as rule, entity_id, _ref, {what} from {last}"
            )
    if not queries:
        return 0
    target = parts.path("findings", 0).with_name("ended.parquet")
    columns = "dataset, _key, rule, entity_id, _ref, dimension, severity, field"
    engine.execute(
        f"copy (from ({' union all '.join(queries)}) as ended({columns})) to {literal(str(target))} ({SCRATCH})"
    )
    return int(one(engine, f"select count(*) from {read_parquet([str(target)])}")[0])
