"""The order of the steps: what a DAG's task and the command line both call. There is no second path through the code.

Every function takes a run's id or a name, and returns a small dictionary without personal values: only references
travel between tasks. A step that a run finished before is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import sqlalchemy as sa

from motlan import people, sweep
from motlan.backup import check as checking
from motlan.backup import take as taking
from motlan.config.files import declared_digest
from motlan.errors import ConfigurationError, ContractError, InternalError, MotlanError, unforeseen
from motlan.expressions import failure
from motlan.incremental import steps as incremental
from motlan.ingest import compare as comparing
from motlan.ingest import land as landing
from motlan.ingest import retraction, timeliness, watermark
from motlan.ingest.clean import select_canonical
from motlan.ingest.land import Watch
from motlan.ingest.refusals import naming_the_credential
from motlan.ledger import alerts, control, estimates, holds, log, results, runs
from motlan.ledger.file_entries import append_files
from motlan.ledger.runs import Counts
from motlan.linking import link as linking
from motlan.linking import scope
from motlan.merge import merge as survivorship
from motlan.openlineage import reporting
from motlan.projection import load as projection
from motlan.projection import preflight
from motlan.proof import checkpoints as signed_checkpoints
from motlan.proof import verify as proof
from motlan.publication import approval, bases, checkpoints, hold
from motlan.publication import diff as differences
from motlan.publication import publish as publication
from motlan.quality import column_guard, cross_register, exceptions, row_rules, rule_counts, run_guard
from motlan.quality.flipped_persons import key_columns
from motlan.quarantine import entries
from motlan.quarantine import reclean as recleaning
from motlan.quarantine import replay as requeue
from motlan.settings import debugging
from motlan.store import tables
from motlan.store.session import lost
from motlan.telemetry import traces
from motlan.workspace import Workspace, open_workspace

P = ParamSpec("P")
T = TypeVar("T")


def _private(step: Callable[P, T]) -> Callable[P, T]:
    """Let nothing but our own errors out of a step: a library's text, and what stands behind it, may quote a value."""

    @wraps(step)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with traces.span(f"pipeline.{step.__name__}"):
                return step(*args, **kwargs)
        except MotlanError as error:
            raise error from None
        except Exception as error:
            if debugging():
                raise
            where = f"pipeline.{step.__name__}"
            raise lost(error) or failure(error, where) or unforeseen(error, where) from None
        finally:
            reporting.report()

    return call


@contextmanager
def _alone(kind: str, subject: str, job: str | None = None) -> Iterator[None]:
    """Be the only one that works on a subject, and begin with what killed runs left removed."""
    work = open_workspace()
    with runs.alone(work.store, kind, subject, job):
        yield


def _begin(
    work: Workspace, kind: str, subject: str, job: str | None, *, rests: bool, asked: Counts | None = None
) -> str:
    """Begin a run, for somebody who works alone on its subject; what its forerunners left is removed."""
    run = runs.begin(work.store, kind, subject, job, rests=rests, asked=asked).id
    reporting.begin(work, run)
    sweep.discard(work, kind, subject)
    sweep.sweep(work)
    return run


@_private
def begin_sync(dataset: str, job: str | None = None, *, full: bool = False, since: str | None = None) -> Counts:
    """Open a sync run of a dataset, whose steps may be processes of their own. Returns `run` and `dataset`.

    Args:
        dataset: Its name.
        job: What of a scheduler asks for it; an earlier run of the same job is over.
        full: Whether everything is pulled, whatever the watermark is.
        since: The cursor to pull from in place of the watermark, as the source writes it or a moment in UTC.

    Raises:
        TransientError: Another run of the dataset is under way. It is named.
        ConfigurationError: `since` is no cursor of the dataset.
    """
    work = open_workspace()
    name = work.registry.dataset(dataset).name
    begun = results.SyncBegun(full=full, since=since or None)
    with _alone("sync", name, job):
        return {"run": _begin_sync(work, name, job, begun, rests=True), "dataset": dataset}


