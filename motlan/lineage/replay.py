"""Replay: make golden values again from what was landed, under the stored versions, and compare.

A golden field replays equal only when everything under it holds: the payload's bytes, the row's commitment and its
chunk's digest in the log, the rule that cleaned it, the link of every row of the person, and the merge's choice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import duckdb
import pyarrow as pa

from motlan.errors import ContractError
from motlan.expressions import abreast, literal, one, quote
from motlan.expressions.duckdb.session import Session
from motlan.ingest import payloads
from motlan.ingest.raw_columns import absent, is_stored
from motlan.ledger.row_commitments import commitment, root_of
from motlan.ledger.versions import version_id
from motlan.lineage.evidence import Evidence, chunk_of
from motlan.lineage.read_again import compare_rows
from motlan.merge import value_ages, value_overrides
from motlan.merge.provenance import POINTER, pointed
from motlan.merge.survivorship import AGREED
from motlan.workspace import Workspace

SIDE_BY_SIDE = 4
"""Stored queries that are planned at a time."""
_NONE = pa.array([], pa.string())
ERASED = "a record that it rests on was erased"
Sample = Iterable[tuple[str, str]]
"""Pairs of person id and field."""


@dataclass
class Verdict:
    """What a replay found.

    Attributes:
        checked: Golden fields looked at.
        equal: Those that replayed equal.
        reasons: Why others did not -> how many.
        broken: The (person id, field) pairs that did not.
        why: Each of these -> why.
        files: Payloads that are missing or damaged, by their paths under the installation's folder.
        unread: Landed rows whose adapter cannot read a payload alone: nothing is claimed of it but its hash.
    """

    checked: int = 0
    equal: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    broken: list[tuple[str, str]] = field(default_factory=list)
    why: dict[tuple[str, str], str] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Made:
    """What was made again from evidence, in a session.

    The session keeps `facts` (every landed row, cleaned again), `linked_rows` and `withheld` (the persons' rows as they were
    merged, and the values that people set aside), `since_rows` (`value_ages.SINCE`), and the tables that are named here.

    Attributes:
        bad_persons: Persons under whom something does not hold: person id -> why.
        bad_rows: Landed rows that do not hold: `_ref` -> why.
        bad_links: Rows whose link does not follow.
        unread: Rows whose adapter cannot read a payload alone.
        again: Person id -> the golden row that was made again.
        tagged: Clean version -> the table of the rows that it cleaned, with each rule's answer; where that is kept.
        weighed: Link version -> the table of the rows as it compared them, likewise.
        damaged: Payloads that are missing or damaged.
        bad_versions: Versions that do not say what their ids are hashes of.
    """

    bad_persons: dict[str, str]
    bad_rows: dict[str, str]
    bad_links: set[str]
    unread: set[str]
    again: dict[str, dict[str, object]]
    tagged: dict[str, str]
    weighed: dict[str, str]
    damaged: set[str]
    bad_versions: set[str]


def replay(work: Workspace, evidence: Evidence, sample: Sample) -> Verdict:
    """Replay golden fields from evidence.

    Args:
        work: The open installation; only its engine and its declared fields are used.
        evidence: What to replay from.
        sample: Which fields.
    """
    with work.engine(f"replaying {evidence.entity}") as engine:
        return judge(work, evidence, make_again(work, engine, evidence), sample)


def make_again(work: Workspace, engine: duckdb.DuckDBPyConnection, evidence: Evidence, *, keeps: bool = False) -> Made:
    """Make everything again that golden values rest on.

    Args:
        work: The open installation.
        engine: A session.
        evidence: What to make it from.
        keeps: Whether the session shall keep what is only needed to explain it.
    """
    bad_versions = {
        version
        for version, (kind, subject, body) in evidence.versions.items()
        if version_id(kind, subject, body) != version
    }
    payloads_held = {
        name: name in evidence.erased or _payload_holds(evidence, name)
        for name in sorted({name for rows in evidence.raw.values() for name in rows["_payload"].to_pylist() if name})
    }
    bad_rows = _bad_rows(engine, evidence, payloads_held)
    holding = {name for name, holds in payloads_held.items() if holds and name not in evidence.erased}
    with ThreadPoolExecutor(1) as reading:  # it reads payloads while the engine plans
        compared = reading.submit(compare_rows, work, evidence, holding)
        tagged = _clean_again(work, engine, evidence, bad_versions, keeps=keeps)
        otherwise, unread = compared.result()
    bad_rows = otherwise | bad_rows
    bad_links, weighed = _bad_links(engine, evidence, bad_versions, keeps=keeps)
    return Made(
        bad_persons=_bad_persons(engine, evidence, bad_rows, bad_links),
        bad_rows=bad_rows,
        bad_links=bad_links,
        unread=unread,
        again=_merge_again(work, engine, evidence, bad_versions),
        tagged=tagged,
        weighed=weighed,
        damaged={name for name, holds in payloads_held.items() if not holds},
        bad_versions=bad_versions,
    )


def judge(work: Workspace, evidence: Evidence, made: Made, sample: Sample) -> Verdict:
    """Compare golden fields with those that were made again."""
    golden = {row["entity_id"]: row for row in evidence.golden.to_pylist()}
    files = (payloads.path(work.settings.payloads, name).relative_to(work.settings.var) for name in made.damaged)
    verdict = Verdict(files=sorted(map(str, files)), unread=sorted(made.unread))
    for person, name in sample:
        verdict.checked += 1
        reason = made.bad_persons.get(person) or _difference(golden.get(person), made.again.get(person), name)
        if reason:
            verdict.reasons[reason] = verdict.reasons.get(reason, 0) + 1
            verdict.broken.append((person, name))
            verdict.why[person, name] = reason
        else:
            verdict.equal += 1
    return verdict


def _bad_rows(engine: duckdb.DuckDBPyConnection, evidence: Evidence, payload_ok: Mapping[str, bool]) -> dict[str, str]:
    """Landed rows whose bytes cannot be trusted: `_ref` -> why."""
    bad: dict[str, str] = {}
    chunk_ok: dict[tuple[str, int], bool] = {}
    for rows in evidence.raw.values():
        engine.register("landed", rows)
        raw = [name for name in rows.column_names if is_stored(name)]
        landed_with = sorted({_landed_with(evidence, ref) for ref in rows["_ref"].to_pylist()})
        tests = ", ".join(_holds(raw, dict(columns)) for columns in landed_with)
        query = f"select _ref, _payload, _commitment, [{tests}] from landed"
        for ref, payload, committed, answers in engine.execute(query).fetchall():
            holds = answers[landed_with.index(_landed_with(evidence, ref))]
            run, chunk = chunk_of(ref)
            if (run, chunk) not in chunk_ok:
                commitments = evidence.commitments.get((run, chunk), _NONE)
                chunk_ok[run, chunk] = root_of(commitments) == evidence.chunks.get((run, chunk))
            if payload is None:
                bad[ref] = ERASED
            elif not holds or committed != _committed_at(evidence, ref):
                bad[ref] = "a landed row was altered"
            elif not payload_ok[payload]:
                bad[ref] = "a payload was altered"
            elif not chunk_ok[run, chunk]:
                bad[ref] = "the commitments do not match the log"
    return bad


def _landed_with(evidence: Evidence, ref: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(evidence.columns.get(chunk_of(ref), {}).items()))


def _holds(raw: Sequence[str], landed_with: Mapping[str, str]) -> str:
    """Return the SQL of whether a row is the one committed to: of the columns that its chunk was landed with, no other filled."""
    if not landed_with or not landed_with.keys() <= set(raw):
        return "false"
    others = [f"{quote(name)} is null" for name in raw if name not in landed_with]
    return f"coalesce({' and '.join([f'{commitment(landed_with)} = _commitment', *others])}, false)"


def _committed_at(evidence: Evidence, ref: str) -> str | None:
    position = int(ref.rsplit("/", 1)[1])
    commitments = evidence.commitments.get(chunk_of(ref), _NONE)
    return str(commitments[position]) if position < len(commitments) else None


def _payload_holds(evidence: Evidence, name: str) -> bool:
    try:
        return hashlib.sha256(evidence.payload(name)).hexdigest() == name
    except ContractError:
        return False


def _clean_again(
    work: Workspace, engine: duckdb.DuckDBPyConnection, evidence: Evidence, bad_versions: set[str], *, keeps: bool
) -> dict[str, str]:
    """Make `facts`: every landed row, cleaned again by the query that its version stores; return the tables that it keeps."""
    fields = work.registry.entity(evidence.entity).fields
    pulls = {"run": list(evidence.moments), "pulled": list(evidence.moments.values())}
    engine.register("pulls", pa.table({name: pa.array(told, pa.string()) for name, told in pulls.items()}))
    columns = ", ".join(f"{quote(name)} varchar" for name in fields)
    engine.execute(f"create temp table facts (dataset varchar, _key varchar, _ref varchar, _moment varchar, {columns})")
    used = {version for version in evidence.cleaned_by.values() if version not in bad_versions}
    tagged = {version: f"tagged_{number}" for number, version in enumerate(sorted(used))}
    session = cast(Session, engine)
    for version in tagged:
        session.ready(evidence.versions[version][2]["query"])  # type: ignore[arg-type]  # a text
    # Planning such a query takes longer than it runs, and is one thread's work.
    sessions = [session.beside() for _ in range(min(len(tagged), SIDE_BY_SIDE))]
    made = abreast(sessions, tagged, partial(_tag, evidence)) if sessions else ()  # type: ignore[arg-type]  # ours are sessions
    for (version, name), rows in zip(tagged.items(), made, strict=True):
        dataset = evidence.versions[version][1]
        engine.register(name, rows)
        known = {row[0] for row in engine.execute(f"describe {name}").fetchall()}
        values = ", ".join(quote(field) if field in known else "null" for field in fields)
        engine.execute(
            f"insert into facts select {literal(dataset)}, _key, _ref, coalesce(_moment, pulled), {values} "
            f"from {name} left join pulls on run = split_part(_ref, '/', 1)"
        )
        if not keeps:
            engine.unregister(name)
    return tagged if keeps else {}


def _tag(evidence: Evidence, engine: duckdb.DuckDBPyConnection, version: str) -> pa.Table:
    """Return the rows that a version cleaned, cleaned again: with each rule's answer."""
    _, dataset, body = evidence.versions[version]
    rows = evidence.raw[dataset]
    refs = pa.array([ref for ref in rows["_ref"].to_pylist() if evidence.cleaned_by.get(ref) == version], pa.string())
    engine.register("landed", rows)
    engine.register("wanted", pa.table({"_ref": refs}))
    unsent = absent(_names(body), rows.column_names)
    engine.execute(
        f"create or replace temp view raw_rows as select *{unsent} from landed semi join wanted using (_ref)"
    )
    engine.execute(f"create or replace temp table tagged as {body['query']}")
    return engine.sql("from tagged").to_arrow_table()


