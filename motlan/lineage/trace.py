"""The chain of one golden value, back to the landed row and its payload: everything that is known of it, as a tree."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import sqlalchemy as sa

from motlan import identifier_history
from motlan.adapter import LOCATOR, tellable
from motlan.config.registry import Entity
from motlan.errors import ConfigurationError, ContractError, DataError
from motlan.expressions import literal
from motlan.ingest import payloads
from motlan.ingest.raw_columns import stored
from motlan.lake.tables import golden_table, identifiers_table, published, raw_table
from motlan.ledger import accesses
from motlan.lineage.cleaning_steps import describe_cleaning, describe_rules
from motlan.lineage.disclosures import read_looks, read_recipients
from motlan.lineage.evidence import Evidence, InForce, gather_in, golden_rows, in_force, is_one_of, run_of
from motlan.lineage.link_reasons import describe_link
from motlan.lineage.people_decided import describe_mend, describe_waiver
from motlan.lineage.projected_row import compare_projection, find_projected
from motlan.lineage.replay import Made, judge, make_again
from motlan.lineage.survivorship_reasons import describe_survivorship
from motlan.lineage.value_history import Published, read_corrections, read_history
from motlan.store import tables
from motlan.workspace import Workspace

Tree = dict[str, Any]
PERSON_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""Form of the bus's own person ids."""
LISTED = 20
"""Persons of one identifier that are listed at the most."""


def find_person(work: Workspace, entity: str, identifier: str, moment: datetime | None = None) -> str:
    """Find the bus's own person id of an identifier; a person id that is golden is its own.

    Where nobody has the identifier now, who bore it before is found.

    Args:
        work: The open installation.
        entity: The entity's name.
        identifier: The identifier.
        moment: Of when: who had it then; None for now.

    Raises:
        DataError: Nothing is published; or no golden record has it, or several have: their person ids are listed.
    """
    at = in_force(work, entity, moment)
    if not work.lake.files(golden_table(entity), set(at.runs)):
        then = " at that moment" if moment else ""
        raise DataError(
            f"no {entity} is published yet{then}", next_step="run `motlan reconcile` and `motlan publish` first."
        )
    columns = work.registry.entity(entity).matching.identifiers
    has = " or ".join(f"{column} = $identifier" for column in ("entity_id", *columns))
    with work.small_engine(f"looking up a {entity}") as engine:
        # The store has an index; what it says counts only where the lake says so too.
        near = {identifier} if PERSON_ID.fullmatch(identifier) else set()
        near |= set() if moment else set(find_projected(work, entity, identifier))
        found = (
            _found(engine, golden_rows(work, entity, at, is_one_of("entity_id", near)), has, identifier) if near else []
        )
        found = found or _found(engine, golden_rows(work, entity, at), has, identifier)
        found = found or _found(engine, _numbers(work, entity, at), "value = $identifier", identifier)
    if not found:
        raise DataError(f"no golden {entity} has this identifier", next_step="check the number; try `motlan status`.")
    if len(found) > 1:
        listed = ", ".join(found[:LISTED]) + (" and more" if len(found) > LISTED else "")
        raise DataError(
            f"more than one golden {entity} has this identifier: {listed}",
            next_step="look at one of them: motlan lineage --person ID.",
        )
    return found[0]


def _found(engine: duckdb.DuckDBPyConnection, rows: str, where: str, identifier: str) -> list[str]:
    query = f"select distinct entity_id from {rows} where {where} order by entity_id limit {LISTED + 1}"
    return [str(row[0]) for row in engine.execute(query, {"identifier": identifier}).fetchall()]


def _numbers_of(
    engine: duckdb.DuckDBPyConnection, work: Workspace, entity: str, person: str, at: InForce
) -> list[Tree]:
    """Return the numbers that a person bore, where one was cancelled and established anew, the oldest first of each identifier.

    Returns:
        `field`, `value`, `since` and `until` (the record's own moments; `until` null of the one that stands), `dataset`, `key`.
    """
    query = f"""select field, value, since, until, dataset, _key from {_numbers(work, entity, at)}
                where entity_id = {literal(person)} order by field, since, period"""
    names = ("field", "value", "since", "until", "dataset", "key")
    return [dict(zip(names, row, strict=True)) for row in engine.execute(query).fetchall()]


def _numbers(work: Workspace, entity: str, at: InForce) -> str:
    """Return the SQL of the published numbers that persons bore, with periods."""
    if found := published(work.lake, identifiers_table(entity), at.runs):
        return found
    columns = (*identifier_history.PERIOD_KEY, *identifier_history.PERIOD_COLUMNS)
    return f"(select {', '.join(f'null::varchar as {name}' for name in columns)} where false)"