def _begin_sync(work: Workspace, dataset: str, job: str | None, begun: results.SyncBegun, *, rests: bool) -> str:
    if begun.since:
        with work.engine(f"reading a cursor of {dataset}") as engine:
            landing.open_window(work, engine, work.registry.dataset(dataset), begun)
    run = _begin(work, "sync", dataset, job, rests=rests)
    if begun != results.SyncBegun():
        runs.step(work.store, run, begun.step, lambda _: begun)
    return run


@_private
def preview(dataset: str, *, full: bool = False, since: str | None = None, watch: Watch | None = None) -> Counts:
    """Ask a source what a sync would pull. Nothing is landed, and no run begins.

    Args:
        dataset: Its name.
        full: Whether everything is pulled, and compared with what is held (see `compare`).
        since: As of `begin_sync`.
        watch: Is given how many rows came, and how many the source announced.

    Returns:
        `source_rows` (the source's count of what would be asked for), `source_total` (of all it has), `source_as_of` (its own
        moment), `asked_since` (the cursor asked with; None for everything); or the counts of `compare`.
    """
    if full:
        return compare(dataset, watch)
    work = open_workspace()
    declared = work.registry.dataset(dataset)
    with work.engine(f"previewing {dataset}") as engine:
        asked = landing.open_window(work, engine, declared, results.SyncBegun(since=since or None)).since
    with naming_the_credential(declared):
        found = declared.open().count(asked)
    return {
        "dataset": declared.name,
        "source_rows": found.rows,
        "source_total": found.total,
        "source_as_of": found.as_of,
        "asked_since": asked.cursor if asked else None,
    }


@_private
def land(run: str, watch: Watch | None = None) -> Counts:
    """Pull what changed and keep it as received; of a run that was asked to, land again what is held."""
    work = open_workspace()

    def do(current: runs.Run) -> results.Landed:
        asked = current.steps.get(runs.ASKED, {})
        if "replay" in asked:
            return requeue.land(work, current, asked["replay"])
        if retraction.ASKED in asked:
            return retraction.landed()
        if "reclean" in asked:
            return recleaning.land(work, current, asked["reclean"][recleaning.SINCE])
        return landing.land(work, current, watch)

    return runs.step(work.store, run, "land", do)


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
        if "reclean" in current.steps.get(runs.ASKED, {}):
            run_guard.check(work, current, cleaned)
        elif landed.replayed is None and not exceptions.of(work, current).drifted:
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
            gone, taken = landed.gone or 0, current.steps.get(runs.ASKED, {}).get(retraction.ASKED)
            state = "visible" if landed.landed or gone or taken else "unchanged"
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
            if taken:
                told = retraction.apply(connection, current, work.registry.dataset(current.subject), taken)
            runs.set_state(connection, run, state)
            append_files(connection)
        return {"state": state, **told}

    counts = runs.step(work.store, run, "commit", commit)
    signed_checkpoints.try_sign(work.store, work.settings)
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

    with _alone("sync", dataset):
        run = _begin(work, "sync", dataset, None, rests=False, asked={"replay": list(quarantined_by)})
        return _guarded(run, _steps("sync", run))


@_private
def forecast_reclean(dataset: str, since: datetime | None = None) -> Counts:
    """Return what `reclean` would land again: `rows`, and of them `standing` and `waiting` in quarantine; `left_out` records."""
    work = open_workspace()
    return asdict(recleaning.forecast(work, work.registry.dataset(dataset), recleaning.first_run(since)))


@_private
def reclean(dataset: str, since: datetime | None = None) -> Counts:
    """Clean and check what stands of a dataset's records again, as a run of its own: nothing is pulled, no watermark moves.

    Args:
        dataset: Whose.
        since: Only rows that landed in runs that began then or later; all where absent.

    Returns:
        The counts of its steps under their names; `{"recleaned": 0}` where there is nothing.

    Raises:
        ContractError: Too large a share of the rows would be held back under the rules of now.
    """
    work = open_workspace()
    name, first = work.registry.dataset(dataset).name, recleaning.first_run(since)
    if not recleaning.forecast(work, work.registry.dataset(name), first).rows:
        return {"recleaned": 0}
    with _alone("sync", name):
        run = _begin(work, "sync", name, None, rests=False, asked={"reclean": {recleaning.SINCE: first}})
        return _guarded(run, _steps("sync", run))


