"""The layers of docs/architecture.md, and that the bus names no country, as far as it can be seen from the files."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from motlan.cli.main import app
from motlan.config import registry
from tests.conftest import ROOT

AGENCIES = ("population", "insurance", "tax", "education", "bhxh", "bhyt", "mst")
COUNTRY = (
    *(
        "vietnam",
        "viet nam",
        "vietnamese",
        "hanoi",
        "ha noi",
        "ho chi minh",
        "commune",
        "communes",
        "province",
        "provinces",
    ),
    *("cccd", "cmnd", "personal id", "tax code", "social code", "social insurance", "health card", "old identity"),
    *("tcvn", "tcvn3", "vni", "viqr", "cp1258"),
    *("dung", "du", "sach", "song", "thong nhat"),
)
MARKED = re.compile("[\u1ea0-\u1ef9ăđơưĂĐƠƯ]")
"""Letters that Vietnamese alone has, or nearly."""
WORD = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*|[0-9]+")


def words_of(text: str) -> str:
    """The words of a line in lower case, those inside of identifiers too: `personalId` and `PERSONAL_ID` are `personal id`."""
    return f" {' '.join(WORD.findall(text)).lower()} "


def named(folder: str, names: tuple[str, ...]) -> list[str]:
    """The lines of a folder's files that have one of the names, or a letter of the country's own."""
    looked_for = [f" {name} " for name in names]
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
        for number, line in enumerate([str(path.relative_to(ROOT)), *path.read_text(encoding="utf-8").splitlines()])
        if MARKED.search(line) or any(name in words_of(line) for name in looked_for)
    ]


def test_the_bus_names_no_agency_and_no_country_inside_of_identifiers_and_texts_too() -> None:
    assert named("motlan", AGENCIES + COUNTRY) == []


def imported(path: Path) -> list[str]:
    """Return the modules that a file imports; of a package, what is taken out of it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{name.name}" for name in node.names]
    return found


def test_the_countrys_functions_import_the_expressions_alone() -> None:
    for path in (ROOT / "mapping" / "functions").glob("*.py"):
        ours = [name for name in imported(path) if name.split(".")[0] not in sys.stdlib_module_names]
        assert all(re.match(r"(motlan\.expressions|mapping\.functions)(\.|$)", name) for name in ours), path.name


def test_adapters_import_what_an_adapter_must_do_and_the_errors_alone() -> None:
    for path in (ROOT / "adapters").rglob("*.py"):
        ours = [name for name in imported(path) if name.split(".")[0] in ("motlan", "schemas", "mapping", "simulators")]
        assert all(re.match(r"motlan\.(adapter|errors)(\.|$)", name) for name in ours), path.name


@pytest.mark.parametrize(
    "line",
    [
        "def personal_id_of(row)",
        "class TaxCode:",
        "PERSONAL_ID = 1",
        "asked of the insurance",
        "x = 'du'",
        "motlan_tcvn3_from",
        "# họ",
    ],
)
def test_the_search_for_a_country_looks_into_identifiers_and_texts(line: str) -> None:
    looked_for = [f" {name} " for name in AGENCIES + COUNTRY]
    assert MARKED.search(line) or any(name in words_of(line) for name in looked_for)


def test_the_search_for_a_country_finds_no_word_inside_of_another() -> None:
    assert not any(f" {name} " in words_of("during a song2 taxonomy, songs produced") for name in AGENCIES + COUNTRY)


def test_no_lock_file_holds_an_address() -> None:
    for path in ROOT.glob("requirements*.lock"):
        assert not re.search(
            r"https?://|file://|--(extra-)?index-url|--find-links", path.read_text(encoding="utf-8")
        ), path


def commands() -> list[list[str]]:
    found = [[]]
    for name, command in get_command(app).commands.items():
        found.append([name])
        found += [[name, inner] for inner in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_explains_itself_with_examples(command: list[str]) -> None:
    answer = CliRunner().invoke(app, [*command, "--help"])
    assert answer.exit_code == 0
    assert "Examples:" in answer.output
    assert "motlan " in answer.output.split("Examples:")[1]


def test_examples_come_from_the_registry() -> None:
    first = next(iter(registry.load(ROOT).datasets))
    assert f"motlan sync {first}" in CliRunner().invoke(app, ["sync", "--help"]).output


def test_a_wrong_setting_is_a_clear_error_and_no_traceback() -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "motlan", "status"],
        env={"MOTLAN_HOME": "/nowhere", "PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert "ConfigurationError" in answer.stderr
    assert "set MOTLAN_HOME" in " ".join(answer.stderr.split())
    assert "Traceback" not in answer.stderr
