"""The state of quarantined rows, brought up to date by the run that saw them, in the transaction that makes it visible.

An entry is (dataset, source key, content), where content is every declared raw column but those that only say when a
row came. So the same bad record in tomorrow's drop counts up, two people under one damaged key stay two, and a changed
rule renames the reason, not the entry. Its id is a keyed hash: a bare one of a personal row could be guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from motlan.config.registry import Dataset
from motlan.expressions import literal, quote
from motlan.ingest.land import canonical_row
from motlan.ingest.raw_columns import stored
from motlan.lake.iceberg import read_parquet
from motlan.lake.newest import MOMENT, newest_first
from motlan.lake.tables import clean_table, quarantine_table
from motlan.ledger import runs
from motlan.quarantine import LIVE
from motlan.store import bulk, tables
from motlan.workspace import Workspace

_RULES = """'{' || array_to_string(list_transform(_rules, lambda broken: broken.rule), ',') || '}',
            '{' || array_to_string(list_transform(_rules, lambda broken: broken.fingerprint), ',') || '}', _version"""
_MOMENT = """coalesce(a.moment, '') collate "C" {} coalesce(entry.moment, '') collate "C\""""


@dataclass(frozen=True)
class Changes:
    """Files that a run's commit loads; None where there is nothing to load.

    Attributes:
        seen: Entries that the run saw, each once.
        replayed: What became of the entries that a replay took in.
        accepted: The newest accepted row of each record that an entry may be about.
        by_arrival: Whether what came last is the newest, whatever its moment (see `motlan.lake.newest`).
    """

    seen: Path | None
    replayed: Path | None
    accepted: Path | None
    by_arrival: bool


def replayed_file(work: Workspace, run: str) -> Path:
    """Return where a replay says which landed row (`_ref`) stands for which `entry`, and its `state` and `fix` then."""
    return work.scratch(run) / "replayed.parquet"


def plain(column: str) -> str:
    """Return the SQL of a text without the control characters that the store or a terminal stumbles over."""
    return f"regexp_replace({column}, '[\\x00-\\x1f\\x7f]', '\N{REPLACEMENT CHARACTER}', 'g')"


def key_text(column: str = "_key") -> str:
    """Return the SQL of a record's key as an entry has it: plain, and of one too long for an index its beginning and MD5."""
    long = f"left({plain(column)}, 200) || '\N{HORIZONTAL ELLIPSIS}' || md5({column})"
    return f"case when strlen({column}) > 1000 then {long} else {plain(column)} end"


def identity(work: Workspace, dataset: Dataset) -> str:
    """Return the SQL of an entry's id from `_key` and the content columns by their names."""
    secret = literal(work.store.secret("quarantine").hex())
    content = canonical_row(content_columns(dataset))
    record = f"{literal(dataset.name)} || coalesce('=' || _key, '') || chr(31) || {content}"
    return f"substr(sha256({secret} || sha256({secret} || {record})), 1, 32)"


def content_columns(dataset: Dataset) -> list[str]:
    """Return the columns that make a row's content, as they are stored: all but those that tell when it changed or came."""
    return [stored(column) for column in dataset.columns if column not in (dataset.cursor, dataset.moment)]