@_private
def forecast_retract(run: str) -> Counts:
    """Return what `retract` would do (see `motlan.ingest.retraction.Forecast`).

    Raises:
        ConfigurationError: The run is no delivery, or was taken back before.
        ContractError: A later run landed rows of it again.
    """
    work = open_workspace()
    return retraction.counts(retraction.forecast(work, retraction.require_retractable(work, run)))


@_private
def retract(run: str, principal: str, reason: str) -> Counts:
    """Take back what a sync run landed, as a run of its own: nothing is pulled, and nothing is lost.

    Args:
        run: The sync run.
        principal: Who takes it back.
        reason: Why. It stands in the log, which nothing is ever taken out of: no name, no number.

    Returns:
        The counts of its steps under their names.

    Raises:
        ConfigurationError: The run is no delivery, or was taken back before; or the reason is missing or may name somebody.
        ContractError: A later run landed rows of it again.
    """
    work, why = open_workspace(), retraction.check_reason(reason)
    dataset = work.registry.dataset(retraction.require_retractable(work, run).subject)
    # Nobody reconciles meanwhile: what reads the run would be whole after it was taken back.
    with _alone("reconcile", dataset.entity), _alone("sync", dataset.name):
        retraction.require_retractable(work, run)
        asked = {retraction.ASKED: {"run": run, "principal": principal, "reason": why}}
        own = _begin(work, "sync", dataset.name, None, rests=False, asked=asked)
        return _guarded(own, _steps("sync", own))


@_private
def recheck(dataset: str) -> Counts:
    """Clean and check the waiting rows of a dataset's quarantine again, where what cleans or checks them changed since.

    Returns:
        As of `replay`.
    """
    work = open_workspace()
    declared = work.registry.dataset(dataset)
    with work.store.engine.connect() as connection:
        newest = runs.newest_done(connection, "sync", declared.name)
    cleaned = runs.get(work.store, newest).find_result(results.Cleaned) if newest else None
    if cleaned and cleaned.version == row_rules.version_of(work, declared, partial(select_canonical, declared)):
        return {"replayed": 0}
    return replay(dataset)


@_private
def check_freshness(dataset: str) -> Counts:
    """Hold the age of what is held of a dataset against what its owner promised.

    Returns:
        `age` and `promised`, in seconds, and `stale`: whether the source itself has nothing as new as promised.

    Raises:
        ContractError: Nothing was pulled within the promised time.
    """
    work = open_workspace()
    found = timeliness.timeliness(work)[work.registry.dataset(dataset).name]
    if found["late"] and found["why"] != timeliness.NOTHING_NEW:
        raise ContractError(
            f"older than promised ({found['promised']} s): {found['why']}",
            where=dataset,
            next_step="see docs/operations.md#stale-data.",
        )
    return {"age": found["age"], "promised": found["promised"], "stale": int(found["late"])}


@_private
def check_log() -> Counts:
    """Compute the log again, and hold checkpoints, ledger and files against it. Returns `entries`.

    Raises:
        InternalError: Something is not as the log says.
    """
    work = open_workspace()
    if found := list(proof.verify_nightly(work)):
        raise InternalError(
            f"{found[0].what} ({len(found)} such findings)",
            where=f"{found[0].store}: {found[0].place}",
            next_step="hold publishing (`motlan hold publish`), and see docs/operations.md#log-broken.",
        )
    return {"entries": proof.size_of(work)}


@_private
def unsynced(entity: str | None = None) -> Counts:
    """Return the `datasets` of an entity that are declared as required and had no sync yet that came to its end."""
    work = open_workspace()
    required = [
        dataset.name for dataset in work.registry.datasets_of(work.registry.linked(entity).name) if dataset.required
    ]
    with work.store.engine.connect() as connection:
        return {"datasets": [name for name in required if runs.newest_done(connection, "sync", name) is None]}


