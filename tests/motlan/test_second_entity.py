"""A second linked entity is declared, not built: companies beside persons, from landed rows to a page of their feed."""

import json
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from pydantic import BaseModel
from typer.testing import CliRunner

import schemas
from motlan import pipeline
from motlan.cli.main import app
from motlan.errors import ConfigurationError
from motlan.feeds import keys
from motlan.feeds.app import create_app
from motlan.status import status
from tests.conftest import CARDS, Country, card_record
from tests.motlan.test_pipeline import rows, whole_job

LATER = "2026-10-02T00:00:00.000000Z"
REGISTERS = ("gamma_companies", "gamma_licences", "delta_employers")
COMPANIES = [
    {"id": "c1", "number": "0312345001", "name": "Sunrise Trading", "founded": "2001-02-03"},
    {"id": "c2", "number": "0312345002", "name": "Blue River Mills", "founded": "1995-11-20"},
    {"id": "c3", "number": "0312345003", "name": "Old Harbour Works", "founded": "1988-06-01"},
]
LICENCES = [
    {"id": "l1", "number": "0312345001", "name": "SUNRISE TRADING", "founded": "2001-02-03"},
    {"id": "l2", "number": None, "name": "Blue River Mills", "founded": "1995-11-20"},
    {"id": "l3", "number": "0312345008", "name": "Tomorrow Works", "founded": "9999-12-31"},
]
EMPLOYERS = [
    {"id": "e1", "number": "0312345003", "name": "OLD HARBOUR WORKS", "founded": None, "employees": "40"},
    {"id": "e2", "number": "0312345009", "name": "Nobody Knows Me", "founded": None, "employees": "3"},
    {"id": "e3", "number": "0312345001", "name": "Sunrise Trading", "founded": None, "employees": "12"},
]


class Company(BaseModel):
    tax_code: str | None = None
    name: str | None = None
    founded: str | None = None
    employees: str | None = None


def _dataset(*columns: str) -> dict[str, Any]:
    declared = yaml.safe_load(
        """{title: {vi: C, en: C}, adapter: 'tests.country.adapter:FileAdapter', entity: company, key: id, cursor: updated,
            moment: updated, lag: 0, schedule: '0 3 * * *', freshness: 86400}"""
    )
    return {**declared, "columns": {name: name for name in ("id", "updated", *columns)}}


COLUMNS = ("number", "name", "founded")
FIELDS = {"tax_code": "fixed_digits(number, 10)", "name": "text(name)", "founded": "founded"}
MATCHING = yaml.safe_load(
    """
spine: [gamma_companies]
identifiers: [tax_code]
derived: {plain: lower(name)}
exact: [plain, founded]
blocking_rules: [[plain], [founded]]
comparisons:
  tax_code:
    levels:
      - {is: missing, when: left_tax_code is None or right_tax_code is None, missing: true}
      - {is: same, when: left_tax_code == right_tax_code, m: 0.98, u: 1.0e-8}
      - {is: another, when: "True", m: 0.02, u: 0.99999999}
  name:
    levels:
      - {is: missing, when: left_plain is None or right_plain is None, missing: true}
      - {is: same, when: left_plain == right_plain, m: 0.9, u: 0.001}
      - {is: another, when: "True", m: 0.1, u: 0.999}
  founded:
    levels:
      - {is: missing, when: left_founded is None or right_founded is None, missing: true}
      - {is: same, when: left_founded == right_founded, m: 0.95, u: 0.0001}
      - {is: another, when: "True", m: 0.05, u: 0.9999}
"""
)
AUTHORITY = {
    "tax_code": {"authority": ["gamma_companies", ["gamma_licences", "delta_employers"]], "correct": True},
    "name": {"authority": ["gamma_companies", "gamma_licences", "delta_employers"], "correct": True},
    "founded": {"authority": ["gamma_companies", "gamma_licences"]},
    "employees": {"authority": ["delta_employers"]},
}
RULES = {
    "rules": [
        {
            "name": "founded_in_time",
            "field": "founded",
            "severity": "blocking",
            "expression": "founded != '9999-12-31'",
        },
        {"name": "founded_known", "field": "founded", "severity": "warning", "expression": "founded is not None"},
    ],
    "cross_rules": [
        {"name": "same_name", "field": "name", "severity": "error", "expression": "row_name == golden_name"},
    ],
    "set_rules": [{"name": "one_code", "field": "tax_code", "severity": "error", "unique": ["tax_code"]}],
}


