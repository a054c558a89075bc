"""`motlan retract`: take back what a sync run landed."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from motlan import pipeline
from motlan.cli.output import AsJson, Wait, err, examples, me, read_reason, report_done, report_errors, working
from motlan.cli.steps import show_steps
from motlan.errors import ConfigurationError
from motlan.ledger.holds import patient

EPILOG = examples(
    "motlan retract RUN --dry-run",
    "motlan retract RUN --reason 'the drop held the records of a test'",
    "motlan retract RUN --yes --json < why.json",
)


def retract(
    run: Annotated[str, typer.Argument(help="The sync run, as `motlan runs list --kind sync` shows it.")],
    reason: Annotated[
        str | None,
        typer.Option(
            help="Why; asked for where absent. It stands in the log for ever: name nobody, no number of theirs."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would turn; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Take it back without asking whether it shall be.")] = False,
    as_json: AsJson = False,
    wait: Wait = None,
) -> None:
    """Take back what a sync run landed: its records are again what their register said before.

    Nothing is lost: its rows, payloads and entries of the log stay, and the log says who took it back, why and when. Records
    that it alone brought are gone. The next `motlan reconcile` and `motlan publish` make the reversal, within the limits of
    change.

    The watermark goes back to where the run began, so that the next sync asks again for what the source has of that time. Rows of
    the run that come again land as new: where the source is not mended yet, hold its agency first (`motlan hold AGENCY`).
    """
    stands = "nothing was taken back, or all of it: `motlan runs show RUN` says which."
    with report_errors(as_json, stands), patient(wait):
        with working("counting what turns", as_json):
            found = pipeline.forecast_retract(run)
        if not as_json:
            _show_plan(found)
        if dry_run:
            report_done({"forecast": found}, as_json, "nothing was changed")
            return
        why = read_reason() if reason is None else reason
        if not yes and not _confirmed(as_json):
            report_done({"retracted": None}, as_json, "nothing was changed")
            raise typer.Exit(1)
        with working(f"taking back {run}", as_json):
            counts = pipeline.retract(run, me(), why)
    show_steps({"forecast": found, **counts} if as_json else counts, as_json, f"retract {run}")
    if not as_json:
        err.print("Next: `motlan reconcile` and `motlan publish` make the reversal.")


def _confirmed(as_json: bool) -> bool:
    """Ask whether it shall be done, where a person can answer."""
    if as_json or not sys.stdin.isatty():
        raise ConfigurationError(
            "nobody said that it shall be taken back", next_step="add --yes, or --dry-run for the plan."
        )
    return typer.confirm("Take it back?", err=True)


def _show_plan(found: dict[str, Any]) -> None:
    lines = [
        f"{found['dataset']}: {found['rows']:,} landed rows count no longer; they stay in the lake.",
        f"{found['restored']:,} records are again what they were, {found['ended']:,} that it alone brought are gone, "
        f"{found['returned']:,} that it found gone are there again; {found['unmoved']:,} stay as they are.",
    ]
    if found["published"]:
        lines.append(f"{found['published']:,} publications rest on it: they stand, and the next one reverses it.")
    if found["closed"]:
        lines.append(f"Not yet published and closed: {', '.join(found['closed'])}.")
    if found["watermark_moves"]:
        asked = f"what changed since {found['watermark']}" if found["watermark"] else "everything"
        lines.append(f"The next sync asks for {asked}.")
    for line in lines:
        err.print(line, markup=False, highlight=False)
