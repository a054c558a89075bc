"""A column that comes out null or failing in most rows stops the run; a value that is not its type's is held."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from motlan import pipeline
from motlan.config import registry
from motlan.errors import ConfigurationError, ContractError
from motlan.status import status
from motlan.store import tables
from tests.conftest import Country, card_record, spine_record


def cards(count: int, /, **changed: str | None) -> list[dict[str, str | None]]:
    rows = [(f"c{place}", None, "Lê Văn An", f"{place % 28 + 1:02}/02/1990", "male", None) for place in range(count)]
    return [card_record(row) | changed for row in rows]


def mapped(**fields: str) -> Callable[[Any], None]:
    return lambda content: content["beta_cards"]["fields"].update(fields)


@pytest.mark.parametrize(
    ("field", "expression"),
    [
        ("birth_date", "coalesce(card, partial_date(born, 'dmy'))"),
        ("sex", "text(card)"),
        ("health_card_number", "text(card)"),
    ],
)
def test_a_value_that_does_not_meet_its_type_is_held_whatever_made_it(
    country: Country, field: str, expression: str
) -> None:
    country.declare("mapping/beta.yaml", mapped(**{field: expression}))
    records = cards(30)
    for place in (3, 8):
        records[place]["card"] = "01"
    country.write("beta_cards", records)
    found = pipeline.sync("beta_cards")
    assert (found["clean"]["accepted"], found["clean"]["quarantined"]) == (28, 2)
    with country.open().store.engine.connect() as connection:
        rules = connection.scalars(sa.select(tables.quarantine_entries.c.rules)).all()
    assert all(f"schema_{field}" in broken for broken in rules)


def test_a_name_longer_than_its_type_allows_is_held(country: Country) -> None:
    records = cards(30)
    records[5]["name"] = "Lê " + "An " * 100
    country.write("beta_cards", records)
    assert pipeline.sync("beta_cards")["clean"]["quarantined"] == 1


def test_a_text_that_is_longer_than_its_source_may_send_holds_its_row_alone(country: Country) -> None:
    records = cards(30)
    records[5]["card"] = "x" * 9000
    records[6]["unknown"] = "x" * 9000
    country.write("beta_cards", records)
    found = pipeline.sync("beta_cards")["clean"]
    assert (found["accepted"], found["quarantined"]) == (29, 1), "what nobody reads harms nobody"
    with country.open().store.engine.connect() as connection:
        (rules,) = connection.scalars(sa.select(tables.quarantine_entries.c.rules)).all()
    assert "text_bounded" in rules


def test_a_mapping_from_the_wrong_column_stops_the_run_with_its_name_and_form(country: Country) -> None:
    country.declare("mapping/beta.yaml", mapped(birth_date="text(card)"))
    country.write("beta_cards", cards(40, card="01"))
    with pytest.raises(ContractError, match="column card breaks schema_birth_date in 40 of 40 rows") as caught:
        pipeline.sync("beta_cards")
    assert "look like `99`" in caught.value.what
    found = status(country.open())["datasets"]["beta_cards"]
    assert found["state"] == "failed"
    assert found["breaker"] == {"column": "card", "rows": 40, "bad": 40, "form": "`99`"}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"born": "1990-13-41"},
            "column born could not be read in 30 of 30 rows; most of its values look like `9…-99-99`",
        ),
        ({"number": "0010900"}, "column number could not be read in 30 of 30 rows; most of its values look like `9…`"),
        ({"name": None}, "column name gives no full_name in 30 of 30 rows; most of its values look like nothing"),
    ],
)
def test_a_column_that_comes_out_null_stops_the_run(
    country: Country, changed: dict[str, str | None], told: str
) -> None:
    country.write("beta_cards", cards(30, **changed))
    with pytest.raises(ContractError) as caught:
        pipeline.sync("beta_cards")
    assert told in caught.value.what
    assert "scoring.yaml" in caught.value.next_step


def test_a_column_of_which_few_rows_say_anything_stops_nothing(country: Country) -> None:
    records = cards(30)
    for place in range(10):
        records[place]["number"] = "0010900"
    country.write("beta_cards", records)
    assert pipeline.sync("beta_cards")["commit"]["state"] == "visible"


def test_a_register_may_be_allowed_a_column_that_seldom_can_be_read(country: Country) -> None:
    (country.home / "mapping" / "scoring.yaml").write_text(
        "datasets: {beta_cards: {failing_share: 1}}", encoding="utf-8"
    )
    country.write("beta_cards", cards(30, number="0010900"))
    assert pipeline.sync("beta_cards")["commit"]["state"] == "visible"


def test_a_column_that_two_fields_share_counts_as_read_by_either(country: Country) -> None:
    country.declare("mapping/beta.yaml", mapped(old_identity_number="old_identity_number(number)"))
    country.write("beta_cards", cards(30, number="012345678"))
    country.declare("mapping/quality.yaml", lambda content: content["rules"].pop(1))
    assert pipeline.sync("beta_cards")["clean"]["filled"]["old_identity_number"] == 30


MESSAGE = {"vi": "Sai", "en": "Wrong"}
RULE = {"field": "birth_date", "dimension": "completeness", "message": MESSAGE}


def test_a_blocking_rule_holds_for_all_datasets_but_those_that_it_excepts(country: Country) -> None:
    rule = {"name": "new_rule", **RULE, "severity": "blocking", "expression": "ethnicity is not None or sex == 'male'"}
    country.declare(
        "mapping/quality.yaml", lambda content: content["rules"].append(rule | {"excepted": ["alpha_people"]})
    )
    found = registry.load(country.home)
    asked = {name: [rule.name for rule in found.row_rules_of(found.dataset(name))] for name in found.datasets}
    assert "new_rule" in asked["beta_cards"], "a field that a dataset does not have is null to it"
    assert "new_rule" not in asked["alpha_people"]
    country.write("alpha_people", [spine_record(("a1", "001190000002", "Trần Thị Bình", "1990-05-06", "female", None))])
    country.write("beta_cards", [card_record(("b1", None, "Trần Thị Bình", "06/05/1990", "female", None))])
    assert pipeline.sync("alpha_people")["clean"]["quarantined"] == 0
    assert pipeline.sync("beta_cards")["clean"]["quarantined"] == 1


def test_a_blocking_rule_for_some_datasets_alone_is_refused(country_files: Country) -> None:
    rule = {
        "name": "new_rule",
        **RULE,
        "severity": "blocking",
        "expression": "sex is not None",
        "datasets": ["beta_cards"],
    }
    country_files.declare("mapping/quality.yaml", lambda content: content["rules"].append(rule))
    with pytest.raises(ConfigurationError, match="excepted"):
        registry.load(country_files.home)


def test_a_rule_may_read_what_was_sent_for_a_field_whatever_its_column_is_called(country_files: Country) -> None:
    rule = {"name": "as_sent", **RULE, "severity": "error", "expression": "sent(birth_date) == birth_date"}
    country_files.declare("mapping/quality.yaml", lambda content: content["rules"].append(rule))
    found = registry.load(country_files.home)
    texts = {
        rule.expression
        for name in found.datasets
        for rule in found.row_rules_of(found.dataset(name))
        if rule.name == "as_sent"
    }
    assert texts == {"raw_born == birth_date"}


def test_a_rule_may_hold_for_all_datasets_of_an_entity_but_some(country_files: Country) -> None:
    rule = {"name": "dated", **RULE, "severity": "blocking", "expression": "birth_date is not None"}
    rule |= {"datasets": {"entity": "person"}, "excepted": ["beta_cards"]}
    country_files.declare("mapping/quality.yaml", lambda content: content["rules"].append(rule))
    found = registry.load(country_files.home)
    asked = {name for name in found.datasets for one in found.row_rules_of(found.dataset(name)) if one.name == "dated"}
    assert asked == set(found.datasets) - {"beta_cards"}
    assert not found.rules.by_name["dated"].applies_to("beta_cards")
