"""A source's columns and the bus's own never meet, whatever a source calls its fields."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from motlan import pipeline
from motlan.adapter import LOCATOR
from motlan.errors import ContractError, InternalError
from motlan.expressions import one
from motlan.ingest import land, raw_columns
from motlan.ledger.row_commitments import commitment
from motlan.lineage.evidence import gather
from motlan.lineage.replay import replay
from motlan.lineage.sample import sample
from motlan.quarantine import decisions, export, listing
from motlan.store import tables
from tests.conftest import CARDS, SPINE, Country, card_record, spine_record
from tests.motlan.test_pipeline import whole_job

DECLARED = ("id", "updated", "Name", "name")
DATASET = SimpleNamespace(
    name="any_rows",
    key="id",
    cursor="updated",
    cursor_kind="token",
    cursor_zone="UTC",
    lag=0,
    moment="updated",
    columns=dict.fromkeys(DECLARED),
)
OURS = (
    *land.META,
    "_position",
    "_drop",
    "_raw",
    "_errors",
    "_version",
    "_given_0",
    "_rule_x",
    "entity_id",
    "full_name",
)
ALIKE = (
    "NAME",
    "ID",
    "İd",
    "ıd",
    "ß",
    "SS",
    "ss",
    "ſ",
    "e\u0301",
    "é",
    "É",
    "raw_name",
    "raw:name",
    "raw:^name",
    "^name",
    "~20~",
)
ODD = (
    "",
    " ",
    '"',
    '""',
    "'",
    ".",
    "a.b",
    "a/b",
    "a\nb",
    "\0",
    "%",
    "$",
    "{}",
    "@1",
    "=1+1",
    "--",
    "x" * 64,
    "x" * 300,
    "y" * 5000,
    "😀",
)
NAMES = st.sampled_from((*OURS, *ALIKE, *ODD)) | st.text(max_size=12)
VALUES = st.text(max_size=5) | st.none()


def written(folder: Path, batch: pa.RecordBatch) -> tuple[pa.Table, dict[str, str]]:
    """Land a page; return what is in the lake, and stored name -> source's name as the file tells them."""
    target = folder / "0.parquet"
    work = SimpleNamespace(lake=SimpleNamespace(staged_file=lambda *_: target))
    rows, names = raw_columns.received(batch)
    rows = land.placed(rows.append_column("_payload", pa.array(["p"] * rows.num_rows, pa.string())))
    with duckdb.connect() as engine:
        engine.register("fresh", rows)
        land.write_chunk(work, engine, DATASET, "run", 0, names)
        held = f"select count(*) from read_parquet('{target}') where {commitment(names)} = _commitment"
        assert one(engine, held) == (rows.num_rows,)
    return pq.read_table(target), raw_columns.of_file(target)


@settings(max_examples=30)
@given(st.lists(NAMES.filter(lambda name: name not in DECLARED), max_size=8), st.data())
@example([*OURS, *ALIKE, *ODD, "x", "x"], None)
@pytest.mark.slow
def test_every_value_lands_under_a_name_that_leads_back_and_our_columns_are_untouched(extra, data) -> None:
    names = [*DECLARED, *extra]
    drawn = [data.draw(VALUES) if data else str(place) for place in range(len(names))]
    values = [["k1", "k2"], ["m", "m"], *([value, None] for value in drawn[2:])]
    arrays = [pa.array(column, pa.string()) for column in (*values, ["/0", "/1"])]
    folder = Path(tempfile.mkdtemp(prefix="motlan-columns-"))
    try:
        lake, told = written(folder, pa.RecordBatch.from_arrays(arrays, names=[*names, LOCATOR]))
    finally:
        shutil.rmtree(folder)
    came = [(name, lake[column].to_pylist()) for column, name in told.items()]
    assert sorted(came, key=repr) == sorted(zip(names, values, strict=True), key=repr)
    assert len({name.casefold() for name in lake.column_names}) == len(lake.column_names)
    assert [name for name in lake.column_names if name not in told] == list(land.META)
    assert lake["_ref"].to_pylist() == ["run/0/0", "run/0/1"]
    assert (lake["_key"].to_pylist(), lake[LOCATOR].to_pylist()) == (["k1", "k2"], ["/0", "/1"])
    assert all(len(salt) == 32 for salt in lake["_salt"].to_pylist())


@given(st.lists(st.text() | NAMES, unique=True))
def test_two_names_never_become_one(names: list[str]) -> None:
    stored = [raw_columns.stored(name) for name in names]
    assert len({name.casefold() for name in stored}) == len(names)
    assert all(name.isascii() and len(name) <= raw_columns.LONGEST and name.islower() for name in stored)
    assert all(
        raw_columns.source_name(made) == name for made, name in zip(stored, names, strict=True) if "^~" not in made
    )