def _names(body: dict[str, object]) -> list[str]:
    columns = body["columns"]
    return [str(name) for name in columns] if isinstance(columns, list) else []


def _bad_links(
    engine: duckdb.DuckDBPyConnection, evidence: Evidence, bad_versions: set[str], *, keeps: bool
) -> tuple[set[str], dict[str, str]]:
    """Rows (`_ref`) whose link does not follow again from the two rows that it compared, and the tables that it keeps."""
    engine.register("links", evidence.links)
    tables: dict[str, str] = {}
    bad: set[str] = set()
    for version in sorted(set(evidence.links["_link_version"].to_pylist())):
        if version in bad_versions:
            mine = f"_link_version = {literal(version)}"
            bad |= {row[0] for row in engine.execute(f"select _ref from links where {mine}").fetchall()}
            continue
        body: Any = evidence.versions[version][2]
        engine.execute(f"create or replace temp view frequencies as from {evidence.frequencies[version]}")
        name = tables[version] = f"weighed_{len(tables)}" if keeps else "weighed"
        derived = "".join(f", {sql} as {quote(name)}" for name, sql in body["derived"].items())
        rarity = f", {body['rarity']}" if body["rarity"] else ""
        engine.execute(
            f"create or replace temp view made as select *{derived} from facts; "
            f"create or replace temp table {name} as select d.*{rarity} from made as d{body['rarity_joins']}"
        )
        query = f"""
            with pairs as (
                select links._ref, links.rule, links.match_weight as told, links.probability,
                       links.dataset || '/' || links._key = links.founder as own,
                       links.rule in ('probable', 'provisional') as likely,
                       l.dataset in ({_list(body["spine"])}) as is_spine, l._ref is not null and r._ref is not null as whole,
                       ({body["match_weight"]}) as weight, l.{body["exact"]} = r.{body["exact"]} as same_key,
                       {_same_identifiers(body)} as same_identifiers
                from links
                left join (select *, {body["exact_key"]} as {body["exact"]} from {name} as d) as l on l._ref = links._ref
                left join (select *, {body["exact_key"]} as {body["exact"]} from {name} as d) as r
                  on r._ref = links.compared_ref and r.dataset || '/' || r._key = links.compared
                where _link_version = {literal(version)})
            select _ref from pairs where not coalesce(case
                when rule = 'founder' then own and is_spine
                when rule = 'provisional founder' then own and not is_spine
                when rule = 'decided' then whole
                when rule = 'duplicate' then list_contains(same_identifiers, true)
                else abs(weight - told) < 0.001
                    and probability >= if(likely, {body["link_threshold"]}, {body["deterministic_threshold"]})
                    and (likely or rule = 'exact' and same_key or list_contains(same_identifiers, true))
                end, false)"""
        bad |= {row[0] for row in engine.execute(query).fetchall()}
    return bad, tables if keeps else {}


