"""Run events: START, and COMPLETE, FAIL or ABORT, of the three jobs that runs are: sync, reconcile, publish.

A reconcile run of the ledger is two runs here: what links, merges and compares it is one, and its publication another.
"""

from __future__ import annotations

import functools
import json
from datetime import datetime, timedelta
from typing import Any

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    documentation_job,
    error_message_run,
    job_type_job,
    nominal_time_run,
    parent_run,
    processing_engine_run,
    tags_run,
)
from openlineage.client.generated.base import RunFacet
from openlineage.client.serde import Serde
from openlineage.client.uuid import generate_static_uuid

from motlan import __version__
from motlan.config.registry import Registry
from motlan.openlineage.datasets import namespace
from motlan.openlineage.inputs_and_outputs import of_publication, of_reconcile, of_sync
from motlan.openlineage.recorded import PARENT, PARENT_OF_PUBLICATION, Recorded

PRODUCER = f"urn:x-motlan:{__version__}"
SYNC, RECONCILE, PUBLISH = "sync", "reconcile", "publish"
DESCRIBED = {
    SYNC: "Pulls what changed in a register, keeps it as received, cleans and checks it.",
    RECONCILE: "Links the registers' rows, decides per field which register is believed, and compares with what is published.",
    PUBLISH: "Makes a reconciled run visible, and numbers its changes in the feed.",
}
"""Job -> what it does."""
_ENDED = {
    SYNC: {"visible": RunState.COMPLETE, "unchanged": RunState.COMPLETE},
    RECONCILE: dict.fromkeys(
        ("reconciled", "waiting", "released", "refused", "published", "unchanged"), RunState.COMPLETE
    ),
    PUBLISH: {"published": RunState.COMPLETE, "unchanged": RunState.COMPLETE, "refused": RunState.ABORT},
}
_CLOSED = {"failed": RunState.FAIL, "abandoned": RunState.ABORT, "aborted": RunState.ABORT}


def jobs_of(recorded: Recorded) -> tuple[str, ...]:
    """Return which jobs a run of the ledger is so far; none where it is of a kind that has no events."""
    if recorded.run.kind == SYNC:
        return (SYNC,)
    if recorded.run.kind != RECONCILE:
        return ()
    publishes = "publish" in recorded.run.steps or PARENT_OF_PUBLICATION in recorded.run.steps
    return (RECONCILE, PUBLISH) if publishes or recorded.run.state == "refused" else (RECONCILE,)


def state_of(recorded: Recorded, job: str) -> RunState:
    """Return where a job of a run stands: START while it is under way."""
    state = recorded.run.state
    if job == RECONCILE and "diff" in recorded.run.steps:
        return RunState.COMPLETE
    if state in _ENDED[job]:
        return _ENDED[job][state]
    if state in _CLOSED:
        return _CLOSED[state]
    # A publication whose try failed waits for the next one.
    return RunState.FAIL if job == PUBLISH and recorded.error else RunState.START


def events_of(registry: Registry, engine: str, recorded: Recorded) -> list[RunEvent]:
    """Return all events of a run: of each job its START, and its end where it came to one.

    Args:
        registry: What is declared.
        engine: The engine of the steps.
        recorded: The run.
    """
    found = []
    for job in jobs_of(recorded):
        began, ended = moments(recorded, job)
        found.append(event_of(registry, engine, recorded, job, RunState.START, began))
        state = state_of(recorded, job)
        if state is not RunState.START:
            found.append(event_of(registry, engine, recorded, job, state, ended or began))
    return found


def moments(recorded: Recorded, job: str) -> tuple[datetime, datetime | None]:
    """Return when a job of a run began and ended, as far as the ledger knows."""
    if recorded.run.kind == SYNC:
        return recorded.started_at, recorded.ended_at
    ended = recorded.published_at or recorded.ended_at
    took = recorded.counts("publish").get("seconds")
    began = ended - timedelta(seconds=took) if ended and took is not None else ended
    return (began or recorded.started_at, ended) if job == PUBLISH else (recorded.started_at, began)