@_private
def unread(entity: str | None = None, *, by_hand: bool = False) -> Counts:
    """Return the newest sync run of an entity that no reconcile run under way or done reads.

    Args:
        entity: Its name; the first declared where absent.
        by_hand: Whether only runs count that a person made.

    Returns:
        `run`: its id; None where there is none.
    """
    work = open_workspace()
    name = work.registry.linked(entity).name
    datasets = [dataset.name for dataset in work.registry.datasets_of(name)]
    with work.store.engine.connect() as connection:
        return {"run": runs.newest_unread(connection, name, datasets, by_hand=by_hand)}


@_private
def pulled_by_backfill(dataset: str, jobs: str, job: str, hours: float = 6) -> Counts:
    """Return the run by which another job of a backfill pulls a dataset: a source that has only its state of now is pulled once.

    Args:
        dataset: Its name.
        jobs: What the names of the backfill's jobs begin with.
        job: The job that asks.
        hours: How long ago the other one began, at the most.

    Returns:
        `run`: its id; None where there is none.
    """
    work = open_workspace()
    with work.store.engine.connect() as connection:
        return {"run": runs.newest_of_jobs(connection, work.registry.dataset(dataset).name, jobs, job, hours)}


@_private
def waits(run: str | None = None, *, entity: str | None = None) -> Counts:
    """Return what the next publication waits for, if people have to release it.

    Args:
        run: The run; where absent, what `publish` would take.
        entity: As of `publish`.

    Returns:
        `run` (None where nothing is to be published); and where it waits, its `state`, `passed` and `counts` (see
        `motlan.publication.approval.show`), `people` (who decided so far) and `needed` (how many have to approve). No
        personal value.
    """
    work = open_workspace()
    run = run or _find_reconciled(work, work.registry.linked(entity).name)
    if run is None:
        return {"run": None}
    current = runs.get(work.store, run)
    if current.state in runs.SEEN or not (compared := current.find_result(results.Compared)) or not compared.held:
        return {"run": run}
    with suppress(ContractError):
        approval.require(work.store, current)
    found = approval.show(work.store, run)
    if found["state"] != "waiting" or found[approval.STALE]:
        return {"run": run}
    people = [decision["principal"] for decision in found["decisions"]]
    shown = {name: found[name] for name in ("passed", "counts")}
    return {"run": run, "state": found["state"], **shown, "people": people, "needed": found["approvals"]}


@_private
def may_publish(run: str) -> Counts:
    """Tell whether people released a run that was held back, and no other one was published since: `released`."""
    work = open_workspace()
    found = approval.show(work.store, run)
    return {"run": run, "released": found["state"] == "released" and not found[approval.STALE]}


@_private
def decide(run: str, person: str, action: str, why: str) -> Counts:
    """Let a run that waits be published, or refuse it, as a person who is known to the bus.

    Args:
        run: The run.
        person: Their name, as `motlan people list` has it; whoever calls this has made sure that it is they.
        action: `approve` or `refuse`.
        why: In their words.

    Returns:
        `run` and its `state` after it.

    Raises:
        AccessError: Nobody of this name may release, or they decided before.
    """
    work = open_workspace()
    return {"run": run, "state": approval.decide(work.store, run, people.releaser(work.store, person), action, why)}


@_private
def begin_reconcile(
    entity: str | None = None, job: str | None = None, *, full: bool = False, incomplete: bool = False
) -> Counts:
    """Open a reconcile run of a linked entity, whose steps may be processes of their own; fix which sync runs it reads and
    which publication it compares with. Returns `run` and `entity`.

    Args:
        entity: Its name; the first declared where absent.
        job: What of a scheduler asks for it; an earlier run of the same job is over.
        full: Whether everything is linked, merged and checked, whatever changed.
        incomplete: Whether it begins though a required dataset had no sync yet.

    Raises:
        TransientError: Another one is under way. It is named.
        ConfigurationError: A required dataset had no sync yet.
    """
    name = open_workspace().registry.linked(entity).name
    with _alone("reconcile", name, job):
        return _begin_reconcile(name, job, rests=True, full=full, incomplete=incomplete)


def _require_synced(entity: str) -> None:
    if missing := unsynced(entity)["datasets"]:
        raise ConfigurationError(
            f"{', '.join(missing)} had no sync yet, and agencies.yaml declares them as required",
            where=entity,
            next_step=f"run `motlan sync {missing[0]}`, or reconcile without them by `--incomplete`.",
        )