def prepare(work: Workspace, run: runs.Run) -> Changes:
    """Write what a cleaned run means for the entries to files; a retry writes them again.

    Args:
        work: The open installation.
        run: A sync run whose cleaning is done.
    """
    dataset = work.registry.dataset(run.subject)
    scratch = work.scratch(run.id)
    kept = work.lake.files(quarantine_table(dataset.name), {run.id})
    clean = work.lake.files(clean_table(dataset.name), {run.id})
    replayed = replayed_file(work, run.id)
    seen = outcome = None
    with work.engine(f"quarantine of {dataset.name}") as engine:
        if replayed.exists():
            outcome = scratch / "outcome.csv"
            engine.execute(f"copy ({_outcome(replayed, kept)}) to {literal(str(outcome))} (format csv, header false)")
        elif kept:
            seen = scratch / "seen.csv"
            sightings = _sightings(work, dataset, kept)
            engine.execute(f"copy ({sightings}) to {literal(str(seen))} (format csv, header false)")
        parts = []
        if clean and (live := _live_keys(work, dataset, scratch / "live.csv")):
            parts.append(
                f"select _key, {MOMENT} as _moment, _ref from {read_parquet(clean)} where {key_text()} in {live}"
            )
        if kept:
            with work.store.engine.connect() as connection:
                visible = {*runs.visible(connection, "sync", dataset.name), run.id}
            if before := work.lake.files(clean_table(dataset.name), visible):
                mine = f"(select _key from {read_parquet(kept)} where _key is not null)"
                parts.append(f"select _key, {MOMENT} as _moment, _ref from {read_parquet(before)} where _key in {mine}")
        accepted = scratch / "accepted.csv" if parts else None
        if accepted:
            engine.execute(
                f"""copy (select {key_text()}, coalesce({plain("_moment")}, ''), _ref from ({" union ".join(parts)})
                    qualify row_number() over (partition by _key order by {newest_first(dataset, "_moment")}) = 1)
                    to {literal(str(accepted))} (format csv, header false)"""
            )
    return Changes(seen, outcome, accepted, dataset.succession == "arrival")


def _sightings(work: Workspace, dataset: Dataset, kept: list[str]) -> str:
    values = ", ".join(
        f"json_extract_string(_raw, {literal(_path(column))}) as {quote(column)}" for column in content_columns(dataset)
    )
    return f"""
        select id, {literal(dataset.name)}, {key_text()}, _ref, {plain("_locator")}, {plain("_moment")},
               {_RULES}, times
        from (select *, count(*) over (partition by id) as times,
                     row_number() over (partition by id order by {newest_first(dataset, "_moment")}) as newest
              from (select _key, _ref, _locator, _moment, _rules, _version, {identity(work, dataset)} as id
                    from (select * exclude (_raw, _run, _errors), {values} from {read_parquet(kept)})))
        where newest = 1"""


def _path(column: str) -> str:
    return f'$."{column}"'


def _outcome(replayed: Path, kept: list[str]) -> str:
    mapping = read_parquet([str(replayed)])
    if not kept:
        return f"select entry, state, fix, true, null, null, null from {mapping}"
    return (
        f"select entry, state, fix, kept._ref is null, {_RULES} "
        f"from {mapping} as mapping left join {read_parquet(kept)} as kept on kept._ref = mapping._ref"
    )


def _live_keys(work: Workspace, dataset: Dataset, target: Path) -> str | None:
    """Bring the keys of waiting entries to the engine; return the SQL of their list, None where there are none."""
    table = tables.quarantine_entries.c
    mine = sa.and_(table.dataset == dataset.name, table.state.in_(LIVE), table.source_key.is_not(None))
    with work.store.engine.connect() as connection:
        bulk.copy_out(connection, sa.select(table.source_key).distinct().where(mine), target)
    if not target.stat().st_size:
        return None
    return f"(select key from read_csv({literal(str(target))}, header = false, delim = ',', columns = {{'key': 'varchar'}}))"


