"""What the store cannot hold stops nobody: it is dropped, or its row is held; what is numbered can be projected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.config.canonical import schema_rules
from motlan.config.quality import RowRule
from motlan.config.registry import Registry, load
from motlan.config.storable import GIVEN, KEY, MOMENT
from motlan.errors import ConfigurationError, InternalError
from motlan.expressions import DUCKDB, FUNCTIONS, connect, load_code_lists, one, parse
from motlan.projection import preflight
from motlan.quarantine import decisions
from motlan.store import tables
from motlan.workspace import open_workspace
from tests.conftest import CARDS, SPINE, Country, card_record, spine_record
from tests.motlan.test_pipeline import whole_job

NUL = "\0"


def golden(country: Country) -> list[dict[str, object]]:
    with country.open().store.engine.connect() as connection:
        found = connection.execute(sa.text("select * from golden_person order by person_id"))
        return [dict(row) for row in found.mappings()]


def test_no_character_that_cannot_be_stored_stops_the_others(country: Country) -> None:
    people = [spine_record(row) for row in SPINE]
    cards = [card_record(row) for row in CARDS]
    for number, field in enumerate(("number", "name", "born", "sex", "died")):
        people[number][field] = f"{people[number][field] or '2020-01-01'}{NUL}"
    for record in cards:  # one of them disagrees, so that its key and its values are a correction's too
        record["card"] = f"{NUL}{record['card']}{NUL}"
    cards += [{**card_record(CARDS[0]), "id": key} for key in (f"k{NUL}1", "k" * 5000, "")]
    country.write("alpha_people", people)
    country.write("beta_cards", cards)
    done = country.after(whole_job)
    assert done["beta_cards"]["clean"]["quarantined"] == 4, "three that cannot be stored, and the one without a name"
    found = golden(country)
    assert len(found) >= len(SPINE)
    assert {row["health_card_number"] for row in found if row["health_card_number"]} == {row[5] for row in CARDS[:5]}
    assert not any(NUL in str(value) for row in found for value in row.values())
    with country.open().store.engine.connect() as connection:
        table = tables.quarantine_entries.c
        rules = connection.execute(sa.select(table.rules, sa.func.length(table.source_key))).all()
    assert sorted(rule for broken, _ in rules for rule in broken) == ["has_a_name", "key_given", *["key_storable"] * 2]
    assert max(length for _, length in rules) < 300
    with country.open().store.engine.connect() as connection:
        held = connection.scalars(sa.select(table.id).where(table.rules.contains(["key_storable"]))).all()
    with pytest.raises(ConfigurationError, match="cannot be waived"):
        decisions.waive(country.open(), held[0], "user:test", "a test")
    assert decisions.waive_all(country.open(), "beta_cards", "key_storable", "user:test", "a test") == 0


VALUES = ["a", NUL, f"a{NUL}", "ộ" * 400, "", None]


@pytest.mark.parametrize(
    ("rule", "answers"),
    [
        (KEY, [True, False, False, False, True, None]),
        (MOMENT, [True, False, False, False, True, None]),
        (GIVEN, [True, True, True, True, False, False]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_dataset_is_asked_what_the_store_can_hold(rule: RowRule, answers: list[bool | None]) -> None:
    with duckdb.connect() as engine:
        engine.register("given", pa.table({rule.field: pa.array(VALUES, pa.string())}))
        found = engine.execute(f"select {rule.parsed.sql(DUCKDB)} from given").fetchall()
    assert [row[0] for row in found] == answers


def without_rules_of_the_schema(home: Path) -> Registry:
    loaded = load(home)
    made = {rule.name for rule in schema_rules([entity.model for entity in loaded.entities.values()])}
    kept = tuple(rule for rule in loaded.rules.rows if rule.name not in made)
    return replace(loaded, rules=replace(loaded.rules, rows=kept))


@contextmanager
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Clean as an earlier version did, which let everything through."""
    with monkeypatch.context() as patch:
        patch.setattr("motlan.ingest.clean._storable", lambda made: True)
        patch.setattr("motlan.workspace.declared.load", without_rules_of_the_schema)
        yield patch


