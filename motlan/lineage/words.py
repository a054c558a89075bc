"""The words in which a lineage is told to people: English here, and what the declared half has in `mapping/messages.yaml`.

Who reads them may be a lawyer or an auditor who never saw the bus: no word of the bus's own stands in them unexplained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from motlan.config.registry import Registry

Language = Literal["en", "vi"]
PREFIX = "lineage_"
"""How the keys of these words begin in `messages.yaml`."""
ENGLISH: Mapping[str, str] = {
    "holds": "The state holds that the {title} of this person is “{value}”.",
    "held": "On {moment} the state held that the {title} of this person was “{value}”.",
    "from": "{register} says so in its record {key}, written by it at {written}; the bus received that record on {received}.",
    "sent_so": "It was sent exactly so.",
    "sent_as": "It was sent as {sent}, and brought into the common form by {steps} declared cleaning steps.",
    "link_founder": "The record is this person's because this register's records are what persons are known by.",
    "link_provisional": "The record is taken for a person of its own: no record of the leading register was found for it.",
    "link_identifier": "The record is this person's because it bears the same number ({fields}) as {other}, and the rest of the "
    "two records does not speak against it.",
    "link_exact": "The record is this person's because what is compared exactly is equal to {other}, and nobody else has it.",
    "link_probable": "The record is this person's because, compared with {other}, it is {probability} probable that they are "
    "of one person.",
    "link_decided": "The record is this person's because people decided so about it and {other}: {who}.",
    "link_duplicate": "The record is this person's because it bears the same number as {other} of its own register.",
    "link_other": "The record is this person's by the rule “{rule}”, compared with {other}.",
    "by_authority": "On this field that register is the one that is believed first among those that say something.",
    "by_freshness": "Registers that are believed equally say different things; the one that said so last counts.",
    "by_agreement": "Registers that are believed equally say different things; what most of them say counts.",
    "by_refined": "It says the same as the register that is believed first, and says it more precisely.",
    "nobody_else": "No other register says anything about it.",
    "others_agree": "No register says otherwise.",
    "loses": "{register} says “{value}”; that does not count, because {why}.",
    "more_lose": "{count} more records say something else; they are listed below.",
    "disputed": "The value is disputed: registers that are believed on this field do not agree.",
    "since": "It has been so since publication {number} of {moment}.",
    "before": "It has been so since publication {number} of {moment}; before that it was “{before}”.",
    "before_none": "It has been so since publication {number} of {moment}; before that it was not known.",
    "correction_open": "On {moment} {register} was asked to correct its record; the request stands.",
    "correction_closed": "{register} was asked to correct its record; that was settled on {moment}.",
    "received": "{agency} received it on {moment}, on this legal basis: {legal_basis}.",
    "received_none": "No agency has received it from the bus.",
    "proved": "All of this was computed again from what was received, and agrees with what was published.",
    "broken": "WARNING: computed again from what was received it does not agree with what was published or served ({reasons}). "
    "Do not rely on this value.",
    "not_read_again": "Of {count} records only the fingerprint of the received file was checked, because such a file cannot be "
    "read alone.",
    "unknown": "an unknown moment",
    "no_basis": "none is declared",
    "why_set aside": "people set it aside",
    "why_set aside by": "{who} set it aside on {moment} (“{why}”)",
    "mended": "{who} mended the record on {moment} (“{why}”): {changes}.",
    "let_pass": "{who} let the record pass on {moment} though a rule held it (“{why}”).",
    "why_not believed": "this register is not asked about this field",
    "why_condition": "this register is believed on this field only under a condition that its record does not meet",
    "why_another record": "another record of the same register speaks for this person",
    "why_believed less": "another register is believed more",
    "why_ended": "that record is not in force any more",
    "why_guess": "that record does not say it for certain",
    "why_follows": "this field is taken from the same record as the one that it belongs to",
    "why_refined": "another record says the same more precisely",
    "why_fewer agree": "fewer registers say so",
    "why_older": "it was said earlier",
    "why_order": "both are equal, and the order of the registers' names decides",
    "why_unknown": "the rule of that day cannot be shown",
    "tree_equal": "replays equal",
    "tree_broken": "does NOT replay: {why}",
    "tree_said": "what each register says",
    "tree_won": "counts",
    "tree_same": "says the same",
    "tree_agrees": "agrees",
    "tree_lost": "does not count: {why}",
    "tree_decided": "how it was decided",
    "tree_disputed": "disputed",
    "tree_link": "why this record is this person's",
    "tree_compared": "compared with {other}",
    "tree_comparison": "{name}: {level} ({weight} bits)",
    "tree_sum": "together {weight} bits: each bit doubles the odds that the two records are of one person, which began at "
    "{prior} before anything was compared; probability {probability}",
    "tree_reviewer": "{who} decided “{verdict}” on {moment}",
    "tree_cleaned": "cleaned by {expression}",
    "tree_step": "{call}: {before} -> {value}",
    "tree_rules": "questions asked of the record: {kept} kept, {broken} broken, {unasked} not asked",
    "tree_rule": "broken: {message}",
    "tree_landed": "record as received {row} on {moment}, {locator}",
    "tree_file": "file as received",
    "tree_payload": "received file {file}, fingerprint (SHA-256) {digest}",
    "tree_payload_erased": "the file as received was erased on {day} by decision, for another record in it; its fingerprint "
    "(SHA-256) was {digest}",
    "tree_adapter": "read by {adapter}, version {version}",
    "tree_history": "what was published",
    "tree_version": "publication {number} of {moment}: “{value}” from {register}",
    "tree_removed": "publication {number} of {moment}: nothing any more",
    "tree_corrections": "corrections asked of registers",
    "tree_correction": "{event} on {moment}: {register} says “{value}”, it was told “{counts}”",
    "tree_received": "agencies that received it",
    "tree_recipient": "{agency} on {moment} ({how} {number}): {legal_basis}",
    "tree_looks": "who looked at this person",
    "tree_look": "{who} on {moment}: {what}",
    "event_opened": "opened",
    "event_refreshed": "repeated",
    "event_closed": "closed",
    "how_changes": "change feed, number",
    "how_snapshot": "whole register, at number",
    "reason_a landed row was altered": "the record as received was altered here",
    "reason_a payload was altered": "the file as received was altered here, or is missing",
    "reason_a record that it rests on was erased": "a record that it rests on was erased; the next publication leaves it out",
    "reason_the commitments do not match the log": "the records as received are not those that the log names",
    "reason_a rule was altered": "a rule was altered",
    "reason_a link does not follow": "the two records, compared again, are not of one person by the rules of that day",
    "reason_there is no such golden row": "nothing of the kind is published",
    "reason_the value does not follow": "the rules of that day give another value",
    "reason_the decision does not follow": "the rules of that day give the value of another register",
    "reason_the payload, read again, gives another row": "the file as received says something else",
    "reason_the payload, read as its adapter is declared today, gives another row": "the file as received, read as is declared "
    "today, says something else",
    "reason_the payload, read again, has no such row": "the file as received has no such record",
    "reason_the payload cannot be read again": "the file as received cannot be read",
    "reason_the database that agencies are served from lacks a row of this person": "the database that agencies are served from "
    "lacks a row of this person",
    "reason_the database that agencies are served from says something else than what was published": "the database that agencies "
    "are served from says something else than what was published",
    "reason_the change feed that agencies are served from says something else than what was published": "the change feed that "
    "agencies are served from says something else than what was published",
}
"""Key -> English. Names in braces are put in."""
_TITLE = re.compile(r"^([^(]+?) \(([^)]+)\)")


class Words:
    """The words of one language.

    Args:
        registry: Whose declared words, registers' titles and zone are used.
        language: `en`, or `vi`.
    """

    def __init__(self, registry: Registry, language: Language) -> None:
        self._registry, self.language = registry, language
        self._zone = ZoneInfo(registry.schedule_zone)

    def say(self, key: str, /, **values: object) -> str:
        """Return a sentence with values in it; English where the declared half has no words for it."""
        declared = self._registry.messages.get(PREFIX + key)
        template = getattr(declared, self.language) if declared else ENGLISH[key]
        return str(template).format(**values)

    def why(self, one: Mapping[str, Any]) -> str:
        """Return why a value lost; of one that people set aside, who did, when and in which words."""
        word, override = one["why"], one.get("override")
        if override:
            return self.say(
                "why_set aside by", who=override["who"], moment=self.moment(override["at"]), why=override["why"]
            )
        return self.say(f"why_{word}" if f"why_{word}" in ENGLISH else "why_unknown")

    def reason(self, reason: str) -> str:
        """Return why a value does not replay, or is served otherwise."""
        return self.say(f"reason_{reason}") if f"reason_{reason}" in ENGLISH else reason

    def register(self, dataset: str) -> str:
        """Return what people call a register: its dataset's title, and in English its owner, who is named in one language."""
        found = self._registry.datasets.get(dataset)
        if found is None:
            return dataset
        title = str(getattr(found.title, self.language))
        return f"{title} ({found.owner.partition(' <')[0]})" if self.language == "en" else title

    def title(self, description: str) -> str:
        """Return what people call a field; its description has the country's own words in brackets."""
        found = _TITLE.match(description)
        if not found:
            return description.rstrip(".")
        english, own = found.groups()
        return own if self.language == "vi" else english[0].lower() + english[1:]

    def moment(self, text: str | None) -> str:
        """Return a moment (ISO 8601) as people here write it, in the zone of the declared half; what is none stays."""
        try:
            found = datetime.fromisoformat(text or "")
        except ValueError:
            return text or self.say("unknown")
        if found.tzinfo:
            found = found.astimezone(self._zone)
        return found.strftime("%d/%m/%Y %H:%M" if self.language == "vi" else "%Y-%m-%d %H:%M")
