"""Link every current row to a person, in stages, and give persons ids that stay.

1. Rows of the spine found persons; two spine rows with one identifier that agree are one person.
2. A row with a person's identifier is linked where the weight of the other fields agrees: identifiers may be
   mistyped, or somebody else's.
3. A row without one is linked where name, birth date and sex are equal and unique on both sides, and no identifier speaks
   against it.
4. What is left founds provisional persons, by the same two tests among themselves.

Rows are compared with rows, never with golden values. Ties are broken by key, so that order of arrival does not matter.
"""

from __future__ import annotations

import duckdb

from motlan.engine import literal, one, quote
from motlan.lake import changes, current
from motlan.ledger import runs, versions
from motlan.linking import score
from motlan.registry import Matching
from motlan.workspace import Workspace

KEY = ("dataset", "_key")
COLUMNS = ("_ref", "person_id", "founder", "compared", "compared_ref", "rule", "weight", "_link_version")
"""Columns of `links.<entity>` beside its key. `founder` is `dataset/key` of the row that founded the person, `compared` of
the row that this one was compared with (the founder itself, but for groups of groups)."""


def links_table(entity: str) -> str:
    """Return the name of the lake's table of an entity's links."""
    return f"links.{entity}"


def link(work: Workspace, run: runs.Run, inputs: dict[str, list[str]], published: list[str]) -> runs.Counts:
    """Link all current rows of an entity and stage what changed.

    Args:
        work: The open installation.
        run: A reconcile run.
        inputs: Dataset -> the sync runs to read.
        published: The reconcile runs published before.

    Returns:
        Counts: `rows`, `persons`, `changed`, one number for each rule, `version`, `snapshots`. The full set of links is
        left in the run's scratch folder as `links.parquet`.
    """
    matching = work.registry.entity(run.subject).matching
    version = versions.record(work.store, "link", run.subject, {**score.body(matching), **work.engine_version()})
    table = links_table(run.subject)
    return work.staged(run.id, "link", [table], lambda: _link(work, run, inputs, published, version))


def _link(
    work: Workspace, run: runs.Run, inputs: dict[str, list[str]], published: list[str], version: str
) -> runs.Counts:
    matching = work.registry.entity(run.subject).matching
    table = links_table(run.subject)
    before = work.lake.files(table, set(published))
    with work.engine(f"linking {run.subject}") as engine:
        _load_rows(engine, matching, work.facts(run.subject, inputs))
        _found_on_spine(engine, matching)
        _link_by_identifier(engine, matching)
        _link_by_exact_key(engine, matching)
        _found_provisional(engine, matching)
        engine.execute(
            "create temp table previous as select * from " + (current(before, KEY) if before else _no_links())
        )
        _assign_person_ids(engine, work.store.secret("person ids").hex(), version)
        engine.execute(f"create temp table difference as {changes('links', 'previous', KEY, COLUMNS)}")
        full = work.scratch(run.id) / "links.parquet"
        engine.execute(f"copy (from links) to {literal(str(full))} (format parquet)")
        counts = dict(engine.execute("select rule, count(*) from links group by rule order by rule").fetchall())
        totals = one(engine, "select count(*), count(distinct person_id), (select count(*) from difference) from links")
        if totals[2]:
            target = work.lake.folder(table, run.id) / "000000.parquet"
            engine.execute(
                f"copy (select *, {literal(run.id)} as _run from difference) to {literal(str(target))} "
                "(format parquet, compression zstd)"
            )
    return {"rows": totals[0], "persons": totals[1], "changed": totals[2], "by_rule": counts, "version": version}


def _no_links() -> str:
    columns = (f"null::{'double' if column == 'weight' else 'varchar'} as {column}" for column in (*KEY, *COLUMNS))
    return f"(select {', '.join(columns)} where false)"


def _load_rows(engine: duckdb.DuckDBPyConnection, matching: Matching, facts: str) -> None:
    spine = ", ".join(map(literal, matching.spine))
    engine.execute(
        f"""create temp table rows_ as
            select *, dataset || '/' || _key as id, dataset in ({spine}) as is_spine,
                   {score.exact_key(matching)} as exact_key
            from {facts}"""
    )
    engine.execute(
        """create temp table linked
           (id varchar, founder varchar, rule varchar, weight double, compared varchar)"""
    )


def _group_by_identifier(matching: Matching, rows: str, rule: str) -> str:
    """Rows that share the first identifier and agree with the group's first row, that row left out."""
    identifier = quote(matching.identifiers[0])
    return f"""
        with firsts as (select {identifier}, min(id) as first from {rows} where {identifier} is not null
                        group by all having count(*) > 1),
        scored as (
            select l.id, r.id as founder, {score.weight(matching)} as weight
            from {rows} as l join firsts on l.{identifier} = firsts.{identifier} and l.id != firsts.first
            join {rows} as r on r.id = firsts.first)
        select id, founder, {literal(rule)} as rule, weight, founder as compared from scored where weight >= {matching.accept}"""


