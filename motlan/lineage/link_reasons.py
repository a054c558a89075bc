"""Why a record was taken for this person's: the method, the two records comparison by comparison, and who of people decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb
import sqlalchemy as sa

from motlan.config.matching import Matching
from motlan.expressions import literal
from motlan.linking import model as models
from motlan.linking.model import Model
from motlan.linking.scored_pairs import prior_log_odds
from motlan.store import tables
from motlan.workspace import Workspace

Tree = dict[str, Any]
FOUNDERS = ("founder", "provisional founder")
"""Rules of a record that is the person's first one, and was compared with none."""


def describe_link(
    engine: duckdb.DuckDBPyConnection,
    work: Workspace,
    entity: str,
    link: Mapping[str, Any],
    body: Mapping[str, Any],
    table: str | None,
    moment: datetime | None,
) -> Tree:
    """Describe why a record is linked to its person.

    Args:
        engine: A session that keeps what was made again.
        work: The open installation.
        entity: The entity's name.
        link: The link, a row of `links.<entity>`.
        body: The version that made it.
        table: The rows as that version compared them; None where it does not hold.
        moment: Until when decisions of people count; None for now.

    Returns:
        `rule`, `match_weight`, `probability`, `version`; `compared`: `dataset`, `key` and `ref` of the record that it was
        compared with, null of a person's first record; `prior`: the weight that it begins at; `comparisons`: `comparison`,
        `level`, `missing`, `weight`; `thresholds`; `reviewers`: what people decided about the pair.
    """
    first = link["rule"] in FOUNDERS
    dataset, _, key = str(link["compared"]).partition("/")
    model = Model.model_validate(body["model"])
    return {
        "rule": link["rule"],
        "match_weight": link["match_weight"],
        "probability": link["probability"],
        "version": link["_link_version"],
        "compared": None if first else {"dataset": dataset, "key": key, "ref": link["compared_ref"]},
        "prior": prior_log_odds(model.known, model.persons),
        "thresholds": {"deterministic": body["deterministic_threshold"], "probabilistic": body["link_threshold"]},
        "comparisons": [] if first or table is None else _comparisons(engine, work, entity, link, body, model, table),
        "reviewers": [] if first else _reviewers(work, entity, (link["dataset"], link["_key"]), (dataset, key), moment),
    }


def _matching(work: Workspace, entity: str, body: Mapping[str, Any]) -> Matching:
    """Return the comparisons of a version, or today's where it does not keep them."""
    if "comparisons" not in body:
        return work.registry.entity(entity).matching
    kept = {"identifiers": body["identifiers"], "blocking_rules": [], "comparisons": body["comparisons"]}
    return Matching.model_validate(kept)


def _comparisons(
    engine: duckdb.DuckDBPyConnection,
    work: Workspace,
    entity: str,
    link: Mapping[str, Any],
    body: Mapping[str, Any],
    model: Model,
    table: str,
) -> list[Tree]:
    matching = _matching(work, entity, body)
    # A version comes back without its order: today's is taken, as far as there is one.
    order = list(work.registry.entity(entity).matching.comparisons)
    known = [name for name in order if name in matching.comparisons and name in model.m]
    names = [*known, *(name for name in matching.comparisons if name in model.m and name not in known)]
    asked = ", ".join(f"{models.level_of(matching, name)}, {models.weight_of(matching, model, name)}" for name in names)
    key = f"r.dataset || '/' || r._key = {literal(link['compared'])}"
    found = engine.execute(
        f"select {asked} from {table} as l, {table} as r where l._ref = {literal(link['_ref'])} "
        f"and l.dataset = {literal(link['dataset'])} and r._ref = {literal(link['compared_ref'])} and {key}"
    ).fetchall()
    if not found:
        return []
    levels, weights = found[0][::2], found[0][1::2]
    return [
        {
            "comparison": name,
            "level": matching.comparisons[name].levels[level].is_ if level is not None else None,
            "missing": level is not None and matching.comparisons[name].levels[level].missing,
            "weight": weight,
        }
        for name, level, weight in zip(names, levels, weights, strict=True)
    ]


def _reviewers(
    work: Workspace, entity: str, left: Sequence[str], right: Sequence[str], moment: datetime | None
) -> list[Tree]:
    """Return what people decided about a pair of records: `who`, `verdict`, `why`, `at`, `withdrawn_at`."""
    table = tables.link_decisions.c
    first, second = sorted((tuple(left), tuple(right)))
    pair = dict(zip(tables.PAIR, (*first, *second), strict=True))
    query = sa.select(table.principal, table.verdict, table.reason, table.recorded_at, table.withdrawn_at).where(
        table.entity == entity, *(table[name] == value for name, value in pair.items())
    )
    if moment:
        query = query.where(table.recorded_at <= moment)
    with work.store.engine.connect() as connection:
        found = connection.execute(query.order_by(table.id)).all()
    names = ("who", "verdict", "why", "at", "withdrawn_at")
    return [
        dict(zip(names, (*row[:3], *(at.isoformat() if at else None for at in row[3:])), strict=True)) for row in found
    ]
