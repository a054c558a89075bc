"""Models of linking in the store: one released for each entity, others proposed; and what persons decided about pairs.

A model is kept as a version under the kind `link model`. The first is released by the bus itself, because there is nothing
to compare it with. Every later one is proposed with a report and waits for a person; where it drifts past the declared limit,
for another person than the one who fitted it.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from motlan.config.matching import Matching
from motlan.errors import AccessError, ConfigurationError, DataError
from motlan.ledger import log, versions
from motlan.linking.model import Model
from motlan.principals import aliases
from motlan.store import Store, tables

KIND = "link model"
SHORTEST = 8
"""Digits of a model's id that a person must type at the least."""


def record(store: Store, entity: str, model: Model) -> str:
    """Keep a model as a version where it is new; return its id."""
    return versions.record(store, KIND, entity, model.model_dump())


def fits(matching: Matching, model: Model) -> bool:
    """Tell whether a model has the declared comparisons and as many levels of each: else it must be fitted anew."""
    declared = {name: len(comparison.levels) for name, comparison in matching.comparisons.items()}
    return declared == {name: len(m) for name, m in model.m.items()}


def released(store: Store, entity: str) -> tuple[str, Model] | None:
    """Return the released model with its id; None before the first linking."""
    table = tables.link_models.c
    query = sa.select(table.id, table.body).where(table.entity == entity, table.state == "released")
    with store.engine.connect() as connection:
        found = connection.execute(query).one_or_none()
    return (found.id, Model.model_validate(found.body)) if found else None


def standing(store: Store, entity: str) -> tuple[str, Model] | None:
    """Return the released model with its id; None before there was enough to learn from and nobody released one."""
    found = released(store, entity)
    table = tables.link_models.c
    with store.engine.connect() as connection:
        unlearned = connection.execute(sa.select(table.id).where(_unlearned(entity))).scalar_one_or_none()
    return None if found is None or found[0] == unlearned else found


def _unlearned(entity: str) -> sa.ColumnElement[bool]:
    """Ask for the model that the bus released itself, as it was declared."""
    table = tables.link_models.c
    started = sa.and_(table.released_by.is_(None), table.body["pairs"].as_integer() == 0)
    return sa.and_(table.entity == entity, table.state == "released", started)


def run_of(store: Store, model: str) -> str | None:
    """Return the run whose files of the frequencies' table are those of a model."""
    table = tables.link_models.c
    with store.engine.connect() as connection:
        return connection.execute(sa.select(table.run).where(table.id == model)).scalar_one_or_none()


def release_first(store: Store, entity: str, model_id: str, model: Model, run: str | None = None) -> None:
    """Release the model that the first linking learned, or learned as soon as there was enough to learn from.

    Done twice, or where another model is released already, it changes nothing.

    Args:
        store: The open store.
        entity: The entity's name.
        model_id: As `record` returned it.
        model: The model.
        run: The run that staged its frequencies.
    """
    values = {"id": model_id, "entity": entity, "state": "released", "body": model.model_dump(), "run": run}
    table = tables.link_models
    with store.publishing() as connection:
        connection.execute(
            sa.update(table).where(_unlearned(entity), table.c.id != model_id).values(state="superseded")
        )
        known = insert(table).values(**values, released_at=sa.func.now()).on_conflict_do_nothing()
        if connection.execute(known).rowcount:
            log.append(connection, "link model", {"model": model_id, "entity": entity, "action": "release first"})


def propose(
    store: Store, entity: str, model: Model, *, drift: float | None, report: dict[str, Any], principal: str, run: str
) -> str:
    """Keep a fitted model, with what it would change; it waits for release. Return its id.

    A model that was superseded or refused before is proposed again; the released one stays as it is.

    Args:
        store: The open store.
        entity: The entity's name.
        model: The model.
        drift: Largest change of a level's weight against the released one, in bits; None where they cannot be compared.
        report: Counts of what it would change; never a personal value.
        principal: Who fitted it, as signed in.
        run: The run that staged its frequencies.
    """
    table = tables.link_models
    values = {"state": "proposed", "drift": drift, "report": report, "created_by": principal, "run": run}
    values |= {"released_by": None, "released_at": None, "reason": None}
    new = insert(table).values(id=record(store, entity, model), entity=entity, body=model.model_dump(), **values)
    proposed = new.on_conflict_do_update(index_elements=["id"], set_=values, where=table.c.state != "released")
    with store.engine.begin() as connection:
        connection.execute(proposed)
    return record(store, entity, model)


def find(store: Store, model: str) -> dict[str, Any]:
    """Find a model by its id, or by a beginning of it that no other has: the columns of `link_models`.

    Raises:
        DataError: There is none, or more than one.
    """
    table = tables.link_models
    found: list[sa.RowMapping] = []
    if len(model) >= SHORTEST and model.isalnum():
        with store.engine.connect() as connection:
            query = sa.select(table).where(table.c.id.startswith(model.lower())).limit(2)
            found = list(connection.execute(query).mappings())
    if len(found) != 1:
        raise DataError(
            f"{'no' if not found else 'more than one'} model has this id",
            next_step=f"see `motlan model list`; type at least {SHORTEST} digits.",
        )
    return dict(found[0])


def require_proposed(store: Store, model: str) -> dict[str, Any]:
    """Find a model that waits for a decision, as `find` does.

    Raises:
        ConfigurationError: It is not proposed.
        DataError: There is none, or more than one.
    """
    found = find(store, model)
    if found["state"] != "proposed":
        raise _not_proposed()
    return found


