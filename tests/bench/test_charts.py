"""Pictures and tables of what was measured: made from the JSON alone, readable by machines and by people who do not see."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from bench import charts
from motlan.cli.main import app
from tests.conftest import ROOT

SVG = "{http://www.w3.org/2000/svg}"
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))


def step(seconds: float) -> dict[str, Any]:
    return dict.fromkeys(charts.COLUMNS, 1.5) | {"seconds": seconds}


def result(people: int, seconds: float) -> dict[str, Any]:
    figures = {"rows": people * 2, "seconds": seconds, "ns_per_row": seconds / people * 5e8, "peak_rss_mb": 1234.0}
    figures |= {"floor_seconds": 17.25, "floor_peak_rss_mb": 777.0, "store_peak_rss_mb": None, "link_seconds": 21.5}
    return {
        "bench": "national",
        "args": {"people": people, "seed": 3, "peer_people": 0, "load": False, "lean": True},
        "machine": {"cpus": 2, "memory_mb": 24000, "system": "Linux", "python": "3.11"},
        "figures": figures,
        "steps": {"land": step(31.5), "link": step(21.5)},
        "floor": {"copy": step(4.75)},
    }


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = []
    for people, seconds in ((5_000_000, 120.0), (10_000_000, 260.0)):
        path = tmp_path / f"national-{charts.count(people)}.json"
        path.write_text(json.dumps(result(people, seconds)), encoding="utf-8")
        paths.append(path)
    return paths


def test_every_picture_is_xml_with_a_title_a_description_and_the_numbers_of_the_json(files: list[Path]) -> None:
    drawn = charts.charts(charts.load(files))
    assert len(drawn) == 6
    for svg in drawn.values():
        tree = ElementTree.fromstring(svg)
        assert tree.tag == f"{SVG}svg"
        assert tree.find(f"{SVG}title").text and tree.find(f"{SVG}desc").text
        assert "prefers-color-scheme:dark" in tree.find(f"{SVG}style").text
    told = [text.text for text in ElementTree.fromstring(drawn["national-5m-steps.svg"]).iter(f"{SVG}text")]
    assert {"31.5", "21.5", "4.75", "floor: copy"} <= set(told)
    assert {"12,000", "13,000"} <= {
        text.text for text in ElementTree.fromstring(drawn["national-time.svg"]).iter(f"{SVG}text")
    }


def test_a_longer_bar_is_a_greater_number() -> None:
    tree = ElementTree.fromstring(charts.bars("t", "s", [("one", 10.0, "a"), ("two", 5.0, "b")]))
    one, two = (float(bar.attrib["width"]) for bar in tree.iter(f"{SVG}rect"))
    assert one == pytest.approx(2 * two, abs=0.1)


def test_the_command_draws_and_writes_the_tables_of_a_page(files: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Kept\n<!-- figures national -->\nwas\n<!-- end -->\n<!-- figures else -->\nstays\n<!-- end -->\n"
    )
    asked = ["bench", "charts", *map(str, files), "--out", str(tmp_path / "charts"), "--page", str(page)]
    answer = CliRunner().invoke(app, asked)
    assert answer.exit_code == 0, answer.output
    text = page.read_text(encoding="utf-8")
    assert "# Kept" in text and "stays" in text and "was" not in text
    assert "| `seconds` | 120 | 260 |" in text
    given = "--people 5000000 --seed 3 --peer-people 0 --no-load --lean"
    assert f"`motlan bench national {given} --json` on 2 cores" in text
    assert "| link | 21.5 |" in text and text.count("| 1.25 |\n") == 2, "21.5 seconds are 1.25 floors of 17.25"
    assert len(list((tmp_path / "charts").glob("*.svg"))) == 6


def test_a_file_that_is_no_result_is_told(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text("[1]")
    answer = CliRunner().invoke(app, ["bench", "charts", str(wrong), "--out", str(tmp_path)])
    assert answer.exit_code == 1
    assert not list(tmp_path.glob("*.svg"))


def test_the_documents_show_what_the_results_say() -> None:
    results = charts.load(RESULTS)
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert charts.filled(page, charts.tables(results)) == page
    for name, svg in charts.charts(results).items():
        assert (ROOT / "docs" / "charts" / name).read_text(encoding="utf-8") == svg, "run `motlan bench charts`"
        assert f"charts/{name}" in page
