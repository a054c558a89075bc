"""Code lists are loaded whole, refused when wrong, and read by their date."""

from __future__ import annotations

from pathlib import Path

import pytest

from motlan.errors import ConfigurationError
from motlan.expressions import DUCKDB, code_lists, code_lists_digest, connect, load_code_lists, parse


def test_a_code_means_what_it_meant_at_the_moment(ask) -> None:
    old, new = "2025-06-30T23:59:59.000000Z", "2025-07-01T00:00:00.000000Z"
    assert ask("commune", [("00097", old), ("00097", new), ("00097", "1945"), ("00097", None)]) == [
        "00004",
        "00097",
        "00004",
        "00097",
    ]


def test_a_divided_unit_gives_its_default_successor(ask) -> None:
    assert ask("commune", [("00010", "2020-01-01"), ("00010", "2026-01-01")]) == ["00097", "00097"]


def test_a_province_is_that_of_the_present_unit(ask) -> None:
    assert ask("province_of_commune", [("00004",), ("00010",)]) == ["01", None]


def test_lookups_work_over_other_functions_and_columns(lists: Path) -> None:
    with connect() as con:
        load_code_lists(con, lists)
        sql = parse("province_of_commune(commune(text(a), moment(b)))").sql(DUCKDB)
        rows = con.execute(
            f"SELECT {sql} FROM (VALUES (' 00010 ', '2020-01-01'), ('x', NULL), (NULL, NULL)) t(a, b)"
        ).fetchall()
    assert rows == [("01",), (None,), (None,)]


def test_lists_can_be_loaded_again_while_a_result_is_being_read(lists: Path) -> None:
    with connect() as con:
        load_code_lists(con, lists)
        con.execute("SELECT 1").fetchone()
        load_code_lists(con, lists)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("code,name\n1,male\n", "code and value"),
        ("word,value\n1,male\n", "code and value"),
        ("code,value\n1,male\n1,female\n", "stands twice"),
        ("code,value\nNam,male\nNAM,female\n", "stands twice"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "wrong.csv").write_text(content, encoding="utf-8")
    with connect() as con, pytest.raises(ConfigurationError, match=message) as caught:
        load_code_lists(con, tmp_path)
        con.execute("FROM motlan_codes")
    assert caught.value.where == "wrong.csv"


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with connect() as con, pytest.raises(ConfigurationError, match="no code list"):
        load_code_lists(con, tmp_path)
        con.execute("FROM motlan_codes")


def test_the_digest_follows_the_contents_of_the_named_lists_only(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text("code,value\n1,x\n")
    second.write_text("code,value\n1,x\n")
    before = code_lists_digest(tmp_path, ["a"])
    second.write_text("code,value\n1,y\n")
    assert code_lists_digest(tmp_path, ["a", "a"]) == before
    first.write_text("code,value\n1,y\n")
    assert code_lists_digest(tmp_path, ["a"]) != before
    assert code_lists(tmp_path) == {"a", "b"}
    with pytest.raises(ConfigurationError, match="no code list c"):
        code_lists_digest(tmp_path, ["c"])