def _not_proposed() -> ConfigurationError:
    return ConfigurationError("this model is not proposed", next_step="see `motlan model list`.")


def listed(store: Store, entity: str) -> list[dict[str, Any]]:
    """Return an entity's models, newest first: `model`, `state`, `drift`, `pairs`, who and when; no body."""
    table = tables.link_models.c
    names = ("state", "drift", "created_by", "released_by", "reason")
    query = sa.select(
        table.id,
        *(table[name] for name in names),
        table.created_at,
        table.released_at,
        table.body["pairs"].label("pairs"),
    )
    query = query.where(table.entity == entity).order_by(table.created_at.desc(), table.id)
    with store.engine.connect() as connection:
        return [
            {
                "model": row["id"],
                **{name: row[name] for name in (*names, "pairs")},
                **{name: row[name] and row[name].isoformat() for name in ("created_at", "released_at")},
            }
            for row in connection.execute(query).mappings()
        ]


def release(store: Store, model: str, principal: str, why: str, limit: float) -> str:
    """Let a proposed model decide from the next reconcile on; the one before it is superseded. Return its id.

    Args:
        store: The open store.
        model: Its id, or a beginning of it.
        principal: Who releases, as signed in.
        why: In the person's words.
        limit: Largest drift, in bits, that the person who fitted it may release.

    Raises:
        AccessError: It drifts past the limit, and this person fitted it.
        ConfigurationError: It is not proposed, or the reason is missing.
    """
    found = find(store, model)
    with store.engine.connect() as connection:
        own = found["created_by"] in aliases(connection, principal)
    if (found["drift"] is None or found["drift"] > limit) and own:
        raise AccessError(
            f"the model drifts past {limit} bits, and you fitted it, or somebody on your machine account",
            where=found["id"][:12],
            next_step="another person has to read its report and release it.",
        )
    _decide(store, found, "released", principal, why)
    return str(found["id"])


def refuse(store: Store, model: str, principal: str, why: str) -> str:
    """Refuse a proposed model. Return its id.

    Raises:
        ConfigurationError: It is not proposed, or the reason is missing.
    """
    found = find(store, model)
    _decide(store, found, "refused", principal, why)
    return str(found["id"])


def _decide(store: Store, found: dict[str, Any], state: str, principal: str, why: str) -> None:
    if not why.strip():
        raise ConfigurationError("a decision needs its reason", next_step="say why.")
    table = tables.link_models
    mine = (table.c.entity == found["entity"], table.c.state == "released")
    values = {"state": state, "released_by": principal, "released_at": sa.func.now(), "reason": why.strip()}
    proposed = (table.c.id == found["id"], table.c.state == "proposed")
    with store.publishing() as connection:
        if state == "released":
            connection.execute(sa.update(table).where(*mine).values(state="superseded"))
        if not connection.execute(sa.update(table).where(*proposed).values(**values)).rowcount:
            raise _not_proposed()
        log.append(connection, KIND, {"model": found["id"], "entity": found["entity"], "action": state})


def votes(entity: str) -> sa.Subquery:
    """Return the query of what reviewers say of each pair now: the pair, `same`, `different`, `said`, `needed`.

    Verdicts on known-answer pairs measure the reviewer; they decide nothing. `said` counts all verdicts.
    """
    decision, assignment = tables.link_decisions.c, tables.link_assignments.c
    pair = [decision[name] for name in tables.PAIR]
    count = sa.func.count()
    return (
        sa.select(
            *pair,
            count.filter(decision.verdict == "same").label("same"),
            count.filter(decision.verdict == "different").label("different"),
            count.label("said"),
            sa.func.max(assignment.needed).label("needed"),
        )
        .join_from(tables.link_decisions, tables.link_assignments, assignment.id == decision.assignment)
        .where(decision.entity == entity, decision.withdrawn_at.is_(None), assignment.purpose != "known")
        .group_by(*pair)
        .subquery("votes")
    )


def in_force(entity: str) -> sa.Select[Any]:
    """Return the query of the decisions that hold: the pair, and `same`.

    One holds where as many reviewers as the pair's rule wants agree, and more than say otherwise.
    """
    said = votes(entity).c
    enough = sa.func.greatest(said.same, said.different) >= said.needed
    return sa.select(*(said[name] for name in tables.PAIR), (said.same > said.different).label("same")).where(
        enough, said.same != said.different
    )


def reopened(entity: str) -> sa.Select[Any]:
    """Return the query of the decisions that did not hold in the newest linking, and nobody withdrew: `decision`, `reason`."""
    run, mine, decision = tables.runs.c, tables.link_contradictions.c, tables.link_decisions.c
    newest = sa.select(sa.func.max(run.id)).where(
        run.kind == "reconcile", run.subject == entity, run.steps.has_key("link")
    )
    return (
        sa.select(mine.decision, mine.reason)
        .join_from(tables.link_contradictions, tables.link_decisions, decision.id == mine.decision)
        .where(mine.run == newest.scalar_subquery(), decision.withdrawn_at.is_(None))
    )


def decided(store: Store, entity: str) -> pa.Table:
    """Return the decisions that hold: `left_dataset`, `left_key`, `right_dataset`, `right_key`, `same`; sorted by the pair."""
    query = in_force(entity)
    with store.engine.connect() as connection:
        found = connection.execute(query.order_by(*query.selected_columns)).all()
    names = {**dict.fromkeys(tables.PAIR, pa.string()), "same": pa.bool_()}
    columns = zip(*found, strict=True) if found else ([] for _ in names)
    return pa.table({name: pa.array(column, kind) for (name, kind), column in zip(names.items(), columns, strict=True)})