def _found_on_spine(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    engine.execute("create temp view spine_rows as select * from rows_ where is_spine")
    engine.execute(f"insert into linked {_group_by_identifier(matching, 'spine_rows', 'duplicate')}")
    engine.execute(
        "insert into linked select id, id, 'founder', null, id from spine_rows where id not in (select id from linked)"
    )
    engine.execute(
        "create temp table persons as select * from spine_rows where id in (select id from linked where rule = 'founder')"
    )


def _link_by_identifier(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    engine.execute("create temp table candidates (id varchar, founder varchar, rule varchar, weight double)")
    for identifier in matching.identifiers:
        column = quote(identifier)
        engine.execute(
            f"""insert into candidates
                select l.id, r.id, {literal("identifier " + identifier)}, {score.weight(matching)} as weight
                from rows_ as l join persons as r on l.{column} = r.{column}
                where not l.is_spine"""
        )
    engine.execute(
        f"""insert into linked
            select id, founder, rule, weight, founder from candidates where weight >= {matching.accept}
            qualify row_number() over (partition by id order by weight desc, founder, rule) = 1"""
    )


def _link_by_exact_key(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    engine.execute("create temp view unlinked as select * from rows_ where id not in (select id from linked)")
    engine.execute(
        f"""insert into linked
            with alone as (select dataset, exact_key, min(id) as id from unlinked where exact_key is not null
                           group by all having count(*) = 1),
            unique_persons as (select exact_key, min(id) as founder from persons where exact_key is not null
                               group by all having count(*) = 1),
            claimed as (select distinct rows_.dataset, linked.founder from linked join rows_ using (id))
            select l.id, r.id, 'exact', {score.weight(matching)}, r.id
            from alone join unique_persons using (exact_key)
            join rows_ as l on l.id = alone.id
            join persons as r on r.id = unique_persons.founder
            where not {score.conflict(matching)}
              and not exists (from claimed where claimed.dataset = l.dataset and claimed.founder = r.id)"""
    )


def _found_provisional(engine: duckdb.DuckDBPyConnection, matching: Matching) -> None:
    """Rows that belong to nobody on the spine: groups by identifier first, then groups of groups by exact key."""
    engine.execute("create temp table rest as select * from unlinked")
    engine.execute(f"create temp table grouped as {_group_by_identifier(matching, 'rest', 'provisional identifier')}")
    engine.execute("create temp view firsts as select * from rest where id not in (select id from grouped)")
    engine.execute(
        f"""create temp table joined as
            with alone as (select dataset, exact_key, min(id) as id from firsts where exact_key is not null
                           group by all having count(*) = 1),
            groups as (select exact_key, min(id) as founder from alone group by all having count(*) > 1)
            select l.id, r.id as founder, 'provisional exact' as rule, {score.weight(matching)} as weight, r.id as compared
            from alone join groups using (exact_key)
            join rest as l on l.id = alone.id and l.id != groups.founder
            join rest as r on r.id = groups.founder
            where not {score.conflict(matching)}"""
    )
    engine.execute("insert into linked from joined")
    engine.execute(
        """insert into linked
           select grouped.id, coalesce(joined.founder, grouped.founder), grouped.rule, grouped.weight, grouped.compared
           from grouped left join joined on joined.id = grouped.founder"""
    )
    engine.execute(
        "insert into linked select id, id, 'provisional founder', null, id from rest where id not in (select id from linked)"
    )


def _assign_person_ids(engine: duckdb.DuckDBPyConnection, secret: str, version: str) -> None:
    """Keep the id that a group's rows had; a new group's id is drawn from its founder by a keyed hash.

    The founder's own earlier id comes first, then the smallest of the others' that no founder holds. So a provisional
    person that appears on the spine keeps its id.
    """
    new_id = f"substr(sha256({literal(secret)} || linked.founder), 1, 32)::uuid::varchar"
    engine.execute(
        f"""create temp table links as
            with known as (
                select linked.founder, person_id, linked.id = linked.founder as own
                from linked join previous on linked.id = previous.dataset || '/' || previous._key),
            best as (
                select founder, arg_min(person_id, (not own, person_id)) as person_id, bool_or(own) as own
                from known group by founder),
            kept as (select founder, person_id from best
                     qualify row_number() over (partition by person_id order by own desc, founder) = 1)
            select rows_.dataset, rows_._key, rows_._ref,
                   coalesce(kept.person_id, {new_id}) as person_id,
                   linked.founder, linked.compared, others._ref as compared_ref, linked.rule, linked.weight,
                   {literal(version)} as _link_version
            from linked join rows_ using (id) join rows_ as others on others.id = linked.compared
            left join kept on kept.founder = linked.founder"""
    )
