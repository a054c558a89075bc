"""The order of the steps: what a DAG's task and the command line both call. There is no second path through the code.

Every function takes a run's id or a name, and returns a small dictionary without personal values: only references
travel between tasks. A step that a run finished before is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa

from motlan import sweep
from motlan.config.files import declared_digest
from motlan.errors import ConfigurationError, InternalError, MotlanError, unforeseen
from motlan.expressions import failure
from motlan.incremental import steps as incremental
from motlan.ingest import compare as comparing
from motlan.ingest import land as landing
from motlan.ingest import watermark
from motlan.ingest.clean import select_canonical
from motlan.ingest.land import Watch
from motlan.ledger import estimates, log, results, runs
from motlan.ledger.runs import Counts
from motlan.linking import link as linking
from motlan.linking import scope
from motlan.merge import merge as survivorship
from motlan.projection import load as projection
from motlan.projection import preflight
from motlan.publication import approval, bases, hold
from motlan.publication import diff as differences
from motlan.publication import publish as publication
from motlan.quality import column_guard, cross_register, exceptions, row_rules, rule_counts, run_guard
from motlan.quality.flipped_persons import key_columns
from motlan.quarantine import entries
from motlan.quarantine import replay as requeue
from motlan.settings import debugging
from motlan.store import tables
from motlan.store.session import lost
from motlan.workspace import Workspace, open_workspace

P = ParamSpec("P")
T = TypeVar("T")


def _private(step: Callable[P, T]) -> Callable[P, T]:
    """Let nothing but our own errors out of a step: a library's text, and what stands behind it, may quote a value."""

    @wraps(step)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return step(*args, **kwargs)
        except MotlanError as error:
            raise error from None
        except Exception as error:
            if debugging():
                raise
            where = f"pipeline.{step.__name__}"
            raise lost(error) or failure(error, where) or unforeseen(error, where) from None

    return call


@contextmanager
def _alone(kind: str, subject: str, job: str | None = None) -> Iterator[None]:
    """Be the only one that works on a subject, and begin with what killed runs left removed."""
    work = open_workspace()
    with runs.alone(work.store, kind, subject, job):
        yield


def _begin(work: Workspace, kind: str, subject: str, job: str | None, *, rests: bool) -> str:
    """Begin a run, for somebody who works alone on its subject; what its forerunners left is removed."""
    run = runs.begin(work.store, kind, subject, job, rests=rests).id
    sweep.discard(work, kind, subject)
    sweep.sweep(work)
    return run


@_private
def begin_sync(dataset: str, job: str | None = None) -> Counts:
    """Open a sync run of a dataset, whose steps may be processes of their own. Returns `run` and `dataset`.

    Args:
        dataset: Its name.
        job: What of a scheduler asks for it; an earlier run of the same job is over.

    Raises:
        TransientError: Another run of the dataset is under way. It is named.
    """
    work = open_workspace()
    name = work.registry.dataset(dataset).name
    with _alone("sync", name, job):
        return {"run": _begin(work, "sync", name, job, rests=True), "dataset": dataset}


@_private
def land(run: str, watch: Watch | None = None) -> Counts:
    """Pull what changed and keep it as received."""
    work = open_workspace()
    return runs.step(work.store, run, "land", lambda current: landing.land(work, current, watch))


@_private
def clean(run: str) -> Counts:
    """Map, clean and check what the run landed."""
    work = open_workspace()

    def split(current: runs.Run) -> results.Cleaned:
        dataset = work.registry.dataset(current.subject)
        cleaned = row_rules.split(work, current, partial(select_canonical, dataset))
        landed = current.result(results.Landed)
        if cleaned.accepted + cleaned.quarantined != landed.landed:
            raise InternalError(
                f"{landed.landed} rows landed, {cleaned.accepted} accepted and {cleaned.quarantined} quarantined",
                where=current.subject,
                next_step="report this: no row may be lost, and nothing of the run is published.",
            )
        # Rows of a replay were blocked before, and a drifted chunk is held as a whole: neither tells of a worse source.
        if landed.replayed is None and not exceptions.of(work, current).drifted:
            column_guard.check(work, current, cleaned, partial(select_canonical, dataset))
            run_guard.check(work, current, cleaned)
        return cleaned

    return runs.step(work.store, run, "clean", split)