def _begin_reconcile(entity: str, job: str | None, *, rests: bool, full: bool, incomplete: bool) -> Counts:
    work = open_workspace()
    if not incomplete:
        _require_synced(entity)
    with work.store.engine.begin() as connection:
        runs.close_stale(connection, "reconcile", entity, publication.last_number(connection, entity))
    run = _begin(work, "reconcile", entity, job, rests=rests, asked={"full": full})
    _fix_inputs(run)
    return {"run": run, "entity": entity}


def _fix_inputs(run: str) -> Counts:
    """Write down what a reconcile run reads, and what it compares with."""
    work = open_workspace()

    def begin(current: runs.Run) -> results.Begun:
        entity = current.subject
        with work.store.engine.connect() as connection:
            published = runs.visible(connection, "reconcile", entity)
            after = publication.last_number(connection, entity)
            previous = runs.newest_done(connection, "reconcile", entity)
            inputs, left_out = _inputs(work, connection, entity, previous)
        return results.Begun(
            inputs=inputs,
            left_out=left_out,
            published=published,
            after_publication=after,
            previous=previous,
            full=bool(current.steps.get(runs.ASKED, {}).get("full")),
            versions=_versions(work),
        )

    return runs.step(work.store, run, "begin", begin)


def _inputs(
    work: Workspace, connection: sa.Connection, entity: str, previous: str | None
) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Return the sync runs that a reconcile run reads, by dataset, and how many are left out because an agency is held."""
    before = runs.get(work.store, previous).find_result(results.Begun) if previous else None
    inputs, left_out = {}, {}
    for dataset in work.registry.datasets_of(entity):
        read_before = before.inputs.get(dataset.name, []) if before else []
        read = hold.readable_syncs(connection, dataset, read_before)
        inputs[dataset.name] = read
        if late := len(runs.visible(connection, "sync", dataset.name)) - len(read):
            left_out[dataset.name] = late
    return inputs, left_out


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
            if published.number:
                checkpoints.write(connection, work.settings.checkpoints)
        return published

    with reporting.publishing(work, run):
        counts = runs.step(work.store, run, "publish", do, lock="publish")
    signed_checkpoints.try_sign(work.store, work.settings)
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
def raise_alert(kind: str, subject: str) -> Counts:
    """Count a failure of a dataset or an entity, whose newest run says why.

    Args:
        kind: `sync`, `reconcile`, `publish`, `release` or `care`.
        subject: The dataset, or the entity.

    Returns:
        `alert`: what to tell people (see `motlan.ledger.alerts.Alert`); None where they know of its cause.
    """
    work = open_workspace()
    dataset = work.registry.datasets.get(subject)
    of_run = kind if kind in ("sync", "reconcile") else "reconcile"
    found = alerts.raise_alert(work.store, of_run, subject, dataset.agency if dataset else None)
    return {"alert": asdict(found) if found else None}


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
def backup(to: str | None = None, *, watch: Callable[[str], None] = lambda _: None) -> Counts:
    """Take a backup of store, lake, payloads and keys at one point in time, while runs go on; older ones are removed.

    Args:
        to: The folder of backups; `MOTLAN_BACKUP` where absent.
        watch: Is given what is begun.

    Returns:
        See `motlan.backup.take.take`.

    Raises:
        ConfigurationError: No folder is named, or it cannot be written.
        TransientError: Another backup is under way.
    """
    return taking.take(open_workspace(), Path(to) if to else None, watch)


@_private
def check_backup(backup: str | None = None, *, watch: Callable[[str], None] = lambda _: None) -> Counts:
    """Restore a backup into a temporary place, prove it and remove it.

    Args:
        backup: A backup or a folder of them; the newest of `MOTLAN_BACKUP` where absent.
        watch: Is given what is begun.

    Returns:
        See `motlan.backup.check.check`.

    Raises:
        ContractError: The backup does not come back as it was taken.
    """
    found = checking.check(open_workspace(), Path(backup) if backup else None, watch)
    if wrong := found.pop("wrong"):
        raise ContractError(
            f"backup {found['backup']} does not come back as it was taken: {'; '.join(wrong)}",
            where="backup",
            next_step="take a new one (`motlan backup`) and check it; keep this one for whoever looks into it.",
        )
    return found


@_private
def expire(days: int = 7) -> Counts:
    """Remove the lake's metadata of snapshots that are older than some days; rows and earlier states stay.

    Returns:
        `snapshots`, `files` and `bytes` that were removed, and `busy`: tables that a run writes now, left for the next time.
    """
    return dict(sweep.expire(open_workspace(), days))


@_private
def fail(run: str, error: BaseException) -> None:
    """Write down that a try failed: our own errors' words, of any other error its class only (libraries quote values)."""
    runs.fail(open_workspace().store, run, runs.words(error))


