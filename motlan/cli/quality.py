"""`motlan quality`: the scores of the registers with their colours and trend, and the findings that are open and due."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.text import Text

from motlan.cli.output import AsJson, Table, examples, out, report_errors
from motlan.quality.scores import By

BARS = "▁▂▃▄▅▆▇█"

EPILOG = examples("motlan quality", "motlan quality --by rule --dataset {dataset}", "motlan quality --by area --json")


def quality(
    by: Annotated[By | None, typer.Option(help="Score by this; by dimension and as a whole where absent.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how good each register is as it stands: scores from 0 to 100, green, yellow or red, their trend, and open findings."""
    from motlan.quality.report import report
    from motlan.workspace import open_workspace

    with report_errors(as_json):
        work = open_workspace()
        found = report(work.store, work.registry, by=by, dataset=dataset)
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("agency", by or "dimension", title="quality, 0 to 100")
    for name in ("score", "before", "passed", "assessed"):
        table.add_column(name, justify="right")
    table.add_column("trend")
    for line in found["lines"]:
        table.add_row(*_cells(line, {name: said.vi for name, said in work.registry.dimensions.items()}))
    out.print(table)
    out.print(_findings(found["findings"]))
    limits, days = found["thresholds"], found["due_days"]
    out.print(
        f"green from {limits['green']:g}, yellow from {limits['yellow']:g}; a finding is verified in {days['verify']} days (then "
        f"due), fixed and sent again in {days['fix']} more, {days['complex']} where the conflict is complex (then overdue)",
        highlight=False,
    )


def _findings(lines: list[dict[str, Any]]) -> Table:
    """Draw the findings that are open."""
    table = Table("agency", "findings", title="open findings")
    for name in ("open", "due", "overdue", "first seen", "due date"):
        table.add_column(name, justify="right")
    for line in lines:
        counts = (f"{line[name]:,}" for name in ("open", "due"))
        overdue = Text(f"{line['overdue']:,}", style="red" if line["overdue"] else "")
        name = f"{line['kind']} {line['name']}".strip()
        table.add_row(line["agency"], name, *counts, overdue, line["first_seen"], line["due_date"])
    return table


def _cells(line: dict[str, Any], words: Mapping[str, str]) -> list[str | Text]:
    change = line["change"]
    arrow = "" if change is None else "→" if change == 0 else f"{'↑' if change > 0 else '↓'} {change:+.2f}"
    name = words.get(line["name"], line["name"]) or "unknown"
    score = Text(f"{line['score']:.2f}", style=line["colour"])
    return [
        line["agency"],
        name,
        score,
        arrow,
        f"{line['passed']:,}",
        f"{line['assessed']:,}",
        sparkline(line["trend"]),
    ]


def sparkline(values: list[float]) -> str:
    """Draw values as bars from the least up, a bar's full height a point at least; nothing where there is no trend."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    step = max(high - low, 1) / (len(BARS) - 1)
    return "".join(BARS[round((value - low) / step)] for value in values)
