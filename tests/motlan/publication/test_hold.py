"""Holds: publishing, or one agency, held back by people while landing goes on."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.errors import AccessError
from motlan.ledger import log, runs
from motlan.ledger.results import Begun
from motlan.publication import hold
from tests.conftest import CARDS, Country, card_record, signed_in
from tests.motlan.test_pipeline import LATER, rows, whole_job

WHY = json.dumps({"why": "the numbers look wrong"})


def command(*words: str, why: str = WHY, fails: bool = False, **env: str) -> dict[str, Any]:
    answer = CliRunner().invoke(app, [*words, "--json"], input=why, env=env)
    assert answer.exit_code == (1 if fails else 0), answer.output
    return json.loads(answer.stdout)


def test_what_a_held_agency_sends_lands_and_comes_in_with_the_first_run_after_the_end(country: Country) -> None:
    first = country.after(whole_job)
    store = country.open().store
    assert command("hold", "beta") == {"subject": "beta", "state": "held"}
    country.write(
        "beta_cards", [*(card_record(row) for row in CARDS[:-1]), card_record((*CARDS[-1][:5], "new"), LATER)]
    )
    done = pipeline.sync("beta_cards")
    assert done["commit"]["state"] == "visible", "landing goes on"
    began = runs.get(store, pipeline.reconcile()["run"]).result(Begun)
    assert began.inputs["beta_cards"] == [first["beta_cards"]["run"]]
    assert began.left_out == {"beta_cards": 1}
    assert command("release", "beta") == {"subject": "beta", "state": "released"}
    began = runs.get(store, pipeline.reconcile()["run"]).result(Begun)
    assert began.inputs["beta_cards"] == [first["beta_cards"]["run"], done["run"]]
    assert began.left_out == {}


def test_nothing_is_published_while_publishing_is_held(country: Country) -> None:
    command("hold", "publish")
    for dataset in ("alpha_people", "beta_cards"):
        pipeline.sync(dataset)
    pipeline.reconcile()
    with pytest.raises(AccessError, match="publishing is held since"):
        pipeline.publish()
    (held,) = command("hold", "list")
    assert (held["subject"], held["reason"], held["ended_at"]) == ("publish", "the numbers look wrong", None)
    command("release", "publish")
    assert pipeline.publish()["number"] == 1
    assert command("hold", "list") == []
    assert command("hold", "list", "--all")[0]["ended_reason"] == "the numbers look wrong"
    entries = rows(country, "select body->>'action' from log_entries where kind = 'hold' order by index")
    assert entries == [("held",), ("ended",)], "and no reason stands in the log: it may name somebody"
    with country.open().store.engine.connect() as connection:
        assert log.first_broken(connection) is None


def test_a_subject_is_checked_before_the_reason_is_asked_for(country: Country) -> None:
    told = command("hold", "gamma", why="no JSON", fails=True)["message"]
    assert told.startswith("there is no gamma that could be held")
    assert "alpha, beta" in told
    assert "gamma" in command("release", "gamma", why="no JSON", fails=True)["message"]
    assert "beta is not held" in command("release", "beta", why="no JSON", fails=True)["message"]
    command("hold", "beta")
    assert "beta is held already" in command("hold", "beta", why="no JSON", fails=True)["message"]


def test_what_a_restore_holds_ends_by_its_own_command_alone(country: Country) -> None:
    store = country.open().store
    hold.begin(store, hold.PUBLISH, hold.RESTORE, "restored")
    told = command("release", "publish", why="no JSON", fails=True)
    assert (told["error"], "motlan restore confirm" in told["message"]) == ("AccessError", True)
    hold.end(store, hold.PUBLISH, hold.RESTORE, "reconciled")
    assert hold.listed(store) == []


def test_a_reviewer_ends_no_hold(country: Country) -> None:
    command("hold", "publish")
    told = command("release", "publish", fails=True, **signed_in("chi", "reviewer"))
    assert "a reviewer releases nothing" in told["message"]
