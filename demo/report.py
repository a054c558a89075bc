"""`var/demo/report.json`, and the summary on the screen, which is made from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from motlan.config.files import Dimension
from motlan.config.scoring import load_dimensions

Report = dict[str, Any]
HOME = Path(__file__).resolve().parent.parent
SCORED: tuple[Dimension, ...] = ("accuracy", "completeness", "validity", "uniqueness", "timeliness")
"""Dimensions of the summary; consistency is in the report."""

LIMITS = {"precision": 0.995, "recall": 0.90, "accuracy": 0.97}
"""What the demo must reach on the default world."""


def assemble(
    *,
    choice: tuple[int, int, str],
    airflow: list[dict[str, Any]],
    agencies: dict[str, dict[str, Any]],
    quality: dict[str, dict[str, float | None]],
    scores: dict[str, dict[str, float]],
    identity: dict[str, Any],
    runs: dict[str, Any],
    corrections: dict[str, int],
    lineage: dict[str, Any],
    second_run_changes: int,
    dirt: dict[str, Any],
    days: list[dict[str, Any]],
    seconds: dict[str, float],
) -> Report:
    """Put the report together from what the ledger, the scorer and the replay said."""
    last_seq = runs["publish"]["last_seq"]
    return {
        "people": choice[0],
        "seed": choice[1],
        "profile": choice[2],
        "airflow": airflow,
        "agencies": agencies,
        "quality": quality,
        "linking": scores["linking"],
        "golden": {**scores["golden"], "fields": runs["merge"]["fields"]},
        "identity": identity,
        "corrections": corrections,
        "feed": {"changes": last_seq, "last_seq": last_seq},
        "lineage": lineage,
        "second_run_changes": second_run_changes,
        "days": days,
        "dirt": dirt,
        "seconds": seconds,
    }


def failures(report: Report) -> list[str]:
    """Return what does not hold, in words; empty when all is well."""
    found = [f"DAG {run['dag_id']} {run['state']}" for run in report["airflow"] if run["state"] != "success"]
    syncs = [("day 0", report["agencies"]), *((f"day {day['day']}", day["agencies"]) for day in report["days"])]
    for day, agencies in syncs:
        for name, counts in agencies.items():
            if not counts["pulled_equals_source"]:
                found.append(f"{day}: {name} sent another number of rows than it says it has")
            if counts["landed"] != counts["accepted"] + counts["quarantined"]:
                found.append(f"{day}: rows of {name} were lost between landing and checking")
    lineage = report["lineage"]
    if lineage["fields_checked"] != lineage["fields_replayed_equal"]:
        found.append("some golden fields do not replay")
    if lineage["controls_tried"] != lineage["controls_caught"]:
        found.append("a replay did not notice an alteration")
    if report["second_run_changes"]:
        found.append("the same job on unchanged sources changed something")
    if report["profile"] == "default":
        figures = {**report["linking"], **report["golden"]}
        found += [f"{name} {figures[name]} is below {limit}" for name, limit in LIMITS.items() if figures[name] < limit]
    return found


def write(path: Path, report: Report) -> None:
    """Write the report."""
    path.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def show(report: Report, console: Console | None = None) -> None:
    """Print the summary."""
    out = console or Console()
    if not out.is_terminal:
        out.width = 120
    registers = Table(title="Registers", title_justify="left")
    words = load_dimensions(HOME / "mapping" / "dimensions.yaml")
    named = [words[name].vi for name in SCORED]
    for heading in ("", "pulled", "= source", "accepted", "quarantined", *named, "corrections"):
        registers.add_column(heading, justify="left" if not heading else "right")
    for name, counts in report["agencies"].items():
        scores = (report["quality"][name][key] for key in SCORED)
        registers.add_row(
            name,
            f"{counts['pulled']:,}",
            "yes" if counts["pulled_equals_source"] else "NO",
            f"{counts['accepted']:,}",
            f"{counts['quarantined']:,}",
            *("–" if score is None else f"{score:.2f}" for score in scores),
            f"{report['corrections'][name]:,}",
        )
    out.print(registers)
    if report["days"]:
        out.print(_days(report))
    linking, golden, lineage = report["linking"], report["golden"], report["lineage"]
    out.print(
        f"Linking    precision {linking['precision']:.4f}, recall {linking['recall']:.4f}, F1 {linking['f1']:.4f}\n"
        f"Golden     {golden['persons']:,} persons, {golden['fields']:,} fields, accuracy {golden['accuracy']:.4f}\n"
        f"{_identity(report['identity'])}\n"
        f"Feed       {report['feed']['changes']:,} changes; the same job again: {report['second_run_changes']}\n"
        f"Lineage    {lineage['fields_replayed_equal']:,} of {lineage['fields_checked']:,} fields replay equal; "
        f"{lineage['controls_caught']} of {lineage['controls_tried']} alterations noticed\n"
        f"Airflow    {len(report['airflow'])} DAG runs, "
        f"{sum(run['state'] == 'success' for run in report['airflow'])} successful",
        highlight=False,
    )
    for failure in failures(report):
        out.print(f"[red]Does not hold:[/red] {failure}")
    out.print(
        "Next: .venv/bin/motlan store start && .venv/bin/motlan status · printf '%s' NUMBER | .venv/bin/motlan lineage · make up",
        highlight=False,
    )


def _identity(found: dict[str, Any]) -> str:
    figures = ", ".join(
        f"{name} {found[name]:,}" for name in ("ids_shared", "ids_reused", "persons_lost", "persons_absorbed")
    )
    said = found["decisions"]
    made = said["same"] + said["different"]
    told = f"people decided {made:,} pairs, {said['wrong']:,} wrongly, {said['undone']:,} taken back"
    return f"Identity   {figures}\n           {told}"


def _days(report: Report) -> Table:
    table = Table(
        "day", title="Each day pulls only what changed: rows pulled / rows in the register", title_justify="left"
    )
    for name in report["agencies"]:
        table.add_column(name, justify="right")
    table.add_column("feed changes", justify="right")
    for day in report["days"]:
        cells = (f"{counts['pulled']:,} / {counts['in_register']:,}" for counts in day["agencies"].values())
        table.add_row(str(day["day"]), *cells, f"{day['changes']:,}")
    return table