def declare_companies(country: Country) -> None:
    """Declare companies beside persons: three registers of two agencies, and who is believed, linked and served."""

    def agencies(content: Any) -> None:
        shared = {"owner": "An office <office@example.org>", "endpoint": "${COUNTRY_URL}", "credential": None}
        content["agencies"]["gamma"] = {
            "title": {"vi": "G", "en": "Gamma"},
            **shared,
            "datasets": {name: _dataset(*COLUMNS) for name in REGISTERS[:2]},
        }
        content["agencies"]["delta"] = {
            "title": {"vi": "D", "en": "Delta"},
            **shared,
            "datasets": {"delta_employers": _dataset(*COLUMNS, "employees")},
        }

    def rules(content: Any) -> None:
        of_person = next(rule["dimension"] for rule in content["rules"])
        for section, added in RULES.items():
            common = {"dimension": of_person, "message": {"vi": "C", "en": "C"}}
            content.setdefault(section, []).extend({**common, **rule} for rule in added)

    country.declare("adapters/agencies.yaml", agencies)
    country.declare("mapping/quality.yaml", rules)
    country.declare("mapping/authority.yaml", lambda content: content.update(company=AUTHORITY))
    country.declare("mapping/matching.yaml", lambda content: content.update(company=MATCHING))
    grant = {"delta": {"legal_basis": "the test's", "fields": ["tax_code", "name", "employees"]}}
    country.declare("mapping/grants.yaml", lambda content: content.update(company=grant))
    mappings = {
        "gamma": {name: {"fields": FIELDS} for name in REGISTERS[:2]},
        "delta": {"delta_employers": {"fields": {**FIELDS, "employees": "employees"}}},
    }
    for agency, mapping in mappings.items():
        (country.home / "mapping" / f"{agency}.yaml").write_text(yaml.safe_dump(mapping), encoding="utf-8")
    for name, records in zip(REGISTERS, (COMPANIES, LICENCES, EMPLOYERS), strict=True):
        country.write(name, _dated(records))


def _dated(records: list[dict]) -> list[dict]:
    return [{**record, "updated": "2026-09-01T00:00:00.000000Z"} for record in records]


@pytest.fixture
def both(country: Country, monkeypatch: pytest.MonkeyPatch) -> Country:
    monkeypatch.setattr(schemas, "ENTITIES", {**schemas.ENTITIES, "company": Company})
    declare_companies(country)
    return country


def companies() -> dict[str, dict]:
    done = {dataset: pipeline.sync(dataset) for dataset in REGISTERS}
    done["reconcile"] = pipeline.reconcile("company")
    done["publish"] = pipeline.publish(entity="company")
    pipeline.project(done["publish"]["run"])
    return done


def page(country: Country, agency: str, entity: str, after: int = 0) -> list[dict]:
    key = keys.issue(country.open().store, agency)
    caller = TestClient(create_app(), headers={"Authorization": f"Bearer {key}"})
    answer = caller.get(f"/v1/feeds/{entity}/changes", params={"after": after})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def persons(country: Country) -> list[tuple]:
    fields = "personal_id, full_name, birth_date, health_card_number"
    return rows(country, f"select {fields} from golden_person order by personal_id, full_name")


