"""Persons of whom nothing changed, and whose rules may answer otherwise all the same: they are checked again.

A row that took or left a value makes other rows with it pass or fail a set rule; another day makes rules answer otherwise that
read it. Both are found by hashes that are kept of all current rows. Who is found too much is only checked for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb

from motlan.config.quality import SetRule
from motlan.config.registry import Registry
from motlan.expressions import DUCKDB, Dialect, literal, make, one, quote
from motlan.quality import set_rules
from motlan.quality.check_state import CheckState
from motlan.quality.cross_register import day_literal
from motlan.quality.dated_rules import DatedPart, dated_fields, dated_parts, values_name
from motlan.workspace import Workspace

MANY = 64
"""Rows with one hash beside which one row more or less makes no difference: so many values never share a hash of 31 bits, so that
some rows share a value, which fails with or without it, or which is known."""


def key_columns(registry: Registry, entity: str, dialect: Dialect = DUCKDB) -> dict[str, str]:
    """Return what is kept of each current row: name of a column -> its SQL, a number of 31 bits, null where it is not asked for.

    Args:
        registry: What is declared.
        entity: The linked entity.
        dialect: How expressions are written.

    Returns:
        SQL over `dataset` and the canonical fields of a row.
    """
    rules, names = registry.rules_of(entity), [dataset.name for dataset in registry.datasets_of(entity)]
    found = {}
    for rule in rules.sets:
        asked = set_rules.assessed(rule, [name for name in names if rule.applies_to(name)] or [""], dialect)
        found[_own(rule)] = f"case when {asked} then {_hash(*set_rules.own_fields(rule))} end"
        if rule.refers:
            there = f"dataset = {literal(rule.refers.dataset)} and {quote(rule.refers.field)} is not null"
            found[_referred(rule)] = f"case when {there} then {_hash(rule.refers.field)} end"
    for field in dated_fields(rules):
        found[_dated(field)] = _hash(field)
    return found


def _own(rule: SetRule) -> str:
    return f"own_{rule.name}"


def _referred(rule: SetRule) -> str:
    return f"referred_{rule.name}"


def _dated(field: str) -> str:
    return f"dated_{field}"


def _hash(*fields: str) -> str:
    """Return the SQL of a whole number of 31 bits of some fields, the same in every run of one engine."""
    return f"(abs(hash({', '.join(map(quote, fields))})) % 2147483647)::int"


def find_flipped(
    work: Workspace,
    engine: duckdb.DuckDBPyConnection,
    entity: str,
    *,
    previous: CheckState,
    keys: str,
    changed: str,
    published_golden: str,
    published_links: str,
    as_of: str | None,
) -> str:
    """Find persons of whom nothing changed, and of whom rules may answer otherwise; return the name of a table of `entity_id`.

    Args:
        work: The open installation.
        engine: An engine of the steps.
        entity: The linked entity.
        previous: What the cross-check before left.
        keys: Relation of all current rows, with `n`, `dataset`, `_key`, `_moment` and `key_columns`.
        changed: Relation of changed rows, as they were and as they are, with these columns.
        published_golden: Relation of golden records; versions that are not the newest do no harm.
        published_links: Relation of links: `dataset`, `_key`, `entity_id`.
        as_of: The day that ages are reckoned at now.
    """
    rules = work.registry.rules_of(entity)
    everyone = f"select entity_id from {published_links}"
    if _begins_or_ends(engine, previous, keys, changed):
        make(engine, "flipped", [f"select distinct entity_id from ({everyone})"])
        return "flipped"
    rows = ["select null::bigint as n where false"]
    rows += [query for rule in rules.sets for query in _sharing(engine, rule, keys, changed)]
    persons, golden = ["select null::varchar as entity_id where false"], dict[str, list[str]]()
    for part in dated_parts(rules) if as_of != previous.as_of else ():
        differs = part.differs(day_literal(previous.as_of), day_literal(as_of), work.dialect)
        if part.of == "row":
            rows.append(_rows_of_day(part, differs, previous, keys))
        elif part.of == "moment":
            rows.append(f"select n from {keys} where {_asks(part)} and {differs}")
        elif part.of == "golden":
            golden.setdefault(part.field, []).append(differs)
        elif part.of == "other" or one(engine, f"select {differs}")[0]:
            persons.append(everyone)
    persons += [_persons_of_day(field, differing, published_golden) for field, differing in golden.items()]
    make(engine, "flipped_rows", rows)
    where = f"(select distinct dataset, _key from {keys} semi join flipped_rows using (n))"
    of_rows = f"select entity_id from {published_links} semi join {where} as flipped_keys using (dataset, _key)"
    make(engine, "flipped_persons", [*persons, of_rows])
    make(engine, "flipped", ["select distinct entity_id from flipped_persons"])
    return "flipped"


def _rows_of_day(part: DatedPart, differs: str, previous: CheckState, keys: str) -> str:
    """Return the SQL of rows (`n`) with a value of which a part answers otherwise on another day."""
    values = (
        f"select distinct {_hash(part.field)} as hash from {previous.relation(values_name(part.field))} where {differs}"
    )
    column = quote(_dated(part.field))
    return f"select n from {keys} as k semi join ({values}) as v on v.hash = k.{column} where {_asks(part)}"


def _asks(part: DatedPart) -> str:
    """Return the SQL of whether the rule of a part is asked of a row."""
    return "true" if part.rule.among is None else f"dataset in ({', '.join(map(literal, part.rule.among or ['']))})"


def _persons_of_day(field: str, differing: Sequence[str], golden: str) -> str:
    """Return the SQL of persons with a golden value of a field of which some part answers otherwise on another day."""
    name = quote(field)
    values = f"select {name} from (select distinct {name} from {golden}) where {' or '.join(differing)}"
    return f"select entity_id from {golden} as g semi join ({values}) as v on v.{name} is not distinct from g.{name}"


def _begins_or_ends(engine: duckdb.DuckDBPyConnection, previous: CheckState, keys: str, changed: str) -> bool:
    """Return whether a dataset has its first rows now, or has lost its last ones: person rules are asked of everyone then, or of
    nobody.
    """
    counted = engine.execute(f"select dataset, count(*) from {changed} group by dataset").fetchall()
    begun = [name for name, _ in counted if not previous.register(name).linked]
    doubtful = [name for name, number in counted if 0 < previous.register(name).linked <= number]
    ended = (
        name for name in doubtful if not one(engine, f"select count(*) from {keys} where dataset = {literal(name)}")[0]
    )
    return bool(begun) or any(ended)


def _sharing(engine: duckdb.DuckDBPyConnection, rule: SetRule, keys: str, changed: str) -> Iterator[str]:
    """Give the SQL of rows (`n`) that share a value with a row that took or left it."""
    own, moved = quote(_own(rule)), quote(f"moved_{rule.name}")
    make(engine, moved, [_moved(own, changed)])
    if not rule.refers:
        yield _first(
            f"from {keys} as k semi join {moved} as m on m.dataset = k.dataset and m.hash = k.{own}", own, changed
        )
        return
    referred, altered = quote(_referred(rule)), quote(f"altered_{rule.name}")
    make(engine, altered, [_moved(referred, changed)])
    either = f"(select hash from {moved} union select hash from {altered})"
    yield _first(f"from {keys} as k semi join {either} as m on m.hash = k.{referred}", referred, changed, by="")
    known = f"""(
        select {referred} as hash from {keys} as k semi join {altered} as m on m.hash = k.{referred}
        anti join {changed} as c on c.n = k.n group by {referred} having count(*) >= {MANY})"""
    yield f"""
        select n from {keys} as k semi join (from {altered} anti join {known} as known using (hash)) as m on m.hash = k.{own}"""


def _moved(column: str, changed: str) -> str:
    """Return the SQL of values, by their hash, that a changed record took or left: `dataset`, `hash`."""
    once = f"""
        select dataset, _key, {column} as hash from {changed} where {column} is not null
        group by dataset, _key, {column} having count(*) = 1"""
    return f"select distinct dataset, hash from ({once})"


def _first(rows: str, column: str, changed: str, by: str = "dataset, ") -> str:
    """Return the SQL of the first rows (`n`) that have a hash and did not change."""
    unchanged = f"{rows} anti join {changed} as c on c.n = k.n"
    placed = f"select n, row_number() over (partition by {by}{column} order by n) as place {unchanged}"
    return f"select n from ({placed}) where place <= {MANY}"
