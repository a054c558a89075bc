"""`motlan doctor`: what is broken, whether anything wrong was published, and the next command. It starts no server."""

from __future__ import annotations

import json

import typer
from rich.markup import escape

from motlan.cli.output import AsJson, examples, out, report_errors, working
from motlan.operations.doctor import diagnose
from motlan.operations.findings import PAGE
from motlan.settings import load

EPILOG = examples("motlan doctor", "motlan doctor --json")
_COLOURS = {"broken": "red", "warning": "yellow"}


def doctor(as_json: AsJson = False) -> None:
    """Look for what is broken, the worst first, each with the next command and its page of the runbook.

    It starts no server and changes nothing. Exits with 1 where anything is broken; warnings alone are no reason to.
    """
    with report_errors(as_json, "nothing was changed. Next: run the same again."), working("looking", as_json):
        found = diagnose(load())
    if as_json:
        out.print_json(json.dumps(found.counts()))
    else:
        colour = {True: "green", False: "red", None: "yellow"}[found.published]
        out.print(f"[{colour}]{escape(found.said)}.[/{colour}]", highlight=False)
        for finding in found.findings:
            shown = f"[{_COLOURS[finding.severity]}]{finding.severity}[/{_COLOURS[finding.severity]}]"
            out.print(f"\n{shown} {finding.id}: {escape(finding.what)}.", highlight=False)
            out.print(f"  Next: {escape(finding.next)}  ({PAGE}#{finding.page})", highlight=False)
        if not found.findings:
            out.print("[green]nothing is broken.[/green]")
    if found.broken:
        raise typer.Exit(1)
