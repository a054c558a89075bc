"""A lineage as PROV-JSON and as a picture, and the command that writes them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from lxml import etree
from typer.testing import CliRunner

from motlan.cli.main import app
from motlan.lineage.trace import find_person
from motlan.workspace import Workspace
from tests.conftest import Country
from tests.motlan.test_pipeline import whole_job

NAME = re.compile(r"[A-Za-z_][\w.-]*:[\w.-]+")
RELATIONS = {
    "wasGeneratedBy": {"prov:entity": "entity", "prov:activity": "activity"},
    "used": {"prov:activity": "activity", "prov:entity": "entity"},
    "wasDerivedFrom": {"prov:generatedEntity": "entity", "prov:usedEntity": "entity"},
    "wasAttributedTo": {"prov:entity": "entity", "prov:agent": "agent"},
    "wasAssociatedWith": {"prov:activity": "activity", "prov:agent": "agent", "prov:plan": "entity"},
}
"""Relations of PROV-JSON (W3C member submission of 24 April 2013, section 3.2), and what their ends are."""


@pytest.fixture
def work(country: Country) -> Workspace:
    country.after(whole_job)
    return country.open()


def asked(*words: str) -> Result:
    return CliRunner().invoke(app, ["lineage", *words])


def require_prov(document: dict[str, Any]) -> None:
    """Hold a document to the rules of the submission."""
    assert document.keys() <= {"prefix", "entity", "activity", "agent", *RELATIONS}
    prefixes = {*document["prefix"], "prov", "xsd", "_"}
    for kind in ("entity", "activity", "agent"):
        for name, record in document[kind].items():
            assert NAME.fullmatch(name) and name.partition(":")[0] in prefixes
            for attribute, value in record.items():
                assert NAME.fullmatch(attribute) and attribute.partition(":")[0] in prefixes
                assert isinstance(value, str) or value.keys() == {"$", "type"}
    for relation, ends in RELATIONS.items():
        for name, record in document[relation].items():
            assert name.startswith("_:")
            assert record.keys() <= ends.keys()
            assert ends.keys() - record.keys() <= {"prov:plan"}
            assert all(target in document[ends[end]] for end, target in record.items())


def test_prov_json_keeps_to_the_submission_and_leads_from_the_value_to_the_owner(work: Workspace) -> None:
    person = find_person(work, "person", "001070000004")
    told = asked(person, "birth_date", "--prov", "-")
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    require_prov(document)
    derived = {one["prov:generatedEntity"]: one["prov:usedEntity"] for one in document["wasDerivedFrom"].values()}
    reached = [f"motlan:value-{person}-birth_date"]
    while reached[-1] in derived:
        reached.append(derived[reached[-1]])
    assert document["entity"][reached[-1]]["prov:type"]["$"] == "motlan:Payload"
    owner = next(one["prov:agent"] for one in document["wasAttributedTo"].values() if one["prov:entity"] == reached[-1])
    assert document["agent"][owner]["prov:label"].startswith("Beta office")


def test_a_picture_is_well_formed_stands_alone_and_has_titles(work: Workspace, tmp_path: Path) -> None:
    person = find_person(work, "person", "001070000004")
    target = tmp_path / "birth_date.svg"
    told = asked("birth_date", "--person", person, "--svg", str(target))
    assert told.exit_code == 0, told.output
    picture = etree.parse(str(target)).getroot()
    svg = "{http://www.w3.org/2000/svg}"
    titles = [title.text for title in picture.iter(f"{svg}title")]
    assert titles[0] == "birth date: 1970-02-01"
    assert len(titles) == 2 + len(list(picture.iter(f"{svg}g"))) - 1
    assert "1970-02-01" in str(picture.findtext(f"{svg}desc"))
    assert not [one for one in picture.iter() if one.tag in (f"{svg}script", f"{svg}image", f"{svg}style")]
    assert "http" not in target.read_text().replace("http://www.w3.org/2000/svg", "")


def test_the_whole_tree_is_there_for_machines(work: Workspace) -> None:
    person = find_person(work, "person", "001070000004")
    told = json.loads(asked(person, "birth_date", "sex", "--json").stdout)
    assert [chain["field"] for chain in told["fields"]] == ["birth_date", "sex"]
    assert told["person_id"] == person
    assert told["fields"][0]["told"].startswith("The state holds that the birth date of this person is “1970-02-01”.")
    assert told["looks"][0]["what"] == "lineage.read"


def test_a_moment_or_a_picture_that_cannot_be_is_refused_with_the_next_step(work: Workspace) -> None:
    person = find_person(work, "person", "001070000004")
    assert "this is no moment" in asked("--person", person, "--as-of", "yesterday").output
    assert "name one field" in asked("--person", person, "--svg", "-").output