@_private
def commit_sync(run: str) -> Counts:
    """Make a sync run visible, move its watermark and append to the log, in one transaction."""
    work = open_workspace()

    def commit(current: runs.Run) -> Counts:
        landed, cleaned = current.result(results.Landed), current.result(results.Cleaned)
        changes = entries.prepare(work, current) if landed.landed else None
        with work.store.publishing() as connection:
            gone = landed.gone or 0
            state = "visible" if landed.landed or gone else "unchanged"
            if runs.get(work.store, run).state in runs.SEEN:
                return {"state": state}
            runs.require_open(connection, run)
            for snapshots in (landed.snapshots, cleaned.snapshots):
                for table, snapshot in snapshots.items():
                    runs.record_snapshot(connection, run, table, snapshot)
            watermark.move(connection, current, work.registry.dataset(current.subject), landed)
            if landed.landed:
                rule_counts.record(connection, run, work.registry.rules.by_name, {current.subject: cleaned.rules})
                body = {"run": run, "dataset": current.subject, "rows": landed.landed, "chunks": landed.chunks}
                log.append(connection, "landing", {**body, "version": cleaned.version})
            if gone:
                log.append(connection, "records gone", {"run": run, "dataset": current.subject, "records": gone})
            told = entries.apply(connection, run, current.subject, changes) if changes else {}
            runs.set_state(connection, run, state)
        return {"state": state, **told}

    counts = runs.step(work.store, run, "commit", commit)
    work.sweep(run)
    return counts


@_private
def replay(dataset: str, quarantined_by: Sequence[str] = ()) -> Counts:
    """Clean and check the waiting rows of a dataset's quarantine again, as a run of their own.

    Args:
        dataset: Whose.
        quarantined_by: Only rows that broke one of these rules; all where empty.

    Returns:
        The counts of its steps under their names, `replayed` and `refused` among the last one's; `{"replayed": 0}` where
        nothing waits.
    """
    work = open_workspace()
    if not requeue.waits(work, work.registry.dataset(dataset).name, quarantined_by):
        return {"replayed": 0}

    def again() -> Counts:
        return runs.step(work.store, run, "land", lambda current: requeue.land(work, current, quarantined_by))

    with _alone("sync", dataset):
        run = _begin(work, "sync", dataset, None, rests=False)
        return _guarded(run, {"land": again, "clean": lambda: clean(run), "commit": lambda: commit_sync(run)})


@_private
def begin_reconcile(entity: str | None = None, job: str | None = None, *, full: bool = False) -> Counts:
    """Open a reconcile run of a linked entity, whose steps may be processes of their own; fix which sync runs it reads and
    which publication it compares with. Returns `run` and `entity`.

    Args:
        entity: Its name; the first declared where absent.
        job: What of a scheduler asks for it; an earlier run of the same job is over.
        full: Whether everything is linked, merged and checked, whatever changed.

    Raises:
        TransientError: Another one is under way. It is named.
    """
    name = open_workspace().registry.linked(entity).name
    with _alone("reconcile", name, job):
        return _begin_reconcile(name, job, rests=True, full=full)


def _begin_reconcile(entity: str, job: str | None, *, rests: bool, full: bool) -> Counts:
    work = open_workspace()
    with work.store.engine.begin() as connection:
        runs.close_stale(connection, "reconcile", entity, publication.last_number(connection, entity))
    run = _begin(work, "reconcile", entity, job, rests=rests)

    def begin(_: runs.Run) -> results.Begun:
        with work.store.engine.connect() as connection:
            inputs = {
                dataset.name: runs.visible(connection, "sync", dataset.name)
                for dataset in work.registry.datasets_of(entity)
            }
            published = runs.visible(connection, "reconcile", entity)
            after = publication.last_number(connection, entity)
            previous = runs.newest_done(connection, "reconcile", entity)
        return results.Begun(
            inputs=inputs,
            published=published,
            after_publication=after,
            previous=previous,
            full=full,
            versions=_versions(work),
        )

    runs.step(work.store, run, "begin", begin)
    return {"run": run, "entity": entity}


def _versions(work: Workspace) -> dict[str, str]:
    """Return what decides all steps after cleaning, each with a digest: where one is another, everything is done anew."""
    version = work.engine_version()
    return {
        "what is declared": declared_digest(work.settings.home),
        "the code lists": version["code_lists"],
        "the engine": f"{work.settings.engine} {version['engine']}",
    }