@pytest.fixture
def damaged(country: Country, monkeypatch: pytest.MonkeyPatch) -> Country:
    """A publication that is numbered and that the store does not take, as an earlier version could make."""
    country.after(whole_job)
    cards = [card_record(row) for row in CARDS]
    cards[0] = card_record(("b1", *CARDS[0][1:5], f"GD401000{NUL}0000009"), "2026-09-03T00:00:00.000000Z")
    country.write("beta_cards", cards)
    with as_before(monkeypatch) as patch:
        patch.setattr("motlan.pipeline.preflight.prove", lambda *_: None)
        pipeline.sync("beta_cards")
        pipeline.reconcile()
        assert pipeline.publish()["number"] == 2
    return country


def test_a_numbered_publication_that_the_store_does_not_take_is_mended(damaged: Country) -> None:
    with pytest.raises(InternalError, match=r"publication 2 .*health_card_number: 1 rows.*project --mend"):
        pipeline.project()
    assert CliRunner().invoke(app, ["project", "--mend"]).exit_code == 0
    assert "GD4010000000009" in {row["health_card_number"] for row in golden(damaged)}
    with damaged.open().store.engine.connect() as connection:
        table = tables.log_entries.c
        (body,) = connection.scalars(sa.select(table.body).where(table.kind == "projection mended"))
    assert body["left_out"] == {"golden_person.health_card_number": 1}
    others = [spine_record(row, "2026-09-04T00:00:00.000000Z") for row in SPINE[1:]]
    damaged.write("alpha_people", [spine_record(SPINE[0]), *others])
    pipeline.sync("alpha_people")
    pipeline.reconcile()
    published = pipeline.publish()
    assert pipeline.project(published["run"])["publications"] == (1 if published["number"] else 0)


def test_a_publication_that_the_store_would_not_take_is_not_numbered(
    country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = [card_record(row) for row in CARDS]
    cards[2]["card"] = f"GD{NUL}"
    country.write("beta_cards", cards)
    with as_before(monkeypatch):
        for dataset in ("alpha_people", "beta_cards"):
            pipeline.sync(dataset)
    pipeline.reconcile()
    with pytest.raises(InternalError, match=r"golden_person.health_card_number: 1 rows\): it is not numbered"):
        pipeline.publish()
    with open_workspace().store.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.publications)).scalar_one() == 0
    published = pipeline.publish(mend=True)
    assert (published["number"], pipeline.project(published["run"], mend=True)["publications"]) == (1, 1)


@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if function.storable])
@pytest.mark.slow
def test_what_is_not_asked_again_never_answers_with_what_cannot_be_stored(name: str) -> None:
    place = 1 if name in ("code", "code_at") else 0
    asked: dict[str, list[str]] = {}
    for arguments, _ in FUNCTIONS[name].examples:
        if len(arguments) > place and isinstance(said := arguments[place], str):
            written = ", ".join("x" if at == place else repr(value) for at, value in enumerate(arguments))
            asked.setdefault(written, []).extend((f"{said}{NUL}", f"{NUL}{said}", f"{said[:2]}{NUL}{said[2:]}", NUL))
    with connect(threads=1) as engine:
        load_code_lists(engine, load().code_lists)
        for written, values in asked.items():
            engine.register("given", pa.table({"x": values}))
            sql = parse(f"{name}({written})").sql(DUCKDB)
            found = one(engine, f"select count(*) filter (contains({sql}, chr(0))) from given")
            assert found == (0,), "it belongs among those that are asked"


ODD = st.lists(st.sampled_from(["a", "é", NUL, "\\", "u0000"]), max_size=6).map("".join) | st.none()


@given(rows=st.lists(st.tuples(ODD, ODD, st.sampled_from(["{}", '{"a": "\\u0000"}', '{"a": "\\\\u0000"}', "{"]))))
@pytest.mark.slow
def test_what_is_mended_is_not_refused(rows: list[tuple[str | None, str | None, str]]) -> None:
    question = preflight.Asked("t", [], ("key", "value"), ("key",), indexed=("value",), json=("evidence",))
    with duckdb.connect() as engine:
        engine.execute("create table rows (key varchar, value varchar, evidence varchar)")
        engine.executemany("insert into rows values (?, ?, ?)", [*rows, ("k", "v" * 3000, "{}")])
        engine.execute(f"create table mended as from {preflight.mended(question, 'rows')}")
        refusals = " or ".join(f"coalesce({bad}, false)" for bad in question.refusals().values())
        assert one(engine, f"select count(*) filter ({refusals}), count(*) from mended") == (0, len(rows) + 1)
