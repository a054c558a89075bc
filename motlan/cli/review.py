"""`motlan review`: pairs of records that the machine leaves to people, given to them one by one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from motlan.cli.output import (
    LARGEST,
    AsJson,
    OfEntity,
    Table,
    examples,
    local_time,
    me,
    opened,
    out,
    read_reason,
    report_done,
    report_errors,
    working,
)
from motlan.errors import ConfigurationError
from motlan.stewardship import control_pairs, review_decisions, review_measures, review_queue
from motlan.stewardship.review_decisions import Said
from motlan.workspace import open_workspace

app = typer.Typer(
    help="Pairs of records that linking leaves to people.",
    epilog=examples("motlan review next --count 5", "motlan review show 1", "motlan review decide 1 same"),
    no_args_is_help=True,
)
Assignment = Annotated[int, typer.Argument(max=LARGEST, help="Its number, as `motlan review list` shows it.")]


@app.command("next", epilog=examples("motlan review next", "motlan review next --count 20 --json"))
def next_(
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 1,
    entity: OfEntity = None,
    as_json: AsJson = False,
) -> None:
    """Take the next pairs. Which they are, nobody chooses; the answer of some is known, to measure reviewers."""
    with report_errors(as_json), working("choosing pairs", as_json):
        taken = review_queue.take(*opened(entity), me(), count)
    report_done({"assignments": taken}, as_json, f"assigned to you: {', '.join(map(str, taken)) or 'nothing waits'}")


@app.command("list", epilog=examples("motlan review list", "motlan review list --contradicted --json"))
def list_(
    contradicted: Annotated[
        bool,
        typer.Option(
            "--contradicted",
            help="Instead, decisions that contradict each other, whose records are others' by now, or that the machine "
            "strongly contradicts.",
        ),
    ] = False,
    entity: OfEntity = None,
    as_json: AsJson = False,
) -> None:
    """List the pairs that are yours to decide, or to decide anew, and how many wait in all. No value of any person."""
    with report_errors(as_json):
        work, of = opened(entity)
        if contradicted:
            by_machine = [{**row, "reason": "machine"} for row in review_measures.contradicted(work, of)]
            found: dict[str, Any] = {"contradicted": [*review_measures.reopened(work, of), *by_machine]}
        else:
            found = {
                "waiting": review_queue.waiting(work, of),
                "assigned": review_queue.assigned(work, of, me()),
            }
    if as_json:
        out.print_json(json.dumps(found))
    elif contradicted:
        _print_contradicted(found["contradicted"])
    else:
        title = f"{found['waiting']:,} pairs wait in all"
        table = Table("assignment", "left", "right", "since (local)", "decided, but", title=title)
        for row in found["assigned"]:
            sides = (f"{row[f'{side}_dataset']} {row[f'{side}_key']}" for side in ("left", "right"))
            cells = (*sides, local_time(row["assigned_at"]), row["because"] or "")
            table.add_row(str(row["assignment"]), *map(escape, cells))
        out.print(table if table.row_count else f"nothing is assigned to you; {title}")


_BECAUSE = {
    "former_number": "a number that the other record bore before",
    "contradiction": "other decisions that contradict one on it",
    "stale": "a decision on a record that is another's now",
}
"""Why people decide a pair, in words; a declared doubt goes by its own name."""
_AGAINST = {"contradiction": "other decisions", "stale": "the record, now another's", "machine": "the machine"}


def _print_contradicted(found: list[dict[str, Any]]) -> None:
    table = Table("decisions", "left", "right", "decided", "contradicted by", "weight now", "by")
    for row in found:
        sides = (f"{row[f'{side}_dataset']} {row[f'{side}_key']}" for side in ("left", "right"))
        numbers = ", ".join(str(decision["decision"]) for decision in row["decisions"])
        by = ", ".join(f"{decision['principal']} {decision['recorded_at'][:10]}" for decision in row["decisions"])
        verdict = "same" if row["same"] else "different"
        weight = "" if row.get("match_weight") is None else f"{row['match_weight']:.1f}"
        table.add_row(numbers, *map(escape, sides), verdict, _AGAINST[row["reason"]], weight, escape(by))
    out.print(table if table.row_count else "no decision is contradicted")


@app.command(epilog=examples("motlan review show 1", "motlan review show 1 --json"))
def show(assignment: Assignment, as_json: AsJson = False) -> None:
    """Show a pair that is yours: both records side by side, and what each comparison says. The look is written down."""
    with report_errors(as_json):
        found = review_queue.show(open_workspace(), assignment, me())
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("field", found["left"], found["right"], "", title=f"assignment {assignment}")
    for row in found["fields"]:
        cells = ("" if row[side] is None else str(row[side]) for side in ("left", "right"))
        differs = None not in (row["left"], row["right"]) and row["left"] != row["right"]
        table.add_row(row["field"], *map(escape, cells), "differs" if differs else "")
    out.print(table)
    if found["because"]:
        out.print(f"people decide it because of: {_BECAUSE.get(found['because'], found['because'])}", highlight=False)
    steps = Table("comparison", "level", "bits", title="what it weighs")
    steps.add_row("before anything is compared", "", f"{found['prior']:+.2f}")
    for step in found["waterfall"]:
        steps.add_row(escape(step["comparison"]), escape(step["is"]), f"{step['match_weight']:+.2f}")
    steps.add_row("sum", f"probability {found['probability']:.4f}", f"{found['match_weight'] + found['prior']:+.2f}")
    out.print(steps)


@app.command(epilog=examples("motlan review decide 1 same", "motlan review decide 1 unknown < why.json"))
def decide(
    assignment: Assignment,
    verdict: Annotated[str, typer.Argument(help="same, different or unknown.")],
    as_json: AsJson = False,
) -> None:
    """Decide a pair that is yours. Asks why, or reads {"why": "..."} from standard input."""
    with report_errors(as_json):
        work, checked = open_workspace(), review_decisions.verdict(verdict)
        review_decisions.require_decidable(work, assignment, me())
        said = Said(assignment=assignment, verdict=checked, reason=read_reason())
        (number,) = review_decisions.decide(work, me(), [said])
    line = f"decision {number}: {verdict}; it holds from the next `motlan reconcile` on"
    report_done({"decision": number, "verdict": verdict}, as_json, line)


@app.command(epilog=examples("motlan review withdraw 1 < why.json"))
def withdraw(
    decision: Annotated[int, typer.Argument(max=LARGEST, help="Its number, as `motlan review decisions` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Take a decision back; the pair may be decided anew. Asks why."""
    with report_errors(as_json):
        work = open_workspace()
        review_decisions.require_in_force(work, decision)
        review_decisions.withdraw(work, decision, me(), read_reason())
    report_done({"decision": decision, "withdrawn": True}, as_json, f"decision {decision}: withdrawn")


