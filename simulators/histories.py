"""What happens to records over the years, and must not make two people one: versions of records beside those of `registers`.

Each kind of `histories` in `dirt.yaml` chooses people to whom nothing else happens, by a stream of chance of its own, so that
a world without these kinds has the same people and the same other rows. What it makes is a `draft`: a later version of a
record, or a record that was not there before, as the register holds it from a day on. Drafts are rendered by the same
expressions as all rows, of the person whom the record is about, and are otherwise undamaged.

A source can say no more than its protocol can. None of the four has a way to say that a record was deleted, so none is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb

from simulators import drafts
from simulators.dirt import FIELDS, Profile
from simulators.events import DATASETS, MEMBERS
from simulators.registers import COLUMNS, key_text

TWINS = "twins"
"""The kind that `people` makes: newborns whose twin has the same name but for its marks."""

_OWN_ROW = "h({who} * 2, '{dataset} key')"
"""Number of a person's record, as `registers` and `dirt` number it."""
_SECOND_ROW = "h({who} * 2, '{dataset} second key')"


@dataclass(frozen=True)
class Kind:
    """Whom a kind of history can happen to.

    Attributes:
        who: Condition on `life`.
        datasets: Registers one of which it happens in; the person must be in it. Empty: in all of theirs.
        spare: Days that must be left after its first.
        other: Condition on the other person that it takes, who is not in the register; empty where it takes none.
        known: Whether the population register knows the other person, as SQL over the episode: by turns, every second day.
    """

    who: str = "in_population"
    datasets: tuple[str, ...] = ()
    spare: int = 0
    other: str = ""
    known: str = "day % 2 = 0"


_DIVIDED = "in_population AND commune IN (SELECT code FROM commune_alternatives WHERE len(split) > 0)"
_GROWN = "age BETWEEN 22 AND 60"
_OFFICES = ("insurance_members", "tax_taxpayers", "education_staff")
_UNREGISTERED = "NOT in_population AND (in_insurance OR in_tax OR in_pupils)"
KINDS: dict[str, Kind] = {
    # About half of them heads, by whose numbers households go.
    "number_reestablished": Kind(
        "in_population AND age > 1 AND (role = 'head' OR u(true_id, 'history of other than heads') < 0.4)"
    ),
    "clock_ahead": Kind(datasets=("population_citizens", "insurance_members", "tax_taxpayers"), spare=1),
    "clock_back": Kind(datasets=("population_citizens", "insurance_members", "education_staff"), spare=1),
    "delivered_late": Kind("employer IS NOT NULL AND employer <> next_employer", ("tax_taxpayers",), 1),
    "commune_divided": Kind(_DIVIDED, ("population_citizens", "insurance_members", "education_pupils")),
    "school_transfer": Kind(datasets=("education_pupils",), spare=1),
    "membership_closed": Kind(datasets=("insurance_members",)),
    "record_of_another": Kind(f"in_population AND {_GROWN}", _OFFICES, other=_GROWN),
    "record_returns": Kind(f"in_population AND {_GROWN}", _OFFICES, 1, _GROWN),
    "number_of_another": Kind(f"in_population AND {_GROWN}", _OFFICES, 1, "true", "true"),
    "late_registration": Kind(_UNREGISTERED),
    "registration_of_another": Kind(_UNREGISTERED, spare=1, other=_UNREGISTERED, known="false"),
}


def make_histories(con: duckdb.DuckDBPyConnection, profile: Profile, people: int, days: int) -> None:
    """Create `draft` and `became`: the later versions of records, and what is true of people from a day on.

    Both are empty where there are no days. Twins, whom `people` added, get their names here.

    Args:
        con: connection with `life` and the macros of chance and of damage.
        profile: how often.
        people: people of day 0.
        days: days after day 0.
    """
    con.execute(drafts.TABLES)
    if not days:
        return
    con.execute(drafts.TWINS)
    for kind, what in KINDS.items():
        first = days - what.spare
        count = profile.history(kind, people) * first
        if first > 0 and count:
            _choose(con, kind, what, count, first)
    for statement in (drafts.BECAME, *_drafts(days)):
        con.execute(statement)
    con.execute(drafts.ENDS)