def _list(names: Any) -> str:
    return ", ".join(map(literal, names)) or "''"


def _same_identifiers(body: Any) -> str:
    parts = (f"l.{quote(name)} = r.{quote(name)}" for name in body["identifiers"])
    return f"[{', '.join(parts)}]::boolean[]"


def _bad_persons(
    engine: duckdb.DuckDBPyConnection, evidence: Evidence, bad_rows: dict[str, str], bad_links: set[str]
) -> dict[str, str]:
    """Persons under whom something does not hold: person id -> why."""
    bad: dict[str, str] = {}
    cleaned = {row[0] for row in engine.execute("select _ref from facts").fetchall()}
    for link in evidence.links.select(["entity_id", "_ref", "compared_ref"]).to_pylist():
        for ref in (link["_ref"], link["compared_ref"]):
            if ref in bad_rows:
                bad[link["entity_id"]] = bad_rows[ref]
            elif ref not in cleaned:
                bad[link["entity_id"]] = "a rule was altered"
            elif ref in bad_links:
                bad[link["entity_id"]] = "a link does not follow"
    return bad


def _merge_again(
    work: Workspace, engine: duckdb.DuckDBPyConnection, evidence: Evidence, bad_versions: set[str]
) -> dict[str, dict[str, object]]:
    """Merge the persons' rows again by the stored query: person id -> golden row."""
    engine.execute(
        "create temp table linked_rows as select entity_id, facts.* from facts join links using (dataset, _key, _ref)"
    )
    value_overrides.apply(engine, work.store, "linked_rows", evidence.excluded)
    engine.register("golden", evidence.golden)
    engine.register(value_ages.SINCE, evidence.since)
    again: dict[str, dict[str, object]] = {}
    for version in sorted(set(evidence.golden["_merge_version"].to_pylist()) - bad_versions):
        mine = f"select entity_id from golden where _merge_version = {literal(version)}"
        for query in _queries(engine, evidence.versions[version][2]):
            found = engine.execute(f"select * from {pointed(f'({query})')} where entity_id in ({mine})")
            names = [column[0] for column in found.description]
            again |= {row[names.index("entity_id")]: dict(zip(names, row, strict=True)) for row in found.fetchall()}
    return again


def _queries(engine: duckdb.DuckDBPyConnection, body: Any) -> list[str]:
    """Return the stored queries of golden rows, where the version keeps them apart only those of which there are persons."""
    if "parts" not in body:
        return [body["query"]]
    parts, count = body["parts"], {}
    for name, query in parts["relations"]:
        engine.execute(f"create or replace temp table {name} as {query}")
        count[name] = one(engine, f"select count(*) from {name}")[0]
    differing, crowded = parts["close"]
    kinds = {AGREED: parts["plain"], "differing": differing, "crowded": crowded}
    return [query for name, query in kinds.items() if count[name]]


def _difference(golden: dict[str, object] | None, again: dict[str, object] | None, name: str) -> str | None:
    if golden is None:
        return "there is no such golden row"
    if again is None:
        return "a rule was altered"
    if golden[name] != again[name]:
        return "the value does not follow"
    if _pointer(golden, name) != _pointer(again, name):
        return "the decision does not follow"
    return None


def _pointer(row: dict[str, object], name: str) -> object:
    pointers = row[POINTER]
    return next((p for p in pointers if p["field"] == name), None) if isinstance(pointers, list) else None
