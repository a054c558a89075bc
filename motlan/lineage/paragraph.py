"""A value's chain as one paragraph that somebody understands who never saw the bus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from motlan.lineage.words import Words

Tree = dict[str, Any]
NAMED = 3
"""Values that lost, corrections and recipients that the paragraph names; the tree has all."""

SURE = 0.9999
"""Nothing that is computed is told as more probable."""


def write_paragraph(chain: Tree, words: Words, as_of: str | None = None) -> str:
    """Return the paragraph of one field.

    Args:
        chain: As `motlan.lineage.trace` returns it.
        words: In which language.
        as_of: The moment that it is about, in ISO 8601; None for now.
    """
    return " ".join(_sentences(chain, words, as_of))


def _sentences(chain: Tree, words: Words, as_of: str | None) -> Iterator[str]:
    held = {"title": words.title(chain["title"]), "value": chain["value"]}
    yield words.say("held", moment=words.moment(as_of), **held) if as_of else words.say("holds", **held)
    source = chain["source"]
    yield words.say(
        "from",
        register=words.register(source["dataset"]),
        key=source["key"],
        written=words.moment(source["source_moment"]),
        received=words.moment(source["landed"]["at"]),
    )
    yield from _mended(source, words)
    yield _cleaning(chain, words)
    yield link_sentence(source["link"], words)
    yield from _decision(chain, words)
    yield from _since(chain, words)
    yield from _corrections(chain, words)
    yield from _received(chain, words)
    yield from _verdict(chain, words)


def _mended(source: Tree, words: Words) -> Iterator[str]:
    """Give who changed the record before it counted, or let it pass."""
    mended = source["landed"].get("mended")
    if mended:
        changes = ", ".join(
            f"{name}: “{mended['before'][name]}” \N{RIGHTWARDS ARROW} “{value}”"
            for name, value in mended["after"].items()
        )
        for one in mended["decisions"][-1:]:
            yield words.say("mended", who=one["who"], moment=words.moment(one["at"]), why=one["why"], changes=changes)
    for one in source.get("let_pass", ()):
        yield words.say("let_pass", who=one["who"], moment=words.moment(one["at"]), why=one["why"])


def _cleaning(chain: Tree, words: Words) -> str:
    sent, steps = chain["source"]["landed"]["raw"], chain["source"]["cleaned_by"].get("steps", [])
    if list(sent.values()) == [chain["value"]]:
        return words.say("sent_so")
    shown = ", ".join(f"{name} = “{value}”" for name, value in sent.items())
    return words.say("sent_as", sent=shown, steps=max(1, len(steps)))


def link_sentence(link: Tree, words: Words) -> str:
    """Return why a record is taken for this person's."""
    rule = str(link["rule"])
    compared = link["compared"]
    other = f"{compared['key']}, {words.register(compared['dataset'])}" if compared else ""
    kinds = {"founder": "founder", "provisional founder": "provisional", "exact": "exact", "duplicate": "duplicate"}
    kinds |= {"probable": "probable", "provisional": "probable", "decided": "decided"}
    kind = "identifier" if rule.startswith("identifier") else kinds.get(rule, "other")
    who = ", ".join(
        f"{one['who']} ({words.moment(one['at'])})" for one in link["reviewers"] if one["withdrawn_at"] is None
    )
    return words.say(
        f"link_{kind}",
        rule=rule,
        other=other,
        fields=words.title(link.get("number") or rule.removeprefix("identifier").strip()),
        probability=percent(link["probability"]),
        who=who or words.say("unknown"),
    )


def percent(share: float | None) -> str:
    """Return a probability as people read it: never as certain."""
    return "> 99.99 %" if (share or 0) > SURE else f"{100 * (share or 0):.2f} %"


def _decision(chain: Tree, words: Words) -> Iterator[str]:
    decision = chain["decision"]
    yield words.say(f"by_{decision['rule']}")
    others = [one for one in decision["said"] if one["outcome"] != "won"]
    lost = [one for one in others if one["outcome"] == "lost"]
    if decision["disputed"]:
        yield words.say("disputed")
    for one in lost[:NAMED]:
        yield words.say("loses", register=words.register(one["dataset"]), value=one["value"], why=words.why(one))
    if len(lost) > NAMED:
        yield words.say("more_lose", count=len(lost) - NAMED)
    if not lost and decision["said"]:
        yield words.say("others_agree" if others else "nobody_else")


def _since(chain: Tree, words: Words) -> Iterator[str]:
    since = chain["since"]
    if since is None:
        return
    told = {"number": since["publication"], "moment": words.moment(since["recorded_at"])}
    if not since["changed"]:
        yield words.say("since", **told)
    elif since["before"] is None:
        yield words.say("before_none", **told)
    else:
        yield words.say("before", before=since["before"], **told)


def _corrections(chain: Tree, words: Words) -> Iterator[str]:
    newest = {(one["dataset"], one["key"]): one for one in chain["corrections"]}
    for one in list(newest.values())[:NAMED]:
        key = "correction_closed" if one["event"] == "closed" else "correction_open"
        yield words.say(key, register=words.register(one["dataset"]), moment=words.moment(one["recorded_at"]))


def _received(chain: Tree, words: Words) -> Iterator[str]:
    newest = {one["agency"]: one for one in chain["received"]}
    for one in newest.values():
        basis = one["legal_basis"] or words.say("no_basis")
        yield words.say("received", agency=one["agency"], moment=words.moment(one["at"]), legal_basis=basis)
    if not newest:
        yield words.say("received_none")


def _verdict(chain: Tree, words: Words) -> Iterator[str]:
    if chain["replays_equal"]:
        yield words.say("proved")
    else:
        yield words.say("broken", reasons="; ".join([*map(words.reason, chain["reasons"]), *chain["files"]]))
    if chain["not_read_again"]:
        yield words.say("not_read_again", count=len(chain["not_read_again"]))