def event_of(
    registry: Registry, engine: str, recorded: Recorded, job: str, state: RunState, moment: datetime
) -> RunEvent:
    """Make one event.

    Args:
        registry: What is declared.
        engine: The engine of the steps.
        recorded: The run.
        job: `sync`, `reconcile` or `publish`.
        state: What happened to it.
        moment: When.
    """
    inputs, outputs = _datasets(registry, recorded, job)
    made = RunEvent(
        eventType=state,
        eventTime=moment.isoformat(),
        producer=PRODUCER,
        run=Run(run_id(recorded, job), facets=_run_facets(engine, recorded, job, state)),
        job=Job(namespace(), job_name(recorded, job), facets=_job_facets(job)),
        inputs=inputs,
        outputs=outputs,
    )
    _name_producer(made)
    return made


def job_name(recorded: Recorded, job: str) -> str:
    """Return the name of a run's job, such as `publish.person`."""
    return f"{job}.{recorded.run.subject}"


def run_id(recorded: Recorded, job: str) -> str:
    """Return the id of a run's job: the same whenever its events are made, and sorted by its start."""
    named = f"{namespace()}.{job_name(recorded, job)}.{recorded.run.id}"
    return str(generate_static_uuid(recorded.started_at, named.encode()))


def as_json(event: RunEvent) -> dict[str, Any]:
    """Return an event as plain JSON values."""
    found: dict[str, Any] = json.loads(Serde.to_json(event))
    return found


def _datasets(registry: Registry, recorded: Recorded, job: str) -> tuple[list[InputDataset], list[OutputDataset]]:
    subject = recorded.run.subject
    if subject not in (registry.datasets if job == SYNC else registry.entities):
        return [], []  # nobody declares it any more
    return {SYNC: of_sync, RECONCILE: of_reconcile, PUBLISH: of_publication}[job](registry, recorded)


def _job_facets(job: str) -> dict[str, Any]:
    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="MOTLAN", jobType=job.upper())
    return {"jobType": kind, "documentation": documentation_job.DocumentationJobFacet(DESCRIBED[job])}


def _run_facets(engine: str, recorded: Recorded, job: str, state: RunState) -> dict[str, RunFacet]:
    tag = tags_run.TagsRunFacetFields(key="motlan_run", value=recorded.run.id, source="MOTLAN")
    facets: dict[str, RunFacet] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=_engine_version(engine), name=engine, openlineageAdapterVersion=__version__
        ),
        "tags": tags_run.TagsRunFacet(tags=[tag]),
    }
    if parent := recorded.counts(PARENT_OF_PUBLICATION if job == PUBLISH else PARENT):
        facets |= _parent(parent)
    if state is RunState.FAIL and recorded.error:
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(recorded.error, "PYTHON")
    return facets


def _parent(parent: dict[str, Any]) -> dict[str, RunFacet]:
    if not parent.get("run"):
        return {}
    above = parent_run.ParentRunFacet(
        run=parent_run.Run(parent["run"]), job=parent_run.Job(parent["namespace"], parent["job"])
    )
    facets: dict[str, RunFacet] = {"parent": above}
    if nominal := parent.get("nominal"):
        facets["nominalTime"] = nominal_time_run.NominalTimeRunFacet(nominal)
    return facets


@functools.cache
def _engine_version(engine: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version({"spark": "pyspark"}.get(engine, engine))
    except PackageNotFoundError:
        return "unknown"


def _name_producer(made: RunEvent) -> None:
    """Name us as the producer of every facet: the library names itself."""
    facets: list[Any] = [made.run.facets, made.job.facets]
    for read in made.inputs or ():
        facets += [read.facets, read.inputFacets]
    for written in made.outputs or ():
        facets += [written.facets, written.outputFacets]
    for facet in (facet for some in facets for facet in (some or {}).values()):
        facet._producer = PRODUCER
