"""Metrics for Prometheus, read from the ledger at each scrape.

Labels are names of what is declared (datasets, agencies, entities, steps, dimensions) and classes of errors: never a person's
value, an id of a run or a text. A metric whose numbers are missing has no sample, which is not the same as 0.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from motlan import __version__
from motlan.backup.folder import BackupFolder, moment_of
from motlan.ledger import accesses
from motlan.ledger.runs import SEEN
from motlan.monitoring import readiness
from motlan.publication import approval, hold
from motlan.quality import scores
from motlan.store import tables
from motlan.workspace import Workspace

CONTENT_TYPE = CONTENT_TYPE_LATEST
ROWS = ("pulled", "landed", "source_total", "accepted", "quarantined")
_CLASS = re.compile(r"([A-Za-z][A-Za-z0-9]{0,60}|abandoned)(?::|$)")
Sample = tuple[tuple[str, ...], float | None]
_Family = CounterMetricFamily | GaugeMetricFamily
Reader = Callable[["Workspace", sa.Connection], Iterable[Sample]]
_READ: list[tuple[str, str, tuple[str, ...], Reader]] = []


def _metric(name: str, meaning: str, *labels: str) -> Callable[[Reader], Reader]:
    """Declare a metric that a function reads: a counter where its name ends in `_total`, or else a gauge."""

    def declare(read: Reader) -> Reader:
        _READ.append((f"motlan_{name}", meaning, labels, read))
        return read

    return declare


def names() -> dict[str, tuple[str, ...]]:
    """Return the metrics that there are, each with its labels."""
    own = {"motlan_info": ("version",), "motlan_ready": ("check",)}
    return own | {name: labels for name, _, labels, _ in _READ}


def exposition(work: Workspace) -> bytes:
    """Return all metrics in Prometheus' text format.

    Raises:
        MotlanError: The registry cannot be read. A store that does not answer is told by `motlan_ready`, and has no other sample.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OfLedger(work))
    return bytes(generate_latest(registry))


class _OfLedger(Collector):
    def __init__(self, work: Workspace) -> None:
        self._work = work

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[_Family]:
        yield _family("motlan_info", "The version that runs.", ("version",), [((__version__,), 1)])
        found = readiness.check(self._work.store)
        held = [((name,), float(holds)) for name, holds in found.items()]
        yield _family("motlan_ready", "Whether what serving needs holds: 1 or 0.", ("check",), held)
        if found["store"] and found["migrations"]:
            with self._work.store.engine.connect() as connection:
                for name, meaning, labels, read in _READ:
                    yield _family(name, meaning, labels, read(self._work, connection))


def _family(name: str, meaning: str, labels: tuple[str, ...], samples: Iterable[Sample]) -> _Family:
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    family: _Family = kind(name, meaning, labels=labels)
    for values, number in samples:
        if number is not None:
            family.add_metric(list(values), float(number))
    return family


# Datasets