@_private
def link(run: str) -> Counts:
    """Link all current rows to persons."""
    work = open_workspace()

    def link_rows(current: runs.Run) -> results.Linked:
        keys = key_columns(work.registry, current.subject, work.dialect)
        return linking.link(work, current, keys, incremental.why_full(work, current))

    return runs.step(work.store, run, "link", link_rows)


@_private
def merge(run: str) -> Counts:
    """Merge linked rows into golden records."""
    work = open_workspace()

    def do(current: runs.Run) -> results.Merged:
        if incremental.is_changed(current):
            return incremental.merge(work, current)
        return survivorship.merge(work, current, current.result(results.Begun).inputs)

    return runs.step(work.store, run, "merge", do)


@_private
def cross_check(run: str) -> Counts:
    """Check what only a bus can see."""
    work = open_workspace()

    def do(current: runs.Run) -> results.CrossChecked:
        if incremental.is_changed(current):
            return incremental.cross_check(work, current)
        return cross_register.check(work, current, current.result(results.Begun).inputs)

    return runs.step(work.store, run, "cross_check", do)


@_private
def diff(run: str) -> Counts:
    """Stage what changed since the last publication. The run is whole then, and waits to be published."""
    work = open_workspace()

    def do(current: runs.Run) -> results.Compared:
        if incremental.is_changed(current):
            return incremental.diff(work, current)
        return differences.diff(work, current, current.result(results.Begun).published)

    return runs.step(work.store, run, "diff", do, ends="reconciled")


@_private
def publish(run: str | None = None, *, entity: str | None = None, mend: bool = False) -> Counts:
    """Make a reconciled run visible and number its feed, once it is proven that the store takes what it changes.

    Args:
        run: The run; by default the newest of the entity that people released, else the newest that is reconciled and not yet
            published, else the newest that is published and not projected yet.
        entity: The linked entity where no run is named; the first declared where absent.
        mend: Whether to publish all the same, what the store does not take being left out of the projection.

    Raises:
        InternalError: The store would not take what the run changes. Nothing is numbered.
        ConfigurationError: There is none.
        ContractError: The run's comparison is stale: reconcile again; or it changes so much that people have to release it.
    """
    work = open_workspace()
    run = run or _newest_reconciled(work, work.registry.linked(entity).name)

    def do(current: runs.Run) -> results.Published:
        if current.state not in runs.SEEN:
            approval.require(work.store, current)
            projection.ensure(work, work.registry.entity(current.subject))
            if not mend:
                preflight.prove(work, current.subject, current.id)
        with work.store.publishing() as connection:
            current = runs.get(work.store, current.id)
            if current.state in runs.SEEN:
                return publication.find_published(connection, current.id)
            approval.require(work.store, current)
            hold.require_none(connection)
            runs.require_open(connection, current.id)
            published = publication.publish(connection, current)
            areas = rule_counts.Tally.load(work.scratch(current.id) / cross_register.TALLY)
            answers = current.result(results.CrossChecked).rules
            rule_counts.record(connection, current.id, work.registry.rules.by_name, answers, areas)
        return published

    counts = runs.step(work.store, run, "publish", do, lock="publish")
    work.sweep(run)
    return counts


@_private
def project(run: str | None = None, *, entity: str | None = None, mend: bool = False) -> Counts:
    """Bring PostgreSQL's golden tables, feed and corrections of an entity up to the newest publication.

    Args:
        run: The run that was published; what its entity has not loaded yet is loaded.
        entity: The linked entity where no run is named; the first declared where absent.
        mend: Whether what the store does not take is left out; the log tells of it.
    """
    work = open_workspace()
    if run is None:
        name = work.registry.linked(entity).name
        return {"run": run, "publications": projection.project(work, name, mend=mend)}
    current = runs.get(work.store, run)
    with runs.working(work.store, current, "project", lock="publish"):
        return {"run": run, "publications": projection.project(work, current.subject, mend=mend)}


@_private
def compare(dataset: str, watch: Watch | None = None) -> Counts:
    """Pull everything of a dataset and count in what it differs from what is held; nothing is landed.

    Returns:
        See `motlan.ingest.compare.Compared`.
    """
    return comparing.compare(open_workspace(), dataset, watch).counts()


