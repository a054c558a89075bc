"""`motlan whatif`: a changed rule run against landed data, without publishing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from motlan.cli.output import AsJson, OfEntity, Table, Wait, err, examples, me, opened, out, report_errors
from motlan.config.replaced import name_files
from motlan.ledger.holds import patient

EPILOG = examples(
    "motlan whatif --authority new/authority.yaml",
    "motlan whatif --mapping new/AGENCY.yaml --quality new/quality.yaml --json",
    "motlan whatif --matching new/matching.yaml --attach",
)


def whatif(
    mapping: Annotated[
        list[Path] | None,
        typer.Option(help="A changed mapping, called as the agency's; may be given again.", metavar="FILE"),
    ] = None,
    authority: Annotated[Path | None, typer.Option(help="A changed authority.yaml.", metavar="FILE")] = None,
    matching: Annotated[Path | None, typer.Option(help="A changed matching.yaml.", metavar="FILE")] = None,
    quality: Annotated[Path | None, typer.Option(help="A changed quality.yaml.", metavar="FILE")] = None,
    entity: OfEntity = None,
    limit: Annotated[int, typer.Option(min=0, help="Persons that are listed at the most.")] = 20,
    attach: Annotated[
        bool, typer.Option("--attach", help="Append the files' digests and the counts to the log.")
    ] = False,
    as_json: AsJson = False,
    wait: Wait = None,
) -> None:
    """Run changed rules against landed data, and count what would change; nothing is published.

    What the newest publication read is cleaned, linked, merged, checked and compared again under the given files. Persons,
    fields, areas, corrections and findings are counted against what is published. It takes as long as `motlan reconcile --full`.
    What the trial writes is removed at its end; with `--attach` the log has an entry about it.
    """
    from motlan.lineage.whatif import attach as append
    from motlan.lineage.whatif import try_out

    with report_errors(as_json, "nothing of the trial is kept. Next: run it again."), patient(wait):
        work, of = opened(entity)
        given = {"authority": authority, "matching": matching, "quality": quality}
        replaced = name_files(work.registry, given, mapping or [])
        with _shown(as_json) as watch:
            found = try_out(work, of, replaced, limit=limit, watch=watch)
        entry = append(work, found, me()) if attach else None
    if as_json:
        out.print_json(json.dumps({**found, "entry": entry}))
        return
    _show(found)
    if entry is not None:
        err.print(f"entry {entry} of the log tells of it", highlight=False)


@contextmanager
def _shown(as_json: bool) -> Iterator[Callable[[str], None]]:
    """Show which step is at work, where a person looks."""
    if as_json:
        yield lambda _: None
        return
    with err.status("reading what is declared") as status:
        yield status.update


def _show(found: dict[str, Any]) -> None:
    persons, corrections, findings = found["persons"], found["corrections"], found["findings"]
    table = Table("what", "how many", title=f"what if: {', '.join(found['changed'])}")
    for name, counts in found["cleaned"].items():
        told = f"{counts['accepted']:,} of {counts['rows']:,}, {counts['was_accepted']:,} now"
        table.add_row(f"rows of {name} accepted", told)
    table.add_row(f"of {found['entity']}, changed", f"{persons['changed']:,} of {persons['all']:,}")
    for event, number in persons.items():
        if event not in ("all", "changed"):
            table.add_row(f"  {event}", f"{number:,}")
    for field, number in found["fields"].items():
        table.add_row(f"field {field}", f"{number:,}")
    for name, number in found["beside"].items():
        if number:
            table.add_row(f"changes of {name}", f"{number:,}")
    for name, counts in (("corrections", corrections), ("findings", findings)):
        table.add_row(name, ", ".join(f"{counts[word]:,} {word}" for word in ("opened", "changed", "closed")))
    table.add_row("limits of change that it passes", str(found["held"]))
    out.print(table)
    if found["areas"]:
        areas = Table("area", "persons")
        for area, number in found["areas"].items():
            areas.add_row(area or "none known", f"{number:,}")
        out.print(areas)
    if found["sample"]:
        sample = Table("person", "what happens", "fields")
        for row in found["sample"]:
            sample.add_row(row["person"], row["event"], ", ".join(row["changed"]))
        out.print(sample)
    if found["unread"]:
        err.print(f"{found['unread']} sync runs that no publication read yet are left out", highlight=False)
