"""Before a full run it is said why it is one, and how long it may take."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from motlan.cli.main import app
from motlan.cli.output import duration
from tests.conftest import Country
from tests.motlan.test_pipeline import rows


def _done(*command: str) -> tuple[str, str]:
    done = CliRunner().invoke(app, list(command))
    assert done.exit_code == 0, done.output
    return done.stdout, " ".join(done.stderr.split())


def test_a_full_run_says_why_and_how_long(country: Country) -> None:
    for dataset in ("alpha_people", "beta_cards"):
        _done("sync", dataset)
    assert "person: everything is done anew: it is the first run." in _done("reconcile")[1]
    _done("publish")
    told = _done("reconcile", "--full")[1]
    ((linked,),) = rows(country, "select steps['link']['rows'] from runs where kind = 'reconcile' order by id limit 1")
    assert "person: everything is done anew: it was asked for. About " in told
    assert f" for {linked} rows, as run " in told
    _done("publish")
    link = json.loads(_done("reconcile", "--full", "--json")[0])["link"]
    assert (link["scope"], link["why"], link["changed"]) == ("full", "it was asked for", 0)


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1 s"), (34.4, "34 s"), (700.0, "12 min"), (9_000.0, "2.5 h")])
def test_a_time_is_said_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said
