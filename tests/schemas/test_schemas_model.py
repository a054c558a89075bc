"""The canonical model: every field optional, typed by form, and the same in every declaration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, ValidationError

from schemas import ENTITIES, Person
from schemas.education import Enrolment, SchoolStaff
from schemas.insurance import Membership
from schemas.person import Identity
from schemas.tax import Taxpayer

HOME = Path(__file__).parents[2]

GOOD = {
    "personal_id": "001090000001",
    "old_identity_number": "012345678",
    "full_name": "H'Hen Niê",
    "birth_date": "1945-05",
    "sex": "female",
    "ethnicity": "12",
    "marital_status": "single",
    "birth_place": "00004",
    "birth_province": "01",
    "residence_commune": "00097",
    "residence_candidates": "00097;00004",
    "residence_province": "01",
    "death_date": "2026-01-01",
    "tax_code": "0100109106001",
    "taxpayer_status": "awaiting_verification",
    "employer_tax_code": "0100109106",
    "social_insurance_code": "0123456789",
    "health_card_number": "GD4010123456789",
    "insurance_status": "active",
    "education_id": "0123456789",
    "school": "01000123",
    "school_class": "12",
    "school_year": "2026-2027",
    "enrolment_status": "enrolled",
    "staff_position": "Giáo viên",
    "staff_status": "working",
}


def test_a_person_may_know_everything_or_nothing() -> None:
    assert set(GOOD) == set(Person.model_fields)
    assert Person(**GOOD).model_dump() == GOOD
    assert set(Person().model_dump().values()) == {None}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("personal_id", "00109000001"),
        ("personal_id", "00109000000a"),
        ("old_identity_number", "12345678"),
        ("full_name", " An"),
        ("full_name", "An  Bình"),
        ("full_name", ""),
        ("birth_date", "1945-5"),
        ("birth_date", "01/05/1945"),
        ("sex", "Nam"),
        ("ethnicity", "56"),
        ("residence_commune", "4"),
        ("residence_candidates", "00097"),
        ("tax_code", "01001091"),
        ("health_card_number", "GD6010123456789"),
        ("school_class", "13"),
        ("school_year", "2026"),
        ("enrolment_status", "dang_hoc"),
        ("religion", "none"),
    ],
)
def test_other_forms_are_refused(field: str, value: str) -> None:
    with pytest.raises(ValidationError):
        Person(**{field: value})


def test_the_fields_that_identify_are_marked() -> None:
    marked = [name for name, info in Person.model_fields.items() if (info.json_schema_extra or {}).get("identity")]
    assert marked == ["personal_id", "full_name", "birth_date", "sex"]


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=list(ENTITIES))
def test_every_field_is_described_in_both_languages(entity: type[BaseModel]) -> None:
    for name, info in entity.model_fields.items():
        assert (info.description and "(" in info.description) or name in {"death_date"}, name


def test_a_person_is_made_of_the_parts_and_adds_nothing() -> None:
    parts = [Identity, Taxpayer, Membership, Enrolment, SchoolStaff]
    assert set(Person.model_fields) == {field for part in parts for field in part.model_fields}


def test_json_schema_carries_the_patterns() -> None:
    schema = Person.model_json_schema()["properties"]["personal_id"]
    assert schema["anyOf"][0]["pattern"] == r"^\d{12}$"


def test_each_field_has_an_authority() -> None:
    declared = yaml.safe_load((HOME / "mapping" / "authority.yaml").read_text(encoding="utf-8"))
    assert set(declared["person"]) == set(Person.model_fields)
