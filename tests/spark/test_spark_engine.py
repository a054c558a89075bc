"""What is told where Spark is asked for and cannot be had. None of this needs Java."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from motlan import settings
from motlan.errors import ConfigurationError
from motlan.expressions.spark import start


def test_an_engine_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_HOME", str(Path(__file__).resolve().parents[2]))
    monkeypatch.setenv("MOTLAN_ENGINE", "sqlite")
    with pytest.raises(ConfigurationError, match="there is no engine sqlite"):
        settings.load()


def test_a_missing_java_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "java_version", lambda: 11)
    with pytest.raises(ConfigurationError, match="openjdk-17"):
        start.start("local[2]")


def test_a_missing_pyspark_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ConfigurationError, match=r"\.\[spark\]"):
        start.start("local[2]")
