"""Records that were corrected into somebody else: an id must not follow them.

A register may write another person into a record that it has (a number that is given again, a form filled in for the wrong file).
The record's new version is weighed against its older ones, as any two rows are, by the released model. Where it surely is
another person, the record counts as one that left its person, and came to whom it is about now.
"""

from __future__ import annotations

import duckdb

from motlan.config.matching import Matching
from motlan.expressions import one
from motlan.linking import linking_rows
from motlan.linking import model as models
from motlan.linking.model import Model


def find_turned(engine: duckdb.DuckDBPyConnection, matching: Matching, model: Model, rows: str, linked: str) -> None:
    """Make `turned` (`dataset`, `_key`): records of `met` whose new version is surely about somebody else.

    It is held against the version before, and against the first one that had the person's id: who is changed step by step into
    another is noticed too.

    Args:
        engine: A session with `met` and `frequencies`.
        matching: The declaration.
        model: The model.
        rows: Relation of all accepted rows: `dataset`, `_key`, `_ref` and the fields.
        linked: Relation of all published versions of links: `dataset`, `_key`, `_ref`, `person_id`, `_run`.
    """
    engine.execute(
        "create or replace temp table turned (dataset varchar, _key varchar);"
        "create or replace temp table renewed as select dataset, _key, old_ref, _ref, was from met "
        "where old_ref is not null and _ref is not null and old_ref != _ref"
    )
    if not one(engine, "select count(*) from renewed")[0]:
        return
    engine.execute(
        f"""create or replace temp table asked as
            select dataset, _key, old_ref as _ref, false as new from renewed
            union select dataset, _key, arg_min(_ref, _run), false
                  from (select l.dataset, l._key, l._ref, _run from {linked} as l
                        join renewed as r on r.dataset = l.dataset and r._key = l._key and r.was = l.person_id)
                  group by dataset, _key
            union all select dataset, _key, _ref, true from renewed;
            create or replace temp table said as
            select r.*, new from {rows} as r join (select _ref as asked_ref, dataset as of, new from asked) as a
            on asked_ref = r._ref and of = r.dataset"""
    )
    linking_rows.load_values(engine, matching, "said")
    columns, joins = models.rarities(matching, model, "frequencies", "d")
    old = linking_rows.prepared(matching, "said", "not new")
    engine.execute(
        f"""create or replace temp table older as select d.*{", " + columns if columns else ""} from ({old}) as d{joins};
            create or replace temp table newer as {linking_rows.prepared(matching, "said", "new")};
            insert into turned
            select distinct r.dataset, r._key from older as l join newer as r on r.n = l.n
            where {models.weight(matching, model)} <= {-matching.turned}"""
    )
    linking_rows.drop_values(engine, matching)
    for table in ("renewed", "asked", "said", "older", "newer"):
        engine.execute(f"drop table {table}")
