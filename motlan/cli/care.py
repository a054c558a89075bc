"""`motlan care`: what keeps the cost of a day the same for years, and no other command waits for."""

from __future__ import annotations

import json

from motlan import pipeline
from motlan.cli.output import AsJson, OfEntity, Table, Wait, err, examples, out, report_errors
from motlan.ledger.holds import patient

EPILOG = examples("motlan care", "motlan care --json")


def care(entity: OfEntity = None, as_json: AsJson = False, wait: Wait = None) -> None:
    """Write the published rows anew as a base, where later publications have grown to a fifth of it.

    Runs read a base and what was published after it. Nothing is lost: what any publication added stays, and earlier states are
    read from it. See MOTLAN_REBASE_PERCENT.
    """
    with (
        report_errors(as_json, "bases that are written stay, the others are as they were. Next: run the same again."),
        patient(wait),
    ):
        if as_json:
            done = pipeline.care(entity=entity)
            out.print_json(json.dumps(done))
            return
        with err.status("looking") as status:
            done = pipeline.care(entity=entity, watch=lambda table: status.update(f"writing the base of {table}"))
    title = f"published rows of {done['entity']}: bases, and what was published after them"
    table = Table("table", "rows of the base", "rows after it", "publications after it", "", title=title)
    for name, read in done["tables"].items():
        counts = (f"{read[key]:,}" for key in ("base_rows", "delta_rows", "delta_runs"))
        table.add_row(name, *counts, "written now" if read["written"] else "")
    out.print(table)