def test_companies_go_from_landed_rows_to_their_feed_beside_persons(both: Country) -> None:
    done = companies()
    assert done["gamma_licences"]["clean"] == done["gamma_licences"]["clean"] | {"accepted": 2, "quarantined": 1}
    golden = rows(both, "select tax_code, name, founded, employees from golden_company order by tax_code")
    assert golden == [
        ("0312345001", "Sunrise Trading", "2001-02-03", "12"),
        ("0312345002", "Blue River Mills", "1995-11-20", None),
        ("0312345003", "Old Harbour Works", "1988-06-01", "40"),
        ("0312345009", "Nobody Knows Me", None, "3"),
    ]
    corrections = rows(both, "select dataset, key, field, golden_value from corrections_company order by 1, 2")
    assert corrections == [
        ("delta_employers", "e1", "name", "Old Harbour Works"),
        ("gamma_licences", "l1", "name", "Sunrise Trading"),
    ]
    lines = page(both, "delta", "company")
    assert [line["seq"] for line in lines] == [1, 2, 3, 4]
    assert {name for line in lines for name in line["values"]} == {"tax_code", "name", "employees"}
    ids = {str(found) for (found,) in rows(both, "select company_id from golden_company")}
    assert {line["company_id"] for line in lines} == ids


def test_numbers_of_one_entitys_feed_and_runs_do_not_touch_the_others(both: Country) -> None:
    waiting = pipeline.sync("alpha_people") and pipeline.sync("beta_cards") and pipeline.reconcile("person")
    companies()
    published = pipeline.publish(waiting["run"])
    assert (published["number"], published["first_seq"]) == (2, 1), "a publication of companies makes no person's stale"
    pipeline.project(published["run"])
    assert [line["seq"] for line in page(both, "beta", "person")] == [1, 2, 3, 4, 5, 6]
    both.write("delta_employers", [{**EMPLOYERS[0], "employees": "41", "updated": LATER}, *_dated(EMPLOYERS[1:])])
    pipeline.sync("delta_employers")
    assert pipeline.reconcile()["link"]["changed"] == 0, "the first declared is the default"
    pipeline.reconcile("company")
    later = pipeline.publish(entity="company")
    assert (later["number"], later["first_seq"], later["last_seq"]) == (3, 5, 5)
    pipeline.project(entity="company")
    (line,) = page(both, "delta", "company", after=4)
    assert (line["event"], line["changed"]) == ("updated", ["employees"])
    assert set(status(both.open())["reconcile"]) == {"person", "company"}


def test_persons_are_as_they_are_without_companies(both: Country) -> None:
    companies()
    both.write("beta_cards", [card_record(row) for row in CARDS])
    done = whole_job()
    assert done["publish"]["first_seq"] == 1
    assert done["reconcile"]["cross_check"]["rules"].keys() == {"alpha_people", "beta_cards"}
    assert persons(both) == [
        ("001070000004", "Phạm Văn Dũng", "1970-02-01", "GD4010000000004"),
        ("001080000003", "Lê Văn Cường", "1980-07-08", "GD4010000000003"),
        ("001090000001", "Nguyễn Văn An", "1990-02-03", "GD4010000000001"),
        ("001090000001", "Võ Thị Mai", "2001-01-01", "GD4010000000005"),
        ("001190000002", "Trần Thị Bình", "1990-05-06", "GD4010000000002"),
        ("001190000005", "Hoàng Thị Hòa", "1990-11-12", None),
    ]
    scores = status(both.open())["quality"]
    assert all(any(score is not None for score in scores[agency].values()) for agency in ("alpha", "beta", "gamma"))


def test_the_command_line_names_the_entity(both: Country) -> None:
    for dataset in REGISTERS:
        pipeline.sync(dataset)
    for command in ("reconcile", "publish"):
        answer = CliRunner().invoke(app, [command, "--entity", "company", "--json"])
        assert answer.exit_code == 0, answer.output
    asked = CliRunner().invoke(app, ["lineage", "name", "--entity", "company", "--json"], input="0312345001\n")
    assert asked.exit_code == 0, asked.output
    assert json.loads(asked.stdout)["fields"][0]["replays_equal"]


def test_an_entity_that_is_not_declared_whole_is_refused_with_its_file(both: Country) -> None:
    both.declare("mapping/matching.yaml", lambda content: content.pop("company"))
    with pytest.raises(ConfigurationError, match=r"matching\.yaml"):
        both.open()