def test_labels_are_the_sources_names_and_unlike_each_other() -> None:
    found = raw_columns.names(["Name", "name", "entry", "", "a\nb"]) | {raw_columns.stored("name", 2): "name"}
    assert list(raw_columns.labels(found).values()) == ["Name", "name", "entry", "", "a\nb", "name (2)"]
    folded = raw_columns.labels(found, ["ENTRY"], folded=True)
    assert list(folded.values()) == [
        "Name",
        "name (2)",
        "raw_entry",
        "(no name)",
        "a\N{REPLACEMENT CHARACTER}b",
        "name (3)",
    ]


@pytest.fixture
def crowded(country: Country) -> Country:
    """A country whose registers send fields that are called like ours, and like declared ones but for their case."""
    odd = {name: "theirs" for name in (*OURS, *ALIKE, *ODD, "Name", "Number") if name != LOCATOR}
    country.write("alpha_people", [spine_record(row) | odd for row in SPINE])
    country.write("beta_cards", [card_record(row) | odd for row in CARDS])
    return country


def test_nobody_is_lost_and_everything_replays_whatever_fields_are_called(crowded: Country, tmp_path: Path) -> None:
    done = whole_job()
    assert {name: done[name]["land"]["landed"] for name in ("alpha_people", "beta_cards")} == {
        "alpha_people": 5,
        "beta_cards": 6,
    }
    assert done["reconcile"]["merge"]["persons"] == 6
    assert pipeline.sync("beta_cards")["land"]["landed"] == 0, "what was landed before does not land again"
    work = crowded.open()
    fields = sample(work, "person", 1000, seed=1)
    verdict = replay(work, gather(work, "person", sorted({person for person, _ in fields})), fields)
    assert (verdict.equal, verdict.reasons) == (len(fields), {})
    with work.store.engine.connect() as connection:
        (entry,) = connection.scalars(sa.select(tables.quarantine_entries.c.id))
    raw = listing.show(work, entry, "user:test")["raw"]
    assert (raw["Name"], raw["name"], raw["_salt"], raw["id"]) == ("theirs", None, "theirs", "b6")
    for form in ("xlsx", "ndjson", "csv"):
        assert export.export(work, listing.Wanted("beta_cards"), form, tmp_path / f"held.{form}", "user:test") == 1
    header = (tmp_path / "held.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert "'=1+1" in header, "no spreadsheet takes a name for a formula"
    decisions.fix(work, entry, "user:test", "a test", {"name": "Hoàng Thị Hòa"})
    replayed = pipeline.replay("beta_cards")
    assert (replayed["clean"]["accepted"], replayed["commit"]["replayed"]) == (1, 1)


def test_declared_columns_that_differ_in_case_alone_are_two(country: Country) -> None:
    def declare(content: dict) -> None:
        content["agencies"]["beta"]["datasets"]["beta_cards"]["columns"] |= {"Card": "Card", "_salt": "_salt"}

    country.declare("adapters/agencies.yaml", declare)
    country.declare(
        "mapping/beta.yaml", lambda content: content["beta_cards"]["fields"].update(old_identity_number="Card")
    )
    country.write("beta_cards", [card_record(row) | {"Card": "012345678", "_salt": "s"} for row in CARDS])
    pipeline.sync("beta_cards")
    work = country.open()
    with work.engine("test") as engine, work.store.engine.connect() as connection:
        runs = set(connection.scalars(sa.select(tables.runs.c.id)))
        files = work.lake.files("clean.beta_cards", runs)
        found = engine.execute(
            f"select distinct old_identity_number, left(health_card_number, 2) from read_parquet({files})"
        )
        assert found.fetchall() == [("012345678", "GD")]


@pytest.mark.parametrize("column", ["_salt", "_payload"])
def test_a_row_without_what_the_bus_gives_every_row_stops_the_run(
    column: str, country: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = land.placed

    def damaged(rows: pa.Table) -> pa.Table:
        made = placed(rows)
        values = [None, *made[column].to_pylist()[1:]]
        return made.set_column(made.column_names.index(column), column, pa.array(values, pa.string()))

    monkeypatch.setattr("motlan.ingest.land.placed", damaged)
    with pytest.raises(InternalError, match=f"1 of 6 rows have no {column}.*report this"):
        pipeline.sync("beta_cards")
    with country.open().store.engine.connect() as connection:
        assert not connection.scalars(sa.select(tables.runs.c.id).where(tables.runs.c.state == "visible")).all()


def test_a_source_that_invents_columns_without_end_is_refused(
    crowded: Country, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTLAN_UNDECLARED_COLUMNS", "9")
    with pytest.raises(ContractError, match="beta_cards: more than 9 columns are not declared"):
        pipeline.sync("beta_cards")
