"""`motlan watermark`: how far a dataset has been pulled, and the way back where that is wrong."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from motlan.cli.output import AsJson, err, examples, local_time, me, out, read_reason, report_errors
from motlan.ingest import watermark_reset
from motlan.workspace import open_workspace

app = typer.Typer(
    help="How far datasets have been pulled: show it, set it, or begin anew.",
    epilog=examples(
        "motlan watermark show {dataset}", "motlan watermark reset {dataset} --reason 'its clock was wrong'"
    ),
    no_args_is_help=True,
)
OfDataset = Annotated[str, typer.Argument(help="A dataset, as `motlan status` lists them.")]
Reason = Annotated[
    str | None,
    typer.Option(
        help="Why; asked for where absent. It stands in the log for ever: name nobody, and no number of theirs."
    ),
]


@app.command(epilog=examples("motlan watermark show {dataset}", "motlan watermark show {dataset} --json"))
def show(dataset: OfDataset, as_json: AsJson = False) -> None:
    """Show up to where a dataset is pulled, what the next pull asks for, and who moved it."""
    with report_errors(as_json):
        work = open_workspace()
        found = watermark_reset.show(work.store, work.registry.dataset(dataset))
    if as_json:
        out.print_json(json.dumps(found))
        return
    if found["cursor"] is None:
        _say(f"{dataset}: nothing is kept; the next sync pulls everything")
    else:
        by = f"run {found['run']}" if found["run"] else "a person"
        asked = found["asked_with"]
        then = f"from {asked} on" if asked else "everything, because this cannot be used"
        _say(f"{dataset}: pulled up to {found['cursor']} (by {by}); the next sync pulls {then}")
    for entry in found["decisions"]:
        after = entry["after"] or "the beginning"
        _say(f"entry {entry['entry']} of the log: {entry['principal']} moved it to {after}: {entry['reason']}")


@app.command(
    "set",
    epilog=examples(
        "motlan watermark set {dataset} 2026-10-01T00:00:00Z --reason 'its restore lost a day'",
        "motlan watermark set {dataset} 2026-10-01T00:00:00Z --json < why.json",
    ),
)
def set_(
    dataset: OfDataset,
    cursor: Annotated[str, typer.Argument(help="Where the next pull begins, as the source writes it.")],
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Let the next sync begin at a cursor, less the lag window. What was landed before is not landed again."""
    with report_errors(as_json):
        work = open_workspace()
        found = work.registry.dataset(dataset)
        done = watermark_reset.set_to(work.store, found, cursor, me(), read_reason() if reason is None else reason)
    _moved(done, as_json)


@app.command(
    epilog=examples(
        "motlan watermark reset {dataset} --reason 'its clock was wrong'", "motlan watermark reset {dataset} < why.json"
    )
)
def reset(dataset: OfDataset, reason: Reason = None, as_json: AsJson = False) -> None:
    """Let the next sync pull everything. What was landed before is not landed again."""
    with report_errors(as_json):
        work = open_workspace()
        found = work.registry.dataset(dataset)
        done = watermark_reset.reset(work.store, found, me(), read_reason() if reason is None else reason)
    _moved(done, as_json)


def _moved(done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        out.print_json(json.dumps(done))
        return
    before, after = (local_time(done[name]) or "the beginning" for name in ("before", "after"))
    err.print(f"{done['dataset']}: moved from {before} to {after}", markup=False, highlight=False)


def _say(line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)
