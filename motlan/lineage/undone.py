"""Whom a decision that was undone has reached: every recipient, person and field, as a draft of the notice that the law wants.

A reviewer's decision about a pair of records is undone when it is withdrawn; one that set a value aside, when it is reinstated.
What rested on it is what was published by runs that began after it was made and before it was undone: of a pair that was taken
for one person's, the values of either record under a person who has both; of one that was kept apart, under persons who have one
of them; of a value that was set aside, what stood in its place.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import sqlalchemy as sa

from motlan.adapter import tellable
from motlan.config import notice as texts
from motlan.errors import ConfigurationError, DataError
from motlan.expressions import literal, one
from motlan.ledger import accesses, runs
from motlan.lineage import feed_readers
from motlan.lineage.impact import DISCLOSED, find_versions, recipients, rows_as_dicts
from motlan.merge.value_overrides import EXCLUDE, REINSTATE
from motlan.store import tables
from motlan.workspace import Workspace

LINK, VALUE = "link", "value"
_NAME = re.compile(r"(?:(link|value):)?(\d{1,18})")
Found = dict[str, Any]


@dataclass(frozen=True)
class Undone:
    """A decision that was undone.

    Attributes:
        kind: `link` or `value`.
        number: Its number.
        entity: The linked entity.
        records: Register and key of the records that it is about.
        verdict: Of a pair `same` or `different`.
        field: Of a value its field.
        decided_at: When it was made.
        undone_at: When it was undone.
        undone_by: Who undid it.
    """

    kind: str
    number: int
    entity: str
    records: tuple[tuple[str, str], ...]
    verdict: str
    field: str
    decided_at: datetime
    undone_at: datetime
    undone_by: str


def find_undone(work: Workspace, text: str) -> Undone:
    """Find an undone decision by its name: `link:7`, `value:3`, or the number alone where it is one decision's.

    Raises:
        ConfigurationError: It is no such name, or it may be either.
        DataError: There is no such decision, or it was not undone.
    """
    named = _NAME.fullmatch(text)
    if named is None:
        raise ConfigurationError(
            f"{tellable(text)} names no decision",
            next_step="write link:7 (`motlan review decisions`) or value:3 (`motlan golden decisions`).",
        )
    kind, number = named.group(1), int(named.group(2))
    with work.store.engine.connect() as connection:
        ways = {LINK: _find_link, VALUE: _find_value}
        found = [made for name, find in ways.items() if kind in (None, name) and (made := find(connection, number))]
    if not found:
        raise DataError(
            f"no decision {text} was undone",
            next_step="`motlan review decisions` and `motlan golden decisions` list them; only what was undone needs a notice.",
        )
    if len(found) > 1:
        raise ConfigurationError(f"{text} may be two decisions", next_step=f"write link:{number} or value:{number}.")
    return found[0]


def _find_link(connection: sa.Connection, number: int) -> Undone | None:
    table = tables.link_decisions
    row = connection.execute(sa.select(table).where(table.c.id == number)).mappings().one_or_none()
    if row is None or row["withdrawn_at"] is None or row["verdict"] not in ("same", "different"):
        return None
    records = ((row["left_dataset"], row["left_key"]), (row["right_dataset"], row["right_key"]))
    times = (row["recorded_at"], row["withdrawn_at"])
    return Undone(LINK, number, row["entity"], records, row["verdict"], "", *times, row["withdrawn_by"])


def _find_value(connection: sa.Connection, number: int) -> Undone | None:
    table = tables.value_decisions
    row = connection.execute(sa.select(table).where(table.c.id == number)).mappings().one_or_none()
    if row is None or row["action"] != EXCLUDE:
        return None
    same = [table.c[name] == row[name] for name in ("entity", "dataset", "key", "field", "digest")]
    later = sa.select(table).where(*same, table.c.id > number, table.c.action == REINSTATE).order_by(table.c.id)
    undone = connection.execute(later.limit(1)).mappings().one_or_none()
    if undone is None:
        return None
    records = ((row["dataset"], row["key"]),)
    times = (row["recorded_at"], undone["recorded_at"])
    return Undone(VALUE, number, row["entity"], records, "", row["field"], *times, undone["principal"])


def find_disclosed(
    work: Workspace, undone: Undone, principal: str, *, limit: int = 20, to: Path | None = None
) -> Found:
    """Find who received what rested on an undone decision. The look is written into the ledger first.

    Args:
        work: The open installation.
        undone: The decision.
        principal: Who looks.
        limit: How many of agency, person and field are listed at the most.
        to: Where all of them are written as CSV; replaced where it is.

    Returns:
        `decision`, `entity`, `datasets`, `verdict` or `field`, `decided_at`, `undone_at`, `undone_by`, `due_at`, `persons` (of
        whom somebody received something), `recipients` and `sample`.
    """
    name = f"{undone.kind}:{undone.number}"
    accesses.record(work.store, principal, "impact.undone", name)
    with work.own_folder() as folder, work.engine(f"following decision {name}") as engine:
        feed_readers.load_publications(engine, work.store, undone.entity)
        _find_resting(work, engine, undone)
        feed_readers.load_reads(engine, work.store, undone.entity, folder)
        engine.execute(f"create temp table received as select * from ({DISCLOSED})")
        moments = ", ".join(f"{name}::varchar as {name}" for name in ("first_at", "last_at"))
        listed = f"select agency, entity_id as person, field, {moments} from received order by all"
        if to is not None:
            target = folder / "undone.csv"
            engine.execute(f"copy ({listed}) to {literal(str(target))} (format csv, header true, force_quote *)")
            shutil.copyfile(target, to)
        due = undone.undone_at + timedelta(hours=texts.load(work.settings.home).hours)
        return {
            "decision": name,
            "entity": undone.entity,
            "datasets": [dataset for dataset, _ in undone.records],
            "verdict": undone.verdict,
            "field": undone.field,
            "decided_at": undone.decided_at.isoformat(),
            "undone_at": undone.undone_at.isoformat(),
            "undone_by": undone.undone_by,
            "due_at": due.isoformat(),
            "persons": int(one(engine, "select count(distinct entity_id) from received")[0]),
            "recipients": recipients(engine),
            "sample": rows_as_dicts(engine, f"{listed} limit {int(limit)}"),
        }


def _find_resting(work: Workspace, engine: duckdb.DuckDBPyConnection, undone: Undone) -> None:
    """Make `said`: golden fields of published versions that rested on the decision (see `motlan.lineage.impact.find_said`)."""
    with work.store.engine.connect() as connection:
        published = runs.visible(connection, "reconcile", undone.entity)
    first, last = (f"{at.astimezone(UTC):%Y%m%dT%H%M%S%f}" for at in (undone.decided_at, undone.undone_at))
    records = ", ".join(f"({literal(dataset)}, {literal(key)})" for dataset, key in undone.records)
    find_versions(work, engine, undone.entity, published, f"(source.dataset, source.key) in ({records})")
    has = [
        f"len(list_filter(sources, lambda source: source.dataset = {literal(dataset)} and source.key = {literal(key)})) > 0"
        for dataset, key in undone.records
    ]
    rests = f"({has[0]}) != ({has[1]})" if undone.verdict == "different" else " and ".join(has)
    mine = f"(pointer.dataset, pointer.key) in ({records})"
    if undone.kind == VALUE:
        mine = f"pointer.field = {literal(undone.field)}"
    engine.execute(
        f"""create or replace temp table said as
            select entity_id, pointer.field, pointer.dataset, pointer.ref, run, since, until, stands, seq, event, changed
            from (select *, unnest(_pointers) as pointer from versions where op != 'removed' and {rests}
                  and run > {literal(first)} and run < {literal(last)}) as v
            where {mine}"""
    )


def draft(work: Workspace, found: Found, language: str) -> str:
    """Return the draft of the notice, in a language: `vi` or `en`."""
    words, zone = texts.load(work.settings.home), ZoneInfo(work.registry.schedule_zone)
    model = work.registry.entity(found["entity"]).model

    def say(text: Any, **names: Any) -> str:
        template: str = getattr(text, language)
        return template.format(**names)

    def moment(text: str) -> str:
        return f"{datetime.fromisoformat(text).astimezone(zone):%Y-%m-%d %H:%M %Z}"

    def title(field: str) -> str:
        known = model.model_fields.get(field)
        return (known.title if known and language == "vi" else None) or field

    decided = {
        "decision": found["decision"],
        "decided": moment(found["decided_at"]),
        "undone": moment(found["undone_at"]),
        "undone_by": found["undone_by"],
    }
    kind = found["verdict"] or VALUE
    about = {"field": title(found["field"]), "dataset": found["datasets"][0]} if kind == VALUE else {}
    clock = {"from": moment(found["undone_at"]), "until": moment(found["due_at"]), "hours": words.hours}
    lines = [
        say(words.title),
        "",
        say(words.law),
        say(words.clock, **clock),
        say(getattr(words, kind), **decided, **about),
        "",
    ]
    if found["recipients"]:
        lines.append(say(words.recipients, persons=found["persons"], agencies=len(found["recipients"])))
        for row in found["recipients"]:
            names = {name: row[name] for name in ("agency", "persons", "legal_basis")}
            names |= {"first": moment(row["first_at"]), "last": moment(row["last_at"])}
            lines.append(f"- {say(words.recipient, **names, fields=', '.join(map(title, row['fields'])))}")
    else:
        lines.append(say(words.nobody))
    return "\n".join([*lines, "", say(words.unknown_head), *(f"- {say(text)}" for text in words.unknown)])
