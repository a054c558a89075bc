"""Why a value won: what every register said on the field, how much each was believed, and why each other value lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb

from motlan.config.authority import Authority
from motlan.config.registry import Entity
from motlan.expressions import literal, quote
from motlan.lineage.people_decided import describe_override
from motlan.merge import value_ages
from motlan.merge.field_survivorship import CERTAIN, IN_FORCE, RANKS, Survivor
from motlan.merge.plain_survivorship import one_row_of_group, with_conditions
from motlan.workspace import Workspace

Tree = dict[str, Any]
_SAID = "said_on_field"


def describe_survivorship(
    engine: duckdb.DuckDBPyConnection,
    work: Workspace,
    entity: Entity,
    person: str,
    pointer: Mapping[str, Any],
    body: Mapping[str, Any],
) -> list[Tree]:
    """Describe what the registers said on a field of a person, the winner first.

    Args:
        engine: A session that keeps what was made again.
        work: The open installation.
        entity: The entity.
        person: The bus's own person id.
        pointer: Where the golden value came from (see `motlan.merge.provenance.POINTER`).
        body: The version of the merge.

    Returns:
        Of each record that says something: `dataset`, `key`, `ref`, `value`, `as_of` (the record's own moment), `since` (since
        when it says so), `rank` (1 for who is believed most; null for who is not), `outcome` (`won`, `same`, `agrees`, `lost`)
        and `why`, in one word, of those that did not win; of a value that people set aside `override`, who and why.
    """
    kept = body.get("authority")
    authority = {name: Authority.model_validate(rule) for name, rule in kept.items()} if kept else entity.authority
    field = pointer["field"]
    survivors = [Survivor(name, rule, entity.fields, dated=True) for name, rule in authority.items()]
    survivor = next(one for one in survivors if one.field == field)
    rows = _said(engine, survivors, survivor, person)
    winner = next((row for row in rows if row["ref"] == pointer["ref"] and row["dataset"] == pointer["dataset"]), None)
    leader = survivor.rule.follows
    told = [_told(survivor.rule, row, winner, follows=leader) for row in rows]
    for row in _set_aside(engine, person, field):
        dataset, key, _, value = row
        override = describe_override(work, entity.name, dataset, key, field, value)
        told.append({**_withheld(row), "override": override})
    order = {"won": 0, "same": 1, "agrees": 2, "lost": 3}
    return sorted(told, key=lambda one: (order[one["outcome"]], one["rank"] or RANKS, one["dataset"], one["key"]))


def _said(
    engine: duckdb.DuckDBPyConnection, survivors: list[Survivor], survivor: Survivor, person: str
) -> list[dict[str, Any]]:
    """Return what the linked rows say on a field, with what decides between them."""
    mine = f"(from linked_rows where entity_id = {literal(person)})"
    dated = f"(select * from {mine} left join {value_ages.SINCE} using (_ref))"
    group = [one for one in survivors if survivor.rule.together and one.rule.together == survivor.rule.together]
    whole = one_row_of_group(group, dated) if group else dated
    rows = with_conditions(whole, [survivor])
    value, among = quote(survivor.field), quote(survivor.rule.candidates) if survivor.rule.candidates else "null"
    engine.execute(
        f"""create or replace temp table {_SAID} as
            select dataset, _key as "key", _ref as ref, {value} as value, _moment as as_of, {survivor.since("r")} as moment,
                   {survivor.rank("r") if survivor.rule.datasets else "null"} as rank, {among} as among,
                   {survivor.precision(value)} as "precision"
            from {rows} as r where {value} is not null"""
    )
    same = survivor.same("c", "o")
    found = engine.execute(
        f"""select c.*, count(distinct o.dataset) filter (where o.rank is not null and {same}) as votes
            from {_SAID} as c cross join {_SAID} as o group by all"""
    )
    names = [column[0] for column in found.description]
    said = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    hidden = engine.execute(
        f"""select dataset, _key, _ref, {value}, _moment from {mine} anti join {_SAID} as said on said.ref = _ref
            where {value} is not null"""
    ).fetchall()
    columns = ("dataset", "key", "ref", "value", "as_of", "moment")
    said += [{**dict(zip(columns, (*row, row[4]), strict=True)), "rank": None, "hidden": True} for row in hidden]
    agreeing = engine.execute(
        f"select c.ref, o.ref from {_SAID} as c cross join {_SAID} as o where {same} and c.ref != o.ref"
    ).fetchall()
    for row in said:
        row["agrees"] = {other for ref, other in agreeing if ref == row["ref"]}
    return said


def _set_aside(engine: duckdb.DuckDBPyConnection, person: str, field: str) -> list[tuple[Any, ...]]:
    return engine.execute(
        f"select dataset, _key, _ref, value from withheld where entity_id = {literal(person)} and field = {literal(field)}"
    ).fetchall()


def _withheld(row: tuple[Any, ...]) -> Tree:
    named = dict(zip(("dataset", "key", "ref", "value"), row, strict=True))
    return {**named, "as_of": None, "since": None, "rank": None, "outcome": "lost", "why": "set aside"}


def _told(rule: Authority, row: dict[str, Any], winner: dict[str, Any] | None, *, follows: str | None) -> Tree:
    won = row is winner
    outcome, why = ("won", None) if won else _lost(rule, row, winner, follows=follows)
    return {
        **{name: row[name] for name in ("dataset", "key", "ref", "value", "as_of")},
        "since": row["moment"] or None,
        "rank": None if row["rank"] is None else len(rule.ranks) + 1 - row["rank"] % RANKS,
        "outcome": outcome,
        "why": why,
    }


def _lost(
    rule: Authority, row: dict[str, Any], winner: dict[str, Any] | None, *, follows: str | None
) -> tuple[str, str | None]:
    """Return what became of a value that is not the winner, and why in one word."""
    if winner is None:
        return "lost", "unknown"
    if row["value"] == winner["value"]:
        return "same", None
    if row.get("hidden"):
        return "lost", "another record"
    if row["rank"] is None:
        return "lost", "condition" if row["dataset"] in rule.datasets else "not believed"
    if winner["ref"] in row["agrees"]:
        return "agrees", "less precise" if (row["precision"] or 0) < (winner["precision"] or 0) else "agrees"
    return "lost", _why(rule, row, winner, follows=follows)


def _why(rule: Authority, row: dict[str, Any], winner: dict[str, Any], *, follows: str | None) -> str:
    mine, best = row["rank"], winner["rank"]
    if follows and (best is None or mine > best):
        return "follows"
    if best is None:
        return "unknown"
    if mine // IN_FORCE < best // IN_FORCE:
        return "ended"
    if rule.candidates and mine % IN_FORCE // CERTAIN < best % IN_FORCE // CERTAIN:
        return "guess"
    if mine % RANKS < best % RANKS:
        return "believed less"
    if mine > best:
        return "refined"
    if rule.ties == "agreement" and row["votes"] != winner["votes"]:
        return "fewer agree"
    return "older" if row["moment"] != winner["moment"] else "order"
