"""What happens to the registers of a small world on a day, and what people decide: every kind that a run has to follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import duckdb

from motlan import pipeline
from motlan.errors import ContractError, DataError
from motlan.expressions import quote
from motlan.ingest import watermark_reset
from motlan.lake.tables import golden_table
from motlan.ledger import control
from motlan.stewardship import overrides, review_decisions, review_queue
from motlan.stewardship.review_decisions import Said
from motlan.workspace import Workspace
from tests.days.world import PERSON_COLUMNS, Record, Register, World, moment

ANN, BEN = "user:ann", "user:ben"
Change = Callable[[World], None]
WEIGHTS = (5, 4, 2, 2, 1)
"""How often each register changes, beside the others."""


def _any_register(world: World) -> Register:
    weights = [
        weight if len(register.records) > 2 else 0
        for register, weight in zip(world.registers.values(), WEIGHTS, strict=True)
    ]
    return world.random.choices(list(world.registers.values()), weights)[0]


def _pick(world: World, register: Register, count: int = 1) -> list[Record]:
    return world.random.sample(list(register.records.values()), min(count, len(register.records)))


def _put(world: World, register: Register, record: Record) -> None:
    register.put(record, world.day, world.random.randrange(80_000))


def change_a_value(world: World) -> None:
    """A record has another value, taken from one of its register, of another one, or none."""
    register = _any_register(world)
    column = register.column(world.random.choice(list(PERSON_COLUMNS)))
    mine, theirs = (_pick(world, register, 2) * 2)[:2]
    if column:
        value = world.random.choice([theirs[column], theirs[column], None, _mistyped(world, mine[column])])
        _put(world, register, {**mine, column: value})


def _mistyped(world: World, value: str | None) -> str | None:
    """Swap two neighbouring characters."""
    if not value or len(value) < 2:
        return value
    place = world.random.randrange(len(value) - 1)
    return value[:place] + value[place + 1] + value[place] + value[place + 2 :]


def swap_numbers(world: World) -> None:
    """Two records have each other's number."""
    register = _any_register(world)
    column = register.column(world.random.choice(["number", "own_number", "old_number"]))
    records = _pick(world, register, 2)
    if column and len(records) == 2:
        one, other = records
        _put(world, register, {**one, column: other[column]})
        _put(world, register, {**other, column: one[column]})


def share_a_value(world: World) -> None:
    """Two records have one number, card or name, across registers where they can."""
    register, other = _any_register(world), _any_register(world)
    about = world.random.choice(["number", "old_number", "name", "birth", "card", "own_number"])
    mine, theirs = register.column(about), other.column(about)
    if mine and theirs:
        (record,), (source,) = _pick(world, register), _pick(world, other)
        _put(world, register, {**record, mine: source[theirs]})


def go(world: World) -> None:
    """A record is not there any more."""
    register = _any_register(world)
    if len(register.records) > 4:
        (record,) = _pick(world, register)
        register.gone.append(register.records.pop(str(record[register.key])))
        register.moved = True


def come_back(world: World) -> None:
    """A record that went is there again, as it was or changed."""
    register = _any_register(world)
    if register.gone:
        record = register.gone.pop()
        column = register.column("name")
        if column and world.random.random() < 0.3:
            record = {**record, column: _mistyped(world, record[column])}
        _put(world, register, record)


def appear(world: World) -> None:
    """Somebody new, or a person whom other registers have already."""
    register = _any_register(world)
    if register.spare:
        _put(world, register, register.spare.pop())


def send_again(world: World) -> None:
    """A record comes once more as it is, under the same moment or a new one."""
    register = _any_register(world)
    (record,) = _pick(world, register)
    if world.random.random() < 0.5:
        _put(world, register, dict(record))
    register.moved = True


def come_late(world: World) -> None:
    """A record comes with a moment that is long past."""
    register = world.registers["tax_taxpayers"]
    (record,) = _pick(world, register)
    column = register.column("name")
    late = {**record, str(column): _mistyped(world, record[str(column)])}
    _put(world, register, late)
    late[register.moment] = moment(-60, world.random.randrange(80_000))


def become_another(world: World) -> None:
    """A record is about somebody else: a key that is given again."""
    register = _any_register(world)
    if register.spare:
        (record,) = _pick(world, register)
        _put(world, register, {**register.spare.pop(), register.key: record[register.key]})


