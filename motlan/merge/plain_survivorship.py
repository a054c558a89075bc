"""Survivorship, defined plainly: one query, in which the rows of every person are gathered and each field is decided.

This is what the merge means. `motlan.merge.survivorship` puts the rows of most persons side by side, which is faster; a test
holds its answers equal to these.

1. Of several rows of one register about a person, one says all fields of a group that go together (`one_row_of_group`).
2. The rows of a person are gathered; of each field all that is said by who is believed on it, the most believed first
   (`Survivor.gathered`).
3. Where that differs, the best is chosen, then what refines it, then what decided and whether somebody disagrees (`Decided`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from motlan.config.registry import Entity
from motlan.expressions import literal, quote
from motlan.merge.field_survivorship import Survivor, in_force, place_in
from motlan.merge.provenance import BETWEEN, DECIDED, SOURCES

_STANDS = "_stands_"


def plain_query(entity: Entity, rows: str, taken: Sequence[str] = (), since: str | None = None) -> str:
    """Return the SQL from linked rows to golden rows, all persons gathered.

    Args:
        entity: As `motlan.merge.survivorship.merge_query` takes it, and so `rows`, `taken` and `since`.
        rows: All rows.
        taken: Fields.
        since: Relation that tells since when rows say each value.
    """
    survivors = [
        Survivor(field, rule, entity.fields, dated=since is not None) for field, rule in entity.authority.items()
    ]
    dated = f"(select * from {rows} left join {since} using (_ref))" if since else rows
    return gathered_query(Decided(survivors, {}, taken, followed=rows), dated)


def gathered_query(decided: Decided, rows: str) -> str:
    """Return the SQL of the golden rows of persons, from all their rows, gathered."""
    said = _gathered(decided.survivors, with_conditions(rows, decided.survivors))
    return decided.query(decided.survivors, said, gathered=True)


def with_conditions(rows: str, fields: Sequence[Survivor]) -> str:
    """Return rows with the conditions under which they are believed on fields, as columns."""
    conditions = {name: asked for survivor in fields for name, asked in survivor.conditions().items()}
    return f"(select {', '.join(['*', *(f'{asked} as {name}' for name, asked in conditions.items())])} from {rows})"


@dataclass(frozen=True)
class Decided:
    """The SQL of golden rows, of what was said."""

    survivors: Sequence[Survivor]
    slots: Mapping[str, str]
    taken: Sequence[str]
    followed: str | None = None
    """Relation of rows, where fields that follow others are taken from the others' rows; else they come from these already."""

    def query(self, contested: Sequence[Survivor], said: str, *, gathered: bool = False, placed: bool = False) -> str:
        """Return it.

        Args:
            contested: Fields that may differ.
            said: What was said.
            gathered: Whether rows stand in places of no register.
            placed: Whether there is `_ordinal` beside it.
        """
        steps = (
            [f"{s.chosen()} end as {s.best}" for s in contested],
            [f"{s.refined()} end as {s.won}" for s in contested],
            [f"{s.decided()} end as {s.reason}" for s in contested],
            [f"{s.opposed()} end as {s.disputed}" for s in contested],
        )
        for made in steps:
            told = "".join(f", case when {s.differs} then {one}" for s, one in zip(contested, made, strict=True))
            said = f"select *{told} from ({said})"
        followed = self._followed(contested) if self.followed else {}
        values = ", ".join(
            followed[s.field][0] if s.field in followed else s.value(s in contested) for s in self.survivors
        )
        joins = "".join(join for *_, join in followed.values())
        how = {field: decided for field, (_, decided, _) in followed.items()}
        slots = {} if gathered else self.slots
        taken = "".join(f", {s.taken(s in contested, slots)}" for s in self.survivors if s.field in self.taken)
        also = ", _ordinal" if placed else ""
        return f"""select entity_id, {values}, {SOURCES}, {self._told(contested, how)} as {DECIDED}{taken}{also}
            from ({said}) as said{joins}"""

    def _followed(self, contested: Sequence[Survivor]) -> dict[str, tuple[str, str, str]]:
        """Field that follows another -> its value, where it came from, and the join with the other's row."""
        by_field = {survivor.field: survivor for survivor in self.survivors}
        found = {}
        for number, survivor in enumerate(s for s in self.survivors if s.rule.follows):
            leader, row = by_field[survivor.rule.follows or ""], f"followed_{number}"
            place = leader.final_place(leader in contested)
            row_said = f"(select _ref as _ref_{number}, {quote(survivor.field)} from {self.followed})"
            join = f" left join {row_said} as {row} on {row}._ref_{number} = {SOURCES}[{place}].ref"
            found[survivor.field] = (*survivor.follow(leader, contested, row), join)
        return found

    def _told(self, contested: Sequence[Survivor], followed: Mapping[str, str]) -> str:
        """What decided, of all fields: most persons have rows of few registers, so fields of one register go together."""
        parts = []
        for _, group in groupby(
            self.survivors, lambda s: s.field if s.contested or s.field in followed else s.rule.datasets
        ):
            fields = list(group)
            if fields[0].field in followed:
                parts.append(followed[fields[0].field])
                continue
            told = [
                s.told(s in contested, [place_in(self.slots, n) for n in s.rule.datasets if n in self.slots])
                for s in fields
            ]
            known = f"coalesce({', '.join(s.place for s in fields)}) is not null"
            parts += told if len(told) == 1 else [f"case when {known} then {_together(told)} end"]
        return _together(parts)


def _together(told: Sequence[str]) -> str:
    return f"concat_ws({literal(BETWEEN)}, {', '.join(told)})"


def one_row_of_group(survivors: Sequence[Survivor], rows: str) -> str:
    """Return rows of which one of a register's several rows about a person says all fields of a group that go together."""
    groups: dict[str, list[Survivor]] = {}
    for survivor in survivors:
        if survivor.rule.together:
            groups.setdefault(survivor.rule.together, []).append(survivor)
    if not groups:
        return rows
    stands, kept = [], []
    for number, fields in enumerate(groups.values()):
        expression = fields[0].rule.in_force
        known = " or ".join(f"r.{quote(one.field)} is not null" for one in fields)
        order = [f"({known}) desc", *([f"{in_force(expression)} desc"] if expression else [])]
        order += [f"greatest({', '.join(one.since('r') for one in fields)}) desc", "_key desc"]
        stands.append(
            f"row_number() over (partition by entity_id, dataset order by {', '.join(order)}) as {_STANDS}{number}"
        )
        kept += [f"case when {_STANDS}{number} = 1 then {quote(one.field)} end as {quote(one.field)}" for one in fields]
    numbered = ", ".join(f"{_STANDS}{number}" for number in range(len(groups)))
    return f"(select * exclude ({numbered}) replace ({', '.join(kept)}) from (select r.*, {', '.join(stands)} from {rows} as r))"


def _gathered(survivors: Sequence[Survivor], rows: str) -> str:
    columns = ", ".join(survivor.gathered() for survivor in survivors)
    row = "{'dataset': r.dataset, 'key': r._key, 'ref': r._ref, 'as_of': r._moment}"
    return f"""select entity_id, list({row} order by r._place) as {SOURCES}, {columns}
        from (select *, row_number() over (partition by entity_id order by dataset, _key)::integer as _place,
                     dense_rank() over (partition by entity_id order by dataset)::integer as _source
              from {one_row_of_group(survivors, rows)}) as r
        group by entity_id"""
