"""The second breaker: a merge that changes too much waits for people."""

import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.config.authority import ChangeLimits
from motlan.errors import AccessError, ConfigurationError, ContractError
from motlan.expressions import connect
from motlan.ledger import runs
from motlan.publication import approval, change_guard
from tests.conftest import CARDS, SPINE, Country, card_record, signed_in, spine_record
from tests.motlan.test_pipeline import LATER, rows, whole_job

LIMITS = "person: {minimum: 2, deaths: 0.3, changes: 0.9}"


def let_die(country: Country, *keys: str) -> None:
    """Let a register say that some of its people died."""
    records = [spine_record((*row[:5], "2026-09-30"), LATER) if row[0] in keys else spine_record(row) for row in SPINE]
    country.write("alpha_people", records)


@pytest.fixture
def held(country: Country) -> str:
    """A run that waits, because two of five people of one register died at once."""
    (country.home / "mapping" / "breakers.yaml").write_text(LIMITS, encoding="utf-8")
    assert country.after(whole_job)["reconcile"]["diff"]["held"] == 0, "the first publication is no change"
    let_die(country, "a1", "a2")
    pipeline.sync("alpha_people")
    run = str(pipeline.reconcile()["run"])
    with pytest.raises(ContractError, match="waits for 2 more to release it"):
        pipeline.publish()
    return run


def test_two_people_release_it_and_it_is_published(country: Country, held: str) -> None:
    store = country.open().store
    (shown,) = approval.show(store, held)["passed"][-1:]
    assert shown == {
        "measure": "deaths", "source": "alpha_people", "area": None, "changed": 2, "known": 5, "limit": 0.3,
    }  # fmt: skip
    assert approval.decide(store, held, "user:a", "approve", "checked with the owner") == "waiting"
    with pytest.raises(AccessError, match="before"):
        approval.decide(store, held, "user:a", "approve", "once more")
    with pytest.raises(ContractError, match="waits for 1 more"):
        pipeline.publish(held)
    pipeline.fail(held, ContractError("the task's last words"))
    assert runs.get(store, held).state == "waiting", "a failed task does not end the wait"
    assert approval.decide(store, held, "user:b", "approve", "checked too") == "released"
    assert pipeline.publish()["run"] == held
    pipeline.project(held)
    assert rows(country, "select count(*) from golden_person where death_date is not null") == [(3,)]


def decides(held: str, name: str | None, *, action: str = "approve", fails: bool = False) -> str:
    """Decide by the command, signed in or as the machine account; return the run's state, or the error."""
    env = signed_in(name) if name else {}
    answer = CliRunner().invoke(app, ["release", action, held, "--json"], input=json.dumps({"why": "seen"}), env=env)
    assert answer.exit_code == (1 if fails else 0), answer.output
    return str(json.loads(answer.stdout)["message" if fails else "state"])


@pytest.mark.parametrize(
    "order",
    [
        (("an", "waiting"), (None, None), ("an", None), ("binh", "released")),
        ((None, "waiting"), ("an", "waiting"), (None, None), ("binh", "released")),
    ],
)
def test_nobody_is_two_by_signing_in_or_out(held: str, order: tuple[tuple[str | None, str | None], ...]) -> None:
    for name, state in order:
        told = decides(held, name, fails=state is None)
        assert told == state if state else "decided about this run before" in told


def test_a_reviewer_releases_nothing(held: str) -> None:
    signed_in("chi", "reviewer")
    for action in ("approve", "refuse"):
        assert "a reviewer releases nothing" in decides(held, "chi", action=action, fails=True)


def test_one_person_refuses_it_for_good(country: Country, held: str) -> None:
    store = country.open().store
    assert approval.decide(store, held, "user:a", "refuse", "a mistake in the source") == "refused"
    with pytest.raises(ConfigurationError, match="waits for no release"):
        approval.decide(store, held, "user:b", "approve", "why not")
    with pytest.raises(ContractError, match="refused"):
        pipeline.publish(held)
    let_die(country, "a1")
    country.write("alpha_people", [spine_record(row, "2026-10-03T00:00:00.000000Z") for row in SPINE])
    pipeline.sync("alpha_people")
    pipeline.reconcile()
    assert pipeline.publish()["number"] == 2, "what came after is compared anew"


def test_the_command_shows_numbers_only_and_takes_one_decision_a_person(country: Country, held: str) -> None:
    runner, why = CliRunner(), json.dumps({"why": "seen"})
    listed = json.loads(runner.invoke(app, ["release", "list", "--json"]).stdout)
    assert [(row["run"], row["state"], row["decisions"]) for row in listed] == [(held, "waiting", 0)]
    shown = runner.invoke(app, ["release", "show", held]).output
    assert "deaths" in shown
    assert not any(name in shown for name in ("Nguyễn", "001090000001"))
    assert runner.invoke(app, ["release", "approve", held], input=why).exit_code == 0
    for who in ("alice", "bob"):
        again = runner.invoke(app, ["release", "approve", held], input=why, env={"LOGNAME": who, "USER": who})
        assert (again.exit_code, "AccessError" in again.output) == (1, True), "a variable makes nobody another person"


