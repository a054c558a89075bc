"""What the decisions tell: how sure reviewers are, how well the model knows its own doubt, how precise the links are, and
where the machine thinks otherwise by now.
"""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa

from motlan.config.review import review_rules
from motlan.linking import stored_models as decisions
from motlan.stewardship import record_pairs
from motlan.store import tables
from motlan.store.tables import PAIR
from motlan.workspace import Workspace


def reviewers(work: Workspace, entity: str) -> list[dict[str, Any]]:
    """Measure each reviewer: `reviewer`, `decided`, `unknown`, `known` answers given, `right` among them with the 95 % interval
    of their share, `doubled` pairs that others decided as well, `agreed` among them.
    """
    with work.store.engine.connect() as connection:
        found = [dict(row) for row in connection.execute(sa.text(_REVIEWERS), {"entity": entity}).mappings()]
    for row in found:
        row["share_right"] = _interval(row["right"], row["known"])
    return found


_STANDING = f"""
    select d.*, a.purpose, c.answer from link_decisions d join link_assignments a on a.id = d.assignment
    left join link_cases c on c.purpose = 'known' and a.purpose = 'known' and c.entity = d.entity
         and ({", ".join(f"c.{name}" for name in PAIR)}) = ({", ".join(f"d.{name}" for name in PAIR)})
    where d.entity = :entity and d.withdrawn_at is null"""
_REVIEWERS = f"""
    with standing as ({_STANDING}),
    judged as (
        select *, (verdict = 'same') = answer as is_right, purpose != 'known' and verdict != 'unknown' as counts,
               count(*) filter (where purpose != 'known' and verdict != 'unknown') over (partition by {", ".join(PAIR)}) as said,
               count(*) filter (where purpose != 'known') over (partition by {", ".join(PAIR)}, verdict) as alike
        from standing)
    select principal as reviewer, count(*) as decided, count(*) filter (where verdict = 'unknown') as unknown,
           count(*) filter (where purpose = 'known' and verdict != 'unknown') as known,
           count(*) filter (where purpose = 'known' and verdict != 'unknown' and is_right) as "right",
           count(*) filter (where counts and said > 1) as doubled, count(*) filter (where counts and alike > 1) as agreed
    from judged group by principal order by principal"""


def _interval(hits: int, of: int) -> dict[str, float] | None:
    if not of:
        return None
    low, high = record_pairs.wilson(hits, of)
    return {"share": hits / of, "low": low, "high": high}


def calibration(work: Workspace, entity: str) -> dict[str, Any]:
    """Compare the model's probabilities with what people found.

    Returns:
        `bands`: by tenths of probability of the unsure pairs, `low`, `high`, `pairs` decided, `same` among them with the
        interval of their share, and what the model `expected`; `links`: of the sampled links, how many were `decided`, how many
        are `right`, with the interval: the clerical estimate of the links' precision.
    """
    held = decisions.in_force(entity).subquery("held")
    mine = tables.link_assignments.c
    joined = sa.and_(mine.entity == entity, *(mine[name] == held.c[name] for name in PAIR))
    each = (
        sa.select(
            held.c.same,
            sa.func.max(mine.probability).label("probability"),
            sa.func.min(mine.purpose).filter(mine.purpose.in_(("sample", "unsure"))).label("purpose"),
        )
        .join_from(held, tables.link_assignments, sa.and_(joined, mine.purpose != "known"))
        .group_by(*held.c)
        .subquery("each")
    )
    band = sa.func.least(sa.func.floor(each.c.probability * 10), 9)
    count = sa.func.count()
    same = count.filter(each.c.same)
    unsure, sampled = each.c.purpose == "unsure", each.c.purpose == "sample"
    bands = sa.select(
        band.label("band"), count.label("pairs"), same.label("same"), sa.func.avg(each.c.probability).label("expected")
    )
    with work.store.engine.connect() as connection:
        told = connection.execute(bands.where(unsure).group_by(band).order_by(band)).mappings().all()
        decided, right = connection.execute(sa.select(count, same).select_from(each).where(sampled)).one()
    return {
        "bands": [
            {
                "low": float(row["band"]) / 10,
                "high": float(row["band"] + 1) / 10,
                "pairs": row["pairs"],
                "same": row["same"],
                "share": _interval(row["same"], row["pairs"]),
                "expected": row["expected"],
            }
            for row in told
        ],
        "links": {"decided": decided, "right": right, "precision": _interval(right, decided)},
    }


def contradicted(work: Workspace, entity: str) -> list[dict[str, Any]]:
    """Return the decisions that hold and that the machine strongly contradicts as the rows stand now.

    Columns: the pair, `same`, `match_weight` now, and `decisions` with number, who and when. They hold on until people
    withdraw them.
    """
    held = decisions.decided(work.store, entity).to_pylist()
    if not held:
        return []
    matching, limit = work.registry.entity(entity).matching, review_rules(work.registry, entity).contradiction
    with work.engine(f"weighing decided pairs of {entity}") as engine:
        asked = [(row["left_dataset"], row["left_key"], row["right_dataset"], row["right_key"]) for row in held]
        weighed = record_pairs.weigh(work, engine, entity, asked)
        sure = (
            math.log2((1 - matching.errors.deterministic_error) / matching.errors.deterministic_error) - weighed.prior
        )
        found = engine.execute(
            f"select number, match_weight from weighed where match_weight <= {limit} or match_weight >= {sure} order by number"
        ).fetchall()
    told = []
    for number, weight in found:
        row = held[number]
        if (weight <= limit) == row["same"]:
            told.append({**row, "match_weight": weight, "decisions": _by(work, entity, row)})
    return told


def reopened(work: Workspace, entity: str) -> list[dict[str, Any]]:
    """Return the decisions that the newest linking could not heed, and that people have to look at again.

    Columns: the pair, `reason` (`contradiction`: it contradicts others; `stale`: one of its records has become another
    person's), `same` as decided, and `decisions` with number, verdict, who and when.
    """
    decision, again = tables.link_decisions.c, decisions.reopened(entity).subquery("again")
    query = (
        sa.select(*(decision[name] for name in PAIR), sa.func.min(again.c.reason).label("reason"))
        .add_columns((sa.func.count().filter(decision.verdict == "same") * 2 > sa.func.count()).label("same"))
        .join_from(tables.link_decisions, again, again.c.decision == decision.id)
        .group_by(*(decision[name] for name in PAIR))
        .order_by(*(decision[name] for name in PAIR))
    )
    with work.store.engine.connect() as connection:
        found = [dict(row) for row in connection.execute(query).mappings()]
    return [{**row, "decisions": _by(work, entity, row)} for row in found]


def _by(work: Workspace, entity: str, pair: dict[str, Any]) -> list[dict[str, Any]]:
    table = tables.link_decisions.c
    query = sa.select(table.id, table.verdict, table.principal, table.recorded_at).where(
        table.entity == entity, table.withdrawn_at.is_(None), *(table[name] == pair[name] for name in PAIR)
    )
    with work.store.engine.connect() as connection:
        return [
            {
                "decision": row.id,
                "verdict": row.verdict,
                "principal": row.principal,
                "recorded_at": row.recorded_at.isoformat(),
            }
            for row in connection.execute(query.order_by(table.id))
        ]
