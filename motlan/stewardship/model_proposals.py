"""A new model, learned from what is landed; and what it would change, reported before anybody releases it.

All rows are linked in scratch under the released model and under the new one, on the same rows and the same decisions. So the
difference is the model's alone. Nothing of it is published.
"""

from __future__ import annotations

from typing import Any

import duckdb

from motlan import identifier_history, sweep
from motlan.config.matching import Matching
from motlan.errors import ConfigurationError, MotlanError
from motlan.expressions import literal, one, quote
from motlan.lake.iceberg import staging
from motlan.lake.tables import frequencies_table
from motlan.ledger import runs
from motlan.linking import stored_models, valid_decisions
from motlan.linking.link import arrived
from motlan.linking.link_rows import link_all
from motlan.linking.linking_rows import ROW
from motlan.linking.model import Model
from motlan.linking.relations import Relations
from motlan.linking.scope import load_frequencies
from motlan.stewardship import published_links
from motlan.workspace import Workspace

FACTS, HISTORIES, WAS, NOW = "facts.parquet", "histories.parquet", "was.parquet", "now.parquet"
"""Files in the scratch folder of a fit: the rows, those of records that bore other numbers, and the groups under either model."""


def fit(work: Workspace, entity: str, principal: str) -> dict[str, Any]:
    """Learn a model, and propose it with a report.

    Args:
        work: The open installation.
        entity: The entity's name.
        principal: Who fits, as signed in.

    Returns:
        `model`, `state` (`released` where it is the one that is), `drift` (bits), `limit`, `report`.

    Raises:
        ConfigurationError: Nothing was linked yet.
    """
    before = stored_models.released(work.store, entity)
    if before is None:
        raise ConfigurationError("there is no model of linking yet", next_step="run `motlan reconcile` first.")
    with runs.alone(work.store, "fit", entity):
        run = runs.begin(work.store, "fit", entity)
        sweep.discard(work, "fit", entity)
        sweep.sweep(work)
        learned, step = work.scratch(run.id) / "model.json", _Fit(work, entity, run.id)
        try:
            counts = work.staged(run.id, "fit", [frequencies_table(entity)], lambda: step.run_all(before))
        except BaseException as error:
            runs.fail(work.store, run.id, str(error) if isinstance(error, MotlanError) else type(error).__name__)
            raise
        model = Model.model_validate_json(learned.read_text(encoding="utf-8"))
        change = {"principal": principal, "run": run.id, "drift": counts["drift"], "report": counts["report"]}
        proposed = stored_models.propose(work.store, entity, model, **change)
        with work.store.engine.begin() as connection:
            for table, snapshot in counts["snapshots"].items():
                runs.record_snapshot(connection, run.id, table, snapshot)
            runs.set_state(connection, run.id, "visible")
        work.sweep(run.id)
    found = stored_models.find(work.store, proposed)
    limit = work.registry.entity(entity).matching.max_drift
    return {
        "model": proposed,
        "state": found["state"],
        "drift": counts["drift"],
        "limit": limit,
        "report": counts["report"],
    }


def weights(matching: Matching, model: Model, before: Model | None = None) -> list[dict[str, Any]]:
    """Return each level's weight: `comparison`, `level`, `is`, `match_weight`, and `was` under a model before."""
    found = []
    for name, comparison in matching.comparisons.items():
        now, was = model.weights(name), before.weights(name) if before else [None] * len(comparison.levels)
        for number, (level, weight, earlier) in enumerate(zip(comparison.levels, now, was, strict=True)):
            if not level.missing:
                row = {"comparison": name, "level": number, "is": level.is_, "match_weight": weight}
                found.append(row | ({"was": earlier} if before else {}))
    return found


def _drift(matching: Matching, was: Model, now: Model) -> float:
    """Return the largest change of a level's weight, of whichever rows, in bits."""
    changes = (
        abs(a - b)
        for name in matching.comparisons
        for kind in ({}, {"borrowed": True}, {"given": True})
        for a, b in zip(was.weights(name, **kind), now.weights(name, **kind), strict=True)
    )
    return round(max(changes), 3)