def dead(country: Country, *keys: str, at: str) -> dict[str, dict]:
    """Let people of a register die, and try to publish it."""
    records = [spine_record((*row[:5], "2026-09-30"), at) if row[0] in keys else spine_record(row) for row in SPINE]
    country.write("alpha_people", records)
    pipeline.sync("alpha_people")
    return pipeline.reconcile()


SMALL = "person: {minimum: 2, deaths: 0.5, changes: 0.9, window: {deaths: 0.3}}"


def test_changes_that_come_in_small_portions_are_held_together(country: Country) -> None:
    (country.home / "mapping" / "breakers.yaml").write_text(SMALL, encoding="utf-8")
    country.after(whole_job)
    first = dead(country, "a1", at=LATER)
    assert first["diff"]["held"] == 0, "one death is under the minimum"
    pipeline.publish()
    second = dead(country, "a1", "a2", at="2026-10-03T00:00:00.000000Z")
    assert second["diff"]["held"] == 1, "two deaths in two runs are not"
    with pytest.raises(ContractError, match="waits for 2 more"):
        pipeline.publish()
    store, run = country.open().store, str(second["run"])
    (passed,) = approval.show(store, run)["passed"]
    assert passed == {
        "measure": "deaths", "source": "alpha_people", "area": None, "changed": 2, "known": 5, "limit": 0.3, "days": 7,
    }  # fmt: skip
    assert "7 days" in CliRunner().invoke(app, ["release", "show", run]).output
    for who in ("user:a", "user:b"):
        approval.decide(store, run, who, "approve", "asked the owner")
    pipeline.publish()
    third = dead(country, "a1", "a2", "a4", at="2026-10-04T00:00:00.000000Z")
    assert third["diff"]["held"] == 0, "what people released is not counted again"


def test_limits_of_the_window_hold_by_register_and_province() -> None:
    """Nineteen deaths a run of one province: under the minimum of twenty each time."""
    limits = ChangeLimits(window={"changes": 1.0})
    with connect() as engine:
        engine.execute(
            """create table known as select 'zeta' as dataset, n::varchar as entity_id, if(n < 900, 'north', 'south') as place
               from range(20000) as t(n)"""
        )
        counted = [["deaths", "zeta", "north", False, 19], ["deaths", "zeta", None, True, 19]]
        assert change_guard.judge(engine, limits, counted, "known")["held"] == 0
        before = Counter({("deaths", "zeta", "north", False): 19, ("deaths", "zeta", None, True): 19})
        told = change_guard.judge(engine, limits, counted, "known", before)
        elsewhere = Counter({("deaths", "zeta", "south", False): 19, ("deaths", "zeta", None, True): 19})
        assert change_guard.judge(engine, limits, counted, "known", elsewhere)["held"] == 0
    assert told["guard"]["by_area"] == {"deaths": {"zeta": {"north": 19}}}
    assert told["guard"]["passed"] == [
        {
            "measure": "deaths",
            "source": "zeta",
            "area": "north",
            "changed": 38,
            "known": 900,
            "limit": 0.01,
            "days": 7,
        }
    ]


@pytest.mark.parametrize(("days", "held"), [(7, 0), (30, 1)])
def test_publications_before_the_window_are_not_counted(country: Country, days: int, held: int) -> None:
    limits = SMALL.replace("window:", f"window_days: {days}, window:")
    (country.home / "mapping" / "breakers.yaml").write_text(limits, encoding="utf-8")
    country.after(whole_job)
    dead(country, "a1", at=LATER)
    pipeline.publish()
    with country.open().store.engine.begin() as connection:
        connection.exec_driver_sql("update publications set recorded_at = recorded_at - interval '8 days'")
    assert dead(country, "a1", "a2", at="2026-10-03T00:00:00.000000Z")["diff"]["held"] == held


def test_a_run_that_waits_says_that_it_is_stale_before_anybody_approves_it(country: Country, held: str) -> None:
    store = country.open().store
    assert not approval.show(store, held)["stale"]
    let_die(country, "a1")
    country.write("alpha_people", [spine_record(row, "2026-10-03T00:00:00.000000Z") for row in SPINE])
    pipeline.sync("alpha_people")
    cards = [card_record((*row[:5], "GD4010000000077")) if row[0] == "b1" else card_record(row) for row in CARDS]
    country.write("beta_cards", [{**card, "updated": "2026-10-03T00:00:00.000000Z"} for card in cards])
    pipeline.sync("beta_cards")
    pipeline.reconcile()
    pipeline.publish()
    assert approval.show(store, held)["stale"]
    (listed,) = approval.listed(store)
    assert (listed["state"], listed["stale"]) == ("waiting", True)
    assert "stale" in CliRunner().invoke(app, ["release", "show", held]).output
    with pytest.raises(ContractError, match="stale: 1 publications were made"):
        approval.decide(store, held, "user:a", "approve", "checked")
    with pytest.raises(ContractError, match="stale"):
        pipeline.publish(held)
    assert approval.show(store, held)["decisions"] == [], "nobody approved what is no longer so"
    assert approval.decide(store, held, "user:a", "refuse", "stale") == "refused"
