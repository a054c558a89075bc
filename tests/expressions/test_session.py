"""A session reaches only what it was given, and is the same everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from motlan.errors import ConfigurationError
from motlan.expressions import connect, fingerprint, literal, load_code_lists, prepare, quote


def test_files_outside_of_the_allowed_folders_cannot_be_read_or_written(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "secret.csv").write_text("a\n1\n")
    with connect(allowed=[inside]) as con:
        con.execute(f"COPY (SELECT 1 AS a) TO {literal(str(inside / 'a.parquet'))}")
        assert con.execute(f"FROM read_parquet({literal(str(inside / 'a.parquet'))})").fetchall() == [(1,)]
        for statement in (
            f"FROM read_csv({literal(str(outside / 'secret.csv'))})",
            f"FROM read_csv({literal(str(inside / '..' / 'out' / 'secret.csv'))})",
            f"COPY (SELECT 1) TO {literal(str(outside / 'b.parquet'))}",
            f"ATTACH {literal(str(outside / 'c.db'))}",
            f"FROM read_csv({literal(str(tmp_path / 'inside_not.csv'))})",
        ):
            with pytest.raises(duckdb.Error):
                con.execute(statement).fetchall()


@pytest.mark.parametrize(
    "statement",
    [
        "SET enable_external_access = true",
        "SET threads = 1",
        "SET lock_configuration = false",
        "SET TimeZone = 'Asia/Ho_Chi_Minh'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "FROM read_csv('https://example.org/a.csv')",
    ],
)
def test_no_query_can_widen_its_own_rights(statement: str) -> None:
    with connect() as con, pytest.raises(duckdb.Error):
        con.execute(statement).fetchall()


def test_python_variables_are_not_tables() -> None:
    rows = {"a": [1]}
    with connect() as con, pytest.raises(duckdb.Error):
        con.execute("FROM rows").fetchall()
    assert rows


def test_settings_are_taken(tmp_path: Path) -> None:
    with connect(temp_dir=tmp_path, memory_limit="256MB", threads=1) as con:
        wanted = "SELECT current_setting('threads'), current_setting('TimeZone'), current_setting('temp_directory')"
        assert con.execute(wanted).fetchall() == [(1, "UTC", str(tmp_path))]


def test_work_larger_than_memory_spills_into_the_given_folder(tmp_path: Path) -> None:
    with connect(temp_dir=tmp_path, memory_limit="48MB", threads=1) as con:
        query = "SELECT count(*) FROM (SELECT x, md5(x::VARCHAR) AS y FROM range(1500000) t(x) ORDER BY y OFFSET 1)"
        assert con.execute(query).fetchall() == [(1_499_999,)]


def test_a_wrong_limit_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="memory_limit"):
        connect(memory_limit="plenty")


def test_prepare_can_be_repeated_and_serves_any_connection() -> None:
    with duckdb.connect() as con:
        prepare(con)
        prepare(con)
        assert con.execute("SELECT motlan_letters_repaired('Nguye^~n')").fetchall() == [("Nguyễn",)]


def test_the_fingerprint_is_a_stable_sha256() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", fingerprint())
    assert fingerprint() == fingerprint()


def test_quoting_survives_quotes() -> None:
    name, value = 'a"b', "it's"
    with connect() as con:
        relation = con.execute(f"SELECT {literal(value)} AS {quote(name)}")
        assert relation.description[0][0] == name
        assert relation.fetchall() == [(value,)]


def test_a_session_makes_macros_and_code_lists_when_a_query_first_names_one(tmp_path: Path) -> None:
    (tmp_path / "sexes.csv").write_text("code,value\n1,male\n", encoding="utf-8")
    macros = "SELECT count(*) FROM duckdb_functions() WHERE starts_with(function_name, 'motlan')"
    tables = "SELECT count(*) FROM duckdb_tables()"
    with connect() as con:
        load_code_lists(con, tmp_path)
        assert con.execute(f"SELECT ({macros}), ({tables})").fetchall() == [(0, 0)]
        assert con.sql("SELECT motlan_suspicious('Nguye^~n'), cl_value FROM motlan_codes").fetchall() == [
            (True, "male")
        ]