def check_field(work: Workspace, entity: str, field: str) -> None:
    """Refuse a field that an entity does not have.

    Raises:
        ConfigurationError: It has none of that name; those that it has are listed.
    """
    fields = work.registry.entity(entity).fields
    if field not in fields:
        close = difflib.get_close_matches(field, fields, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigurationError(
            f"{entity} has no field {tellable(field)}", next_step=f"{hint}there are {', '.join(fields)}."
        )


def trace(work: Workspace, entity: str, person: str, fields: list[str], principal: str) -> list[Tree]:
    """Return the chain of each asked golden field, replayed; the look is written into the ledger first.

    Args:
        work: The open installation.
        entity: The entity's name.
        person: The bus's own person id.
        fields: Which fields; all filled ones where empty.
        principal: Who asks.

    Raises:
        DataError: No golden record has this person id, or the record has none of these fields.
    """
    return list(answer(work, entity, person, fields, principal)["fields"])


def answer(
    work: Workspace, entity: str, person: str, fields: Sequence[str], principal: str, moment: datetime | None = None
) -> Tree:
    """Return everything that is known of golden fields of a person: the look is written into the ledger first.

    Args:
        work: The open installation.
        entity: The entity's name.
        person: The bus's own person id.
        fields: Which fields; all filled ones where empty.
        principal: Who asks.
        moment: Of when the answer shall be: what was published then, and what was known by then of who received it; None for now.

    Returns:
        `entity`, `person`, `as_of`, `publication` (the newest in force), `fields` (of each its chain: see `_Chains.chain`),
        `numbers` (those that the person bore), `looks` (who looked at the person one by one).

    Raises:
        DataError: No golden record has this person id, or the record has none of these fields.
    """
    seen = accesses.Seen(entity, persons=(person,), fields=tuple(fields))
    accesses.record(work.store, principal, "lineage.read", person, seen)
    at = in_force(work, entity, moment)
    with work.small_engine(f"tracing values of a {entity}") as engine:
        evidence = gather_in(engine, work, entity, [person], at)
        if not evidence.golden.num_rows:
            raise DataError(
                f"there is no golden {entity} of this person id{' at that moment' if moment else ''}",
                next_step="check it; ended persons have none.",
            )
        golden = evidence.golden.to_pylist()[0]
        pointers = [pointer for pointer in golden["_pointers"] if not fields or pointer["field"] in fields]
        if not pointers:
            raise DataError(f"this {entity} has no value of {', '.join(fields) or 'any field'}", where=person)
        made = make_again(work, engine, evidence, keeps=True)
        told = _Chains.of(work, engine, evidence, made, person, at)
        chains = [told.chain(pointer) for pointer in pointers]
        numbers = _numbers_of(engine, work, entity, person, at)
    return {
        "entity": entity,
        "person": person,
        "as_of": moment.isoformat() if moment else None,
        "publication": told.publication,
        "fields": chains,
        "numbers": numbers,
        "looks": read_looks(work, person, moment),
    }


@dataclass(frozen=True)
class _Chains:
    """What the chains of one person's fields are made of."""

    work: Workspace
    engine: duckdb.DuckDBPyConnection
    evidence: Evidence
    made: Made
    person: str
    at: InForce
    golden: dict[str, Any]
    published: Published
    corrections: list[Tree]
    received: list[Tree]
    runs: dict[str, datetime]
    projected: dict[str, str]

    @classmethod
    def of(
        cls,
        work: Workspace,
        engine: duckdb.DuckDBPyConnection,
        evidence: Evidence,
        made: Made,
        person: str,
        at: InForce,
    ) -> _Chains:
        """Read what all of them share."""
        entity, golden = evidence.entity, evidence.golden.to_pylist()[0]
        published = read_history(engine, work, evidence, person, at)
        keys = {(link["dataset"], link["_key"]) for link in evidence.links.to_pylist()}
        runs = {run_of(ref) for rows in evidence.raw.values() for ref in rows["_ref"].to_pylist()}
        table = tables.runs.c
        with work.store.engine.connect() as connection:
            found = connection.execute(sa.select(table.id, table.started_at).where(table.id.in_(runs))).all()
        return cls(
            work,
            engine,
            evidence,
            made,
            person,
            at,
            golden,
            published,
            corrections=read_corrections(engine, work, entity, person, keys, at),
            received=read_recipients(work, entity, person, published.feed_numbers(), at.moment),
            runs={row.id: row.started_at for row in found},
            projected={} if at.moment else compare_projection(work, entity, golden, published.feed_numbers()),
        )

    @property
    def publication(self) -> int | None:
        """The number of the newest publication in force."""
        found = self.published.publications.get(self.at.newest)
        return found[0] if found else None

    def chain(self, pointer: Tree) -> Tree:
        """Return everything that is known of one field."""
        field, entity = pointer["field"], self.work.registry.entity(self.evidence.entity)
        version = self.golden["_merge_version"]
        said = (
            []
            if version in self.made.bad_versions
            else describe_survivorship(
                self.engine, self.work, entity, self.person, pointer, self.evidence.versions[version][2]
            )
        )
        verdict = judge(self.work, self.evidence, self.made, [(self.person, field)])
        altered = self.projected.get(field) or self.projected.get("")
        history = self.published.history(field)
        return {
            "field": field,
            "title": _title(entity, field),
            "value": self.golden[field],
            "replays_equal": bool(verdict.equal) and not altered,
            "reasons": {**verdict.reasons, **({altered: 1} if altered else {})},
            "files": verdict.files if verdict.broken else [],
            "not_read_again": verdict.unread,
            "decision": {
                "rule": pointer["rule"],
                "disputed": pointer["disputed"],
                "version": version,
                "said": said,
            },
            "source": self.source(pointer),
            "since": _since(history),
            "history": history,
            "corrections": [one for one in self.corrections if one["field"] == field],
            "received": [one for one in self.received if field in one["fields"]],
        }

    def source(self, pointer: Tree) -> Tree:
        """Return where a value came from: record, link, cleaning, rules, landed row, payload and pull."""
        work, evidence = self.work, self.evidence
        name, ref = pointer["dataset"], pointer["ref"]
        dataset = work.registry.dataset(name)
        rows = evidence.raw[name].to_pylist() if name in evidence.raw else []
        row = next((row for row in rows if row["_ref"] == ref), None)
        links = [one for one in evidence.links.to_pylist() if one["_ref"] == ref and one["dataset"] == name]
        version = evidence.cleaned_by.get(ref)
        if row is None or not links or version is None:
            what = "the landed row" if row is None else "its link" if not links else "the log's entry of its landing"
            raise ContractError(
                f"{what} that {pointer['field']} came from is missing",
                where=f"{name} {ref}",
                next_step="run `motlan audit verify`, and restore what it names from a backup.",
            )
        link = links[0]
        body, table = evidence.versions[version][2], self.made.tagged.get(version)
        cleaned: Tree = {"expression": dataset.expressions[pointer["field"]].text, "version": version}
        rules: list[Tree] = []
        if table:
            cleaned |= describe_cleaning(self.engine, dataset, pointer["field"], body, table, ref)
            rules = describe_rules(self.engine, work, dataset, body, table, ref)
        link_version, number = link["_link_version"], str(link["rule"]).removeprefix("identifier ")
        of = work.registry.entity(evidence.entity)
        return {
            "dataset": name,
            "title": dataset.title.model_dump(),
            "owner": dataset.owner,
            "key": row["_key"],
            "source_moment": row["_moment"],
            "link": {
                **describe_link(
                    self.engine,
                    work,
                    evidence.entity,
                    link,
                    evidence.versions[link_version][2],
                    self.made.weighed.get(link_version),
                    self.at.moment,
                ),
                "number": _title(of, number) if number in of.fields else None,
            },
            "cleaned_by": cleaned,
            "rules": rules,
            "let_pass": self._waivers(name, row["_key"], rules),
            "landed": self._landed(name, row, cleaned),
        }

    def _waivers(self, dataset: str, key: str, rules: Sequence[Tree]) -> list[Tree]:
        """Return who let a record pass that broke a blocking rule."""
        held = any(rule["answer"] == "broken" and rule["severity"] == "blocking" for rule in rules)
        return describe_waiver(self.work, dataset, key, self.at.moment) if held else []

    def _landed(self, dataset: str, row: Tree, cleaned: Tree) -> Tree:
        work, run = self.work, run_of(row["_ref"])
        payload = payloads.path(work.settings.payloads, row["_payload"]) if row["_payload"] else None
        names = cleaned.get("sent", {})
        return {
            "table": raw_table(dataset),
            "row": row["_ref"],
            "run": run,
            "at": self.runs[run].isoformat(),
            "adapter": self.evidence.read_by.get(run),
            "locator": row[LOCATOR],
            "mended": describe_mend(work, str(row[LOCATOR]), row["_payload"]),
            "payload_sha256": row["_payload"],
            "payload_file": str(payload.relative_to(work.settings.var)) if payload else None,
            "payload_erased": self.evidence.erased.get(row["_payload"]),
            "commitment": row["_commitment"],
            "raw": {name: row[stored(name)] for name in sorted(names) if row.get(stored(name)) is not None},
        }


def _since(history: Sequence[Tree]) -> Tree | None:
    """Return since when a value has been so, and what it was before.

    Returns:
        `publication` and `recorded_at` of the first that said it; `changed`, whether something else was published before, and
        `before`, its value.
    """
    first, before = None, None
    for one in reversed(history):
        if one["value"] != history[-1]["value"]:
            before = one
            break
        first = one
    if first is None:
        return None
    said = {"publication": first["publication"], "recorded_at": first["recorded_at"]}
    return {**said, "changed": before is not None, "before": before["value"] if before else None}


def _title(entity: Entity, field: str) -> str:
    """Return what the canonical schema calls a field."""
    return entity.model.model_fields[field].description or field