@_private
def care(run: str | None = None, *, entity: str | None = None, watch: Callable[[str], None] = lambda _: None) -> Counts:
    """Write the bases of an entity's published rows anew where later publications have grown: no other step waits for it.

    Args:
        run: A reconcile run of the entity; what is published is read.
        entity: The linked entity where no run is named; the first declared where absent.
        watch: Is given the name of each table whose base is written.

    Returns:
        `written` (how many bases were), and `tables`: of each table of appended versions up to which run its base holds, its
        rows, and the rows and the number of the publications after it.

    Raises:
        TransientError: Another process writes the entity's bases.
    """
    work = open_workspace()
    name = runs.get(work.store, run).subject if run else work.registry.linked(entity).name
    found = bases.rewrite_bases(work, name, watch=watch)
    read = {state.table: {key: value for key, value in asdict(state).items() if key != "table"} for state in found}
    return {"run": run, "entity": name, "written": sum(state.written for state in found), "tables": read}


@_private
def fail(run: str, error: BaseException) -> None:
    """Write down that a try failed: our own errors' words, of any other error its class only (libraries quote values)."""
    runs.fail(open_workspace().store, run, runs.words(error))


@_private
def sync(dataset: str, watch: Watch | None = None) -> Counts:
    """Do a whole sync of a dataset. Returns the counts of its steps under their names."""
    work = open_workspace()
    name = work.registry.dataset(dataset).name
    with _alone("sync", name):
        run = _begin(work, "sync", name, None, rests=False)
        return _guarded(
            run, {"land": lambda: land(run, watch), "clean": lambda: clean(run), "commit": lambda: commit_sync(run)}
        )


def _forecast(run: str) -> Counts:
    """Return what a begun reconcile run will do; see `reconcile`."""
    work = open_workspace()
    current = runs.get(work.store, run)
    began = current.result(results.Begun)
    previous = runs.get(work.store, began.previous) if began.previous else None
    before = previous.find_result(results.Linked) if previous else None
    last = estimates.newest_full(work.store, current.subject)
    rows = before.rows if before else last.rows if last else None
    return {
        "entity": current.subject,
        "why_full": scope.why_full(work, current, previous),
        "rows": rows,
        "seconds": round(last.seconds_for(rows or last.rows), 1) if last else None,
        "last_full": last.run if last else None,
    }


@_private
def reconcile(
    entity: str | None = None, *, full: bool = False, forecast: Callable[[Counts], None] | None = None
) -> Counts:
    """Do a whole reconcile run of a linked entity, the first declared where absent.

    Args:
        entity: Its name.
        full: Whether everything is linked, merged and checked, whatever changed.
        forecast: Is given, before the first step, `why_full` (why everything is done; empty where what changed is enough), and
            `rows` and `seconds` that a full run may have, by the newest one (`last_full`); null where there was none.

    Returns:
        The counts of its steps under their names.
    """
    steps = {"link": link, "merge": merge, "cross_check": cross_check, "diff": diff}
    name = open_workspace().registry.linked(entity).name
    with _alone("reconcile", name):
        run = _begin_reconcile(name, None, rests=False, full=full)["run"]
        if forecast:
            forecast(_forecast(run))
        return _guarded(run, {name: lambda step=step: step(run) for name, step in steps.items()})


def _guarded(run: str, steps: dict[str, Any]) -> Counts:
    done: Counts = {"run": run}
    try:
        for name, step in steps.items():
            done[name] = step()
    except BaseException as error:
        fail(run, error)
        raise
    return done


def _newest_reconciled(work: Workspace, entity: str) -> str:
    table = tables.runs.c
    state = sa.case({"released": 0, "reconciled": 1, "waiting": 2}, value=table.state)
    publications = tables.publications.c
    with work.store.engine.connect() as connection:
        # Compared with the newest publication: one that waited while another was published is stale.
        fresh = table.steps["begin"]["after_publication"].as_integer() == publication.last_number(connection, entity)
        mine = (table.kind == "reconcile", table.subject == entity)
        query = sa.select(table.id).where(*mine, state.is_not(None))
        query = query.where(sa.or_(fresh, table.state == "reconciled"))
        found = connection.execute(query.order_by(state, table.id.desc()).limit(1)).scalar_one_or_none()
        if found is None:  # a publication that was killed before its projection is mended by the next
            unloaded = (publications.entity == entity, publications.projected_at.is_(None))
            late = sa.select(publications.run).where(*unloaded)
            found = connection.execute(late.order_by(publications.number.desc()).limit(1)).scalar_one_or_none()
    if found is None:
        raise ConfigurationError("nothing is reconciled and unpublished", next_step="run `motlan reconcile` first.")
    return str(found)