def be_renumbered(world: World) -> None:
    """A person bears another number, in the spine and where it is used already."""
    spine = world.registers["population_citizens"]
    (record,) = _pick(world, spine)
    number = record["SoDinhDanh"]
    new = f"0{world.random.randrange(10**11):011d}"[:12]
    _put(world, spine, {**record, "SoDinhDanh": new})
    for register in list(world.registers.values())[1:]:
        column = register.column("number")
        if column and number and world.random.random() < 0.5:
            for found in [row for row in register.records.values() if row[column] == number][:1]:
                _put(world, register, {**found, column: new})


def have_a_new_column(world: World) -> None:
    """A register sends a column that nobody declared yet."""
    register = _any_register(world)
    for record in _pick(world, register, 2):
        _put(world, register, {**record, "ghi_chu": "x"})


CHANGES: dict[Change, int] = {
    change_a_value: 8,
    swap_numbers: 2,
    share_a_value: 3,
    go: 2,
    come_back: 2,
    appear: 3,
    send_again: 2,
    come_late: 1,
    become_another: 1,
    be_renumbered: 2,
}


def let_a_day_pass(world: World) -> list[str]:
    """Change the registers as a day does, at times not at all; return what happened."""
    world.day += 1
    count = world.random.choice([0, 1, 2, 4, 6, 8])
    chosen = world.random.choices(list(CHANGES), list(CHANGES.values()), k=count)
    for change in chosen:
        change(world)
    if world.day == 3:
        have_a_new_column(world)
    return [change.__name__ for change in chosen]


def decide(work: Workspace, world: World) -> list[str]:
    """Let people decide about pairs and values, and take back what they decided; return what they did."""
    done = []
    if world.random.random() < 0.6:
        verdict = world.random.choice(["same", "different", "unknown"])
        for who in (ANN, BEN):
            pairs = review_queue.take(work, "person", who, 1)
            review_decisions.decide(
                work, who, [Said(assignment=pair, verdict=verdict, reason="seen") for pair in pairs]
            )
            done += [f"{len(pairs)} {verdict}"]
    if world.random.random() < 0.4 and (person := _somebody(work, world)):
        field = world.random.choice(["full_name", "birth_date", "residence_commune", "personal_id"])
        try:
            overrides.exclude(work, "person", person, field, ANN, "it is wrong")
            done.append(f"{field} set aside")
        except DataError:  # of a person without a value
            done.append("no value")
    if world.random.random() < 0.3 and (decided := overrides.listed(work, "person")):
        overrides.reinstate(work, world.random.choice(decided)["decision"], BEN, "it was right")
        done.append("value taken back")
    made = [row for row in review_decisions.listed(work, "person", ANN) if not row.get("withdrawn_at")]
    if world.random.random() < 0.2 and made:
        review_decisions.withdraw(work, world.random.choice(made)["decision"], ANN, "a mistake")
        done.append("decision taken back")
    return done


def take_back(work: Workspace, world: World) -> list[str]:
    """Take one of the last deliveries back, where there is one that can be; return which."""
    wanted = control.Wanted(kind="sync", state="visible", limit=6)
    found = [row["run"] for row in control.listed(work.store, wanted) if row["rows"]]
    if world.random.random() > 0.3 or len(found) < 4:
        return []
    run = world.random.choice(found[:3])
    try:
        pipeline.retract(run, ANN, "it was wrong")
    except ContractError:  # a later run landed rows of it again
        return []
    return [f"{run} taken back"]


def _somebody(work: Workspace, world: World) -> str | None:
    golden = work.published_rows("person", golden_table("person"))
    found = duckdb.sql(f"select entity_id from {golden} order by {quote('entity_id')}").fetchall() if golden else []
    return str(world.random.choice(found)[0]) if found else None


def pull_again(work: Workspace, world: World, datasets: Sequence[str]) -> str:
    """Let a dataset be pulled from an earlier moment on, as after a restore; return its name."""
    name = world.random.choice(list(datasets))
    if world.registers[name].cursor == world.registers[name].moment:
        watermark_reset.set_to(work.store, work.registry.dataset(name), moment(-40), ANN, "a restore lost a day")
    return name