@app.command(epilog=examples("motlan review decisions", "motlan review decisions --json"))
def decisions(entity: OfEntity = None, as_json: AsJson = False) -> None:
    """List your own decisions, those that were withdrawn included."""
    with report_errors(as_json):
        found = review_decisions.listed(*opened(entity), me())
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("decision", "left", "right", "verdict", "when (local)", "why", "withdrawn")
    for row in found:
        sides = (f"{row[f'{side}_dataset']} {row[f'{side}_key']}" for side in ("left", "right"))
        cells = (*sides, row["verdict"], local_time(row["recorded_at"]), row["reason"], row["withdrawn_by"] or "")
        table.add_row(str(row["decision"]), *map(escape, cells))
    out.print(table if table.row_count else "you decided nothing yet")


@app.command("export", epilog=examples("motlan review export --out pairs.ndjson"))
def export_(
    to: Annotated[Path, typer.Option("--out", help="The file; only you may read it.")],
    entity: OfEntity = None,
    as_json: AsJson = False,
) -> None:
    """Write your undecided pairs to a file (NDJSON), to decide them offline. The look is written down."""
    with report_errors(as_json), working("exporting", as_json):
        found = review_queue.export(*opened(entity), me())
        _write(to, "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in found))
    report_done({"pairs": len(found), "file": str(to)}, as_json, f"pairs {len(found)}, file {to}")


def _write(path: Path, text: str) -> None:
    """Write a new file that nobody else may read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the file cannot be made ({type(error).__name__})", where=str(path), next_step="name a new file by --out."
        ) from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


@app.command("import", epilog=examples("motlan review import pairs.ndjson"))
def import_(
    file: Annotated[Path, typer.Argument(help="As exported, with verdict and reason filled in.")],
    as_json: AsJson = False,
) -> None:
    """Take in verdicts from a file: all, or none where one is not yours, is decided, or is no verdict."""
    with report_errors(as_json):
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"the file cannot be read ({type(error).__name__})", where=str(file), next_step="name an exported file."
            ) from None
        done = review_decisions.decide(open_workspace(), me(), review_decisions.parsed(lines))
    report_done(
        {"decisions": done}, as_json, f"{len(done)} decisions kept; they hold from the next `motlan reconcile` on"
    )


@app.command(epilog=examples("motlan review sample --count 200"))
def sample(
    count: Annotated[int, typer.Option(min=1, max=LARGEST, help="How many links.")] = 100,
    entity: OfEntity = None,
    as_json: AsJson = False,
) -> None:
    """Put a sample of the links that the machine made to review, to estimate how many are right."""
    with report_errors(as_json), working("sampling", as_json):
        added = control_pairs.sample(*opened(entity), count)
    report_done({"sampled": added}, as_json, f"{added} links are put to review")


@app.command(epilog=examples("motlan review reviewers", "motlan review reviewers --json"))
def reviewers(entity: OfEntity = None, as_json: AsJson = False) -> None:
    """Measure reviewers: by pairs whose answer is known, and by agreement with each other."""
    with report_errors(as_json):
        found = review_measures.reviewers(*opened(entity))
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table(
        "reviewer", "decided", "unknown", "known answers", "right", "95 % interval", "seen by others", "agreed"
    )
    for row in found:
        numbers = [str(row[name]) for name in ("decided", "unknown", "known", "right")]
        table.add_row(
            escape(row["reviewer"]), *numbers, _interval(row["share_right"]), str(row["doubled"]), str(row["agreed"])
        )
    out.print(table if table.row_count else "nobody decided anything yet")


@app.command(epilog=examples("motlan review calibration", "motlan review calibration --json"))
def calibration(entity: OfEntity = None, as_json: AsJson = False) -> None:
    """Hold the model's probabilities, and the sampled links, against what people found."""
    with report_errors(as_json):
        found = review_measures.calibration(*opened(entity))
    if as_json:
        out.print_json(json.dumps(found))
        return
    table = Table("probability", "pairs decided", "same", "95 % interval", "the model expected", title="unsure pairs")
    for row in found["bands"]:
        band = f"{row['low']:.1f} to {row['high']:.1f}"
        table.add_row(band, str(row["pairs"]), str(row["same"]), _interval(row["share"]), f"{row['expected']:.3f}")
    out.print(table)
    links = found["links"]
    out.print(f"sampled links: {links['decided']} decided, {links['right']} right {_interval(links['precision'])}")


def _interval(share: dict[str, float] | None) -> str:
    return f"{share['share']:.4f} ({share['low']:.4f} to {share['high']:.4f})" if share else ""