class _Fit:
    """The work of one fit, each linking in an engine session of its own."""

    def __init__(self, work: Workspace, entity: str, run: str) -> None:
        self.work, self.entity, self.run = work, entity, run
        self.matching: Matching = work.registry.entity(entity).matching
        self.place = work.registry.scoring.area
        self.inputs = published_links.inputs(work, entity)
        self.former = False

    def run_all(self, before: tuple[str, Model]) -> runs.Counts:
        self._keep_facts()
        comparable = stored_models.fits(self.matching, before[1])
        if comparable:
            self._link(WAS, before)
        model = self._link(NOW, None)
        (self.work.scratch(self.run) / "model.json").write_text(model.model_dump_json(), encoding="utf-8")
        rows = weights(self.matching, model, before[1] if comparable else None)
        drift = _drift(self.matching, before[1], model) if comparable else None
        return {"drift": drift, "report": {"weights": rows, **(self._compare() if comparable else {})}}

    def _file(self, name: str) -> str:
        return literal(str(self.work.scratch(self.run) / name))

    def _keep_facts(self) -> None:
        fields = {*self.matching.fields, *([self.place] if self._has_place() else [])}
        columns = ", ".join(map(quote, sorted(fields)))
        with self.work.engine(f"reading {self.entity}") as engine:
            rows = published_links.facts(self.work, self.entity)
            engine.execute(
                f"copy (select dataset, _key, {columns} from {rows}) to {self._file(FACTS)} (format parquet)"
            )
            self._keep_histories(engine, f"(select * from {rows} where dataset in ({self._spine()}))")

    def _keep_histories(self, engine: duckdb.DuckDBPyConnection, spine: str) -> None:
        """Keep the rows of the spine's records that bore other numbers once, as linking follows them."""
        records = one(engine, f"select count(*) from {spine}")[0]
        if found := identifier_history.histories(self.work, self.entity, self.inputs, records, spine):
            engine.execute(f"copy (from {found}) to {self._file(HISTORIES)} (format parquet)")
            self.former = bool(one(engine, f"select count(*) from read_parquet({self._file(HISTORIES)})")[0])

    def _spine(self) -> str:
        return ", ".join(map(literal, self.matching.spine)) or "null"

    def _link(self, name: str, known: tuple[str, Model] | None) -> Model:
        """Link all rows under a model, or under one learned now; leave each row's group, rule and outcome in a file."""
        with self.work.engine(f"linking {self.entity} in scratch") as engine:
            facts = f"(from read_parquet({self._file(FACTS)}))"
            rows = self.work.facts(self.entity, self.inputs)
            decisions = valid_decisions.read(
                self.work, engine, self.entity, self.inputs, rows, known[1] if known else None
            )
            given: dict[str, Any] = {"decided": valid_decisions.load(Relations(engine), decisions)}
            if self.former:
                histories = f"(from read_parquet({self._file(HISTORIES)}))"
                given["earlier"] = identifier_history.former_query(histories, self.matching.followed)
                given["arrived"] = arrived(self.work, self.matching, self.inputs)
            if known:
                load_frequencies(self.work, engine, self.entity, known[0])
            linking = link_all(engine, self.matching, facts, known[1] if known else None, **given)
            engine.execute(f"copy ({self._grouped(facts)}) to {self._file(name)} (format parquet)")
            if not known and one(engine, "select count(*) from frequencies")[0]:
                target = self.work.lake.staged_file(frequencies_table(self.entity), self.run)
                engine.execute(staging("from frequencies", self.run, target))
            return linking.model

    def _grouped(self, facts: str) -> str:
        """Return the SQL of `n`, `place`, `least` (row of its group), `rule`, `outcome`, `wrong` and `missed` (expected)."""
        place = quote(self.place) if self._has_place() else "null::varchar"
        return f"""
            with made as (select n, person, rule, probability from row_links
                          union all select n, person, 'duplicate', probability from duplicates)
            select f.n, f.place, min(f.n) over (partition by coalesce(made.person, f.n)) as least,
                   coalesce(rule, 'founder') as rule,
                   case when made.n is not null then 'link' when reviews.n is not null then 'review'
                        else 'non_link' end as outcome,
                   1 - made.probability as wrong, case when made.n is null then reviews.probability end as missed
            from (select {ROW} as n, {place} as place from {facts}) as f
            left join made using (n) left join review_pairs as reviews using (n)"""

    def _has_place(self) -> bool:
        return self.place in self.work.registry.entity(self.entity).fields

    def _compare(self) -> dict[str, Any]:
        """Count the rows whose group or outcome is another one: all, by outcome, by rule, by area."""
        with self.work.engine(f"comparing models of {self.entity}") as engine:
            engine.execute(
                f"""create temp table both_ as
                    select now.place as area, was.least != now.least as regrouped, was.rule as was_rule, now.rule as now_rule,
                           was.outcome as was_outcome, now.outcome as now_outcome,
                           was.wrong as was_wrong, now.wrong as now_wrong, was.missed as was_missed, now.missed as now_missed
                    from read_parquet({self._file(NOW)}) as now join read_parquet({self._file(WAS)}) as was using (n)"""
            )
            changed = "(regrouped or was_outcome != now_outcome)"
            return {
                **_rows(
                    engine,
                    f"""select count(*) as rows, count(*) filter (where regrouped) as regrouped,
                               count(*) filter (where {changed}) as changed,
                               round(coalesce(sum(was_wrong), 0), 3) as expected_wrong_was,
                               round(coalesce(sum(now_wrong), 0), 3) as expected_wrong,
                               round(coalesce(sum(was_missed), 0), 3) as expected_missed_was,
                               round(coalesce(sum(now_missed), 0), 3) as expected_missed from both_""",
                )[0],
                **{
                    f"by_{name}": _rows(
                        engine,
                        f"select {columns}, count(*) as rows from both_ where {changed} group by all order by all",
                    )
                    for name, columns in (
                        ("outcome", "was_outcome, now_outcome"),
                        ("rule", "was_rule, now_rule"),
                        ("area", "area"),
                    )
                },
            }


def _rows(engine: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    found = engine.execute(query)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def shown(work: Workspace, model: str | None, entity: str) -> dict[str, Any]:
    """Return a model (the released one by default): `model`, `state`, `weights`, thresholds and priors, its `report`.

    Raises:
        ConfigurationError: There is none yet, or its comparisons are not the declared ones.
        DataError: There is no such model.
    """
    released = stored_models.released(work.store, entity)
    if model is None and released is None:
        raise ConfigurationError("there is no model of linking yet", next_step="run `motlan reconcile` first.")
    found = stored_models.find(work.store, model or (released[0] if released else ""))
    body = Model.model_validate(found["body"])
    matching = work.registry.entity(found["entity"]).matching
    if not stored_models.fits(matching, body):
        raise ConfigurationError(
            "this model is of other comparisons than are declared", next_step="run `motlan model fit` for a new one."
        )
    named = ("state", "drift", "created_by", "released_by", "reason", "report")
    kept = ("persons", "known", "residual_known", "residual_odds", "link_threshold", "review_threshold", "pairs")
    return {
        "model": found["id"],
        "entity": found["entity"],
        **{name: found[name] for name in named},
        **{name: getattr(body, name) for name in kept},
        "weights": weights(matching, body),
        "body": body.model_dump(),
    }
