"""`motlan lineage`: why the state says this of a person, first as a paragraph, then as a tree, a picture or data."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from motlan.cli.output import AsJson, OfEntity, err, examples, me, opened, out, read_hidden, report_errors, working
from motlan.errors import ConfigurationError
from motlan.lineage.paragraph import link_sentence, percent, write_paragraph
from motlan.lineage.words import Words

EPILOG = examples(
    "motlan lineage birth_date",
    "motlan lineage birth_date --person ID --lang vi",
    "motlan lineage birth_date full_name --person ID --as-of 2026-11-30T12:00",
    "printf '%s' \"$NUMBER\" | motlan lineage --json",
    "motlan lineage birth_date --person ID --prov birth_date.json --svg birth_date.svg",
)


class Lang(StrEnum):
    """Languages of what people read."""

    en = "en"
    vi = "vi"


AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", metavar="MOMENT", help="What the bus said then, and why: a day or a time of this place, in ISO 8601."
    ),
]
Prov = Annotated[
    str | None,
    typer.Option("--prov", metavar="FILE", help="Write it as W3C PROV-JSON to a file, or to standard output for `-`."),
]
Svg = Annotated[
    str | None,
    typer.Option("--svg", metavar="FILE", help="Draw one field as an SVG picture, into a file or `-`."),
]


def lineage(
    fields: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FIELD]...", help="Golden fields; all that are filled where absent."),
    ] = None,
    entity: OfEntity = None,
    person: Annotated[str, typer.Option(help="The bus's own id of a person, in place of an identifier.")] = "",
    as_of: AsOf = None,
    lang: Annotated[
        Lang, typer.Option("--lang", help="Language of the paragraph, the tree and the picture.")
    ] = Lang.en,
    as_json: AsJson = False,
    prov: Prov = None,
    svg: Svg = None,
) -> None:
    """Show why the state says this: from a golden value back to the landed row, and who has received it.

    Told first in one paragraph, then as a tree: what each register says and why it counts or not, why the record is this
    person's, each step of its cleaning, each rule's answer, the record as received, what was published before, corrections,
    recipients and looks. All of it is computed again from the payloads as received, and compared with what was published and
    is served.

    Asks for the identifier (or the bus's own person id) at a prompt, or reads it from standard input; an identifier is never
    an argument, because arguments stand in process lists and shell histories. The bus's own id may stand before the fields. The
    look is written into the ledger. Exits with 1 where a value does not replay equal.
    """
    from motlan.lineage.trace import PERSON_ID, answer, check_field, find_person

    asked = list(fields or [])
    if asked and PERSON_ID.fullmatch(asked[0]):
        person = asked.pop(0)
    with report_errors(as_json):
        moment = _moment(as_of)
        work, of = opened(entity)
        for field in asked:
            check_field(work, of, field)
        if svg is not None and len(asked) != 1:
            raise ConfigurationError("a picture is of one field", where="--svg", next_step="name one field.")
        identifier = "" if person else read_hidden("Identifier: ").strip()
        with working("tracing", as_json):
            person = person or find_person(work, of, identifier, moment)
            told = answer(work, of, person, asked, me(), moment)
        words = Words(work.registry, lang.value)
        _write_files(told, words, prov, svg)
    told["numbers"] = [row for row in told["numbers"] if not asked or row["field"] in asked]
    for chain in told["fields"]:
        chain["told"] = write_paragraph(chain, words, told["as_of"])
    if as_json:
        out.print_json(json.dumps({work.registry.entity(of).id_column: person, **told}))
    elif "-" not in (prov, svg):
        _print(told, words)
    if not all(chain["replays_equal"] for chain in told["fields"]):
        raise typer.Exit(1)


def _moment(text: str | None) -> datetime | None:
    """Read a moment; one without a zone is of this place."""
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ConfigurationError(
            "this is no moment", where="--as-of", next_step="write 2026-11-30, 2026-11-30T08:00 or 2026-11-30T08:00Z."
        ) from None


def _write_files(told: dict[str, Any], words: Words, prov: str | None, svg: str | None) -> None:
    if prov is not None:
        from motlan.lineage.prov import to_prov

        _write(json.dumps(to_prov(told), ensure_ascii=False, indent=1), prov)
    if svg is not None:
        from motlan.lineage.picture import draw

        _write(draw(told["fields"][0], words), svg)


def _write(text: str, target: str) -> None:
    if target == "-":
        sys.stdout.write(text + "\n")
        return
    try:
        Path(target).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"the file cannot be written ({error.strerror})", where=target, next_step="name another file."
        ) from None
    err.print(f"written: {target}", markup=False, highlight=False)


def _print(told: dict[str, Any], words: Words) -> None:
    for chain in told["fields"]:
        out.print(chain["told"], markup=False, highlight=False)
        out.print()
    tree = Tree(f"{told['entity']} {told['person']}")
    for chain in told["fields"]:
        _grow(tree, chain, words)
    for row in told["numbers"]:
        until = f"until {row['until']}" if row["until"] else "stands"
        tree.add(f"{row['field']} {row['value']} since {row['since']}, {until}: {row['dataset']} {escape(row['key'])}")
    if told["looks"]:
        looks = tree.add(words.say("tree_looks"))
        for one in told["looks"]:
            looks.add(escape(words.say("tree_look", who=one["who"], moment=words.moment(one["at"]), what=one["what"])))
    out.print(tree)


def _grow(tree: Tree, chain: dict[str, Any], words: Words) -> None:
    why = "; ".join([*map(words.reason, chain["reasons"]), *(f"see {file}" for file in chain["files"])])
    equal = chain["replays_equal"]
    told = escape(words.say("tree_equal") if equal else words.say("tree_broken", why=why))
    mark = f"[green]{told}[/green]" if equal else f"[red]{told}[/red]"
    top = tree.add(f"[bold]{chain['field']}[/bold] = {escape(str(chain['value']))}   {mark}")
    decision, source = chain["decision"], chain["source"]
    disputed = f" ({words.say('tree_disputed')})" if decision["disputed"] else ""
    top.add(escape(f"{words.say('tree_decided')}{disputed}: {words.say('by_' + decision['rule'])}"))
    said = top.add(escape(words.say("tree_said")))
    for one in decision["said"]:
        outcome = words.say(f"tree_{one['outcome']}", why=words.why(one))
        line = f"{words.register(one['dataset'])}, {one['key']}: “{one['value']}” ({words.moment(one['since'])}): {outcome}"
        said.add(escape(line))
    link = f"{words.say('tree_link')}: {link_sentence(source['link'], words)}"
    cleaned = words.say("tree_cleaned", expression=source["cleaned_by"]["expression"])
    _branch(top, link, _link(source["link"], words))
    _branch(top, cleaned, _steps(source["cleaned_by"], words))
    _branch(top, _rules_title(source["rules"], words), _rules(source["rules"], words))
    _branch(top, _landed_title(source["landed"], words), _landed(source["landed"], words))
    for title, lines in (
        (words.say("tree_history"), _history(chain, words)),
        (words.say("tree_corrections"), _corrections(chain, words)),
        (words.say("tree_received"), _received(chain, words)),
    ):
        if shown := list(lines):
            _branch(top, title, shown)


def _branch(tree: Tree, title: str, lines: Iterable[str]) -> None:
    branch = tree.add(escape(title))
    for line in lines:
        branch.add(escape(line))


def _link(link: dict[str, Any], words: Words) -> Iterator[str]:
    if link["compared"]:
        yield words.say(
            "tree_compared", other=f"{words.register(link['compared']['dataset'])}, {link['compared']['key']}"
        )
    for one in link["comparisons"]:
        if not one["missing"]:
            yield words.say(
                "tree_comparison", name=one["comparison"], level=one["level"], weight=f"{one['weight']:+.1f}"
            )
    if link["comparisons"] and link["match_weight"] is not None:
        yield words.say(
            "tree_sum",
            weight=f"{link['match_weight']:+.1f}",
            prior=f"{link['prior']:+.1f}",
            probability=percent(link["probability"]),
        )
    for one in link["reviewers"]:
        yield words.say("tree_reviewer", who=one["who"], verdict=one["verdict"], moment=words.moment(one["at"]))


def _steps(cleaned: dict[str, Any], words: Words) -> Iterator[str]:
    for step in cleaned.get("steps", ()):
        before = ", ".join(repr(value) for value in step["given"].values())
        yield words.say("tree_step", call=step["call"], before=before, value=repr(step["value"]))
        for inner in step["within"]:
            yield "  " + words.say("tree_step", call=inner["step"], before="…", value=repr(inner["value"]))


def _rules_title(rules: list[dict[str, Any]], words: Words) -> str:
    count = {answer: sum(rule["answer"] == answer for rule in rules) for answer in ("kept", "broken", "not asked")}
    return words.say("tree_rules", kept=count["kept"], broken=count["broken"], unasked=count["not asked"])


def _rules(rules: list[dict[str, Any]], words: Words) -> Iterator[str]:
    for rule in rules:
        if rule["answer"] == "broken":
            message = rule["message"][words.language] if rule["message"] else rule["rule"]
            yield words.say("tree_rule", message=f"{message} ({rule['rule']})")


def _landed_title(landed: dict[str, Any], words: Words) -> str:
    return words.say("tree_landed", row=landed["row"], moment=words.moment(landed["at"]), locator=landed["locator"])


def _landed(landed: dict[str, Any], words: Words) -> Iterator[str]:
    for name, value in landed["raw"].items():
        yield f"{name} = {value!r}"
    digest = (landed["payload_sha256"] or "")[:16] + "…"
    if day := landed["payload_erased"]:
        yield words.say("tree_payload_erased", day=day, digest=digest)
    else:
        yield words.say("tree_payload", file=landed["payload_file"], digest=digest)
    if landed["adapter"]:
        yield words.say("tree_adapter", adapter=landed["adapter"]["class"], version=landed["adapter"]["version"])


def _history(chain: dict[str, Any], words: Words) -> Iterator[str]:
    for one in chain["history"]:
        told = {"number": one["publication"], "moment": words.moment(one["recorded_at"])}
        if one["value"] is None:
            yield words.say("tree_removed", **told)
        else:
            yield words.say("tree_version", value=one["value"], register=words.register(one["dataset"] or ""), **told)


def _corrections(chain: dict[str, Any], words: Words) -> Iterator[str]:
    for one in chain["corrections"]:
        yield words.say(
            "tree_correction",
            event=words.say(f"event_{one['event']}"),
            moment=words.moment(one["recorded_at"]),
            register=words.register(one["dataset"]),
            value=one["value"],
            counts=one["golden_value"],
        )


def _received(chain: dict[str, Any], words: Words) -> Iterator[str]:
    for one in chain["received"]:
        basis = one["legal_basis"] or words.say("no_basis")
        yield words.say(
            "tree_recipient",
            agency=one["agency"],
            moment=words.moment(one["at"]),
            how=words.say(f"how_{one['how']}"),
            number=one["seq"],
            legal_basis=basis,
        )
