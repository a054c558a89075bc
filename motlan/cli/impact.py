"""`motlan impact`: everything that came from a landed row, a run or a payload, and who has received it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from motlan.adapter import tellable
from motlan.cli.output import AsJson, Table, examples, local_time, me, out, report_errors, working
from motlan.errors import ConfigurationError
from motlan.workspace import open_workspace

LANGUAGES = ("vi", "en")
EPILOG = examples(
    "motlan impact {dataset} RUN",
    "motlan impact {dataset} RUN/0/296 --json",
    "motlan impact {dataset} RUN --csv impact.csv",
    "motlan impact --undone link:7 --lang en",
)


def impact(
    dataset: Annotated[str | None, typer.Argument(help="As `motlan status` lists them.")] = None,
    origin: Annotated[
        str | None,
        typer.Argument(
            help="A sync run, a landed row as `motlan lineage` shows it, or the SHA-256 of a payload.",
            metavar="ROW|RUN",
        ),
    ] = None,
    undone: Annotated[
        str | None,
        typer.Option(
            help="A decision that was undone, link:7 or value:3: who received what rested on it, as a draft of the notice.",
            metavar="DECISION",
        ),
    ] = None,
    lang: Annotated[str | None, typer.Option(help="The notice's language: vi or en; both where absent.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Golden fields that are listed at the most.")] = 20,
    csv: Annotated[
        Path | None, typer.Option("--csv", help="Write all golden fields into this file.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show everything that came from a landed row, a run or a payload.

    Records, persons, golden fields (those that stand now, and all that ever did), corrections, findings, publications, changes of
    the feed, and the agencies that received them. Ids and names of fields are shown, no value. The look is written into the
    ledger.

    With `--undone`, the agencies, persons and fields that a withdrawn link decision or a reinstated value decision has reached,
    and a draft of the notice that the law wants in time, with the moment from which the time counts.
    """
    from motlan.lineage.impact import find_impact, parse_origin

    if undone is not None:
        _show_undone(undone, lang, limit, csv, as_json)
        return
    with report_errors(as_json), working("following what came of it", as_json):
        if dataset is None or origin is None:
            raise ConfigurationError(
                "a dataset and one of its rows or runs are needed", next_step="see `motlan impact --help`."
            )
        work = open_workspace()
        found = find_impact(work, parse_origin(work, dataset, origin), me(), limit=limit, to=csv)
    if as_json:
        out.print_json(json.dumps(found))
    else:
        _show(found, csv)


def _show_undone(undone: str, lang: str | None, limit: int, csv: Path | None, as_json: bool) -> None:
    from motlan.lineage.undone import draft, find_disclosed, find_undone

    with report_errors(as_json), working("following what rested on it", as_json):
        if lang not in (None, *LANGUAGES):
            raise ConfigurationError(f"no notice is written in {tellable(lang)}", next_step="use vi or en.")
        work = open_workspace()
        found = find_disclosed(work, find_undone(work, undone), me(), limit=limit, to=csv)
        drafts = {name: draft(work, found, name) for name in LANGUAGES if lang in (None, name)}
    if as_json:
        out.print_json(json.dumps({**found, "drafts": drafts}))
        return
    _say("\n\n---\n\n".join(drafts.values()))
    if csv:
        _say(f"\nagencies, persons and fields are in {csv}")


def _show(found: dict[str, Any], csv: Path | None) -> None:
    landed, feed, corrections = found["landed"], found["feed"], found["corrections"]
    states = ", ".join(f"{run} ({state})" for run, state in landed["runs"].items())
    table = Table("what", "how many", title=f"{found['of']} {found['id']} of {found['dataset']}")
    rows = {
        "landed rows": landed["rows"],
        "of records": landed["records"],
        "accepted": landed["accepted"],
        "quarantined": landed["quarantined"],
        "persons with a value of theirs now": found["persons"]["now"],
        "persons with one, ever": found["persons"]["ever"],
        "golden fields now": found["fields"]["now"],
        "golden fields, ever": found["fields"]["ever"],
        **{f"rows of {name} now": number for name, number in found["beside"].items()},
        "corrections asked of these records": corrections["asked_of_these_rows"],
        "corrections asked of others because of these values": corrections["because_of_these_values"],
        "findings": found["findings"],
        "changes of the feed": feed["changes"],
    }
    for name, number in rows.items():
        table.add_row(name, f"{number:,}")
    out.print(table)
    _say(f"landed by {states}")
    if found["publications"]:
        listed = ", ".join(map(str, found["publications"][:20]))
        more = f" and {len(found['publications']) - 20} more" if len(found["publications"]) > 20 else ""
        _say(f"publications {listed}{more}; changes {feed['first_seq']} to {feed['last_seq']} of the feed")
    for row in found["recipients"]:
        when = f"{local_time(row['first_at'])} to {local_time(row['last_at'])}"
        _say(f"received by {row['agency']}: {row['persons']:,} persons, {', '.join(row['fields'])} ({when})")
    if not found["recipients"]:
        _say("no agency has received any of it")
    _show_sample(found, csv)


def _show_sample(found: dict[str, Any], csv: Path | None) -> None:
    if found["sample"]:
        sample = Table("person", "field", "row", "publication", "change", "stands")
        for row in found["sample"]:
            stands = "yes" if row["stands"] else "no"
            sample.add_row(
                row["person"], row["field"], row["row"], str(row["publication"]), str(row["seq"] or ""), stands
            )
        out.print(sample)
    if csv:
        _say(f"all of them are in {csv}")


def _say(line: str) -> None:
    out.print(line, markup=False, highlight=False, soft_wrap=True)
