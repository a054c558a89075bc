"""What cleaners changed can be counted by field."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from motlan import pipeline
from motlan.cli.main import app
from motlan.config import registry
from motlan.expressions import connect, load_code_lists
from motlan.ingest import raw_columns
from motlan.ingest.clean import select_canonical
from motlan.ingest.cleaner_changes import count_query
from tests.conftest import CARDS, Country


def test_changed_values_are_counted_by_field_and_code_words_are_not() -> None:
    declared = registry.load()
    dataset = declared.dataset("tax_taxpayers")
    moment = "2026-01-03T00:00:00.000000Z"
    rows = [
        {"HoTen": "Nguyễn Văn An", "SoDinhDanh": "001090000001", "NgaySinh": "1990-02-01", "GioiTinh": "M"},
        {"HoTen": "NGUYỄN VĂN AN", "SoDinhDanh": "01090000001", "NgaySinh": "1990", "GioiTinh": "F"},
        {"HoTen": "Nguyeãn Vaên An", "SoDinhDanh": "1.09E+11", "NgaySinh": "01/02/1990"},
        {"HoTen": None, "SoDinhDanh": None},
    ]
    names = {name: name for name in ("_ref", "_run", "_key", "_locator")} | raw_columns.names(dataset.columns)
    table = {column: pa.array([row.get(name) for row in rows], pa.string()) for column, name in names.items()}
    with connect(threads=1) as con:
        load_code_lists(con, declared.code_lists)
        con.register("raw_rows", pa.table({**table, "_moment": [moment] * len(rows)}))
        asked = con.execute(count_query(dataset))
        counted = dict(zip([column[0] for column in asked.description], asked.fetchall()[0], strict=True))
    assert (counted["full_name"], counted["full_name_changed"]) == (3, 2)
    assert (counted["personal_id"], counted["personal_id_changed"]) == (2, 1)
    assert (counted["birth_date"], counted["birth_date_changed"]) == (3, 1)
    assert "sex" not in counted


def test_the_command_counts_the_newest_run_of_a_dataset(country: Country) -> None:
    pipeline.sync("beta_cards")
    answer = CliRunner().invoke(app, ["clean", "changes", "beta_cards", "--json"])
    assert answer.exit_code == 0, answer.output
    fields = json.loads(answer.stdout)["fields"]
    assert set(fields) == {"personal_id", "full_name", "birth_date"}
    assert 0 < fields["full_name"]["values"] <= len(CARDS)
    assert fields["birth_date"]["changed"] == fields["birth_date"]["values"], "written day first, kept year first"


@pytest.mark.parametrize(
    ("zone", "moment", "told"),
    [
        ("Asia/Ho_Chi_Minh", "2025-06-30T17:30:00.000000Z", ("00118", None)),
        ("Asia/Ho_Chi_Minh", "2025-06-30T16:59:59.999999Z", ("00097", "00097;00118")),
        ("America/New_York", "2025-07-01T03:30:00.000000Z", ("00097", "00097;00118")),
        ("America/New_York", "2025-07-01T04:00:00.000000Z", ("00118", None)),
        ("", "2025-06-30T23:59:59.999999Z", ("00097", "00097;00118")),
        ("Asia/Ho_Chi_Minh", None, ("00118", None)),
    ],
)
def test_codes_turn_over_at_midnight_where_their_source_is(
    zone: str, moment: str | None, told: tuple[str, str | None]
) -> None:
    declared = registry.load()
    dataset = declared.dataset("education_pupils").model_copy(update={"zone": zone})
    row = dict.fromkeys(("_ref", "_run", "_key", "_locator", *raw_columns.names(dataset.columns)))
    # What the row itself writes for its moment, in whatever form and zone, is read by landing alone.
    row |= {"_moment": moment, raw_columns.stored("ma_xa"): "00118", raw_columns.stored("updated_at"): "1751304600"}
    with connect(threads=1) as con:
        load_code_lists(con, declared.code_lists)
        con.register("raw_rows", pa.table({name: pa.array([value], pa.string()) for name, value in row.items()}))
        asked = f"select residence_commune, residence_candidates, residence_province from ({select_canonical(dataset)})"
        assert con.execute(asked).fetchone() == (*told, "01")
