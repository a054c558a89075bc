"""`motlan openlineage`: the OpenLineage events of a run, made of the ledger, and sent again where asked."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from motlan.cli.output import AsJson, Table, err, examples, local_time, out, report_errors, working
from motlan.cli.runs import RunId
from motlan.errors import ConfigurationError
from motlan.workspace import open_workspace

EPILOG = examples("motlan openlineage RUN", "motlan openlineage RUN --json", "motlan openlineage RUN --emit")


def openlineage(
    run: RunId,
    emit: Annotated[
        bool, typer.Option("--emit", help="Send them to where OpenLineage's settings say, such as OPENLINEAGE_URL.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the OpenLineage events of an earlier run: what it read and wrote, and which column was made of which.

    Runs send their events by themselves where OPENLINEAGE_URL or OPENLINEAGE_CONFIG names a place.
    """
    from motlan.openlineage.events import as_json as plain
    from motlan.openlineage.events import events_of
    from motlan.openlineage.recorded import read
    from motlan.openlineage.sending import send_now

    with report_errors(as_json):
        work = open_workspace()
        found = events_of(work.registry, work.settings.engine, read(work.store, run))
        if not found:
            raise ConfigurationError(
                "runs of this kind have no OpenLineage events", where=run, next_step="name a sync or a reconcile run."
            )
        if emit:
            with working("sending", as_json):
                send_now(found, work.settings.openlineage_seconds)
    events = [plain(event) for event in found]
    if as_json:
        out.print_json(json.dumps({"run": run, "emitted": emit, "events": events}))
        return
    table = Table("when", "what", "job", "read", "written")
    for event in events:
        read_names, written_names = (_names(event.get(key, [])) for key in ("inputs", "outputs"))
        table.add_row(
            local_time(event["eventTime"]), event["eventType"], event["job"]["name"], read_names, written_names
        )
    out.print(table)
    if emit:
        err.print(f"{len(events)} events were sent.", markup=False, highlight=False)


def _names(datasets: list[dict[str, Any]]) -> str:
    return ", ".join(dataset["name"] for dataset in datasets)
