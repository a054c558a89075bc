"""Pairs with a certain answer, which measure reviewers; and samples of the links that were made.

A link by an identifier is certain; so is that the row is not about a namesake whom it was not linked to. Reviewers see such
a pair without its identifiers, as they see a pair that has none: they cannot tell which of their pairs these are.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.expressions import literal, quote
from motlan.linking import linking_rows
from motlan.linking import model as models
from motlan.linking.linking_rows import ROW
from motlan.linking.relations import Relations
from motlan.linking.scope import load_frequencies
from motlan.linking.scored_pairs import pairs_by_keys
from motlan.stewardship import published_links
from motlan.store import tables
from motlan.workspace import Workspace

CERTAIN = 0.99999
"""Probability of a link by an identifier from which its answer is certain."""
POOL = 100
"""Links from which known answers are made at once."""
SECRET = "review"  # noqa: S105 - the secret's name


def fill(work: Workspace, entity: str) -> None:
    """Queue pairs with certain answers: links by identifier, and each of their rows with the namesake most like its person."""
    secret = work.store.secret(SECRET).hex()
    row = "dataset || '/' || _key"
    with work.engine(f"finding known answers of {entity}") as engine:
        _load_cases(work, engine, entity)
        engine.execute(
            f"""create temp table certain as
                from {published_links.links(work, entity)}
                anti join (select left_dataset as dataset, left_key as _key from cases where purpose = 'known'
                           union select right_dataset, right_key from cases where purpose = 'known') using (dataset, _key)
                where rule like 'identifier%' and probability >= {CERTAIN} and dataset || '/' || _key != compared
                order by {published_links.share_of(secret, row)}, dataset, _key limit {POOL}"""
        )
        pair = published_links.ordered(("dataset", "_key"), published_links.compared())
        found = [(*row, True) for row in engine.execute(f"select {pair} from certain").fetchall()]
        found += [(*row, False) for row in _namesakes(work, engine, entity)]
    _queue(work, entity, "known", [(*row, None, None) for row in found])


def sample(work: Workspace, entity: str, count: int) -> int:
    """Put a sample of the links that the machine made to review, by a keyed hash; return how many were added.

    Rows that were sampled before are passed over, so a second call goes on.
    """
    secret, columns = work.store.secret(SECRET).hex(), ", ".join(tables.PAIR)
    with work.engine(f"sampling the links of {entity}") as engine:
        _load_cases(work, engine, entity)
        pair = published_links.ordered(("dataset", "_key"), published_links.compared())
        found = engine.execute(
            f"""select {columns}, null, match_weight, probability
                from (select {pair}, match_weight, probability,
                             {published_links.share_of(secret, "dataset || '/' || _key")} as place
                      from {published_links.links(work, entity)}
                      where match_weight is not null and dataset || '/' || _key != compared)
                anti join (from cases where purpose = 'sample') using ({columns}) order by place, {columns} limit {count}"""
        ).fetchall()
    return _queue(work, entity, "sample", found)


def _load_cases(work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str) -> None:
    """Make the relation `cases`: the pairs that are queued already."""
    table = tables.link_cases.c
    query = sa.select(*(table[name] for name in tables.PAIR), table.purpose).where(table.entity == entity)
    with work.store.engine.connect() as connection:
        rows = connection.execute(query).all()
    engine.register("cases", published_links.table(rows, dict.fromkeys((*tables.PAIR, "purpose"), pa.string())))


def _namesakes(work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str) -> list[tuple[str, ...]]:
    """Return, of each row of `certain`, its pair with the row of the spine most like it that founded another person."""
    matching = work.registry.entity(entity).matching
    if not matching.spine:
        return []
    model_id, model = published_links.released(work, entity)
    load_frequencies(work, engine, entity, model_id)
    fields = ", ".join(
        f"{'null::varchar as ' if field in matching.identifiers else ''}{quote(field)}" for field in matching.fields
    )
    facts = published_links.facts(work, entity)
    engine.execute(
        f"""create temp view blind as select dataset, _key, {fields} from {facts}
            where dataset in ({", ".join(map(literal, matching.spine))})
               or (dataset, _key) in (select (dataset, _key) from certain)"""
    )
    relations = Relations(engine)
    linking_rows.load_values(relations, matching, "blind")
    linking_rows.load_spine(relations, matching, "blind")
    linking_rows.load_left(relations, matching, model, "blind")
    pair = published_links.ordered(("c.dataset", "c._key"), ("o.dataset", "o._key"))
    shared = pairs_by_keys(matching.keys, "left_rows", "spine_rows")
    return engine.execute(
        f"""with all_links as (from {published_links.links(work, entity)}),
            near as (select l.n, r.n as other, {models.weight(matching, model)} as match_weight
                     from ({shared}) as p join left_rows as l on l.n = p.n join spine_rows as r on r.n = p.other)
            select {pair} from near
            join (select *, {ROW} as n from certain) as c using (n)
            join (select *, {ROW} as other from all_links) as o using (other)
            where o.entity_id != c.entity_id
            qualify row_number() over (partition by near.n order by near.match_weight desc, near.other) = 1"""
    ).fetchall()


def _queue(work: Workspace, entity: str, purpose: str, rows: list[tuple[object, ...]]) -> int:
    names = (*tables.PAIR, "answer", "match_weight", "probability")
    values = [{"entity": entity, "purpose": purpose, **dict(zip(names, row, strict=True))} for row in rows]
    if not values:
        return 0
    with work.store.engine.begin() as connection:
        new = insert(tables.link_cases).on_conflict_do_nothing().returning(tables.link_cases.c.purpose)
        return len(connection.execute(new, values).all())