def _choose(con: duckdb.DuckDBPyConnection, kind: str, what: Kind, count: int, days: int) -> None:
    """Add `count` episodes of a kind, spread over the first `days` days, each of people who have none yet."""
    member = " ".join(f"WHEN '{name}' THEN {MEMBERS[name]}" for name in what.datasets)
    register = f"one_of([{', '.join(repr(n) for n in what.datasets)}], h(true_id, 'history of {kind}'))"
    con.execute(
        drafts.CHOICE.format(
            kind=kind,
            who=what.who,
            register=register if what.datasets else "''",
            member=f"CASE register {member} END" if what.datasets else "true",
            count=count,
            days=days,
        )
    )
    if what.other:
        absent = " ".join(f"WHEN '{name}' THEN NOT {MEMBERS[name]}" for name in what.datasets)
        condition = f"({what.other}) AND ({f'CASE register {absent} END' if absent else 'true'})"
        con.execute(drafts.OTHERS.format(kind=kind, condition=condition, known=what.known))


def _drafts(days: int) -> Iterator[str]:
    """Give the statements that turn episodes into drafts."""
    for dataset in DATASETS:
        own, second = (text.format(who="true_id", dataset=dataset) for text in (_OWN_ROW, _SECOND_ROW))
        names = {"dataset": dataset, "own": own, "second": second, "member": MEMBERS[dataset], "days": days}
        yield drafts.RENEWED.format(**names)
        yield drafts.REGISTERS.format(**names)
        if dataset == "population_citizens":
            yield drafts.REGISTERED.format(**names)


def lay_over(con: duckdb.DuckDBPyConnection, dataset: str) -> bool:
    """Let the drafts of a register follow the rows of `turn`, log what is wrong with them, and make view `drafted` of them.

    Returns:
        Whether there are any.
    """
    one = con.execute("SELECT count(*) FROM draft WHERE dataset = ?", [dataset]).fetchone()
    if one is None or not one[0]:
        return False
    con.execute(drafts.CUT.format(dataset=dataset))
    mine = f"(FROM draft WHERE dataset = '{dataset}')"
    plain = f"(SELECT * REPLACE ({drafts.AS_IT_IS}) FROM draft WHERE dataset = '{dataset}' AND wrong)"
    columns = ", ".join(COLUMNS[dataset])
    con.execute(
        f"""
        CREATE VIEW drafted AS
        SELECT 0::BIGINT AS _pos, {key_text(dataset, "number")} AS _key, moment AS _moment, day::INTEGER AS _day,
          until::INTEGER AS _until, {columns} FROM ({_rendered(dataset, mine)})
        """
    )
    con.execute(f"CREATE TEMP TABLE as_served AS {_rendered(dataset, mine)}")
    con.execute(f"CREATE TEMP TABLE as_it_is AS {_rendered(dataset, plain)}")
    for column in COLUMNS[dataset]:
        con.execute(
            f"""
            INSERT INTO dirt SELECT '{dataset}', number, day, '{column}', as_it_is.kind, as_it_is.{column}, as_served.{column}
            FROM as_it_is JOIN as_served USING (number, day)
            WHERE as_it_is.{column} IS DISTINCT FROM as_served.{column}
            """
        )
    con.execute("DROP TABLE as_served; DROP TABLE as_it_is")
    con.execute(f"INSERT INTO shown SELECT dataset, number, true_id, day FROM draft WHERE dataset = '{dataset}'")
    return True


def _rendered(dataset: str, versions: str) -> str:
    """Return the SQL of drafts with the raw columns of their register."""
    fields, population = FIELDS[dataset], dataset == "population_citizens"
    written = {
        **COLUMNS[dataset],
        fields.number: f"coalesce(typed_number, {COLUMNS[dataset][fields.number]})",
        fields.status: f"coalesce(written_status, {COLUMNS[dataset][fields.status]})",
    }
    if population:
        written["ChuHo_SoDinhDanh"] = "if(household = about, personal_id, head_id)"
        written["NoiDangKyKhaiSinh_MaTinhThanh"] = "birth_province[2:]"
    columns = ", ".join(f"({sql})::VARCHAR AS {name}" for name, sql in written.items())
    relatives = "LEFT JOIN relatives USING (household)" if population else ""
    return drafts.STATE.format(drafts=versions, columns=columns, relatives=relatives)


HISTORIES = "SELECT dataset, number, day, kind, true_id, other, about, wrong FROM draft ORDER BY dataset, number, day"
"""The query of what `truth/histories.parquet` holds, but for the text of the key."""
