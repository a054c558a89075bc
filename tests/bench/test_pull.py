"""The pull benchmark: its figures exist, and all four protocols bring the registers' own rows."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import bare
from bench.pull import DATASETS, REPLAYED
from motlan.cli.main import app

FIGURES = {"rows_s", "peer_rows_s", "peer_ratio", "floor_ratio", "peak_rss_mb", "memory_growth", "rows", "differs"}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def result(in_this_process: Path) -> dict[str, Any]:
    asked = ["bench", "pull", "--people", "300", "--seed", "5", "--rounds", "1", "--json"]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0, answer.output
    assert not any((in_this_process / "bench").iterdir())
    return json.loads(answer.stdout)


def test_one_object_tells_all(result: dict[str, Any]) -> None:
    assert (result["bench"], result["args"]["people"]) == ("pull", 300)
    wanted = {f"{protocol}_{figure}" for protocol in DATASETS for figure in FIGURES}
    wanted |= {
        f"{protocol}_replay_{figure}" for protocol in REPLAYED for figure in ("rows_s", "peer_ratio", "floor_ratio")
    }
    assert set(result["figures"]) >= wanted
    assert all(value > 0 for name, value in result["figures"].items() if not name.endswith("_differs"))


@pytest.mark.parametrize("protocol", DATASETS)
def test_what_is_pulled_is_what_the_register_has(result: dict[str, Any], protocol: str) -> None:
    figures = result["figures"]
    assert (figures[f"{protocol}_rows"] > 40, figures[f"{protocol}_differs"]) == (True, 0)


def test_the_floors_cursor_is_found_at_an_answers_end() -> None:
    assert bare.following("soap", b"x" * 2000 + b"</CongdanCollection><ConTroTiep>cDU</ConTroTiep>") == "cDU"
    assert bare.following("rest", b'{"data":[],"next_cursor":null,"as_of":"x"}') is None
