"""The second breaker: a merge that changes too much waits for people."""

import json

import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli import app
from motlan.errors import AccessError, ConfigurationError, ContractError
from motlan.golden import release
from motlan.ledger import runs
from tests.conftest import SPINE, Country, signed_in, spine_record
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
    assert whole_job()["reconcile"]["diff"]["held"] == 0, "the first publication is no change"
    let_die(country, "a1", "a2")
    pipeline.sync("alpha_people")
    run = str(pipeline.reconcile()["run"])
    with pytest.raises(ContractError, match="waits for 2 more to release it"):
        pipeline.publish()
    return run


def test_two_people_release_it_and_it_is_published(country: Country, held: str) -> None:
    store = country.open().store
    (shown,) = release.show(store, held)["passed"][-1:]
    assert shown == {
        "measure": "deaths", "source": "alpha_people", "province": None, "changed": 2, "known": 5, "limit": 0.3,
    }  # fmt: skip
    assert release.decide(store, held, "user:a", "approve", "checked with the owner") == "waiting"
    with pytest.raises(AccessError, match="before"):
        release.decide(store, held, "user:a", "approve", "once more")
    with pytest.raises(ContractError, match="waits for 1 more"):
        pipeline.publish(held)
    pipeline.fail(held, ContractError("the task's last words"))
    assert runs.get(store, held).state == "waiting", "a failed task does not end the wait"
    assert release.decide(store, held, "user:b", "approve", "checked too") == "released"
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
    assert release.decide(store, held, "user:a", "refuse", "a mistake in the source") == "refused"
    with pytest.raises(ConfigurationError, match="waits for no release"):
        release.decide(store, held, "user:b", "approve", "why not")
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
