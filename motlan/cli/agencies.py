"""`motlan agencies`: who sends what, and whether they can be reached."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.markup import escape

from motlan.cli.output import AsJson, Table, duration, err, examples, out, report_errors
from motlan.operations import agency_checks
from motlan.publication import hold
from motlan.workspace import open_workspace

app = typer.Typer(
    help="Agencies: what is declared of them, and whether they can be reached.",
    epilog=examples("motlan agencies list", "motlan agencies check", "motlan agencies check AGENCY --json"),
    no_args_is_help=True,
)


@app.command("list", epilog=examples("motlan agencies list", "motlan agencies list --json"))
def list_(as_json: AsJson = False) -> None:
    """List each dataset: whose it is, who answers for it, when it is pulled, what age was promised, whether it is held."""
    with report_errors(as_json):
        work = open_workspace()
        with work.store.engine.connect() as connection:
            held = list(hold.in_force(connection))
        found = agency_checks.listed(work, held)
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("agency", "dataset", "owner", "schedule", "promised", "held")
    for row in found:
        promised = f"{row['freshness'] / 3600:g} h"
        cells = (row["agency"], row["dataset"], row["owner"], row["schedule"], promised, "held" if row["held"] else "")
        table.add_row(*map(escape, cells))
    out.print(table)


@app.command(epilog=examples("motlan agencies check", "motlan agencies check AGENCY", "motlan agencies check --json"))
def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[AGENCY]...", help="Agencies or datasets; all by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Reach agencies: do they answer, take the credential, have the right time, send the columns declared, how many records?

    Nothing is landed. Exits with 1 where anything is wrong; what is wrong with one hides nothing of another.
    """
    found = []
    with report_errors(as_json, "nothing was changed. Next: run the same again."):
        work = open_workspace()
        datasets = agency_checks.chosen(work.registry, names or [])
        with err.status("reaching agencies") as status:
            for number, one in enumerate(agency_checks.check(work, datasets), 1):
                found.append(one.counts())
                status.update(f"reaching agencies: {number} of {len(datasets)} datasets")
    if as_json:
        out.print_json(json.dumps(found))
    else:
        _print(found)
    if any(one["wrong"] for one in found):
        raise typer.Exit(1)


def _print(found: list[dict[str, Any]]) -> None:
    table = Table("dataset", "answers", "credential", "clock", "columns", "has", "held", "seconds")
    for one in found:
        answers = {True: "[green]yes[/green]", False: "[red]no[/red]", None: ""}[one["reachable"]]
        clock = _clock(one["clock_difference"])
        counts = ("" if one[name] is None else f"{one[name]:,}" for name in ("source_total", "held"))
        cells = (one["credential"], clock, _columns(one["schema"]), *counts, f"{one['seconds']:.1f}")
        table.add_row(escape(one["dataset"]), answers, *cells)
    out.print(table)
    findings = [(one["dataset"], finding) for one in found for finding in one["findings"]]
    if not findings:
        out.print("[green]nothing is wrong[/green]")
        return
    mends = Table("dataset", "what is found", "how to mend it")
    for dataset, finding in findings:
        colour = "red" if finding["wrong"] else "yellow"
        mends.add_row(escape(dataset), f"[{colour}]{escape(finding['what'])}[/{colour}]", escape(finding["mend"]))
    out.print(mends)


def _clock(ahead: float | None) -> str:
    if ahead is None:
        return ""
    return "as ours" if abs(ahead) < 1 else f"{duration(abs(ahead))} {'ahead' if ahead > 0 else 'behind'}"


def _columns(schema: dict[str, Any] | None) -> str:
    if schema is None:
        return ""
    return "others" if any(schema.values()) else "as declared"
