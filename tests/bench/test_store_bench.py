"""The store's benchmark: its rows have the person's fields, and it begins nothing that the disk cannot hold."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.store import ENTITY, FIELDS
from motlan.cli.main import app
from motlan.config import registry
from tests.conftest import ROOT


def test_it_fills_fields_that_exist() -> None:
    assert set(FIELDS) <= set(registry.load(ROOT).entity(ENTITY).fields)


def test_it_refuses_what_the_disk_cannot_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOTLAN_HOME", str(ROOT))
    answer = CliRunner().invoke(app, ["bench", "store", "--rows", "1000000000000", "--work", str(tmp_path)])
    assert answer.exit_code == 1
    assert "on disk" in " ".join(answer.stderr.split())
    assert not any(tmp_path.iterdir())
