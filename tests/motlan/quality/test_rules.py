"""Rules of every scope: what a wrong one is told, and what a right one finds in the small country."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from motlan import pipeline
from motlan.config import registry
from motlan.config.quality import PersonRule, RegisterRule, RowRule
from motlan.errors import ConfigurationError
from motlan.expressions import connect
from motlan.quality import person_rules, row_rules
from motlan.quality.register_rules import ask
from motlan.quality.rule_counts import assessed, decode
from tests.conftest import CARDS, SPINE, Country, card_record, spine_record

MESSAGE = {"vi": "Sai", "en": "Wrong"}
COMMON = {"field": "personal_id", "dimension": "validity", "severity": "error", "message": MESSAGE}


def added(section: str, **rule: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        content.setdefault(section, []).append({"name": "new_rule", **COMMON, **rule})

    return change


@pytest.mark.parametrize(
    ("change", "key", "told", "mend"),
    [
        (added("rules", expression="sex == 'male'", severity="grave"), "severity", "severity", "blocking"),
        (added("rules", expression="sex == 'male'", wieght=2), "wieght", "wieght", "did you mean weight"),
        (added("rules", expression="sex = 'male'"), "expression", "column", "=="),
        (added("rules", expression="sexx == 'male'"), "expression", "sexx", "did you mean sex"),
        (
            added("rules", expression="sent(personl_id) == 'x'"),
            "expression",
            "no dataset has sent(personl_id)",
            "did you mean sent(personal_id)",
        ),
        (
            added("rules", expression="sent(health_card_number) == 'x'", datasets=["alpha_people"]),
            "expression",
            "alpha_people has no sent(health_card_number)",
            "did you mean",
        ),
        (added("rules", expression="sent('x') == 'x'"), "expression", "sent takes a field", "sent(field)"),
        (
            added("cross_rules", expression="sent(sex) == golden_sex"),
            "expression",
            "no dataset has sent(sex)",
            "did you mean",
        ),
        (
            added("person_rules", expression="rows == 1", datasets={"entity": "persn"}),
            "datasets",
            "no dataset is about an entity persn",
            "did you mean person",
        ),
        (
            added("person_rules", expression="rows == 1", datasets=["beta_cards"], excepted=["alpha_people"]),
            "excepted",
            "either its datasets or those that are excepted",
            "drop",
        ),
        (
            added("rules", expression="sex == 'male'", datasets=["gamma"]),
            "datasets",
            "no dataset gamma",
            "did you mean",
        ),
        (added("rules", expression="sex == 'male'", field="shoe"), "field", "no field shoe", "did you mean"),
        (added("rules", expression="sex == 'male'", name="has_a_name"), "name", "two rules", "another name"),
        (added("cross_rules", expression="sex == 'male'"), "expression", "no dataset has sex", "did you mean"),
        (added("cross_rules", expression="row_sex == golden_sex", severity="blocking"), "severity", "block", "warning"),
        (added("person_rules", expression="count_shoe == 1"), "expression", "count_shoe", "did you mean"),
        (added("register_rules", expression="rows > 1"), "expression", "rows", "did you mean"),
        (added("set_rules"), "name", "unique or refers", "mend"),
        (added("set_rules", unique=["shoe"]), "name", "no field shoe", "did you mean"),
        (added("set_rules", refers={"dataset": "gamma", "field": "sex"}), "refers", "no dataset gamma", "did you mean"),
        (lambda content: content.update(ruels=[]), "ruels", "no section ruels", "did you mean rules"),
    ],
)
def test_a_wrong_rule_is_refused_with_file_line_and_mend(
    country_files: Country, change: Callable[[Any], None], key: str, told: str, mend: str
) -> None:
    country_files.declare("mapping/quality.yaml", change)
    with pytest.raises(ConfigurationError) as caught:
        registry.load(country_files.home)
    lines = (country_files.home / "mapping" / "quality.yaml").read_text(encoding="utf-8").splitlines()
    file, _, line = caught.value.where.partition(", line ")
    assert file == "mapping/quality.yaml"
    assert key in lines[int(line) - 1] or (key == "name" and lines[int(line) - 1].startswith("- "))
    assert told in caught.value.what
    assert mend in caught.value.next_step


def test_a_wrong_limit_is_refused_with_its_line(country_files: Country) -> None:
    path = country_files.home / "mapping" / "scoring.yaml"
    path.write_text("green: 90\nbreaker:\n  rise: 2\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"scoring\.yaml, line 3"):
        registry.load(country_files.home)
    path.write_text("green: 90\nyellow: 95\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="must not lie above"):
        registry.load(country_files.home)
    path.write_text("datasets:\n  gamma: {rise: 0.5}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 2"):
        registry.load(country_files.home)


@pytest.fixture
def engine() -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(threads=1) as con:
        yield con


def test_what_was_assessed_is_kept_in_bits_however_many_rules_there_are(engine: duckdb.DuckDBPyConnection) -> None:
    rules = [
        RowRule.model_validate({"name": f"rule_{place}", **COMMON, "expression": "sex is None"}) for place in range(70)
    ]
    asked = {place for place in range(70) if place % 3 == 0 or place in (61, 62, 69)}
    answers = ", ".join(f"{'true' if place in asked else 'null::boolean'} as _rule_rule_{place}" for place in range(70))
    words = engine.execute(f"select {assessed(rules)} from (select {answers})").fetchall()[0][0]
    assert decode([rule.name for rule in rules], words) == [f"rule_{place}" for place in sorted(asked)]


def test_a_register_rule_with_a_share_tells_how_much_is_there(engine: duckdb.DuckDBPyConnection) -> None:
    rule = RegisterRule.model_validate(
        {"name": "all_here", **COMMON, "expression": "records >= source_total"}
        | {"share": {"have": "records", "of": "source_total"}}
    )
    assert ask(engine, rule, {"records": 8, "source_total": 10}) == (10, 8)
    assert ask(engine, rule, {"records": 12, "source_total": 10}) == (10, 10)
    assert ask(engine, rule, {"records": 12, "source_total": None}) == (0, 0)
    whole = rule.model_copy(update={"share": None})
    assert ask(engine, whole, {"records": 8, "source_total": 10}) == (1, 0)


def test_a_person_rule_counts_the_values_of_the_rows_that_it_takes(engine: duckdb.DuckDBPyConnection) -> None:
    rule = PersonRule.model_validate(
        {"name": "one_school", **COMMON, "when": "enrolment_status == 'enrolled'"}
        | {"expression": "count_school == 1 if count_school > 0 else None"}
    )
    engine.execute(
        """create table linked as from (values
            ('d', 'k1', 'r1', 'p1', null, 'A', 'enrolled'), ('d', 'k2', 'r2', 'p1', null, 'B', 'left'),
            ('d', 'k3', 'r3', 'p2', '01', 'A', 'enrolled'), ('d', 'k4', 'r4', 'p2', '01', 'B', 'enrolled'),
            ('e', 'k5', 'r5', 'p1', null, 'C', 'enrolled'))
            as v(dataset, _key, _ref, entity_id, area, school, enrolment_status)"""
    )
    engine.execute(
        "create table golden as from (values ('p1', null), ('p2', '02'), ('p3', '03')) as v(entity_id, area)"
    )
    query = person_rules.answers_query([rule], "d", "linked", "golden", "'2026-10-01'")
    found = engine.execute(f"select entity_id, _key, area, _rule_one_school from ({query}) order by all").fetchall()
    assert found == [("p1", "k1", None, True), ("p2", "k3", "01", False), ("p3", "person/p3", "03", None)]


RULES = {
    "set_rules": {"name": "number_unique", **COMMON, "unique": ["personal_id"]},
    "person_rules": {"name": "has_a_card", **COMMON, "datasets": ["beta_cards"], "dimension": "completeness"}
    | {"expression": "rows > 0 if golden_death_date is None else None", "field": "health_card_number"},
    "register_rules": {"name": "all_here", **COMMON, "expression": "records >= source_total", "field": "_key"}
    | {"share": {"have": "records", "of": "source_total"}, "dimension": "completeness"},
    "cross_rules": {"name": "name_agrees", **COMMON, "field": "full_name", "dimension": "accuracy"}
    | {"expression": "name_key(row_full_name) == name_key(golden_full_name)"},
}


def declare_all(country: Country) -> None:
    for section, rule in RULES.items():
        country.declare(
            "mapping/quality.yaml", lambda content, at=section, new=rule: content.setdefault(at, []).append(new)
        )


@pytest.mark.slow
def test_rules_of_every_scope_find_what_is_wrong_and_nothing_else(country: Country) -> None:
    declare_all(country)
    country.write(
        "alpha_people",
        [
            *(spine_record(row) for row in SPINE),
            spine_record(("a9", "001090000001", "Nguyễn Văn An", "1990-02-03", "male", None)),
        ],
    )
    country.write("beta_cards", [card_record(row) for row in CARDS])
    for dataset in ("alpha_people", "beta_cards"):
        pipeline.sync(dataset)
    found = pipeline.reconcile()["cross_check"]["rules"]
    alpha, beta = found["alpha_people"], found["beta_cards"]
    assert alpha["number_unique"] == [6, 4], "two records share one number"
    assert beta["number_unique"] == [4, 2], "two cards carry one number, one card has none, one is in quarantine"
    assert alpha["all_here"] == [6, 6]
    assert beta["all_here"] == [6, 6], "a quarantined record is here"
    assert "name_agrees" not in alpha, "the authority is not asked whether it agrees with itself"
    assert beta["name_agrees"] == [4, 4], "nor a row that the golden value was taken from"
    assert beta["has_a_card"] == [5, 4], "Hòa's card is in quarantine; the dead are not asked"
    assert alpha["has_a_name"] == [6, 6]
    assert beta["has_a_name"] == [6, 5], "row rules count as the register stands, with what waits in quarantine"


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ([], []),
        ([7], [7]),
        ([10, 10], [10, 10]),
        ([10, 10, 10, 10, 6], [20, 26]),
        ([10] * 12, [20, 30, 20, 30, 20]),
        ([40, 1, 1, 1], [40, 3]),
        ([0], [0]),
    ],
)
def test_landed_files_go_in_alike_chunks(
    counts: list[int], sizes: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_CLEANED_CHUNK_ROWS", "25")
    files = []
    for number, count in enumerate(counts):
        files.append(str(tmp_path / f"{number:06d}.parquet"))
        pq.write_table(pa.table({"one": range(count)}), files[-1])
    found = row_rules.chunks(files)
    assert [path for chunk in found for path in chunk] == files
    assert [sum(pq.read_metadata(path).num_rows for path in chunk) for chunk in found] == sizes
