"""The operator's pages: every run is found, and no page shows a personal value."""

from __future__ import annotations

import re

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from motlan import pipeline
from motlan.console.pages import routes
from motlan.errors import ContractError
from tests.conftest import SPINE, Country
from tests.motlan.test_pipeline import whole_job


def test_pages_lead_from_a_job_to_a_run_and_to_what_it_read_and_wrote(country: Country) -> None:
    done = country.after(whole_job)
    country.write("beta_cards", "broken")
    with pytest.raises(ContractError):
        pipeline.sync("beta_cards")
    browser = TestClient(Starlette(routes=routes))
    start = browser.get("/console")
    assert start.headers["content-security-policy"].startswith("default-src 'none'")
    assert "ContractError" in start.text
    sync, reconcile = done["alpha_people"]["run"], done["reconcile"]["run"]
    assert browser.get("/console/dags/sync_beta_cards").url.query == b"kind=sync&subject=beta_cards"
    assert f"/console/runs/{sync}" in browser.get("/console/dags/sync_alpha_people").text
    run = browser.get(f"/console/runs/{reconcile}")
    assert all(f"<td>{step}</td>" in run.text for step in ("link", "merge", "cross_check", "diff", "publish"))
    read = browser.get(f"/console/runs/{reconcile}/lineage")
    assert f"/console/runs/{sync}" in read.text
    assert "publication 1" in read.text
    assert f"/console/runs/{reconcile}" in browser.get(f"/console/runs/{sync}/lineage").text
    rules = browser.get(f"/console/runs/{sync}/quality")
    assert re.search(r"<td>alpha_people</td><td>\w+</td>", rules.text)
    told = "".join(page.text for page in (start, run, read, rules))
    values = {value for row in SPINE for value in row if value and len(value) > 4 and not value.startswith("2026")}
    assert not [value for value in values if value in told]


def test_a_run_that_is_none_is_said_to_be_none(country: Country) -> None:
    country.open()
    answer = TestClient(Starlette(routes=routes)).get("/console/runs/<b>nobody")
    assert (answer.status_code, "there is no run &lt;b&gt;nobody" in answer.text) == (404, True)
