"""Settings: secrets come from the environment or from files, and an error names both."""

from __future__ import annotations

from pathlib import Path

import pytest

from motlan.errors import ConfigurationError
from motlan.settings import load, own_server, secret

VARIABLE = "MOTLAN_DATABASE_URL"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv(f"{VARIABLE}_FILE", str(tmp_path / "url"))
    return tmp_path / "url"


def test_a_secret_is_read_from_the_file_that_the_environment_names(file: Path) -> None:
    file.write_text("postgresql://motlan@store/motlan\n")
    assert load().database_url == "postgresql://motlan@store/motlan"
    assert not own_server()


def test_the_variable_itself_comes_before_its_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "postgresql://elsewhere/motlan")
    assert secret(VARIABLE) == "postgresql://elsewhere/motlan"


def test_a_file_that_is_missing_or_empty_is_named_with_its_variable(file: Path) -> None:
    for content in (None, "\n"):
        if content is not None:
            file.write_text(content)
        with pytest.raises(ConfigurationError, match=f"{VARIABLE}_FILE={file}"):
            secret(VARIABLE)


def test_a_file_that_is_no_text_is_not_quoted(file: Path) -> None:
    file.write_bytes(b"very-secret\xff")
    with pytest.raises(ConfigurationError) as told:
        secret(VARIABLE)
    assert "very-secret" not in str(told.value)
    assert told.value.__suppress_context__


def test_nothing_is_a_secret_where_neither_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"{VARIABLE}_FILE", raising=False)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert secret(VARIABLE) is None
    assert own_server()
