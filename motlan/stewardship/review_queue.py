"""The review queue: which pairs are given to whom, and what is shown. Nobody chooses a pair, or sees another's verdict."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from motlan.config.review import Review, review_rules
from motlan.errors import AccessError, ConfigurationError, DataError
from motlan.expressions import literal, one
from motlan.lake.tables import reviews_table
from motlan.ledger import accesses
from motlan.linking import stored_models as decisions
from motlan.linking.decision_constraints import CONTRADICTION
from motlan.linking.valid_decisions import STALE
from motlan.principals import aliases
from motlan.stewardship import control_pairs, published_links, record_pairs
from motlan.store import tables
from motlan.store.tables import PAIR
from motlan.workspace import Workspace

MOST_REVIEWERS = 3
"""After so many, who do not agree, the pair stays as the machine has it."""
Chosen = tuple[str, str, str, str, str, int, float | None, float | None, str | None, str | None]
"""A pair, the purpose, how many reviewers have to agree, match weight and probability, and the landed rows of both, if known."""


def take(work: Workspace, entity: str, principal: str, count: int) -> list[int]:
    """Assign the next pairs to a reviewer; return the assignments' ids. Fewer where fewer wait.

    Args:
        work: The open installation.
        entity: The entity's name.
        principal: The reviewer, as signed in.
        count: How many.
    """
    review = review_rules(work.registry, entity)
    with work.store.engine.connect() as connection:
        had = connection.execute(
            sa.select(sa.func.count()).select_from(tables.link_assignments).where(_mine(entity, principal))
        ).scalar_one()
    key = work.store.secret(control_pairs.SECRET)
    tests = sum(_fraction(key, f"{principal} {had + number}") < review.known for number in range(count))
    measured = _known(work, entity, principal, tests)
    with work.store.publishing() as connection:
        chosen = [*measured, *_waiting(work, connection, entity, principal, count, review, measured)]
        chosen.sort(key=lambda pair: _fraction(key, f"{principal} {pair[:4]}"))
        ids = []
        for pair in chosen:
            names = (*PAIR, "purpose", "needed", "match_weight", "probability", "left_ref", "right_ref")
            values = {"entity": entity, "principal": principal, **dict(zip(names, pair, strict=True))}
            made = sa.insert(tables.link_assignments).values(**values).returning(tables.link_assignments.c.id)
            ids.append(int(connection.execute(made).scalar_one()))
    return ids


def _mine(entity: str, principal: str) -> sa.ColumnElement[bool]:
    table = tables.link_assignments.c
    return sa.and_(table.entity == entity, table.principal == principal)


def _fraction(key: bytes, text: str) -> float:
    """Return a number from 0 to 1 that nobody can guess, and that is the same on every try."""
    return int.from_bytes(hmac.new(key, text.encode(), hashlib.sha256).digest()[:8]) / 2**64


def _known(work: Workspace, entity: str, principal: str, count: int) -> list[Chosen]:
    """Choose pairs with a certain answer that this reviewer has not had; make new ones where there are too few."""
    found = _unseen(work, entity, principal, count)
    if len(found) < count:
        control_pairs.fill(work, entity)
        found = _unseen(work, entity, principal, count)
    return found


def _unseen(work: Workspace, entity: str, principal: str, count: int) -> list[Chosen]:
    case, mine = tables.link_cases.c, tables.link_assignments.c
    same = sa.and_(*(mine[name] == case[name] for name in PAIR), _mine(entity, principal))
    query = (
        sa.select(*(case[name] for name in PAIR), case.purpose, sa.literal(1), case.match_weight, case.probability)
        .add_columns(sa.null(), sa.null())
        .where(case.entity == entity, case.purpose == "known", ~sa.exists().where(same))
        .order_by(sa.func.md5(case.left_key + case.right_key + principal))
        .limit(count)
    )
    with work.store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def _waiting(
    work: Workspace,
    connection: sa.Connection,
    entity: str,
    principal: str,
    count: int,
    review: Review,
    measured: Sequence[Chosen],
) -> list[Chosen]:
    """Choose pairs that still need a reviewer: first those that others began, then sampled links, then by a keyed hash.

    Pairs whose decisions do not hold come before all: of contradictions one more reviewer is asked, of what is stale
    as many as if nobody had been.
    """
    secret = work.store.secret(control_pairs.SECRET).hex()
    low, high = review.second.between or (2.0, 2.0)
    pair = ", ".join(PAIR)
    text = " || '/' || ".join(PAIR)
    with work.engine(f"choosing pairs of {entity}") as engine:
        engine.register("standing", _standing(connection, entity, principal, review.lapse))
        engine.register("queued", _sampled(connection, entity))
        engine.register("again", _reopened(connection, entity))
        engine.register(
            "measured", published_links.table([pair[:4] for pair in measured], dict.fromkeys(PAIR, pa.string()))
        )
        return engine.execute(
            f"""with found as (
                    from again union all by name
                    (from (select {pair}, 'unsure' as purpose, match_weight, probability, left_ref, right_ref
                           from ({_unsure(work, entity)})
                           anti join queued using ({pair}) union all by name from queued) anti join again using ({pair}))),
                rated as (select *, {published_links.share_of(secret, text)} as place,
                                 {published_links.share_of(secret, f"'second ' || {text}")} as chance from found),
                counted as (
                    select rated.*, mine, coalesce(said, 0) as said, coalesce(open, 0) as open, said is null as fresh,
                           coalesce(same, 0) as same, coalesce(different, 0) as different,
                           if(probability between {low} and {high} or chance < {review.second.share}, 2, 1) as wanted
                    from rated left join standing using ({pair}))
                select {pair}, purpose, wanted, match_weight, probability, left_ref, right_ref
                from counted anti join measured using ({pair})
                where not coalesce(mine, false) and said < {MOST_REVIEWERS}
                  and open + greatest(same, different)
                      < greatest(wanted, case when same = different then same + 1 else 0 end,
                                 case when purpose = {literal(CONTRADICTION)} then greatest(same, different) + 1 else 0 end)
                order by purpose not in ({literal(CONTRADICTION)}, {literal(STALE)}), fresh, purpose != 'sample', place, {pair}
                limit {count - len(measured)}"""
        ).fetchall()


def _unsure(work: Workspace, entity: str) -> str:
    """Return the SQL of the pairs that the newest publication leaves to people."""
    relation = work.published_rows(entity, reviews_table(entity))
    mine, theirs = ("dataset", "_key"), ("other_dataset", "other_key")
    names = published_links.ordered(mine, theirs)
    if relation is None:
        empty = ", ".join(f"null::varchar as {name}" for name in (*PAIR, "left_ref", "right_ref"))
        return f"select {empty}, null::double as match_weight, null::double as probability where false"
    swapped = published_links.swapped(mine, theirs)
    refs = (
        f"case when {swapped} then other_ref else _ref end as left_ref, "
        f"case when {swapped} then _ref else other_ref end as right_ref"
    )
    best = f"qualify row_number() over (partition by {', '.join(PAIR)} order by probability desc) = 1"
    return f"select {names}, match_weight, probability, {refs} from {relation} {best}"


def _standing(connection: sa.Connection, entity: str, principal: str, lapse: int) -> pa.Table:
    """Return where pairs stand that were assigned: the pair, `same`, `different`, `said`, `open`, `mine`."""
    mine, decision = tables.link_assignments.c, tables.link_decisions.c
    count, same = sa.func.count(), sa.and_(decision.id.is_not(None), mine.principal.in_(aliases(connection, principal)))
    same_human = sa.or_(mine.principal == principal, same)
    again = decisions.reopened(entity).subquery("again")
    counts = sa.and_(decision.id.is_not(None), again.c.reason.is_distinct_from(STALE))
    fresh = mine.assigned_at > sa.func.now() - sa.func.make_interval(0, 0, 0, lapse)
    query = (
        sa.select(
            *(mine[name] for name in PAIR),
            count.filter(decision.verdict == "same", counts).label("same"),
            count.filter(decision.verdict == "different", counts).label("different"),
            count.filter(counts).label("said"),
            count.filter(decision.verdict.is_(None), fresh).label("open"),
            sa.func.bool_or(same_human).label("mine"),
        )
        .join_from(
            tables.link_assignments,
            tables.link_decisions,
            sa.and_(decision.assignment == mine.id, decision.withdrawn_at.is_(None)),
            isouter=True,
        )
        .join(again, again.c.decision == decision.id, isouter=True)
        .where(mine.entity == entity, sa.or_(mine.purpose != "known", same_human))
        .group_by(*(mine[name] for name in PAIR))
    )
    kinds = {**dict.fromkeys(PAIR, pa.string()), **dict.fromkeys(("same", "different", "said", "open"), pa.int64())}
    return published_links.table(connection.execute(query).all(), {**kinds, "mine": pa.bool_()})


def _sampled(connection: sa.Connection, entity: str) -> pa.Table:
    case = tables.link_cases.c
    query = sa.select(*(case[name] for name in PAIR), case.purpose, case.match_weight, case.probability)
    rows = connection.execute(query.where(case.entity == entity, case.purpose == "sample")).all()
    numbers = dict.fromkeys(("match_weight", "probability"), pa.float64())
    return published_links.table(rows, {**dict.fromkeys((*PAIR, "purpose"), pa.string()), **numbers})


def _reopened(connection: sa.Connection, entity: str) -> pa.Table:
    """Return the pairs whose decisions do not hold: the pair, `purpose` (why), `match_weight`, `probability`."""
    decision, again = tables.link_decisions.c, decisions.reopened(entity).subquery("again")
    query = (
        sa.select(*(decision[name] for name in PAIR), sa.func.min(again.c.reason))
        .add_columns(sa.func.max(decision.match_weight), sa.func.max(decision.probability))
        .join_from(tables.link_decisions, again, again.c.decision == decision.id)
        .group_by(*(decision[name] for name in PAIR))
    )
    numbers = dict.fromkeys(("match_weight", "probability"), pa.float64())
    kinds = {**dict.fromkeys((*PAIR, "purpose"), pa.string()), **numbers}
    return published_links.table(connection.execute(query).all(), kinds)


def waiting(work: Workspace, entity: str) -> int:
    """Return how many pairs wait for people: the newest publication leaves them, or their decisions could not be heeded."""
    pair = ", ".join(PAIR)
    with work.engine(f"counting pairs of {entity}") as engine:
        engine.register("settled", decisions.decided(work.store, entity))
        with work.store.engine.connect() as connection:
            engine.register("again", _reopened(connection, entity))
        open_pairs = f"select {pair} from ({_unsure(work, entity)}) anti join settled using ({pair})"
        return int(one(engine, f"select count(*) from ({open_pairs} union select {pair} from again)")[0])


def assigned(work: Workspace, entity: str, principal: str) -> list[dict[str, Any]]:
    """Return a reviewer's open pairs, oldest first: `assignment`, the pair, `assigned_at`, `because`. No value of any person.

    `because` is null where the pair is undecided, else why the reviewer's decision could not be heeded.
    """
    names = (*PAIR, "because")
    return [
        {"assignment": row["id"], **{name: row[name] for name in names}, "assigned_at": row["assigned_at"].isoformat()}
        for row in _open(work, entity, principal)
    ]


def _open(work: Workspace, entity: str, principal: str) -> Sequence[sa.RowMapping]:
    table, decision, again = tables.link_assignments, tables.link_decisions.c, decisions.reopened(entity).subquery()
    decided = sa.and_(decision.assignment == table.c.id, decision.withdrawn_at.is_(None))
    query = (
        sa.select(table, again.c.reason.label("because"))
        .join_from(table, tables.link_decisions, decided, isouter=True)
        .join(again, again.c.decision == decision.id, isouter=True)
        .where(_mine(entity, principal), sa.or_(decision.id.is_(None), again.c.reason.is_not(None)))
        .order_by(table.c.id)
    )
    with work.store.engine.connect() as connection:
        return connection.execute(query).mappings().all()


def find(connection: sa.Connection, assignment: int, principal: str) -> sa.RowMapping:
    """Find an assignment of a reviewer.

    Raises:
        DataError: There is none.
        AccessError: It is somebody else's.
    """
    table = tables.link_assignments
    found = connection.execute(sa.select(table).where(table.c.id == assignment)).mappings().one_or_none()
    if found is None:
        raise DataError(f"there is no assignment {assignment}", next_step="see `motlan review list`.")
    if found["principal"] != principal:
        raise AccessError(
            f"assignment {assignment} is another reviewer's", next_step="take pairs of your own: `motlan review next`."
        )
    return found


def show(work: Workspace, assignment: int, principal: str) -> dict[str, Any]:
    """Show a reviewer a pair: `fields` side by side, the `waterfall` of match weights, `prior`, `match_weight`, `probability`.

    `because` is why people decide it: a declared doubt, `former_number`, `contradiction` or `stale`. It is None of a pair that is
    merely not probable enough, and of samples and control pairs, which must not be told from these.

    The look is written down first. Other reviewers' verdicts are not shown.

    Raises:
        DataError: There is no such assignment.
        AccessError: It is somebody else's.
    """
    with work.store.engine.connect() as connection:
        found = find(connection, assignment, principal)
    return describe(work, found["entity"], principal, "review.read", [found])[0]


def export(work: Workspace, entity: str, principal: str) -> list[dict[str, Any]]:
    """Return all undecided pairs of a reviewer as `show` does, `verdict` and `reason` left for the reviewer to fill."""
    found = _open(work, entity, principal)
    return [
        {**row, "verdict": None, "reason": None} for row in describe(work, entity, principal, "review.export", found)
    ]


def describe(
    work: Workspace, entity: str, principal: str, action: str, rows: Sequence[sa.RowMapping]
) -> list[dict[str, Any]]:
    """Write down a look at assignments, then describe their pairs. Known answers are shown without identifiers."""
    if not rows:
        return []
    ids = [row["id"] for row in rows]
    if any(row["entity"] != entity for row in rows):
        raise ConfigurationError("these pairs are of another entity", next_step="ask for one entity at a time.")
    accesses.record(work.store, principal, action, f"{entity} assignments {', '.join(map(str, ids))}")
    told: dict[int, dict[str, Any]] = {}
    for hidden in (False, True):
        if mine := [row for row in rows if (row["purpose"] == "known") == hidden]:
            with work.engine(f"showing pairs of {entity}") as engine:
                asked = [(row["left_dataset"], row["left_key"], row["right_dataset"], row["right_key"]) for row in mine]
                described = record_pairs.weigh(work, engine, entity, asked, hide_identifiers=hidden).described()
                reasons = _find_reasons(work, engine, entity, mine)
                _remember(work, engine, [row["id"] for row in mine])
            for row, description, because in zip(mine, described, reasons, strict=True):
                registers = {"left": row["left_dataset"], "right": row["right_dataset"]}
                told[row["id"]] = {"assignment": row["id"], **registers, "because": because, **description}
    return [told[number] for number in ids]


def _find_reasons(
    work: Workspace, engine: duckdb.DuckDBPyConnection, entity: str, rows: Sequence[sa.RowMapping]
) -> list[str | None]:
    """Return why people decide each pair of `given_pairs`, where more is known than that it is not probable enough."""
    reviews = work.published_rows(entity, reviews_table(entity))
    found: dict[int, str] = {}
    if reviews:
        pair = published_links.ordered(("dataset", "_key"), ("other_dataset", "other_key"))
        found = dict(
            engine.execute(
                f"""select number, min(reason) from given_pairs join (select {pair}, reason from {reviews}) as reviews
                    using ({", ".join(PAIR)}) where reason is not null group by number"""
            ).fetchall()
        )
    again = (CONTRADICTION, STALE)
    reasons = {number: row["purpose"] for number, row in enumerate(rows) if row["purpose"] in again}
    reasons |= {
        number: found[number] for number, row in enumerate(rows) if row["purpose"] == "unsure" and number in found
    }
    return [reasons.get(number) for number in range(len(rows))]


def _remember(work: Workspace, engine: duckdb.DuckDBPyConnection, assignments: Sequence[int]) -> None:
    """Keep which landed rows a reviewer was shown: a decision is about these."""
    found = engine.execute(
        """select mine._ref, theirs._ref from given_pairs
           join given_records as mine on mine.dataset = left_dataset and mine._key = left_key
           join given_records as theirs on theirs.dataset = right_dataset and theirs._key = right_key order by number"""
    ).fetchall()
    table = tables.link_assignments
    with work.store.engine.begin() as connection:
        for number, (left, right) in zip(assignments, found, strict=True):
            seen = sa.update(table).where(table.c.id == number).values(left_ref=left, right_ref=right)
            connection.execute(seen)