def apply(connection: sa.Connection, run: str, dataset: str, changes: Changes) -> runs.Counts:
    """Load a run's changes, in the caller's transaction.

    Args:
        connection: The publisher's.
        run: The run that becomes visible.
        dataset: Its dataset.
        changes: What `prepare` wrote.

    Returns:
        Counts of entries: `seen`, `corrected`; of a replay `replayed` (closed) and `refused` in place of `seen`.
    """
    values = {"run": run, "dataset": dataset}
    told: runs.Counts = {}
    if changes.seen:
        connection.execute(sa.text(_SEEN_TABLE))
        bulk.copy_in(connection, "quarantine_seen", changes.seen)
        told["seen"] = connection.execute(sa.text(_SEE)).rowcount
    if changes.replayed:
        connection.execute(sa.text(_OUTCOME_TABLE))
        bulk.copy_in(connection, "quarantine_outcome", changes.replayed)
        connection.execute(sa.text(_REPLAY), values)
        counts = "select count(*) filter (where accepted), count(*) filter (where not accepted) from quarantine_outcome"
        told["replayed"], told["refused"] = connection.execute(sa.text(counts)).one()
    if changes.accepted:
        connection.execute(sa.text(_ACCEPTED_TABLE))
        bulk.copy_in(connection, "quarantine_accepted", changes.accepted)
        others = " and entry.id not in (select entry from quarantine_outcome)" if changes.replayed else ""
        correct = _CORRECT.format("true" if changes.by_arrival else "entry.moment is null") + others
        told["corrected"] = connection.execute(sa.text(correct), values).rowcount
    return told


_SEEN_TABLE = """
    create temp table quarantine_seen (id text, dataset text, source_key text, ref text, locator text, moment text,
        rules text[], fingerprints text[], version text, times_seen bigint) on commit drop"""
# The very version that a decision took in is only sent again, as a daily drop does: the decision holds.
_HOLDS = """(entry.closed_as = 'replayed' and (entry.fix is not null or entry.waived)
             and entry.moment is not distinct from excluded.moment)"""
_SEE = f"""
    insert into quarantine_entries as entry
        (id, dataset, source_key, ref, locator, moment, rules, fingerprints, version, times_seen, state)
    select *, 'open' from quarantine_seen
    on conflict (id) do update set
        ref = excluded.ref, locator = excluded.locator, moment = excluded.moment, rules = excluded.rules,
        fingerprints = excluded.fingerprints, version = excluded.version,
        times_seen = entry.times_seen + excluded.times_seen, last_seen = now(),
        closed_as = case when {_HOLDS} then entry.closed_as end, closed_by = case when {_HOLDS} then entry.closed_by end,
        state = case when entry.state <> 'closed' or {_HOLDS} then entry.state when entry.fix is not null then 'fixed'
                     when entry.waived then 'waived' else 'open' end"""
_OUTCOME_TABLE = """
    create temp table quarantine_outcome (entry text, state text, fix text, accepted boolean,
        rules text[], fingerprints text[], version text) on commit drop"""
_REPLAY = """
    update quarantine_entries as entry set
        state = case when o.accepted then 'closed' else 'open' end,
        closed_as = case when o.accepted then 'replayed' end, closed_by = case when o.accepted then :run end,
        times_seen = entry.times_seen + case when o.accepted then 0 else 1 end,
        last_seen = case when o.accepted then entry.last_seen else now() end,
        rules = coalesce(o.rules, entry.rules), fingerprints = coalesce(o.fingerprints, entry.fingerprints),
        version = coalesce(o.version, entry.version), fix = case when o.accepted then entry.fix end
    from quarantine_outcome as o
    where entry.id = o.entry and entry.state = o.state and entry.fix is not distinct from o.fix"""
_ACCEPTED_TABLE = "create temp table quarantine_accepted (key text, moment text, ref text) on commit drop"
# In one run, a row of the same moment may be about somebody else under the same damaged key.
# A moment that is not known orders nothing: what came later is newer.
_LATER = """split_part(a.ref, '/', 1) collate "C" > split_part(entry.ref, '/', 1) collate "C\""""
_CORRECT = f"""
    update quarantine_entries as entry set
        state = 'closed', closed_as = 'corrected', closed_by = split_part(a.ref, '/', 1)
    from quarantine_accepted as a
    where entry.dataset = :dataset and entry.state <> 'closed' and entry.source_key = a.key
      and case when {{}} then {_LATER}
               or (split_part(a.ref, '/', 1) = split_part(entry.ref, '/', 1) and {_MOMENT.format(">")})
               else {_MOMENT.format(">")} or ({_MOMENT.format("=")} and {_LATER}) end"""