@_private
def sync(dataset: str, watch: Watch | None = None, *, full: bool = False, since: str | None = None) -> Counts:
    """Do a whole sync of a dataset; see `begin_sync`. Returns the counts of its steps under their names."""
    work = open_workspace()
    name = work.registry.dataset(dataset).name
    with _alone("sync", name):
        run = _begin_sync(work, name, None, results.SyncBegun(full=full, since=since or None), rests=False)
        return _guarded(run, _steps("sync", run, watch))


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
    entity: str | None = None,
    *,
    full: bool = False,
    incomplete: bool = False,
    forecast: Callable[[Counts], None] | None = None,
) -> Counts:
    """Do a whole reconcile run of a linked entity, the first declared where absent.

    Args:
        entity: Its name.
        full: Whether everything is linked, merged and checked, whatever changed.
        incomplete: Whether it begins though a required dataset had no sync yet.
        forecast: Is given, before the first step, `why_full` (why everything is done; empty where what changed is enough), and
            `rows` and `seconds` that a full run may have, by the newest one (`last_full`); null where there was none.

    Returns:
        The counts of its steps under their names.
    """
    name = open_workspace().registry.linked(entity).name
    with _alone("reconcile", name):
        run = _begin_reconcile(name, None, rests=False, full=full, incomplete=incomplete)["run"]
        if forecast:
            forecast(_forecast(run))
        return _guarded(run, _steps("reconcile", run))


@_private
def resume(run: str, watch: Watch | None = None) -> Counts:
    """Go on with a run that failed or was abandoned, from its first step that is not done.

    Args:
        run: Its id.
        watch: As of `land`.

    Returns:
        The counts of its steps under their names, those that were done before included.

    Raises:
        ConfigurationError: The run needs nobody to go on with it, or its kind cannot be gone on with. What is next is said.
        ContractError: A newer run took its place, or a person aborted it.
        TransientError: Another process is at work on it. It is named.
    """
    work = open_workspace()
    current = runs.get(work.store, run)
    control.require_resumable(work.store, current)
    with holds.hold(work.store, holds.lock_of(current.kind, current.subject), wait=holds.patience()):
        begin = {"begin": lambda: _fix_inputs(run)} if current.kind == "reconcile" else {}
        return _guarded(run, begin | _steps(current.kind, run, watch))


def _steps(kind: str, run: str, watch: Watch | None = None) -> dict[str, Callable[[], Counts]]:
    """Return the steps of a run that make it whole, in their order."""
    if kind == "sync":
        return {"land": lambda: land(run, watch), "clean": lambda: clean(run), "commit": lambda: commit_sync(run)}
    steps = {"link": link, "merge": merge, "cross_check": cross_check, "diff": diff}
    return {name: partial(step, run) for name, step in steps.items()}


def _guarded(run: str, steps: Mapping[str, Callable[[], Counts]]) -> Counts:
    done: Counts = {"run": run}
    try:
        for name, step in steps.items():
            done[name] = step()
    except BaseException as error:
        fail(run, error)
        raise
    return done


def _find_reconciled(work: Workspace, entity: str) -> str | None:
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
    return None if found is None else str(found)


def _newest_reconciled(work: Workspace, entity: str) -> str:
    found = _find_reconciled(work, entity)
    if found is None:
        raise ConfigurationError("nothing is reconciled and unpublished", next_step="run `motlan reconcile` first.")
    return found