@_metric("dataset_rows", "Rows of the newest pull of a dataset, by what became of them.", "dataset", "count")
def _rows(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    """`pulled`, `landed`, `source_total` (the source's own count), `accepted` and `quarantined`."""
    for (kind, subject), row in _newest(connection).items():
        steps = {**(row["steps"].get("land") or {}), **(row["steps"].get("clean") or {})} if kind == "sync" else {}
        yield from (((subject, name), steps.get(name)) for name in ROWS)


@_metric("rows_total", "Rows of all runs of a dataset so far, by what became of them.", "dataset", "count")
def _rows_total(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.runs.c
    counted = {
        name: sa.func.sum(table.steps[step][name].as_integer().cast(sa.BigInteger))
        for step, of in (("land", ("pulled", "landed")), ("clean", ("accepted", "quarantined")))
        for name in of
    }
    query = sa.select(table.subject, *(total.label(name) for name, total in counted.items()))
    seen = query.where(table.kind == "sync", table.state.in_((*SEEN, "unchanged"))).group_by(table.subject)
    for row in connection.execute(seen).mappings():
        yield from (((row["subject"], name), row[name]) for name in counted)


@_metric("dataset_age_seconds", "Age of the newest data of a dataset: since its newest good pull began.", "dataset")
def _age(work: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.runs.c
    age = sa.func.extract("epoch", sa.func.now() - sa.func.max(table.started_at))
    good = (table.kind == "sync", table.state.in_((*SEEN, "unchanged")), ~table.steps["land"].has_key("replayed"))
    query = sa.select(table.subject, age).where(*good).group_by(table.subject)
    return [
        ((subject,), seconds) for subject, seconds in connection.execute(query) if subject in work.registry.datasets
    ]


@_metric("dataset_freshness_seconds", "How old the newest data of a dataset may be, as its owner promised.", "dataset")
def _promised(work: Workspace, _: sa.Connection) -> Iterable[Sample]:
    return [((name,), dataset.freshness) for name, dataset in work.registry.datasets.items()]


@_metric("dataset_lag_seconds", "Age of the watermark of a dataset, where its cursor is a moment.", "dataset")
def _lag(work: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    for dataset, cursor in connection.execute(sa.select(tables.watermarks.c.dataset, tables.watermarks.c.cursor)):
        declared = work.registry.datasets.get(dataset)
        if declared is not None and declared.cursor_kind == "moment":
            yield (dataset,), _seconds_since(cursor)


@_metric("quarantine_waiting_rows", "Rows of a dataset that wait in quarantine.", "dataset")
def _quarantine(work: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.quarantine_entries.c
    query = sa.select(table.dataset, sa.func.count()).where(table.state == "open").group_by(table.dataset)
    waiting = _numbers(connection, query)
    return [((name,), waiting.get(name, 0)) for name in work.registry.datasets]


@_metric("quality_score", "Score of an agency's registers in a dimension of quality, 0 to 100.", "agency", "dimension")
def _scores(work: Workspace, _: sa.Connection) -> Iterable[Sample]:
    for agency, found in scores.by_agency(work.store, work.registry).items():
        yield from (((agency, dimension), score) for dimension, score in found.items())


@_metric("corrections_open", "Corrections that are offered to the owner of a dataset and not made yet.", "dataset")
def _corrections(work: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    for entity in work.registry.entities:
        if sa.inspect(connection).has_table(f"corrections_{entity}"):
            by: sa.ColumnElement[str] = sa.column("dataset", sa.Text)
            query = sa.select(by, sa.func.count()).select_from(sa.table(f"corrections_{entity}")).group_by(by)
            there = _numbers(connection, query)
            yield from (((dataset.name,), there.get(dataset.name, 0)) for dataset in work.registry.datasets_of(entity))


# Runs


@_metric("step_seconds", "How long a step of the newest run took.", "kind", "subject", "step")
def _steps(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    for (kind, subject), row in _newest(connection).items():
        for step, counts in row["steps"].items():
            seconds = counts.get("seconds") if isinstance(counts, dict) else None
            yield (kind, subject, step), seconds


@_metric("runs", "Runs that the ledger holds, by their state.", "kind", "subject", "state")
def _runs(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.runs.c
    by = (table.kind, table.subject, table.state)
    query = sa.select(*by, sa.func.count()).group_by(*by)
    return [((kind, subject, state), number) for kind, subject, state, number in connection.execute(query)]


@_metric("run_failed", "1 where the newest run of a subject failed or was given up.", "kind", "subject")
def _failed(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    return [(key, row["state"] in ("failed", "abandoned")) for key, row in _newest(connection).items()]


@_metric(
    "run_errors",
    "Runs that failed, are tried again or were given up, by the class of their error.",
    "kind",
    "subject",
    "error",
)
def _errors(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.runs.c
    query = sa.select(table.kind, table.subject, table.error).where(table.error.is_not(None))
    found: dict[tuple[str, ...], int] = {}
    for kind, subject, error in connection.execute(query):
        key = (kind, subject, error_class(error))
        found[key] = found.get(key, 0) + 1
    return list(found.items())


@_metric(
    "run_open_seconds", "Since when somebody is at work on a run, or it waits for its next try.", "kind", "subject"
)
def _open(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.runs.c
    age = sa.func.extract("epoch", sa.func.now() - sa.func.min(table.started_at))
    query = (
        sa.select(table.kind, table.subject, age).where(table.state == "running").group_by(table.kind, table.subject)
    )
    return [((kind, subject), seconds) for kind, subject, seconds in connection.execute(query)]


# What is published


@_metric("publications", "Publications of an entity so far.", "entity")
def _publications(work: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.publications.c
    query = sa.select(table.entity, sa.func.count()).group_by(table.entity)
    counted = _numbers(connection, query)
    return [((entity,), counted.get(entity, 0)) for entity in work.registry.entities]


@_metric("publication_age_seconds", "Age of an entity's newest publication.", "entity")
def _publication_age(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.publications.c
    age = sa.func.extract("epoch", sa.func.now() - sa.func.max(table.recorded_at))
    return [((entity,), age) for entity, age in connection.execute(sa.select(table.entity, age).group_by(table.entity))]


@_metric(
    "publications_not_projected",
    "Publications of an entity that wait to be loaded into the tables that are read.",
    "entity",
)
def _not_projected(work: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.publications.c
    query = sa.select(table.entity, sa.func.count()).where(table.projected_at.is_(None)).group_by(table.entity)
    waiting = _numbers(connection, query)
    return [((entity,), waiting.get(entity, 0)) for entity in work.registry.entities]


@_metric("feed_last_seq", "Number of the last change in an entity's feed.", "entity")
def _last_seq(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.publications.c
    query = sa.select(table.entity, sa.func.max(table.first_seq + table.changes - 1)).group_by(table.entity)
    return [((entity,), seq) for entity, seq in connection.execute(query)]


@_metric("feed_epoch", "The feeds' epoch: it rises when a restored bus publishes again.")
def _epoch(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    return [
        ((), connection.execute(sa.select(sa.func.coalesce(sa.func.max(tables.feed_epochs.c.epoch), 1))).scalar_one())
    ]


@_metric(
    "releases_waiting",
    "Reconcile runs of an entity that people have to release, because they change too much.",
    "entity",
)
def _releases(work: Workspace, _: sa.Connection) -> Iterable[Sample]:
    waiting = [row["entity"] for row in approval.listed(work.store) if row["state"] == "waiting" and not row["stale"]]
    return [((entity,), waiting.count(entity)) for entity in work.registry.entities]


@_metric("held_seconds", "Since when publishing, or an agency, is held back.", "subject")
def _held(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    now = datetime.now(UTC)
    return [((name,), (now - told["held_at"]).total_seconds()) for name, told in hold.in_force(connection).items()]


# The installation


@_metric("log_entries", "Entries of the transparency log.")
def _log(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    return [
        (
            (),
            connection.execute(
                sa.select(sa.func.coalesce(sa.func.max(tables.log_entries.c.index) + 1, 0))
            ).scalar_one(),
        )
    ]


@_metric("feed_refused_total", "Pages of feeds that were not served, because a row is not as it was published.")
def _refused(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.accesses.c
    query = sa.select(sa.func.count()).where(table.action == accesses.REFUSED)
    return [((), connection.execute(query).scalar_one())]


@_metric("api_key_expires_seconds", "Seconds until the last valid API key of an agency expires.", "agency")
def _keys(_: Workspace, connection: sa.Connection) -> Iterable[Sample]:
    table = tables.api_keys.c
    left = sa.func.extract("epoch", sa.func.max(table.expires_at) - sa.func.now())
    query = sa.select(table.agency, left).where(table.revoked_at.is_(None)).group_by(table.agency)
    return [((agency,), seconds) for agency, seconds in connection.execute(query)]


@_metric("backup_age_seconds", "Age of the newest backup, where MOTLAN_BACKUP names their folder.")
def _backup(work: Workspace, _: sa.Connection) -> Iterable[Sample]:
    if work.settings.backup is None:
        return []
    newest = BackupFolder(work.settings.backup).backups()[-1:]
    return [((), (datetime.now(UTC) - moment_of(path)).total_seconds()) for path in newest]


@_metric("disk_free_bytes", "Free space where the state lies.")
def _free(work: Workspace, _: sa.Connection) -> Iterable[Sample]:
    return [((), shutil.disk_usage(work.settings.var).free)]


@_metric("disk_bytes", "Size of the disk where the state lies.")
def _disk(work: Workspace, _: sa.Connection) -> Iterable[Sample]:
    return [((), shutil.disk_usage(work.settings.var).total)]


def _numbers(connection: sa.Connection, query: sa.Executable) -> dict[str, int]:
    """Return a query's first column -> its second."""
    return {row[0]: row[1] for row in connection.execute(query)}


def error_class(text: str) -> str:
    """Return the class of a run's error: the ledger's text begins with it; `other` where it does not."""
    found = _CLASS.match(text)
    return found[1] if found else "other"


def _newest(connection: sa.Connection) -> dict[tuple[str, str], sa.RowMapping]:
    """Return the newest run of each kind and subject; a replay of quarantined rows pulled nothing, and is none here."""
    table = tables.runs.c
    pulled = sa.func.coalesce(~table.steps["land"].has_key("replayed"), sa.true())
    newest = sa.select(sa.func.max(table.id)).where(pulled).group_by(table.kind, table.subject)
    query = sa.select(table.kind, table.subject, table.state, table.steps).where(table.id.in_(newest))
    return {(row["kind"], row["subject"]): row for row in connection.execute(query).mappings()}


def _seconds_since(moment: str) -> float | None:
    """Return how long ago a moment was, in UTC where it names no zone; None where the text is no moment."""
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (datetime.now(UTC) - (found if found.tzinfo else found.replace(tzinfo=UTC))).total_seconds()
