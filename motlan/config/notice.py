"""The texts of the notice that is drafted when values were disclosed on a decision that was undone since (`mapping/notice.yaml`).

The law asks a notice of the authority within some hours. The bus drafts it from what it knows, and says what it cannot know. A
text may hold names in braces; each is listed with its key.
"""

from __future__ import annotations

from pathlib import Path
from string import Formatter

from pydantic import Field, model_validator

from motlan.config.files import Declared, Text, check, plainly, read

FILE = "notice.yaml"
_DECISION = ("decision", "decided", "undone", "undone_by")
_CLOCK = ("from", "until", "hours")
_RECIPIENT = ("agency", "persons", "fields", "legal_basis", "first", "last")
KNOWN = {
    "same": _DECISION,
    "different": _DECISION,
    "value": (*_DECISION, "field", "dataset"),
    "clock": _CLOCK,
    "recipients": ("persons", "agencies"),
    "recipient": _RECIPIENT,
}
"""Key -> the names that its text may hold in braces."""


class Notice(Declared):
    """The parts of the notice, in their order."""

    hours: int = Field(default=72, gt=0, description="Hours within which the notice is due.")
    title: Text = plainly("DRAFT: notice of values that were disclosed on a decision that was undone since")
    law: Text = Field(
        default=plainly("The law that asks for it: to be filled in."), description="What asks for the notice."
    )
    clock: Text = plainly("Counted from {from}, when the decision was undone; due {until} ({hours} hours).")
    same: Text = plainly(
        "Decision {decision} of {decided} took two records for one person's. It was undone on {undone} by {undone_by}."
    )
    different: Text = plainly(
        "Decision {decision} of {decided} took two records for two persons'. It was undone on {undone} by {undone_by}."
    )
    value: Text = plainly(
        "Decision {decision} of {decided} set the {field} of a record of {dataset} aside. It was undone on {undone} by "
        "{undone_by}."
    )
    recipients: Text = plainly("Meanwhile {agencies} agencies received values of {persons} persons that rested on it:")
    recipient: Text = plainly(
        "{agency}: {persons} persons; {fields}; from {first} to {last}; legal basis: {legal_basis}"
    )
    nobody: Text = plainly("No agency has asked the feeds for a value that rested on it.")
    unknown: tuple[Text, ...] = Field(
        default=(
            plainly(
                "When somebody first noticed that the decision was wrong: the time counts from then, if that was earlier."
            ),
            plainly("Whether a recipient stored the values, used them or passed them on."),
            plainly("Whether an answer arrived whole: who asked is named, as far as its question reached."),
            plainly("What was read past the feeds: from the database, from files, from backups, from a screen."),
            plainly(
                "What the consequences for the persons are, who is to be reached about it, and what was done against it."
            ),
        ),
        description="What the bus cannot know, and a person has to add.",
    )
    unknown_head: Text = plainly("What this draft cannot know, and whoever sends it has to add:")

    @model_validator(mode="after")
    def _names(self) -> Notice:
        for key, known in KNOWN.items():
            text: Text = getattr(self, key)
            for words in (text.vi, text.en):
                if strange := {name for _, name, _, _ in Formatter().parse(words) if name is not None} - set(known):
                    raise ValueError(f"{key} cannot name {sorted(strange)[0]}: it may name {', '.join(known)}")
        return self


def load(home: Path) -> Notice:
    """Read the texts of a declared half; plain English ones where it has none.

    Raises:
        ConfigurationError: A text names what it cannot.
    """
    path = home / "mapping" / FILE
    return check(Notice, read(path), path, ()) if path.exists() else Notice()
