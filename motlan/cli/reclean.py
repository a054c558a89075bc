"""`motlan reclean`: landed rows through a changed mapping or changed rules."""

from __future__ import annotations

from typing import Annotated

import typer

from motlan import pipeline
from motlan.cli.output import AsJson, Wait, err, examples, out, parse_since, report_errors, working
from motlan.cli.steps import show_steps
from motlan.ledger.holds import patient

EPILOG = examples(
    "motlan reclean {dataset}", "motlan reclean {dataset} --since 7d", "motlan reclean {dataset} --dry-run"
)


def reclean(
    dataset: Annotated[str, typer.Argument(help="As `motlan status` lists them.")],
    since: Annotated[
        str | None, typer.Option(help="Only what landed since a date or a time here, or 90m, 36h, 7d ago.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be cleaned anew; change nothing.")
    ] = False,
    as_json: AsJson = False,
    wait: Wait = None,
) -> None:
    """Clean and check what stands of a dataset's records again, under today's mapping and rules.

    Nothing is pulled, and the watermark stays. The row that stands of each record, and what waits in quarantine, land again as a
    run of their own; older versions keep the cleaning that they had. The next `motlan reconcile` takes it in.
    """
    stands = (
        "nothing of it is visible. Next: `motlan runs list` names the run, `motlan runs retry RUN` goes on with it."
    )
    with report_errors(as_json, stands), patient(wait):
        moment = parse_since(since)
        found = pipeline.forecast_reclean(dataset, moment)
        if not as_json:
            words = f"{found['standing']:,} rows that stand and {found['waiting']:,} that wait in quarantine are cleaned anew"
            left = (
                f"; {found['left_out']:,} records stay as they are: drift holds a row of theirs"
                if found["left_out"]
                else ""
            )
            err.print(f"{dataset}: {words}{left}.", markup=False, highlight=False)
        if dry_run:
            counts = {"forecast": found}
        else:
            with working(f"cleaning {dataset} anew", as_json):
                counts = pipeline.reclean(dataset, moment)
    if "recleaned" in counts and not as_json:
        out.print("nothing to clean anew")
        return
    if as_json or not dry_run:
        show_steps(counts, as_json, f"reclean {dataset}")
    if not (as_json or dry_run):
        err.print("Next: `motlan reconcile` takes it in.")
